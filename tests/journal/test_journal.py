"""The journal gives back what was written, or says that it cannot; it belongs to one process at a time."""

import errno
import os
import stat
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from journaled import ARMS, make_plan, make_recipe, measurements, ordered, part
from voided import with_void

from mlbench.config import ProtocolConfig, RegistryConfig
from mlbench.errors import InputError
from mlbench.journal import (
    Begun,
    Conclusion,
    Journal,
    JournalBusyError,
    JournaledArm,
    JournalError,
    Planned,
    journals,
)
from mlbench.records import (
    ArmResult,
    DataInfo,
    Decision,
    Measurement,
    Noise,
    RuntimeSettings,
    Study,
    WorkloadInfo,
)
from mlbench.sittings import Epoch, dated

RUN = "0123456789abcdef0123456789abcdef"
BEGUN = Begun(RUN, "mine", "2026-01-01T00:00:00+00:00", "0.1", "http://***@host:5000", "mlbench", {"a": [1, None]})
PLANNED = Planned(
    make_plan(),
    ProtocolConfig(trials=3),
    tuple(JournaledArm(name, "variant", make_recipe(name), RuntimeSettings(threads=2), "d" * 64) for name in ARMS),
)
SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def make_conclusion() -> Conclusion:
    data = DataInfo("made up", "9" * 64, {"test": 1}, ("a", "b"), {}, ())
    study = Study(
        name="mine",
        created=BEGUN.created,
        version="0.1",
        config={},
        overrides=(),
        workload=WorkloadInfo("tiny", "classification", data, {}, "8" * 64),
        plan=make_plan(),
        environment={"python": "3.11"},
        arms=(ArmResult("baseline", "baseline", make_recipe("baseline")),),
        decision=Decision("hold", None, "Keep baseline.", ()),
        noise=Noise("quiet"),
    )
    return Conclusion(study, log_models=True, registry=RegistryConfig(alias="edge"), example={"x": np.eye(2)})


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal.begin(tmp_path, BEGUN)


def test_what_is_begun_and_planned_comes_back(journal: Journal) -> None:
    journal.plan(PLANNED)
    assert journal.begun() == BEGUN == Journal.peek(journal.path)
    assert journal.planned() == PLANNED
    assert journal.conclusion() is None


def test_a_study_that_ended_early_has_no_plan_and_no_trials(journal: Journal) -> None:
    assert journal.planned() is None
    assert journal.trials() == ()


@SETTINGS
@given(measurements(), st.sets(st.integers(0, 3)))
def test_every_measurement_comes_back_whole(measured: Measurement, refused: set[int]) -> None:
    """Trials that could not be written when they were over (a full disk) are made up for at the end."""
    with tempfile.TemporaryDirectory() as folder, Journal.begin(Path(folder), BEGUN) as journal:
        journal.plan(PLANNED)
        over = measured.numbers
        for trial in sorted(over - refused):
            journal.trial(trial, part(measured, trial))
        assert journal.trials() == tuple(sorted(over - refused))
        journal.conclude(make_conclusion(), measured)
        assert ordered(journal.measurement(measured.plan)) == ordered(measured)


def test_finished_trials_come_back_before_the_end_and_damaged_ones_are_named(journal: Journal) -> None:
    measured = make_measured()
    for trial in (0, 1, 2):
        journal.trial(trial, part(measured, trial))
    spoil_change(journal.path / "trial-0001" / "a.b" / "workers.json")
    parts, damaged = journal.finished(measured.plan)
    assert [[turn.trial for turn in item.turns] for item in parts] == [[0] * len(ARMS), [2] * len(ARMS)]
    assert len(damaged) == 1
    assert damaged[0].endswith("is damaged: trial-0001/a.b/workers.json has changed")


def test_a_trial_that_does_not_count_is_kept_and_comes_back_so(journal: Journal) -> None:
    measured = with_void(make_measured(), 1, ARMS[1])
    for trial in sorted(measured.numbers):
        journal.trial(trial, part(measured, trial))
    assert journal.trials() == (0, 1, 2, 3)
    parts, _ = journal.finished(measured.plan)
    assert [(len(item.turns), len(item.void)) for item in parts] == [(3, 0), (0, 3), (3, 0), (3, 0)]
    assert [item.replaced for item in parts] == [{}, {1: 3}, {}, {}]
    assert journal.counted(measured.plan) == 3
    journal.conclude(make_conclusion(), measured)
    assert ordered(journal.measurement(measured.plan)) == ordered(measured)


def test_what_took_the_place_of_nobody_knows_which_trial_does_not_count(journal: Journal) -> None:
    measured = make_measured()
    orphan = replace(part(measured, 1), turns=tuple(replace(turn, trial=3) for turn in part(measured, 1).turns))
    for trial in (0, 1, 2):
        journal.trial(trial, part(measured, trial))
    journal.trial(3, orphan)
    assert journal.trials() == (0, 1, 2, 3)
    assert journal.counted(measured.plan) == 3
    journal.conclude(make_conclusion(), measured)
    back = journal.measurement(measured.plan)
    assert {turn.trial for turn in back.turns} == {0, 1, 2}
    assert {turn.trial for turn in back.void} == {3}


def test_trials_beyond_the_look_that_ended_a_study_are_not_counted(journal: Journal) -> None:
    measured = make_measured()
    for trial in (0, 1, 2):
        journal.trial(trial, part(measured, trial))
    assert journal.counted(replace(measured.plan, trials=2)) == 2


def test_a_study_that_goes_on_forgets_how_it_ended(journal: Journal) -> None:
    measured = make_measured()
    journal.trial(0, part(measured, 0))
    journal.conclude(make_conclusion(), measured)
    journal.mark_delivered()
    journal.reopen()
    assert (journal.is_concluded, journal.is_delivered, journal.trials()) == (False, False, (0,))
    assert not (journal.path / "rest").exists()


def test_a_conclusion_comes_back(journal: Journal) -> None:
    conclusion = make_conclusion()
    journal.conclude(conclusion, make_measured())
    back = journal.conclusion()
    assert back == conclusion
    assert back is not None
    assert back.example["x"].tolist() == [[1, 0], [0, 1]]
    assert journal.is_concluded
    assert not journal.is_delivered
    journal.mark_delivered()
    assert journal.is_delivered


def test_the_directory_is_private(journal: Journal) -> None:
    journal.trial(0, part(make_measured(), 0))
    for path in (journal.path, journal.path / "trial-0000", journal.path / "lock"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_nothing_is_read_where_others_may_write(journal: Journal) -> None:
    journal.close()
    journal.path.chmod(0o777)
    with pytest.raises(JournalError, match="not this user's own"):
        Journal.open(journal.path)
    with pytest.raises(JournalError, match="not this user's own"):
        Journal.peek(journal.path)


@pytest.mark.parametrize("run_id", ["../../elsewhere", "/tmp/elsewhere", "", ".", "a" * 65, "a\0b"])
def test_a_tracking_server_cannot_say_where_it_lies(tmp_path: Path, run_id: str) -> None:
    with pytest.raises(InputError, match="which is no id of a run"):
        Journal.begin(tmp_path / "cache", replace(BEGUN, run_id=run_id))
    assert not list(tmp_path.iterdir())


def test_removing_leaves_nothing(journal: Journal) -> None:
    journal.remove()
    assert not list(journal.path.parent.iterdir())
    with pytest.raises(JournalError, match="is gone"):
        Journal.open(journal.path)


def test_a_disk_without_room_for_a_directory_can_be_cleared(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_args: object, **_options: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tempfile, "mkdtemp", full)
    monkeypatch.setattr(os, "mkdir", full)
    journal.remove()
    assert not list(journal.path.parent.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# damage


def make_measured() -> Measurement:
    from mlbench.records import Turn, WorkerReport

    plan = make_plan()
    ns = np.array([1, 2], np.int64)
    turns = [
        Turn(trial, 0, place, arm, 1, 10 * trial + place, 10 * trial + place + 1, 1, 1, ns[:1], ns)
        for trial in range(3)
        for place, arm in enumerate(ARMS)
    ]
    workers = [WorkerReport(turn.arm, turn.trial, 7, 1.0, 1.0, 1.0, 1.0, {"1": 1.0}, ns) for turn in turns]
    return Measurement(plan, tuple(turns), tuple(workers), ())


def spoil_change(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def spoil_cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.parametrize("spoil", [spoil_change, spoil_cut, Path.unlink])
def test_damage_anywhere_is_found_and_named(journal: Journal, spoil) -> None:
    measured = make_measured()
    journal.plan(PLANNED)
    journal.trial(0, part(measured, 0))
    journal.conclude(make_conclusion(), measured)
    for path in sorted(item for item in journal.path.rglob("*") if item.is_file() and item.name != "lock"):
        kept = path.read_bytes()
        spoil(path)
        with pytest.raises(JournalError, match=f"damaged: {path.relative_to(journal.path).parts[0]}"):
            (journal.begun(), journal.planned(), journal.conclusion(), journal.measurement(measured.plan))
        path.write_bytes(kept)
    journal.measurement(measured.plan)


def test_a_file_that_was_put_there_is_found(journal: Journal) -> None:
    (journal.path / "begun" / "more.json").write_text("{}")
    with pytest.raises(JournalError, match=r"begun/more\.json is not part of it"):
        journal.begun()


def test_a_full_disk_leaves_what_was_written_whole(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    measured = make_measured()
    journal.trial(0, part(measured, 0))

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    for number in (0, 1):
        with pytest.raises(JournalError, match="cannot be written: No space left on device"):
            journal.trial(number, part(measured, number))
    monkeypatch.undo()
    assert journal.trials() == (0,)
    assert len(journal.finished(measured.plan)[0][0].turns) == len(ARMS)
    assert not [path for path in journal.path.iterdir() if path.name.startswith(".")]


def test_a_cache_directory_that_cannot_be_written_is_a_wrong_input(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("in the way")
    with pytest.raises(InputError, match="cache_dir: no journal of the study can be kept in"):
        Journal.begin(tmp_path, BEGUN)


# ---------------------------------------------------------------------------------------------------------------------
# one process at a time

HOLDER = """
import sys
from pathlib import Path
from mlbench.journal import Journal
with Journal.open(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_the_lock_dies_with_its_holder(journal: Journal) -> None:
    journal.close()
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(journal.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline().strip() == "held"
        with pytest.raises(JournalBusyError, match="is under way"):
            Journal.open(journal.path)
        holder.kill()
    with Journal.open(journal.path) as mine:
        assert mine.begun() == BEGUN


def test_only_journals_are_listed(journal: Journal, tmp_path: Path) -> None:
    assert journals(tmp_path / "nowhere") == []
    (journal.path.parent / ".removing-x").mkdir()
    (journal.path.parent / "a file").touch()
    assert journals(tmp_path) == [journal.path]


def test_trials_from_before_a_restart_of_the_machine_are_on_the_clock_of_the_last(journal: Journal) -> None:
    measured = make_measured()
    first, second = Epoch(10**18, "first"), Epoch(10**18 + 10**12, "second")
    journal.trial(0, dated(part(measured, 0), first))
    journal.trial(1, dated(part(measured, 1), second))
    journal.conclude(make_conclusion(), dated(measured, second))
    back = {
        (turn.trial, turn.round, turn.arm, turn.batch_size): turn for turn in journal.measurement(measured.plan).turns
    }
    for turn in measured.turns:
        found = back[turn.trial, turn.round, turn.arm, turn.batch_size]
        offset = -(10**12) if turn.trial == 0 else 0
        assert (found.start_ns, found.end_ns) == (turn.start_ns + offset, turn.end_ns + offset)
