"""Journals are listed without a change, and discarded when nobody wants them: with their runs closed."""

import json
import os
from pathlib import Path

import pytest
from test_sync import begun
from tiny_study import make_measurement
from voided import with_void

from mlbench import cli
from mlbench.config import ProtocolConfig
from mlbench.errors import InputError
from mlbench.journal import Journal, Planned, journals
from mlbench.records import Measurement
from mlbench.sync import sync
from mlbench.variants.store import Store
from mlbench.waiting import discard, journals_kept

DAY = 86_400.0


def unfinished(tracker, root: Path, name: str = "tiny", age_s: float = 0.0) -> str:
    """A study whose process is gone: open runs, a plan, and no trial."""
    runs = tracker.open_study(name, {}, (), None)
    with Journal.begin(root, begun(tracker, runs.run_id)) as journal:
        journal.plan(Planned(make_measurement().plan, ProtocolConfig(), ()))
        for path in (journal.path, *journal.path.iterdir()):
            os.utime(path, (path.stat().st_mtime - age_s,) * 2)
    return runs.run_id


def part(measured: Measurement, trial: int) -> Measurement:
    """What is handed over when a trial is over, without predictions."""

    def of(items):
        return tuple(item for item in items if item.trial == trial)

    turns, workers, lost, void, others = map(
        of, (measured.turns, measured.workers, measured.lost, measured.void, measured.void_workers)
    )
    return Measurement(measured.plan, turns, workers, (), lost, void=void, void_workers=others)


def status(tracker, run_id: str) -> str:
    return tracker.client.get_run(run_id).info.status


def test_what_is_kept_is_listed_and_stays(tracker, tmp_path):
    run_id = unfinished(tracker, tmp_path, age_s=3 * DAY)
    (entry,) = journals_kept(tmp_path)
    assert (entry.run_id, entry.name, entry.state) == (run_id, "tiny", "unfinished")
    assert entry.detail == f"0 of 2 trials measured; mlbench run --resume {run_id} goes on with it"
    assert entry.size_bytes > 100
    assert entry.age_s == pytest.approx(3 * DAY, abs=60)
    assert status(tracker, run_id) == "RUNNING"
    with Journal.open(tmp_path / "studies" / run_id):
        assert [item.state for item in journals_kept(tmp_path)] == ["under way"]


@pytest.mark.parametrize(("kept", "counted"), [((0, 1), 1), ((0, 1, 2), 2)])
def test_a_trial_that_does_not_count_is_none_of_those_that_are_measured(tracker, tmp_path, kept, counted):
    """The second of two trials (number 1) was lost, and number 2 took its place, if that was measured already."""
    measured = with_void(make_measurement(), 1, "script")
    run_id = unfinished(tracker, tmp_path)
    with Journal.open(tmp_path / "studies" / run_id) as journal:
        for trial in kept:
            journal.trial(trial, part(measured, trial))
    (entry,) = journals_kept(tmp_path)
    (same,) = sync(Store(tmp_path))
    assert entry.detail == f"{counted} of 2 trials measured; mlbench run --resume {run_id} goes on with it"
    assert same.detail == entry.detail


def test_old_ones_are_discarded_and_their_runs_closed(tracker, tmp_path):
    old, young = unfinished(tracker, tmp_path, age_s=3 * DAY), unfinished(tracker, tmp_path)
    found = {item.run_id: item for item in discard(tmp_path, older_than_s=DAY)}
    assert (found[old].state, found[young].state) == ("discarded", "unfinished")
    assert found[old].detail == "its open runs are closed as KILLED"
    assert [path.name for path in journals(tmp_path)] == [young]
    assert (status(tracker, old), status(tracker, young)) == ("KILLED", "RUNNING")


def test_one_is_discarded_by_its_run_id_and_not_while_its_process_is_alive(tracker, tmp_path):
    run_id = unfinished(tracker, tmp_path)
    with Journal.open(tmp_path / "studies" / run_id):
        (entry,) = discard(tmp_path, run_id[:8])
        assert (entry.state, entry.detail) == ("kept", f"the study {run_id} is under way")
    assert [item.state for item in discard(tmp_path, run_id[:8])] == ["discarded"]
    assert journals(tmp_path) == []


def test_a_damaged_one_goes_although_its_runs_are_not_known(tracker, tmp_path):
    run_id = unfinished(tracker, tmp_path)
    (tmp_path / "studies" / run_id / "begun" / "record.json").write_text("{}")
    (entry,) = discard(tmp_path, run_id)
    assert (entry.state, entry.detail[:27]) == ("discarded", "what it had begun could not")


def test_one_whose_store_is_away_is_kept(tracker, tmp_path, monkeypatch):
    run_id = unfinished(tracker, tmp_path)
    monkeypatch.setattr("mlbench.waiting.connect", lambda *_args, **_options: (_ for _ in ()).throw(InputError("away")))
    (entry,) = discard(tmp_path, run_id)
    assert (entry.state, entry.detail) == ("kept", "away")
    assert [path.name for path in journals(tmp_path)] == [run_id]


def test_the_command_lists_and_discards(tracker, tmp_path, capsys):
    run_id = unfinished(tracker, tmp_path, age_s=3 * DAY)
    where = ["--cache-dir", str(tmp_path)]
    assert cli.main(["sync", "--list", *where]) == 0
    assert capsys.readouterr().out.startswith(f"unfinished   {run_id}")
    assert cli.main(["sync", "--discard", *where]) == 2
    assert "say which study by its run id, or --older-than 30d" in capsys.readouterr().err
    assert cli.main(["sync", "--older-than", "30d", *where]) == 2
    assert "give --discard with it" in capsys.readouterr().err
    assert cli.main(["sync", "--discard", "--older-than", "2d", "--json", *where]) == 0
    assert [item["state"] for item in json.loads(capsys.readouterr().out)] == ["discarded"]
    assert cli.main(["sync", "--list", *where]) == 0
    assert capsys.readouterr().out == "no journal is kept\n"
