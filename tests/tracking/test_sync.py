"""Journals that wait: delivered once, each by itself, and left alone where they are in use."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from test_delivery import begin, concluded, state
from tiny_study import INPUTS, OUTPUTS, arms_of, make_measurement

from mlbench import cli
from mlbench.config import ProtocolConfig
from mlbench.errors import InputError
from mlbench.journal import Begun, Journal, JournaledArm, Planned, journals
from mlbench.records import Artifact
from mlbench.sync import close_abandoned, sync, tracking_config
from mlbench.tracking import load_measurement, load_study
from mlbench.tracking.champion import alias_version
from mlbench.variants.store import Store


@pytest.fixture
def cache(tmp_path):
    return Store(tmp_path / "cache")


def begun(tracker, run_id, **changes):
    values = {"tracking_uri": tracker.location.uri, "experiment": "mlbench", "config": {}, **changes}
    return Begun(run_id, "tiny", "2026-01-01T00:00:00+00:00", "0.1", **values)


def stored(cache, source):
    """The artifact in the store, under a digest of its own."""

    def make(folder):
        content = (Path(source.path) / source.entry).read_bytes()
        (folder / source.entry).write_bytes(content)
        return Artifact("", source.format, "", source.entry, INPUTS, OUTPUTS, 0, source.steps)

    return cache.build({"made": "up"}, make)


@pytest.fixture
def waiting(tracker, cache, artifacts):
    """A study that was concluded and not delivered: a tracker and the run id."""
    return tracker, conclude(tracker, cache, artifacts)


def conclude(tracker, cache, artifacts, **changes):
    conclusion = concluded(artifacts)
    conclusion = replace(conclusion, study=replace(conclusion.study, **changes))
    run_id = begin(tracker, conclusion.study)
    fast = arms_of(artifacts)["fast"]
    arm = JournaledArm("fast", "variant", fast.recipe, fast.settings, stored(cache, artifacts.onnx).digest)
    measured = make_measurement()
    with Journal.begin(cache.root, begun(tracker, run_id)) as journal:
        journal.plan(Planned(measured.plan, ProtocolConfig(), (arm,)))
        journal.conclude(conclusion, measured)
    return run_id


def test_what_waits_is_delivered_once_and_its_journal_is_gone(waiting, cache):
    tracker, run_id = waiting
    (done,) = sync(cache)
    assert (done.run_id, done.name, done.state) == (run_id, "tiny", "delivered")
    assert done.detail.startswith("registered: 'mlbench-tiny' version 1 (fast) is now 'champion'")
    assert journals(cache.root) == []
    assert sync(cache) == []
    loaded = load_study(tracker, run_id)
    assert loaded.status == "FINISHED"
    assert len(load_measurement(tracker, loaded).turns) == len(make_measurement().turns)
    assert alias_version(tracker, "mlbench-tiny", "champion") == 1


def test_a_delivery_that_ended_before_its_journal_was_removed_is_repeated_without_a_trace(waiting, cache, monkeypatch):
    tracker, run_id = waiting
    monkeypatch.setattr(Journal, "remove", lambda _journal: None)
    sync(cache)
    before = state(tracker, run_id)
    monkeypatch.undo()
    assert [item.state for item in sync(cache)] == ["delivered"]
    assert state(tracker, run_id) == before


def test_an_artifact_that_is_gone_is_said_and_stops_nothing(waiting, cache):
    tracker, run_id = waiting
    cache.prune(everything=True)
    (done,) = sync(cache)
    assert done.state == "delivered"
    assert "no model of fast: its artifact" in done.detail
    assert "not registered: the arm 'fast'" in done.detail
    assert load_study(tracker, run_id).status == "FINISHED"


def test_an_interrupted_study_keeps_its_journal_to_be_resumed(tracker, cache, artifacts):
    run_id = conclude(tracker, cache, artifacts, status="interrupted")
    assert [item.state for item in sync(cache)] == ["delivered"]
    assert load_study(tracker, run_id).status == "KILLED"
    (later,) = sync(cache)
    assert later.state == "unfinished"
    assert later.detail == f"0 of 2 trials measured; mlbench run --resume {run_id} goes on with it"


def test_a_damaged_journal_is_named_and_the_others_go_on(waiting, cache, artifacts):
    tracker, run_id = waiting
    other = conclude(tracker, cache, artifacts)
    spoiled = cache.root / "studies" / run_id / "concluded" / "study.json"
    spoiled.write_text(spoiled.read_text().replace("tiny", "tony"))
    found = {item.run_id: item for item in sync(cache)}
    assert (found[run_id].state, found[other].state) == ("damaged", "delivered")
    assert f"{run_id} is damaged: concluded/study.json has changed" in found[run_id].detail
    assert [path.name for path in journals(cache.root)] == [run_id]


def test_a_study_under_way_is_not_touched(waiting, cache):
    _, run_id = waiting
    with Journal.open(cache.root / "studies" / run_id):
        (found,) = sync(cache)
    assert found.state == "under way"


def test_a_store_that_is_not_there_fails_and_the_journal_stays(waiting, cache, tmp_path):
    (found,) = sync(cache, tracking_uri="http://127.0.0.1:9")
    assert found.state == "failed"
    assert "connection refused" in found.detail
    assert len(journals(cache.root)) == 1


def test_one_study_by_the_beginning_of_its_run_id(waiting, cache):
    _, run_id = waiting
    with pytest.raises(InputError, match=f"no study 'zz' in the journals of .*: {run_id}"):
        sync(cache, "zz")
    assert [item.run_id for item in sync(cache, run_id[:8])] == [run_id]
    with pytest.raises(InputError, match="there is none, everything was delivered"):
        sync(cache, run_id[:8])


class TestWhere:
    MASKED = Begun("f" * 32, "n", "c", "0", "http://***@host:5000", "mine", {})

    def test_the_credentials_of_the_environment(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@host:5000")
        config = tracking_config(self.MASKED, None)
        assert (config.uri, config.experiment) == ("http://me:secret@host:5000", "mine")

    def test_without_them_it_says_what_to_do(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@elsewhere")
        with pytest.raises(InputError, match=r"http://\*\*\*@host:5000, whose credentials are not kept: set MLFLOW_"):
            tracking_config(self.MASKED, None)

    def test_where_it_was_begun_or_where_the_user_says(self):
        plain = replace(self.MASKED, tracking_uri="sqlite:////x/mlflow.db")
        assert tracking_config(plain, None).uri == "sqlite:////x/mlflow.db"
        assert tracking_config(plain, "http://there").uri == "http://there"


class TestAbandoned:
    def left(self, tracker, cache, run_id, **changes):
        Journal.begin(cache.root, begun(tracker, run_id, **changes)).close()

    def test_runs_of_a_process_that_is_gone_are_closed_and_it_is_said_once(self, tracker, cache, artifacts):
        runs = tracker.open_study("tiny", {}, [])
        runs.open_arm("baseline", "baseline")
        self.left(tracker, cache, runs.run_id)
        said = []
        close_abandoned(tracker, cache.root, said.append)
        close_abandoned(tracker, cache.root, said.append)
        assert len(said) == 1
        assert said[0].startswith("the study tiny was left open by a process that is gone, and is closed as KILLED")
        for run_id in (runs.run_id, runs.arms["baseline"].run_id):
            run = tracker.client.get_run(run_id)
            assert (run.info.status, run.data.tags["mlbench.error"]) == ("KILLED", "its process ended without a word")

    def test_what_waits_is_said_and_left(self, waiting, cache):
        tracker, run_id = waiting
        said = []
        close_abandoned(tracker, cache.root, said.append)
        assert said == [f"the study tiny was not delivered: mlbench sync {run_id} does it"]

    def test_of_another_store_alive_or_unreadable_is_left_alone(self, tracker, cache):
        runs = [tracker.open_study("tiny", {}, []).run_id for _ in range(2)]
        self.left(tracker, cache, runs[0], tracking_uri="sqlite:////another.db")
        with Journal.begin(cache.root, begun(tracker, runs[1])):
            self.left(tracker, cache, "0" * 32)  # no such run
            close_abandoned(tracker, cache.root, pytest.fail)
        assert [tracker.client.get_run(run).info.status for run in runs] == ["RUNNING"] * 2

    def test_a_journal_that_was_never_begun_goes(self, tracker, cache):
        self.left(tracker, cache, "0" * 32)
        (begun_folder,) = (cache.root / "studies" / ("0" * 32)).glob("begun")
        for path in begun_folder.iterdir():
            path.unlink()
        begun_folder.rmdir()
        close_abandoned(tracker, cache.root, pytest.fail)
        assert journals(cache.root) == []


class TestCommand:
    def test_prints_and_exits(self, waiting, cache, capsys, monkeypatch):
        _, run_id = waiting
        monkeypatch.setenv("MLBENCH_CACHE_DIR", str(cache.root))
        assert cli.main(["sync", "--tracking-uri", "http://127.0.0.1:9"]) == 1
        assert capsys.readouterr().out.startswith(f"failed       {run_id}  tiny: the MLflow server")
        assert cli.main(["sync", "--json", run_id]) == 0
        (entry,) = json.loads(capsys.readouterr().out)
        assert (entry["run_id"], entry["state"]) == (run_id, "delivered")
        assert cli.main(["sync"]) == 0
        assert capsys.readouterr().out == "nothing to deliver\n"
        assert cli.main(["sync", "nothing"]) == 2
