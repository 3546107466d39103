import json
from dataclasses import replace

import mlflow
import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import PERMISSION_DENIED
from promoting import aliases, at_once, promote_at_once, record
from tiny_nets import images
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study, onnx_weights

from mlbench.config import RegistryConfig
from mlbench.errors import ExitCode, InputError, NotAllowedError, TrackingError
from mlbench.records import Noise
from mlbench.tracking import (
    Champion,
    PromotionRefusedError,
    find_champion,
    load_study,
    promote,
    publish,
    registry,
    rollback,
)
from mlbench.tracking.champion import alias_version
from mlbench.tracking.refusals import differences

CONFIG = RegistryConfig()


def deliver(tracker, artifacts, outcome="promote", winner=None, **options):
    study = make_study(artifacts, outcome)
    if winner is not None:
        study = replace(study, decision=replace(study.decision, winner=winner))
    runs = tracker.open_study(study.name, study.config, study.overrides)
    publish(study, make_measurement(), runs, arms=arms_of(artifacts), example=EXAMPLE, **options, **REPORTS)
    return runs.run_id


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
        assert version.tags["mlbench.policy"] == "keep_accuracy"
        assert "mlbench.promoted" in version.tags
        assert version.description.startswith("Ship fast")
        assert "Policy `keep_accuracy`:\n\n- met: accuracy (passes)\n" in version.description
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
        assert done.writes == (
            "make the registered model 'mlbench-tiny'",
            "put a tag on 'mlbench-tiny' that makes other promotions wait, and take it away at the end",
            f"register 'models:/{done.model_id}' as a new version of 'mlbench-tiny'",
            "note that version in the tags of the logged model",
            "write the evidence into tags and description of the new version",
            "set the alias 'champion' to the new version (now: unset)",
        )
        assert tracker.client.search_registered_models() == []

    def test_a_dry_run_says_exactly_what_a_promotion_writes(self, three):
        tracker, (first, second, _) = three
        promote(tracker, first, CONFIG)
        planned = promote(tracker, second, CONFIG, dry_run=True)
        assert planned.writes[-2:] == (
            "set the alias 'previous' to version 1",
            "set the alias 'champion' to the new version (now: version 1)",
        )
        done = promote(tracker, second, CONFIG)
        assert (done.writes, done.tags, done.description) == (planned.writes, planned.tags, planned.description)
        version = tracker.client.get_model_version_by_alias("mlbench-tiny", "champion")
        assert planned.tags.items() <= version.tags.items()
        assert version.description == planned.description
        assert promote(tracker, second, CONFIG, dry_run=True).writes == ()

    def test_the_first_writes_what_its_dry_run_says(self, published):
        tracker, run_id = published
        planned = promote(tracker, run_id, CONFIG, dry_run=True)
        assert promote(tracker, run_id, CONFIG).writes == planned.writes

    def test_a_version_of_somebody_else_gets_its_evidence(self, published):
        tracker, run_id = published
        model_id = promote(tracker, run_id, CONFIG, dry_run=True).model_id
        made = mlflow.register_model(f"models:/{model_id}", "mlbench-tiny")
        tracker.client.set_registered_model_alias("mlbench-tiny", "champion", made.version)
        planned = promote(tracker, run_id, CONFIG, dry_run=True)
        assert [write.partition(" ")[0] for write in planned.writes] == ["put", "write"]
        assert promote(tracker, run_id, CONFIG).changed is False
        assert tracker.client.get_model_version("mlbench-tiny", "1").tags["mlbench.run"] == run_id
        assert promote(tracker, run_id, CONFIG, dry_run=True).writes == ()

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

    @pytest.mark.parametrize(
        ("changes", "words", "code"),
        [
            ({"status": "interrupted"}, r"it is not finished \(interrupted\)", ExitCode.INCONCLUSIVE),
            (
                {"noise": Noise("unusable", ("90 % of the CPUs were busy",))},
                "its machine was unusable for measuring: 90 % of the CPUs were busy",
                ExitCode.INCONCLUSIVE,
            ),
            (
                {"policy": {"name": "p", "environment": {"cpu.model": "*EPYC*"}}},
                r"the policy 'p' asks for cpu.model '\*EPYC\*', and it was measured on 'Test CPU'",
                ExitCode.POLICY_NOT_MET,
            ),
            (
                {"policy": {"name": "p", "environment": {"cpu.governor": "performance"}}},
                "asks for cpu.governor 'performance', which is not known of its machine",
                ExitCode.POLICY_NOT_MET,
            ),
            ({"winner": "script"}, "'script' is incomplete: 1 of 2 trials were lost", ExitCode.INCONCLUSIVE),
            ({"winner": "broken"}, "'broken' was not measured in it, side by side with", ExitCode.INCONCLUSIVE),
        ],
    )
    def test_evidence_that_carries_no_promotion(self, published, artifacts, monkeypatch, changes, words, code):
        tracker, run_id = published
        study = make_study(artifacts)
        decision = {key: changes.pop(key) for key in ("winner", "policy") if key in changes}
        study = replace(study, decision=replace(study.decision, **decision), **changes)
        loaded = replace(load_study(tracker, run_id), study=study)
        monkeypatch.setattr("mlbench.tracking.registry.load_study", lambda *_: loaded)
        with pytest.raises(PromotionRefusedError, match=words) as caught:
            promote(tracker, run_id, CONFIG, dry_run=True)
        assert caught.value.exit_code is code
        assert str(caught.value).startswith("the study 'tiny-20260101-000000' promotes nothing: ")

    def test_a_study_whose_run_has_not_ended(self, published):
        tracker, run_id = published
        tracker.client.update_run(run_id, status="RUNNING")
        with pytest.raises(PromotionRefusedError, match=r"it is not finished \(RUNNING\)"):
            promote(tracker, run_id, CONFIG)

    def test_the_environment_that_the_policy_asks_for(self, published, artifacts):
        study = make_study(artifacts)
        policy = {"name": "p", "environment": {"cpu.model": "Test*", "python": "3.1?.*"}}
        assert list(differences(replace(study, decision=replace(study.decision, policy=policy)))) == []

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
        with pytest.raises(TrackingError, match="'champion' was moved meanwhile, from version 1 to nothing; nothing"):
            promote(tracker, second, CONFIG)
        assert aliases(tracker) == {}


class TestMoved:
    """The alias as it was when a study began, against what it is now."""

    @pytest.fixture
    def begun(self, three):
        """All three studies began when there was no champion."""
        tracker, run_ids = three
        for run_id in run_ids:
            record(tracker, run_id)
        return tracker, run_ids

    def test_another_study_has_promoted_since(self, begun):
        tracker, (first, second, _) = begun
        promote(tracker, first, CONFIG)
        for dry_run in (True, False):
            with pytest.raises(PromotionRefusedError) as caught:
                promote(tracker, second, CONFIG, dry_run=dry_run)
            assert caught.value.exit_code is ExitCode.FAILURE
            assert str(caught.value).startswith(
                "'mlbench-tiny': 'champion' was moved since the study 'twice' began, from nothing to version 1 "
                f"(promoted by the study 'tiny-20260101-000000', run {first}, at 20"
            )
        assert len(tracker.client.search_model_versions("name = 'mlbench-tiny'")) == 1
        assert promote(tracker, first, CONFIG).changed is False  # its own move is none

    def test_somebody_moved_it_by_hand(self, begun):
        tracker, (first, second, _) = begun
        done = promote(tracker, first, CONFIG)
        made = mlflow.register_model(f"models:/{done.model_id}", "mlbench-tiny")
        tracker.client.set_registered_model_alias("mlbench-tiny", "champion", made.version)
        with pytest.raises(PromotionRefusedError, match=r"to version 2 \(not by mlbench; that version was made"):
            promote(tracker, second, CONFIG)

    def test_a_rollback_and_a_removal(self, begun):
        tracker, (first, second, third) = begun
        promote(tracker, first, CONFIG)
        record(tracker, second, 1)
        promote(tracker, second, CONFIG)
        record(tracker, third, 2)
        rollback(tracker, "mlbench-tiny")
        with pytest.raises(PromotionRefusedError, match=r"from version 2 to version 1 \(rolled back at 20"):
            promote(tracker, third, CONFIG)
        tracker.client.delete_registered_model_alias("mlbench-tiny", "champion")
        record(tracker, third, 1)
        with pytest.raises(PromotionRefusedError, match="from version 1 to nothing; nothing was changed"):
            promote(tracker, third, CONFIG)

    def test_a_version_that_was_deleted_since(self, begun):
        tracker, (first, second, _) = begun
        promote(tracker, first, CONFIG)
        record(tracker, second, 7)
        with pytest.raises(PromotionRefusedError, match="from version 7 to version 1"):
            promote(tracker, second, CONFIG)

    def test_of_another_alias_nothing_was_recorded(self, begun):
        tracker, (first, second, _) = begun
        promote(tracker, first, RegistryConfig(alias="edge"))
        assert promote(tracker, second, RegistryConfig(alias="edge")).version == 2

    def test_a_study_records_the_champion_when_it_begins(self, published):
        tracker, run_id = published
        promote(tracker, run_id, CONFIG)
        found = find_champion(tracker, CONFIG, "tiny")
        assert found == Champion("mlbench-tiny", "champion", 1)
        tags = tracker.client.get_run(tracker.open_study("next", {}, [], found).run_id).data.tags
        assert (tags["mlbench.champion"], tags["mlbench.champion.version"]) == ("mlbench-tiny@champion", "1")


def test_two_processes_promote_at_once(three):
    tracker, (first, second, _) = three
    promote_at_once(tracker, first, second)


def test_the_same_study_is_promoted_twice_at_once(published):
    """From a page and from CI: one version, one champion, and nothing to complain of."""
    tracker, run_id = published
    said = at_once(tracker, run_id, run_id)
    assert said == ["'mlbench-tiny' version 1 (fast) is 'champion' already\n",
                    "'mlbench-tiny' version 1 (fast) is now 'champion'\n"]  # fmt: skip
    assert len(tracker.client.search_model_versions("name = 'mlbench-tiny'")) == 1
    assert (aliases(tracker), tracker.client.get_registered_model("mlbench-tiny").tags) == ({"champion": 1}, {})


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
        assert done.writes == (
            "put a tag on 'mlbench-tiny' that makes other promotions wait, and take it away at the end",
            "set the alias 'champion' to version 2 (now: version 3)",
            "tag version 3 as rolled back",
            "set the alias 'previous' to version 1",
        )
        assert rollback(promoted, "mlbench-tiny").writes == done.writes
        last = rollback(promoted, "mlbench-tiny", dry_run=True)
        assert last.writes[-1] == "take the alias 'previous' away"

    def test_who_moved_it_meanwhile_is_said(self, promoted, monkeypatch):
        inner = registry._require_still

        def meanwhile(tracker, name, alias, expected):
            tracker.client.set_registered_model_alias(name, alias, "1")
            inner(tracker, name, alias, expected)

        monkeypatch.setattr(registry, "_require_still", meanwhile)
        said = r"was moved meanwhile, from version 3 to version 1 \(promoted by the study 'tiny-20260101-000000', run "
        with pytest.raises(TrackingError, match=said):
            rollback(promoted, "mlbench-tiny")

    def test_a_dry_run_leaves_the_aliases(self, promoted):
        rollback(promoted, "mlbench-tiny", dry_run=True)
        assert aliases(promoted) == {"champion": 3, "previous": 2}

    def test_promoted_again_after_a_rollback(self, promoted, three_delivered):
        rollback(promoted, "mlbench-tiny")
        rollback(promoted, "mlbench-tiny")
        done = promote(promoted, three_delivered.run_ids[1], CONFIG)
        assert (done.version, done.previous, done.registered) == (2, 1, False)
        assert aliases(promoted) == {"champion": 2, "previous": 1}

    def test_who_may_not_take_the_alias_away_leaves_it_where_there_is_nothing_to_go_back_to(self, three, monkeypatch):
        tracker, (first, second, _) = three
        for run_id in (first, second):
            promote(tracker, run_id, CONFIG)

        def refuse(*_args):
            raise MlflowException("Permission denied", PERMISSION_DENIED)

        monkeypatch.setattr(tracker.client, "delete_registered_model_alias", refuse)
        assert rollback(tracker, "mlbench-tiny").version == 1
        assert aliases(tracker) == {"champion": 1, "previous": 1}
        with pytest.raises(InputError, match="version 1 replaced no other version"):
            rollback(tracker, "mlbench-tiny")

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


class TestAliasesThatAreNotTold:
    """MLflow's basic-auth refuses to tell an alias also where there is no such model."""

    @pytest.fixture
    def refused(self, tracker, monkeypatch):
        def refuse(*_args):
            raise MlflowException("Permission denied", PERMISSION_DENIED)

        monkeypatch.setattr(tracker.client, "get_model_version_by_alias", refuse)
        return refuse

    def test_there_is_no_such_model(self, tracker, refused):
        assert alias_version(tracker, "m", "champion") is None

    def test_there_is_one(self, tracker, refused):
        tracker.client.create_registered_model("m")
        with pytest.raises(NotAllowedError, match="you have no right to look for the champion of 'm'"):
            find_champion(tracker, RegistryConfig(model_name="m"), "tiny")

    def test_there_may_be_one(self, tracker, refused, monkeypatch):
        monkeypatch.setattr(tracker.client, "get_registered_model", refused)
        with pytest.raises(MlflowException, match="Permission denied"):
            alias_version(tracker, "m", "champion")


def test_the_note_at_the_logged_model_is_left_out_where_it_may_not_be_written(published, monkeypatch):
    tracker, run_id = published

    def refuse(*_args):
        raise MlflowException("Permission denied", PERMISSION_DENIED)

    model_id = promote(tracker, run_id, CONFIG, dry_run=True).model_id
    monkeypatch.setattr(tracker.client, "set_logged_model_tags", refuse)
    assert promote(tracker, run_id, CONFIG).version == 1
    assert "mlflow.modelVersions" not in tracker.client.get_logged_model(model_id).tags


def test_the_logged_model_is_told_like_mlflow_tells_it(published):
    tracker, run_id = published
    model_id = promote(tracker, run_id, CONFIG).model_id
    mlflow.register_model(f"models:/{model_id}", "by_hand")
    noted = json.loads(tracker.client.get_logged_model(model_id).tags["mlflow.modelVersions"])
    assert noted[0] == {**noted[1], "name": "mlbench-tiny"}
    assert noted[1]["name"] == "by_hand"
