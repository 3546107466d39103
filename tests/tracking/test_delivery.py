"""Delivery that is cut short and repeated: in the end everything is there, once."""

import numpy as np
import pytest
from mlflow.exceptions import MlflowException
from tiny_study import EXAMPLE, arms_of, make_measurement, make_study

from mlbench.config import RegistryConfig
from mlbench.delivery import Delivered, deliver, headline_samples, persist
from mlbench.errors import InputError, TrackingError
from mlbench.journal import Conclusion
from mlbench.tracking import content, find_champion, load_study, promote
from mlbench.tracking.champion import alias_version


def concluded(artifacts, **changes):
    values = {"log_models": True, "registry": RegistryConfig(), "example": EXAMPLE, **changes}
    return Conclusion(content.public(make_study(artifacts)), **values)


def begin(tracker, study):
    return tracker.open_study(study.name, study.config, study.overrides).run_id


def state(tracker, run_id):
    """All that MLflow holds of the study, with what no two deliveries can share (ids, times) taken out."""
    client, loaded = tracker.client, load_study(tracker, run_id)
    runs = {}
    for name, run in {"study": run_id, **loaded.arms}.items():
        found = client.get_run(run)
        tags = {
            key: value
            for key, value in found.data.tags.items()
            if key not in ("mlbench.model", "mlflow.parentRunId", "mlflow.note.content")
        }
        history = {
            key: [(point.value, point.step) for point in client.get_metric_history(run, key)]
            for key in found.data.metrics
        }
        outputs = [] if found.outputs is None else found.outputs.model_outputs
        inputs = [item.dataset.digest for item in found.inputs.dataset_inputs]
        runs[name] = (found.info.status, tags, found.data.params, history, len(outputs), inputs, files(client, run))
    models = sorted(
        (model.name, str(model.status), sorted((metric.key, metric.step, metric.value) for metric in model.metrics))
        for model in client.search_logged_models([tracker.experiment_id])
    )
    versions = [(version.name, int(version.version)) for version in client.search_model_versions()]
    return runs, models, versions, len(client.search_runs([tracker.experiment_id]))


def files(client, run_id, folder=None):
    found = set()
    for info in client.list_artifacts(run_id, folder):
        found |= files(client, run_id, info.path) if info.is_dir else {info.path}
    return found


# what makes something new each time it is called, or ends something
WRITES = (
    "create_run",
    "log_batch",
    "log_artifacts",
    "log_inputs",
    "log_outputs",
    "create_logged_model",
    "log_model_artifacts",
    "finalize_logged_model",
    "set_terminated",
    "set_model_version_tag",
    "set_registered_model_alias",
)


@pytest.mark.repeats
def test_answers_that_are_lost_change_nothing_in_the_end(tracker, artifacts, monkeypatch):
    """Every kind of request is once carried out without an answer, and once not carried out at all."""
    conclusion, measured = concluded(artifacts), make_measurement()
    arms = {name: arms_of(artifacts)[name] for name in ("fast",)}
    run_id = begin(tracker, conclusion.study)
    faults = {(name, when) for name in WRITES for when in ("before", "after")}

    def faulty(name, inner):
        def call(client, *args, **kwargs):
            if (name, "before") in faults:
                faults.remove((name, "before"))
                raise MlflowException(f"{name} was refused")
            answer = inner(client, *args, **kwargs)
            if (name, "after") in faults:
                faults.remove((name, "after"))
                raise MlflowException(f"the answer of {name} was lost")
            return answer

        return call

    for name in WRITES:
        monkeypatch.setattr(type(tracker.client), name, faulty(name, getattr(type(tracker.client), name)))
    tried = []

    def attempt():
        tried.append(len(faults))
        return deliver(tracker, run_id, conclusion, measured, arms)

    delivered = persist(attempt, 1 + 2 * len(WRITES), lambda _text: None, lambda _seconds: None)
    monkeypatch.undo()
    assert not faults
    assert len(tried) > len(WRITES)
    assert delivered.promotion is not None
    once = state(tracker, run_id)
    assert once[2] == [("mlbench-tiny", 1)]
    assert alias_version(tracker, "mlbench-tiny", "champion") == 1

    clean = begin(tracker, conclusion.study)
    deliver(tracker, clean, conclusion, measured, arms)
    both = state(tracker, clean)
    assert both[0] == once[0]
    assert [model for model in both[1] if model in once[1]] == once[1] * 2
    assert both[3] == 2 * once[3]


def test_a_run_that_is_not_there(tracker, artifacts):
    with pytest.raises(InputError, match="no run 'ffff"):
        deliver(tracker, "f" * 32, concluded(artifacts), make_measurement(), {})


def test_nothing_is_promoted_unless_the_configuration_says_so(tracker, artifacts):
    conclusion = concluded(artifacts, registry=None, log_models=False)
    run_id = begin(tracker, conclusion.study)
    assert deliver(tracker, run_id, conclusion, make_measurement(), {}) == Delivered()
    assert load_study(tracker, run_id).status == "FINISHED"
    assert tracker.client.search_model_versions() == []


def test_a_late_delivery_does_not_take_the_alias_from_a_newer_study(published, artifacts):
    tracker, newer = published
    late = concluded(artifacts)
    reigning = find_champion(tracker, RegistryConfig(), late.study.workload.name)
    run_id = tracker.open_study(late.study.name, late.study.config, late.study.overrides, reigning).run_id
    promote(tracker, newer, RegistryConfig())
    delivered = deliver(tracker, run_id, late, make_measurement(), {"fast": arms_of(artifacts)["fast"]})
    assert delivered.promotion is None
    assert "was moved since the study" in delivered.refusal
    assert f"to version 1 (promoted by the study 'tiny-20260101-000000', run {newer}" in delivered.refusal
    assert load_study(tracker, run_id).study.decision.outcome == "promote"


def test_a_winner_without_a_model_is_said_and_the_study_is_delivered(tracker, artifacts):
    conclusion = concluded(artifacts)
    run_id = begin(tracker, conclusion.study)
    delivered = deliver(tracker, run_id, conclusion, make_measurement(), {})
    assert "has no logged model" in delivered.refusal
    assert load_study(tracker, run_id).status == "FINISHED"


class TestPersist:
    def test_waits_longer_each_time_and_gives_up(self):
        waits, said = [], []

        def refused():
            raise TrackingError("MLflow: could not record the study: connection refused")

        with pytest.raises(TrackingError, match="connection refused"):
            persist(refused, 4, said.append, waits.append)
        assert waits == [2.0, 8.0, 32.0]
        assert said[0].endswith("connection refused; trying again in 2 s (3 more)")

    def test_stops_when_it_is_through(self):
        answers = [TrackingError("no"), Delivered(refusal="that is all")]

        def attempt():
            answer = answers.pop(0)
            if isinstance(answer, TrackingError):
                raise answer
            return answer

        assert persist(attempt, 3, lambda _text: None, lambda _seconds: None).refusal == "that is all"

    def test_other_errors_are_not_tried_again(self):
        def wrong():
            raise InputError("no such run")

        with pytest.raises(InputError):
            persist(wrong, 3, pytest.fail, pytest.fail)


def test_headline_samples_are_the_timed_calls_at_the_first_batch_size():
    measured = make_measurement()
    found = headline_samples(measured)
    assert set(found) == set(measured.plan.arms)
    turns = [turn.timed_ns for turn in measured.turns if turn.arm == "fast" and turn.batch_size == 1]
    assert np.array_equal(found["fast"], np.concatenate(turns))
