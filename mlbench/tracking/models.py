"""Each arm's artifact as a logged model of its run: what is measured is what can be promoted."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import LoggedModel, LoggedModelOutput, LoggedModelStatus
from mlflow.models import Model
from mlflow.models.model import MLMODEL_FILE_NAME

from mlbench.records import Arm
from mlbench.tracking import names
from mlbench.tracking.calls import doing
from mlbench.tracking.forms import Content, Example, UnfitError, example_for, forms, needs
from mlbench.tracking.saving import Save

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

DELAYED = "the delay step makes work for self-checks, it makes no model to ship"


@dataclass(frozen=True, slots=True)
class ModelRecord:
    """What became of an arm's artifact.

    Attributes:
        model_id: The logged model; None when there is none.
        form: ``onnx``, ``pytorch``, ``sklearn``, ``torchscript`` or ``mlbench``; empty without a model.
        reason: Why there is no model, or why not in a leaner form; empty where all is well.
    """

    model_id: str | None
    form: str = ""
    reason: str = ""


def log_model(
    tracker: Tracker,
    run_id: str,
    arm: Arm,
    name: str,
    tags: Mapping[str, str],
    example: Example | None,
    save: Save,
) -> ModelRecord:
    """Log the arm's artifact once; a second call finds the model of the first.

    Args:
        tracker: Where to.
        run_id: The arm's run; its parameters become the model's.
        arm: What to log.
        name: Name of the logged model.
        tags: Tags of the logged model.
        example: A few items by input name, first axis items; made up where None.
        save: Writes the model.

    Raises:
        TrackingError: MLflow refused.
    """
    if arm.artifact.meta.get("delay_percent"):
        return ModelRecord(None, reason=DELAYED)
    with doing(f"look for the model of '{arm.name}'"):
        present = find_model(tracker, run_id, arm.artifact.digest)
        if present is not None:
            _name_as_output(tracker, run_id, present.model_id)
        else:
            _remove_halves(tracker, run_id, arm.artifact.digest)
    if present is not None:
        return ModelRecord(present.model_id, present.tags.get(names.MODEL_FORM, ""))
    content = Content(arm.artifact, arm.settings, example_for(arm.artifact, example))
    refused: list[str] = []
    for form in forms(arm.artifact, arm.settings):
        with tempfile.TemporaryDirectory(prefix="mlbench-model-") as folder:
            path = Path(folder) / "model"
            try:
                model = save(form, content, path)
            except UnfitError as error:
                refused.append(f"not as {form.name}: {error}")
                continue
            with doing(f"log the model of '{arm.name}'"):
                said = {names.MODEL_FORM: form.name, names.MODEL_NEEDS: needs(content)}
                of_model = {**tags, **{key: value for key, value in said.items() if value}}
                model_id = _deliver(tracker, run_id, name, of_model, model, path)
        return ModelRecord(model_id, form.name, "; ".join(refused))
    return ModelRecord(None, reason="; ".join(refused))


def find_model(tracker: Tracker, run_id: str, digest: str) -> LoggedModel | None:
    """The model of this artifact that the run has logged already and that is whole."""
    found = _models(tracker, run_id, digest)
    return next((model for model in found if model.status == LoggedModelStatus.READY), None)


def _models(tracker: Tracker, run_id: str, digest: str) -> list[LoggedModel]:
    experiment = tracker.client.get_run(run_id).info.experiment_id
    found = tracker.client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    return [model for model in found if model.tags.get(names.ARTIFACT) == digest]


def _remove_halves(tracker: Tracker, run_id: str, digest: str) -> None:
    """Remove what deliveries left that were cut short; nobody else delivers into this run meanwhile."""
    for model in _models(tracker, run_id, digest):
        tracker.client.delete_logged_model(model.model_id)


def _name_as_output(tracker: Tracker, run_id: str, model_id: str) -> None:
    """Name the model as the run's output, once: MLflow keeps every repetition."""
    outputs = tracker.client.get_run(run_id).outputs
    if model_id not in {output.model_id for output in (outputs.model_outputs if outputs else [])}:
        tracker.client.log_outputs(run_id, [LoggedModelOutput(model_id, 0)])


def _deliver(tracker: Tracker, run_id: str, name: str, tags: Mapping[str, str], model: Model, path: Path) -> str:
    """Only a model that is written and proven is created in MLflow, so that none is left half-done."""
    client = tracker.client
    run = client.get_run(run_id)
    logged = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        tags=dict(tags),
        params=run.data.params,
        model_type="mlbench",
    )
    model_id: str = logged.model_id
    try:
        model.artifact_path = logged.artifact_location
        model.model_uuid = model.model_id = model_id
        model.run_id = run_id
        model.save(path / MLMODEL_FILE_NAME)
        client.log_model_artifacts(model_id, str(path))
    except BaseException:
        client.finalize_logged_model(model_id, LoggedModelStatus.FAILED)
        raise
    client.finalize_logged_model(model_id, LoggedModelStatus.READY)
    _name_as_output(tracker, run_id, model_id)
    return model_id
