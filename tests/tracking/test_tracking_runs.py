import os
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from mlbench.config import TrackingConfig
from mlbench.errors import InputError, TrackingError
from mlbench.tracking import connect
from mlbench.tracking.runs import clip, end, set_params, set_tags

CONFIG = {"tracking": {"uri": "http://me:secret@host"}, "variants": {"fast": {"steps": []}}}


@pytest.fixture
def runs(tracker):
    return tracker.open_study("study", CONFIG, ["protocol=quick", "variants=[a, b]"])


def run(runs, arm=None):
    return runs.tracker.client.get_run(runs.run_id if arm is None else runs.arms[arm].run_id)


class TestOpen:
    def test_the_study_is_running_and_says_what_it_is(self, runs):
        opened = run(runs)
        assert opened.info.status == "RUNNING"
        assert opened.info.run_name == "study"
        assert opened.data.tags["mlbench.kind"] == "study"
        assert opened.data.tags["mlbench.overrides"] == "protocol=quick 'variants=[a, b]'"
        assert "mlflow.user" in opened.data.tags

    def test_the_configuration_is_kept_from_the_start_without_credentials(self, runs, tmp_path):
        path = Path(runs.tracker.client.download_artifacts(runs.run_id, "config.yaml", str(tmp_path)))
        assert yaml.safe_load(path.read_text()) == {**CONFIG, "tracking": {"uri": "http://***@host"}}

    def test_arms_are_children(self, runs):
        arm = runs.open_arm("fast", "variant")
        opened = run(runs, "fast")
        assert arm.run_id == opened.info.run_id
        assert opened.data.tags["mlflow.parentRunId"] == runs.run_id
        assert opened.data.tags["mlbench.kind"] == "arm"
        assert opened.data.tags["mlbench.role"] == "variant"
        assert opened.info.status == "RUNNING"

    def test_an_arm_is_opened_once(self, runs):
        assert runs.open_arm("fast", "variant") is runs.open_arm("fast", "variant")

    def test_no_run_is_active_for_the_process(self, runs):
        import mlflow

        runs.open_arm("fast", "variant")
        assert mlflow.active_run() is None

    @pytest.mark.parametrize(("error", "status"), [(KeyboardInterrupt(), "KILLED"), (OSError("full"), "FAILED")])
    def test_what_ends_it_right_after_its_run_was_opened_closes_that(self, tracker, monkeypatch, error, status):
        def log_text(*_):
            raise error

        monkeypatch.setattr(type(tracker.client), "log_text", log_text)
        with pytest.raises(KeyboardInterrupt if status == "KILLED" else TrackingError):
            tracker.open_study("study", CONFIG, [])
        (opened,) = tracker.client.search_runs([tracker.experiment_id])
        assert opened.info.status == status

    def test_an_arm_that_was_interrupted_while_it_was_opened_is_closed_too(self, runs, monkeypatch):
        inner = type(runs.tracker.client).create_run

        def create_run(*args, **options):
            inner(*args, **options)
            raise KeyboardInterrupt

        monkeypatch.setattr(type(runs.tracker.client), "create_run", create_run)
        with pytest.raises(KeyboardInterrupt):
            runs.open_arm("fast", "variant")
        assert runs.arms == {}
        runs.kill()
        found = runs.tracker.client.search_runs([runs.tracker.experiment_id])
        assert [each.info.status for each in found] == ["KILLED", "KILLED"]

    def test_a_store_that_refuses(self, tracker):
        tracker.client.delete_experiment(tracker.experiment_id)
        with pytest.raises(TrackingError, match="could not open the study's run"):
            tracker.open_study("study", {}, [])


class TestAdoption:
    @pytest.fixture
    def adopted(self, store, monkeypatch):
        client = MlflowClient(store)
        opened = client.create_run(client.create_experiment("project"), run_name="bold-ant-7")
        client.log_param(opened.info.run_id, "overrides", "'protocol=quick'")
        monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
        return connect(TrackingConfig(uri=store)).open_study("study", CONFIG, ["protocol=quick"]), opened

    def test_the_projects_run_becomes_the_studys(self, adopted):
        runs, opened = adopted
        assert runs.run_id == opened.info.run_id
        tags = run(runs).data.tags
        assert tags["mlbench.kind"] == "study"
        assert tags["mlbench.study"] == "study"
        assert run(runs).info.run_name == "bold-ant-7"

    def test_only_one_study_adopts_it(self, adopted):
        assert "MLFLOW_RUN_ID" not in os.environ

    def test_further_studies_of_the_project_go_below_it(self, adopted, store, monkeypatch):
        """Of the same process, and of other ones of the same project, which MLflow gives the same run."""
        runs, opened = adopted
        runs.finish()
        second = connect(TrackingConfig(uri=store)).open_study("second", CONFIG)
        os.environ.pop("MLBENCH_PARENT_RUN_ID")  # monkeypatch would bring it back in the end
        monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
        third = connect(TrackingConfig(uri=store)).open_study("third", CONFIG)
        for further in (second, third):
            found = run(further)
            assert found.info.run_id != opened.info.run_id
            assert found.data.tags["mlflow.parentRunId"] == opened.info.run_id
            assert found.info.experiment_id == opened.info.experiment_id
        assert runs.tracker.resume_study(runs.run_id).arms == {}  # a study is no arm
        assert run(runs).info.status == "FINISHED"
        assert "second" not in run(runs).data.tags.values()

    def test_it_is_not_deleted_with_a_study_that_measured_nothing(self, adopted):
        runs, opened = adopted
        runs.open_arm("fast", "variant")
        runs.discard(InputError("wrong"))
        (left,) = runs.tracker.client.search_runs([opened.info.experiment_id])
        assert (left.info.run_id, left.info.status) == (opened.info.run_id, "FAILED")
        assert left.data.tags["mlbench.error"] == "wrong"

    def test_its_parameters_stay(self, adopted):
        runs, _ = adopted
        set_params(runs.tracker, runs.run_id, {"overrides": "protocol=quick", "workload": "digits"})
        assert run(runs).data.params == {"overrides": "'protocol=quick'", "workload": "digits"}

    def test_its_arms_go_into_its_experiment(self, adopted):
        runs, opened = adopted
        runs.open_arm("fast", "variant")
        assert run(runs, "fast").info.experiment_id == opened.info.experiment_id


class TestEndings:
    @pytest.mark.parametrize(
        ("ending", "status", "message"),
        [
            (lambda runs: runs.kill(), "KILLED", "interrupted"),
            (lambda runs: runs.fail("worker http://me:secret@h died"), "FAILED", "worker http://***@h died"),
            (lambda runs: runs.fail(ValueError()), "FAILED", "ValueError"),
        ],
    )
    def test_no_run_stays_open(self, runs, ending, status, message):
        runs.open_arm("fast", "variant")
        runs.open_arm("slow", "variant")
        ending(runs)
        for arm in (None, "fast", "slow"):
            assert run(runs, arm).info.status == status
            assert run(runs, arm).data.tags["mlbench.error"] == message

    def test_a_study_that_measured_nothing_is_taken_back(self, runs):
        runs.open_arm("fast", "variant")
        runs.discard(InputError("wrong"))
        assert runs.tracker.client.search_runs([runs.tracker.experiment_id]) == []
        assert run(runs).info.status == "FAILED"  # should it be restored

    def test_what_has_ended_stays_as_it_is(self, runs):
        arm = runs.open_arm("fast", "variant")
        end(runs.tracker, arm.run_id, "FINISHED")
        ended = run(runs, "fast").info.end_time
        runs.kill()
        assert run(runs, "fast").info.status == "FINISHED"
        assert run(runs, "fast").info.end_time == ended
        assert run(runs).info.status == "KILLED"

    def test_a_status_can_be_put_right_without_moving_the_end(self, runs):
        runs.fail("cut short")
        ended = run(runs).info.end_time
        runs.finish()
        assert run(runs).info.status == "FINISHED"
        assert run(runs).info.end_time == ended

    def test_interrupting_waits_for_no_retries(self, runs, monkeypatch):
        seen = []
        inner = type(runs.tracker.client).get_run

        def get_run(client, run_id):
            seen.append(os.environ.get("MLFLOW_HTTP_REQUEST_MAX_RETRIES"))
            return inner(client, run_id)

        monkeypatch.setattr(type(runs.tracker.client), "get_run", get_run)
        runs.kill()
        assert set(seen) == {"0"}


class TestResume:
    def test_the_same_runs(self, runs):
        runs.open_arm("baseline", "baseline")
        runs.open_arm("fast", "variant")
        again = runs.tracker.resume_study(runs.run_id)
        assert again == runs

    def test_no_such_run(self, tracker):
        with pytest.raises(InputError, match="no run"):
            tracker.resume_study("0" * 32)

    def test_a_run_of_something_else(self, tracker):
        other = tracker.client.create_run(tracker.experiment_id)
        with pytest.raises(InputError, match="is no study of mlbench"):
            tracker.resume_study(other.info.run_id)

    def test_more_arms_than_one_page(self, runs, monkeypatch):
        for number in range(3):
            runs.open_arm(f"arm{number}", "variant")
        inner = type(runs.tracker.client).search_runs
        monkeypatch.setattr(
            type(runs.tracker.client), "search_runs", lambda *args, **options: inner(*args, max_results=2, **options)
        )
        assert len(runs.tracker.resume_study(runs.run_id).arms) == 3


def test_more_tags_and_params_than_one_batch_takes(runs):
    many = {f"k{number}": "v" for number in range(250)}
    set_tags(runs.tracker, runs.run_id, many)
    set_params(runs.tracker, runs.run_id, many)
    assert many.items() <= run(runs).data.tags.items()
    assert run(runs).data.params == many


def test_long_texts_are_cut_visibly(runs):
    set_tags(runs.tracker, runs.run_id, {"long": "x" * 9000})
    set_params(runs.tracker, runs.run_id, {"long": "x" * 9000})
    assert run(runs).data.tags["long"] == clip("x" * 9000, 8000)
    assert run(runs).data.tags["long"].endswith(" ...")
    assert len(run(runs).data.params["long"]) == 6000


class TestReopened:
    def test_runs_that_ended_go_on_and_show_no_result(self, tracker):
        runs = tracker.open_study("s", {}, [])
        arm = runs.open_arm("baseline", "baseline")
        runs.kill()
        tracker.client.set_tag(runs.run_id, "mlbench.decision", "inconclusive")
        again = tracker.resume_study(runs.run_id)
        again.reopen(anew=False)
        assert again.arms == {"baseline": arm}
        for run_id in (runs.run_id, arm.run_id):
            run = tracker.client.get_run(run_id)
            assert run.info.status == "RUNNING"
            assert not {"mlbench.error", "mlbench.decision"} & set(run.data.tags)

    def test_what_was_published_for_the_arms_is_replaced_by_new_runs(self, tracker):
        runs = tracker.open_study("s", {}, [])
        arm = runs.open_arm("baseline", "baseline")
        tracker.client.log_metric(arm.run_id, "latency/p50_ms", 1.0)
        tracker.client.create_logged_model(tracker.experiment_id, name="m", source_run_id=arm.run_id)
        again = tracker.resume_study(runs.run_id)
        again.reopen(anew=True)
        assert again.arms == {}
        assert tracker.client.search_logged_models([tracker.experiment_id]) == []
        fresh = again.open_arm("baseline", "baseline")
        assert tracker.resume_study(runs.run_id).arms == {"baseline": fresh}
        assert tracker.client.get_run(fresh.run_id).data.metrics == {}
