"""Delivery of a finished study: everything that was measured and concluded, into the runs that were opened for it.

Publishing the same study into the same runs again changes nothing, so that a delivery that was cut short can be
repeated. The study's own tags come last: a run that carries ``mlbench.decision`` is complete.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric

from mlbench.records import Arm, ArmResult, Measurement, Study, to_dict, to_json
from mlbench.reporting.colours import arm_colours
from mlbench.tracking import content, describe, files, names
from mlbench.tracking.calls import doing
from mlbench.tracking.forms import Example
from mlbench.tracking.models import ModelRecord, log_model
from mlbench.tracking.runs import OpenStudy, end, set_params, set_tags
from mlbench.tracking.saving import Save
from mlbench.tracking.system_metrics import system_points
from mlbench.tracking.view import save_view

_NOTE = "mlflow.note.content"
_TABLES = "mlflow.loggedArtifacts"
_CONTEXT = "mlflow.data.context"
_METRICS_PER_BATCH = 1000
_DIGEST_LIMIT = 36  # MLflow keeps no more of a dataset's digest


@dataclass(frozen=True, slots=True)
class Published:
    """What a delivery left in MLflow.

    Attributes:
        run_id: The study's run.
        models: What became of each arm's artifact, by arm name; empty where models are not logged.
    """

    run_id: str
    models: dict[str, ModelRecord] = field(default_factory=dict)


def publish(
    study: Study,
    measurement: Measurement,
    runs: OpenStudy,
    *,
    arms: Mapping[str, Arm],
    report_html: str,
    report_markdown: str,
    note: str,
    save: Save,
    example: Example | None = None,
    log_models: bool = True,
) -> Published:
    """Deliver a study into its open runs, and end them.

    The runs end as FINISHED, those of failed arms as FAILED, and all others as KILLED where the study was interrupted.

    Args:
        study: What was concluded.
        measurement: What was measured.
        runs: From :meth:`mlbench.tracking.Tracker.open_study`.
        arms: The arms that could be built, by name; their artifacts become logged models.
        report_html: The report page, whole in itself.
        report_markdown: The report as Markdown.
        note: The description of the study's run, Markdown.
        save: Writes the models.
        example: A few test items by input name, for the models' input example; made up where None.
        log_models: Whether artifacts are logged as models.

    Raises:
        TrackingError: MLflow refused; what was delivered before stays, and publishing again completes it.
    """
    study = content.public(study)
    colours = arm_colours(arm.name for arm in study.arms)
    models: dict[str, ModelRecord] = {}
    for result in study.arms:
        run_id = runs.open_arm(result.name, result.role).run_id
        with doing(f"record the arm '{result.name}'"):
            _arm_files(runs, run_id, result, measurement)
            set_params(runs.tracker, run_id, content.arm_params(study, result))
        arm = arms.get(result.name)
        # the incumbent has its model already: that is what was measured
        if log_models and arm is not None and result.status != "failed" and result.role != "incumbent":
            models[result.name] = _arm_model(runs, run_id, study, arm, example, save)
        with doing(f"record the arm '{result.name}'"):
            _arm_numbers(runs, run_id, study, result, models.get(result.name))
            _system_metrics(runs, run_id, result.name, measurement)
            _clear_error(runs, run_id)
            set_tags(runs.tracker, run_id, content.arm_tags(study, result, colours[result.name]))
            set_tags(runs.tracker, run_id, {_NOTE: describe.arm_note(study, result)})
            end(runs.tracker, run_id, _arm_status(study, result))
    with doing("record the study"):
        _study_files(runs, study, measurement, {names.REPORT_HTML: report_html, names.REPORT_MD: report_markdown})
        set_params(runs.tracker, runs.run_id, content.study_params(study))
        save_view(runs, study)
        tables_tag = json.dumps([{"path": names.COMPARISON_JSON, "type": "table"}])
        _clear_error(runs, runs.run_id)
        set_tags(runs.tracker, runs.run_id, {_NOTE: note, _TABLES: tables_tag, **content.study_tags(study)})
        end(runs.tracker, runs.run_id, "FINISHED" if study.status == "finished" else "KILLED")
    return Published(runs.run_id, models)


def keep_measurement(measurement: Measurement, runs: OpenStudy) -> None:
    """Keep what was measured where nothing could be concluded from it; the runs stay open.

    Raises:
        TrackingError: MLflow refused.
    """
    with doing("keep what was measured"):
        for arm in runs.arms.values():
            with tempfile.TemporaryDirectory(prefix="mlbench-arm-") as folder:
                files.write_arm(Path(folder), arm.name, measurement)
                runs.tracker.client.log_artifacts(arm.run_id, folder)
        with tempfile.TemporaryDirectory(prefix="mlbench-study-") as folder:
            files.write_study(Path(folder), measurement)
            runs.tracker.client.log_artifacts(runs.run_id, folder)


# ---------------------------------------------------------------------------------------------------------------------
# an arm


def _arm_status(study: Study, result: ArmResult) -> str:
    if result.status == "failed" and study.status == "finished":
        return "FAILED"
    return "FINISHED" if study.status == "finished" else "KILLED"


def _arm_files(runs: OpenStudy, run_id: str, result: ArmResult, measurement: Measurement) -> None:
    with tempfile.TemporaryDirectory(prefix="mlbench-arm-") as name:
        folder = Path(name)
        (folder / names.RECIPE_JSON).write_text(content.as_json(content.recipe(result)), encoding="utf-8")
        if result.profiles:
            profiles = content.as_json([to_dict(profile) for profile in result.profiles])
            (folder / names.PROFILE_JSON).write_text(profiles, encoding="utf-8")
        files.write_arm(folder, result.name, measurement)
        runs.tracker.client.log_artifacts(run_id, name)


def _arm_model(
    runs: OpenStudy, run_id: str, study: Study, arm: Arm, example: Example | None, save: Save
) -> ModelRecord:
    tags = {
        names.KIND: "arm",
        names.STUDY: study.name,
        names.ARM: arm.name,
        names.ROLE: arm.role,
        names.ARTIFACT: arm.artifact.digest,
    }
    name = names.logged_model_name(study.workload.name, arm.name)
    record = log_model(runs.tracker, run_id, arm, name, tags, example, save)
    found = {names.MODEL: record.model_id or "", names.MODEL_FORM: record.form, names.MODEL_ABSENT: record.reason}
    with doing(f"record the model of '{arm.name}'"):
        set_tags(runs.tracker, run_id, {key: value for key, value in found.items() if value})
    return record


def _arm_numbers(runs: OpenStudy, run_id: str, study: Study, result: ArmResult, model: ModelRecord | None) -> None:
    """One batch per arm; each number also belongs to the arm's model, on the dataset that it was measured on."""
    client = runs.tracker.client
    dataset = _dataset(study)
    client.log_inputs(run_id, [DatasetInput(dataset, [InputTag(_CONTEXT, "test")])])
    moment = client.get_run(run_id).info.start_time  # the same at every delivery: a repeated number is the same number
    model_id = model.model_id if model is not None else None
    numbers = [
        Metric(
            point.key,
            point.value,
            moment,
            point.step,
            model_id=model_id,
            dataset_name=dataset.name if model_id else None,
            dataset_digest=dataset.digest if model_id else None,
            run_id=run_id,
        )
        for point in content.metrics(result)
    ]
    for start in range(0, len(numbers), _METRICS_PER_BATCH):
        client.log_batch(run_id, metrics=numbers[start : start + _METRICS_PER_BATCH])


def _system_metrics(runs: OpenStudy, run_id: str, arm: str, measurement: Measurement) -> None:
    """Hardware figures over time, for the run page's System metrics tab; one batch."""
    points = system_points(measurement.turns, arm, measurement.epoch_ns)
    numbers = [Metric(point.key, point.value, point.time_ms, point.step, run_id=run_id) for point in points]
    if numbers:
        runs.tracker.client.log_batch(run_id, metrics=numbers)


def _dataset(study: Study) -> Dataset:
    data = study.workload.data
    columns = [
        {"type": "tensor", "name": spec.name, "tensor-spec": {"dtype": spec.dtype, "shape": _shape(spec.shape)}}
        for spec in data.inputs
    ]
    return Dataset(
        name=study.workload.name,
        digest=data.digest[:_DIGEST_LIMIT],
        source_type="code",
        source=json.dumps({"tags": {"source": data.source, "digest": data.digest}}),
        schema=json.dumps({"mlflow_tensorspec": {"features": json.dumps(columns), "targets": None}}),
        profile=json.dumps({"rows": data.rows, "classes": len(data.classes)}),
    )


def _shape(shape: tuple[int | None, ...]) -> list[int]:
    return [-1 if size is None else size for size in shape]


def _clear_error(runs: OpenStudy, run_id: str) -> None:
    """A delivery that failed before left its message; this one has arrived."""
    if names.ERROR in runs.tracker.client.get_run(run_id).data.tags:
        runs.tracker.client.delete_tag(run_id, names.ERROR)


# ---------------------------------------------------------------------------------------------------------------------
# the study


def _study_files(runs: OpenStudy, study: Study, measurement: Measurement, reports: Mapping[str, str]) -> None:
    texts = {
        names.STUDY_JSON: to_json(study),
        names.COMPARISON_JSON: content.as_json(content.comparison(study)),
        names.CONFIG_YAML: content.as_yaml(study.config),
        names.ENVIRONMENT_JSON: content.as_json(study.environment),
        **reports,
    }
    with tempfile.TemporaryDirectory(prefix="mlbench-study-") as name:
        folder = Path(name)
        for path, text in texts.items():
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        files.write_study(folder, measurement)
        runs.tracker.client.log_artifacts(runs.run_id, name)
