from dataclasses import replace

import mlflow
import pytest
from tiny_nets import images
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study, onnx_weights

from mlbench.config import RegistryConfig
from mlbench.errors import ExitCode, InputError, TrackingError
from mlbench.tracking import PromotionRefusedError, promote, publish, rollback
from mlbench.tracking.registry import alias_version

CONFIG = RegistryConfig()


def deliver(tracker, artifacts, outcome="promote", winner=None, **options):
    study = make_study(artifacts, outcome)
    if winner is not None:
        study = replace(study, decision=replace(study.decision, winner=winner))
    runs = tracker.open_study(study.name, study.config, study.overrides)
    publish(study, make_measurement(), runs, arms=arms_of(artifacts), example=EXAMPLE, **options, **REPORTS)
    return runs.run_id


def aliases(tracker, name="mlbench-tiny"):
    return {alias: int(version) for alias, version in tracker.client.get_registered_model(name).aliases.items()}


class TestPromote:
    def test_the_winner_becomes_the_champion(self, published, capfd):
        tracker, run_id = published
        done = promote(tracker, run_id, CONFIG)
        assert (done.model_name, done.alias, done.version, done.previous) == ("mlbench-tiny", "champion", 1, None)
        assert (done.changed, done.registered, done.dry_run) == (True, True, False)
        assert (done.arm, done.run_id) == ("fast", run_id)
        assert done.sentence == "'mlbench-tiny' version 1 (fast) is now 'champion'"
        assert aliases(tracker) == {"champion": 1}
        assert capfd.readouterr() == ("", "")

    def test_the_champion_is_what_was_measured(self, published):
        tracker, run_id = published
        promote(tracker, run_id, CONFIG)
        rows = images(3, seed=9)
        weight, bias = onnx_weights()
        answer = mlflow.pyfunc.load_model("models:/mlbench-tiny@champion").predict(rows)["scores"]
        assert answer == pytest.approx(rows.reshape(3, -1) @ weight + bias, abs=1e-4)

    def test_the_version_carries_the_evidence(self, published):
        tracker, run_id = published
        promote(tracker, run_id, CONFIG)
        version = tracker.client.get_model_version_by_alias("mlbench-tiny", "champion")
        assert version.tags["mlbench.study"] == "tiny-20260101-000000"
        assert version.tags["mlbench.run"] == run_id
        assert version.tags["mlbench.arm"] == "fast"
        assert version.tags["mlbench.verdict"] == "faster"
        assert version.tags["mlbench.p50_ms"] == "1 (0.98 to 1.02) ms"
        assert version.tags["mlbench.speedup_p50"] == "2 (1.9 to 2.1)"
        assert version.tags["mlbench.accuracy_delta"] == "-0.001 (-0.005 to 0.003)"
        assert version.tags["mlbench.data"] == "9" * 64
        assert "Test CPU" in version.tags["mlbench.environment"]
        assert version.description.startswith("Ship fast")
        for evidence in ("1 (0.98 to 1.02) ms", "2 (1.96 to 2.04) ms", "**faster**", "Test CPU", run_id, "9" * 64):
            assert evidence in version.description

    def test_again_changes_nothing(self, published):
        tracker, run_id = published
        promote(tracker, run_id, CONFIG)
        before = tracker.client.get_model_version("mlbench-tiny", "1").tags
        again = promote(tracker, run_id, CONFIG)
        assert (again.version, again.changed, again.registered) == (1, False, False)
        assert "already" in again.sentence
        assert len(tracker.client.search_model_versions("name = 'mlbench-tiny'")) == 1
        assert tracker.client.get_model_version("mlbench-tiny", "1").tags == before
        assert aliases(tracker) == {"champion": 1}

    def test_the_champion_before_stays_reachable(self, three):
        tracker, (first, second, _) = three
        promote(tracker, first, CONFIG)
        done = promote(tracker, second, CONFIG)
        assert (done.version, done.previous) == (2, 1)
        assert done.sentence.endswith("is now 'champion' instead of version 1, kept as 'previous'")
        assert aliases(tracker) == {"champion": 2, "previous": 1}
        assert tracker.client.get_model_version("mlbench-tiny", "2").tags["mlbench.replaced"] == "1"

    def test_dry_run_touches_nothing(self, published):
        tracker, run_id = published
        done = promote(tracker, run_id, CONFIG, dry_run=True)
        assert (done.version, done.changed, done.dry_run) == (None, False, True)
        assert done.sentence == "'mlbench-tiny' a new version (fast) would be 'champion'"
        assert tracker.client.search_registered_models() == []

    def test_other_names(self, published):
        tracker, run_id = published
        done = promote(tracker, run_id, RegistryConfig(model_name="my model", alias="edge"))
        assert done.model_name == "my model"
        assert aliases(tracker, "my model") == {"edge": 1}

    def test_the_models_page_knows_the_version(self, published):
        tracker, run_id = published
        done = promote(tracker, run_id, CONFIG)
        assert "mlbench-tiny" in tracker.client.get_logged_model(done.model_id).tags["mlflow.modelVersions"]


class TestRefusals:
    @pytest.mark.parametrize(
        ("outcome", "code"), [("hold", ExitCode.POLICY_NOT_MET), ("inconclusive", ExitCode.INCONCLUSIVE)]
    )
    def test_another_decision(self, tracker, artifacts, outcome, code):
        run_id = deliver(tracker, artifacts, outcome, log_models=False)
        with pytest.raises(PromotionRefusedError, match="promotes nothing") as caught:
            promote(tracker, run_id, CONFIG)
        assert caught.value.exit_code is code
        assert tracker.client.search_registered_models() == []

    def test_names_that_mlflow_refuses_are_all_named(self, published):
        tracker, run_id = published
        with pytest.raises(InputError) as caught:
            promote(tracker, run_id, RegistryConfig(model_name="a/b", alias="latest"))
        assert len(caught.value.problems) == 2

    def test_no_model_was_logged(self, tracker, artifacts):
        run_id = deliver(tracker, artifacts, log_models=False)
        with pytest.raises(InputError, match=r"arm 'fast' .* has no logged model: .*tracking\.log_models=false"):
            promote(tracker, run_id, CONFIG)

    def test_a_delayed_winner(self, published, artifacts):
        tracker, _ = published
        study = make_study(artifacts)
        study = replace(study, decision=replace(study.decision, winner="slow"))
        runs = tracker.open_study("slow wins", study.config, study.overrides)
        publish(study, make_measurement(), runs, arms={"slow": arms_of(artifacts)["slow"]}, **REPORTS)
        with pytest.raises(InputError, match=r"arm 'slow' .* the delay step"):
            promote(tracker, runs.run_id, CONFIG)

    def test_a_model_that_was_deleted(self, published):
        tracker, run_id = published
        done = promote(tracker, run_id, CONFIG, dry_run=True)
        tracker.client.delete_logged_model(done.model_id)
        with pytest.raises(TrackingError, match="could not find the model of 'fast'"):
            promote(tracker, run_id, CONFIG)

    def test_somebody_else_moved_the_alias_meanwhile(self, three, monkeypatch):
        tracker, (first, second, _) = three
        promote(tracker, first, CONFIG)
        inner = type(tracker.client).update_model_version

        def meanwhile(client, name, version, note):
            client.delete_registered_model_alias(name, "champion")
            return inner(client, name, version, note)

        monkeypatch.setattr(type(tracker.client), "update_model_version", meanwhile)
        with pytest.raises(TrackingError, match="somebody moved 'champion' from version 1 to version None meanwhile"):
            promote(tracker, second, CONFIG)
        assert aliases(tracker) == {}


class TestRollback:
    @pytest.fixture
    def promoted(self, three):
        tracker, run_ids = three
        for run_id in run_ids:
            promote(tracker, run_id, CONFIG)
        return tracker

    def test_one_version_at_a_time(self, promoted):
        assert aliases(promoted) == {"champion": 3, "previous": 2}
        done = rollback(promoted, "mlbench-tiny")
        assert (done.version, done.previous, done.changed) == (2, 3, True)
        assert done.sentence == "'mlbench-tiny': 'champion' went back from version 3 to version 2"
        assert aliases(promoted) == {"champion": 2, "previous": 1}
        assert "mlbench.rolled_back" in promoted.client.get_model_version("mlbench-tiny", "3").tags
        rollback(promoted, "mlbench-tiny")
        assert aliases(promoted) == {"champion": 1}
        with pytest.raises(InputError, match="version 1 replaced no other version: there is nothing to go back to"):
            rollback(promoted, "mlbench-tiny")

    def test_what_was_deleted_is_not_gone_back_to(self, promoted):
        promoted.client.delete_model_version("mlbench-tiny", "1")
        rollback(promoted, "mlbench-tiny")
        assert aliases(promoted) == {"champion": 2}

    def test_dry_run_touches_nothing(self, promoted):
        done = rollback(promoted, "mlbench-tiny", dry_run=True)
        assert (done.version, done.changed) == (2, False)
        assert "would go back" in done.sentence
        assert aliases(promoted) == {"champion": 3, "previous": 2}

    def test_promoted_again_after_a_rollback(self, promoted, three_delivered):
        rollback(promoted, "mlbench-tiny")
        rollback(promoted, "mlbench-tiny")
        done = promote(promoted, three_delivered.run_ids[1], CONFIG)
        assert (done.version, done.previous, done.registered) == (2, 1, False)
        assert aliases(promoted) == {"champion": 2, "previous": 1}

    def test_no_such_model(self, tracker):
        with pytest.raises(InputError, match="no registered model 'nothing' with the alias 'champion'"):
            rollback(tracker, "nothing")

    def test_a_name_that_mlflow_refuses(self, tracker):
        with pytest.raises(InputError, match=r"registry\.model_name"):
            rollback(tracker, "a:b")


def test_a_store_that_fails_is_not_an_absent_alias(tracker, monkeypatch):
    def broken(*_args):
        raise mlflow.exceptions.MlflowException("database is locked")

    monkeypatch.setattr(type(tracker.client), "get_model_version_by_alias", broken)
    with pytest.raises(mlflow.exceptions.MlflowException, match="locked"):
        alias_version(tracker, "m", "champion")
