import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from mlflow.exceptions import MlflowException
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study
from voided import with_void

from mlbench import tables
from mlbench.errors import TrackingError
from mlbench.records import Plan, Study, from_json, to_dict
from mlbench.tracking import content, keep_measurement, load_measurement, load_samples, load_study, publish

FILES_OF_STUDY = {
    "study.json",
    "comparison.json",
    "config.yaml",
    "plan.json",
    "environment.json",
    "measurement.json",
    "report",
    "report/report.html",
    "report/report.md",
}
FILES_OF_ARM = {"samples.parquet", "predictions.parquet", "hardware.parquet", "recipe.json", "workers.json"}


def files(tracker, run_id, folder=None):
    found = set()
    for info in tracker.client.list_artifacts(run_id, folder):
        found.add(info.path)
        if info.is_dir:
            found |= files(tracker, run_id, info.path)
    return found


def read(tracker, run_id, path, tmp_path):
    return Path(tracker.client.download_artifacts(run_id, path, str(tmp_path))).read_text()


@pytest.fixture
def arms(published):
    tracker, run_id = published
    return {name: tracker.client.get_run(child) for name, child in load_study(tracker, run_id).arms.items()}


class TestStudy:
    def test_tags_and_description(self, published):
        tracker, run_id = published
        run = tracker.client.get_run(run_id)
        tags = run.data.tags
        assert run.info.status == "FINISHED"
        assert tags["mlbench.kind"] == "study"
        assert tags["mlbench.decision"] == "promote"
        assert tags["mlflow.note.content"] == REPORTS["note"]
        assert json.loads(tags["mlflow.loggedArtifacts"]) == [{"path": "comparison.json", "type": "table"}]
        assert run.data.metrics == {}
        assert run.data.params["workload"] == "tiny"

    def test_files(self, published, artifacts, tmp_path):
        tracker, run_id = published
        study = content.public(make_study(artifacts))
        assert files(tracker, run_id) == FILES_OF_STUDY
        assert from_json(Study, read(tracker, run_id, "study.json", tmp_path)) == replace(
            study, arms=load_study(tracker, run_id).study.arms
        )
        assert from_json(Plan, read(tracker, run_id, "plan.json", tmp_path)) == study.plan
        assert yaml.safe_load(read(tracker, run_id, "config.yaml", tmp_path)) == study.config
        assert json.loads(read(tracker, run_id, "environment.json", tmp_path)) == study.environment
        assert read(tracker, run_id, "report/report.html", tmp_path) == REPORTS["report_html"]
        assert read(tracker, run_id, "report/report.md", tmp_path) == REPORTS["report_markdown"]

    def test_mlflow_reads_the_comparison_as_a_table(self, published):
        tracker, run_id = published
        frame = tracker.client.load_table(tracker.experiment_id, "comparison.json", [run_id])
        assert frame["arm"].tolist() == ["baseline", "fast", "script", "slow", "broken"]

    def test_nothing_secret_anywhere(self, published, delivered):
        tracker, run_id = published
        for path in (delivered.path.parent / "mlruns").rglob("*"):
            if path.is_file():
                assert b"secret" not in path.read_bytes(), path
        for run in (run_id, *load_study(tracker, run_id).arms.values()):
            assert "secret" not in str(tracker.client.get_run(run).data.tags)


class TestArms:
    def test_files(self, published, arms):
        tracker, _ = published
        for name in ("baseline", "fast", "script"):
            assert files(tracker, arms[name].info.run_id) == FILES_OF_ARM
        assert files(tracker, arms["slow"].info.run_id) == FILES_OF_ARM | {"profile.json"}
        assert files(tracker, arms["broken"].info.run_id) == {"recipe.json"}

    def test_the_profile_of_an_arm_that_explains_something(self, published, arms, artifacts, tmp_path):
        tracker, _ = published
        (profile,) = json.loads(read(tracker, arms["slow"].info.run_id, "profile.json", tmp_path))
        (expected,) = make_study(artifacts).arm("slow").profiles
        assert profile == to_dict(expected)
        note = arms["slow"].data.tags["mlflow.note.content"]
        assert "- why not faster than baseline: its recipe makes every call 10 % longer\n" in note

    def test_ends(self, arms):
        assert {name: arm.info.status for name, arm in arms.items()} == {
            "baseline": "FINISHED",
            "fast": "FINISHED",
            "script": "FINISHED",
            "slow": "FINISHED",
            "broken": "FAILED",
        }
        assert arms["broken"].data.tags["mlbench.error"].startswith("step 'explode'")
        assert "explode" in arms["broken"].data.tags["mlflow.note.content"]

    def test_scalars_at_step_0_and_series_by_batch_size(self, published, arms):
        tracker, _ = published
        run_id = arms["fast"].info.run_id
        history = tracker.client.get_metric_history
        assert [(point.step, point.value) for point in history(run_id, "latency/p50_ms")] == [(0, 1.0)]
        assert [(point.step, point.value) for point in history(run_id, "by_batch/p50_ms")] == [(1, 1.0), (8, 5.0)]
        assert arms["fast"].data.metrics["vs_baseline/speedup_p50_low"] == 1.9

    def test_hardware_over_time_for_the_system_metrics_tab(self, published, arms):
        key = "system/worker_cpu_utilization_percentage"
        history = published[0].client.get_metric_history(arms["fast"].info.run_id, key)
        assert [(point.step, point.value) for point in history] == [(step, 80.0) for step in range(8)]
        assert [point.timestamp for point in history] == sorted(point.timestamp for point in history)

    def test_every_arm_has_a_colour_of_its_own(self, arms):
        colours = [arm.data.tags["mlflow.runColor"] for arm in arms.values()]
        assert len(set(colours)) == len(colours)

    def test_the_dataset_is_an_input(self, arms):
        for name, arm in arms.items():
            (used,) = arm.inputs.dataset_inputs
            assert (used.dataset.name, used.dataset.digest) == ("tiny", "9" * 36), name
            assert {tag.key: tag.value for tag in used.tags} == {"mlflow.data.context": "test"}
            assert json.loads(used.dataset.profile)["rows"] == {"train": 10, "test": 4}

    def test_numbers_belong_to_the_model_on_the_dataset(self, published, arms):
        tracker, _ = published
        model = tracker.client.get_logged_model(arms["fast"].data.tags["mlbench.model"])
        found = {metric.key: metric for metric in model.metrics if metric.step == 0}
        assert found["latency/p50_ms"].value == 1.0
        assert (found["latency/p50_ms"].dataset_name, found["latency/p50_ms"].dataset_digest) == ("tiny", "9" * 36)
        assert model.params["recipe"] == "export_onnx"
        keys = [(metric.key, metric.step) for metric in model.metrics]
        assert len(keys) == len(set(keys))

    def test_models_can_be_searched_by_their_numbers(self, published):
        tracker, _ = published
        found = tracker.client.search_logged_models(
            [tracker.experiment_id],
            filter_string="metrics.`latency/p50_ms` < 1.95 AND tags.`mlbench.role` = 'variant'",
            order_by=[{"field_name": "metrics.latency/p50_ms", "ascending": True}],
        )
        assert [model.tags["mlbench.arm"] for model in found] == ["fast", "script"]

    def test_an_arm_without_a_model_says_why(self, arms):
        assert "delay" in arms["slow"].data.tags["mlbench.model.absent"]
        assert "mlbench.model" not in arms["slow"].data.tags


def test_what_was_measured_comes_back_equal(published):
    tracker, run_id = published
    measured, back = make_measurement(), load_measurement(tracker, load_study(tracker, run_id))
    key = lambda worker: (worker.trial, measured.plan.arms.index(worker.arm))  # noqa: E731 - used twice, right here
    assert replace(back, workers=tuple(sorted(back.workers, key=key))) == measured
    for mine, theirs in zip(measured.turns, back.turns, strict=True):
        assert np.array_equal(mine.timed_ns, theirs.timed_ns)
        assert np.array_equal(mine.discarded_ns, theirs.discarded_ns)
    for mine, theirs in zip(measured.predictions, back.predictions, strict=True):
        assert np.array_equal(mine.outputs, theirs.outputs)
        assert np.array_equal(mine.labels, theirs.labels)


def test_a_trial_that_does_not_count_comes_back_as_one(tracker, artifacts):
    study = make_study(artifacts)
    measured = with_void(make_measurement(), 1, "script")
    runs = tracker.open_study(study.name, study.config, study.overrides)
    publish(study, measured, runs, arms=arms_of(artifacts), log_models=False, **REPORTS)
    loaded = load_study(tracker, runs.run_id)
    back = load_measurement(tracker, loaded)
    assert back.lost == measured.lost
    assert back.counted == {0: 0, 2: 1}
    assert [(turn, turn.timed_ns.tolist()) for turn in back.void] == [
        (turn, turn.timed_ns.tolist()) for turn in measured.void
    ]
    assert {(worker.arm, worker.trial) for worker in back.void_workers} == {
        (arm, 1) for arm in measured.plan.arms if arm != "script"
    }
    samples = load_samples(tracker, loaded, "script")
    assert set(samples["trial"][~samples["counted"]]) == {1}
    assert set(samples["trial"][samples["counted"]]) == {0, 2}


class TestAgain:
    def state(self, tracker, run_id):
        loaded = load_study(tracker, run_id)
        runs = {}
        for run in (run_id, *loaded.arms.values()):
            found = tracker.client.get_run(run)
            history = {key: len(tracker.client.get_metric_history(run, key)) for key in found.data.metrics}
            runs[run] = (found.info.status, found.info.end_time, found.data.to_dictionary(), history)
        models = tracker.client.search_logged_models([tracker.experiment_id])
        numbers = {model.model_id: len(model.metrics) for model in models}
        return runs, numbers, len(tracker.client.search_runs([tracker.experiment_id]))

    def test_changes_nothing(self, published, artifacts):
        tracker, run_id = published
        before = self.state(tracker, run_id)
        runs = tracker.resume_study(run_id)
        publish(make_study(artifacts), make_measurement(), runs, arms=arms_of(artifacts), example=EXAMPLE, **REPORTS)
        assert self.state(tracker, run_id) == before

    def test_completes_what_was_cut_short(self, tracker, artifacts, monkeypatch):
        study = make_study(artifacts)
        runs = tracker.open_study(study.name, study.config, study.overrides)
        inner = type(tracker.client).log_inputs

        def cut(client, run_id, *rest):
            if run_id == runs.arms.get("script", runs.open_arm("baseline", "baseline")).run_id:
                raise MlflowException("the server went away")
            return inner(client, run_id, *rest)

        everything = {"arms": arms_of(artifacts), "log_models": False, **REPORTS}
        monkeypatch.setattr(type(tracker.client), "log_inputs", cut)
        with pytest.raises(TrackingError, match="the server went away") as caught:
            publish(study, make_measurement(), runs, **everything)
        runs.fail(caught.value)
        monkeypatch.undo()
        publish(study, make_measurement(), tracker.resume_study(runs.run_id), **everything)
        loaded = load_study(tracker, runs.run_id)
        assert loaded.status == "FINISHED"
        assert "mlbench.error" not in tracker.client.get_run(runs.run_id).data.tags
        statuses = {name: tracker.client.get_run(run).info.status for name, run in loaded.arms.items()}
        assert statuses == {**dict.fromkeys(statuses, "FINISHED"), "broken": "FAILED"}


def test_an_interrupted_study_is_killed_and_keeps_what_was_measured(tracker, artifacts):
    study = make_study(artifacts, "inconclusive", status="interrupted")
    measured = replace(make_measurement(), complete=False, predictions=())
    runs = tracker.open_study(study.name, study.config, study.overrides)
    publish(study, measured, runs, arms=arms_of(artifacts), log_models=False, **REPORTS)
    loaded = load_study(tracker, runs.run_id)
    assert loaded.status == "KILLED"
    assert {tracker.client.get_run(run).info.status for run in loaded.arms.values()} == {"KILLED"}
    assert len(load_measurement(tracker, loaded).turns) == len(measured.turns)
    assert not load_measurement(tracker, loaded).complete


def test_without_models(tracker, artifacts):
    study = make_study(artifacts)
    runs = tracker.open_study(study.name, study.config, study.overrides)
    done = publish(study, make_measurement(), runs, arms=arms_of(artifacts), log_models=False, **REPORTS)
    assert done.models == {}
    assert tracker.client.search_logged_models([tracker.experiment_id]) == []
    assert load_study(tracker, done.run_id).study.name == study.name


def test_what_was_measured_is_kept_where_nothing_could_be_concluded(tracker, tmp_path):
    measured = make_measurement()
    runs = tracker.open_study("broken analysis", {}, [])
    runs.open_arm("baseline", "baseline")
    runs.open_arm("nobody", "variant")
    keep_measurement(measured, runs)
    assert files(tracker, runs.run_id) == {"config.yaml", "plan.json", "measurement.json"}
    assert files(tracker, runs.arms["baseline"].run_id) == FILES_OF_ARM - {"recipe.json"}
    assert files(tracker, runs.arms["nobody"].run_id) == set()
    path = tracker.client.download_artifacts(runs.arms["baseline"].run_id, "samples.parquet", str(tmp_path))
    assert len(tables.read_samples(Path(path))["ns"]) == 2 * (3 + 2 * (1 + 4) + 2 * 2)
    assert tracker.client.get_run(runs.run_id).info.status == "RUNNING"
