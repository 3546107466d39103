"""Every way a study can end leaves its runs closed and what was measured in its journal."""

import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlbench.endings import journaled, keeper, keeping
from mlbench.errors import InputError, MlbenchError, TrackingError
from mlbench.journal import Begun, Journal, JournalError, journals
from mlbench.records import Condition, Measurement, Plan

PLAN = Plan(1, ("baseline",), "baseline", (Condition(1, 1, 0, 1),), 1, 1, 0.0, 0, ())
NOTHING = Measurement(PLAN, (), (), ())
BEGUN = Begun("f" * 32, "mine", "2026-01-01T00:00:00+00:00", "0.1", "sqlite:////x.db", "mlbench", {})


class Runs:
    """The runs of a study, of which only the end is looked at."""

    run_id = BEGUN.run_id

    def __init__(self, refusal: str = "") -> None:
        self.refusal = refusal
        self.ends: list[str] = []

    def _end(self, how: str) -> None:
        if self.refusal:
            raise TrackingError(self.refusal)
        self.ends.append(how)

    def kill(self) -> None:
        self._end("killed")

    def fail(self, error: BaseException) -> None:
        self._end(f"failed: {error}")

    def discard(self, error: BaseException) -> None:
        self._end(f"discarded: {error}")


class Said(list[str]):
    """A progress that keeps its notices."""

    def notice(self, text: str) -> None:
        self.append(text)


def end(root: Path, runs: Any, error: BaseException | None, *, trials: int = 0, resumed: Journal | None = None) -> Said:
    said: Any = Said()
    expected = nullcontext() if error is None else pytest.raises(type(error))
    with expected, journaled(runs, root, BEGUN, said, resumed) as journal:
        for number in range(trials):
            journal.trial(number, NOTHING)
        if error is not None:
            raise error
    return said


@pytest.mark.parametrize(
    ("error", "how"),
    [(KeyboardInterrupt(), "killed"), (MlbenchError("no baseline"), "failed: no baseline"), (None, None)],
)
def test_runs_are_closed_by_the_way_it_ended(tmp_path: Path, error: BaseException | None, how: str | None) -> None:
    runs = Runs()
    end(tmp_path, runs, error)
    assert runs.ends == ([how] if how else [])


def test_a_journal_stays_only_where_something_was_measured(tmp_path: Path) -> None:
    end(tmp_path, Runs(), MlbenchError("no baseline"))
    assert journals(tmp_path) == []
    end(tmp_path, Runs(), MlbenchError("no analysis"), trials=1)
    (left,) = journals(tmp_path)
    with Journal.open(left) as journal:  # and its lock is free
        assert journal.trials() == (0,)


def test_wrong_input_leaves_neither_runs_nor_a_journal(tmp_path: Path) -> None:
    runs = Runs()
    end(tmp_path, runs, InputError("protocol.budget_minutes: too small"))
    assert runs.ends == ["discarded: protocol.budget_minutes: too small"]
    assert journals(tmp_path) == []


def test_wrong_input_takes_nothing_back_that_was_measured_or_was_there_before(tmp_path: Path) -> None:
    runs = Runs()
    end(tmp_path, runs, InputError("wrong"), resumed=Journal.begin(tmp_path, BEGUN))
    end(tmp_path, runs, InputError("wrong"), trials=1)
    assert runs.ends == ["failed: wrong", "failed: wrong"]
    assert len(journals(tmp_path)) == 1


@pytest.mark.parametrize("own_cache", [False, True])
def test_an_interrupted_delivery_says_how_it_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_cache: bool
) -> None:
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(tmp_path / "usual" if own_cache else tmp_path))
    monkeypatch.setattr(Journal, "is_concluded", True)
    runs, where = Runs(), f" --cache-dir {tmp_path}" if own_cache else ""
    said = end(tmp_path, runs, KeyboardInterrupt(), trials=1)
    assert said == [f"nothing is lost: mlbench sync {BEGUN.run_id}{where} delivers the study later"]
    assert runs.ends == ["killed"]
    assert len(journals(tmp_path)) == 1


def test_runs_that_cannot_be_closed_are_left_to_the_next_study(tmp_path: Path) -> None:
    said = end(tmp_path, Runs("MLflow: no answer"), MlbenchError("no baseline"))
    assert said == ["MLflow: no answer; the next study closes them"]
    assert len(journals(tmp_path)) == 1


def test_where_no_journal_can_be_kept_nothing_is_begun(tmp_path: Path) -> None:
    (tmp_path / "studies").write_text("in the way")
    runs: Any = Runs()
    said: Any = Said()
    with pytest.raises(InputError, match="cache_dir"), journaled(runs, tmp_path, BEGUN, said):
        pytest.fail("the study was begun")
    assert len(runs.ends) == 1
    assert runs.ends[0].startswith("discarded: cache_dir")


def test_a_full_disk_does_not_end_the_measurement(tmp_path: Path) -> None:
    def full(number: int, _part: Measurement) -> None:
        raise JournalError(f"no space for trial {number}")

    journal: Any = SimpleNamespace(trial=full)
    said: Any = Said()
    keeper(journal, said)(3, NOTHING)
    assert said == ["no space for trial 3"]


@pytest.mark.parametrize(("refused", "where"), [(False, "in MLflow, run ffff"), (True, "MLflow is away; what was")])
def test_an_analysis_that_fails_says_where_the_measurement_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: bool, where: str
) -> None:
    def keep(_measurement: Measurement, _runs: Any) -> None:
        if refused:
            raise TrackingError("MLflow is away")

    monkeypatch.setattr("mlbench.endings.keep_measurement", keep)
    said: Any = Said()
    journal: Any = SimpleNamespace(path=tmp_path)
    runs: Any = Runs()
    with pytest.raises(ZeroDivisionError), keeping(NOTHING, runs, journal, said):
        raise ZeroDivisionError
    assert where in said[0]
    assert (str(tmp_path) in said[0]) == refused


SIGTERM = """
import os, signal
from mlbench.endings import terminable

try:
    with terminable():
        os.kill(os.getpid(), signal.SIGTERM)
except KeyboardInterrupt:
    print("interrupted", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)
"""


def test_sigterm_is_an_interruption_and_the_handler_is_given_back() -> None:
    # in a process of its own: libraries that other tests have loaded have a say in what a signal does to this one
    done = subprocess.run([sys.executable, "-c", SIGTERM], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (0, "interrupted True\n"), done.stderr
