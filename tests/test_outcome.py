"""What is said of a study that MLflow did not take."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlbench.errors import ExitCode, TrackingError
from mlbench.journal import Begun, Journal
from mlbench.outcome import undelivered
from mlbench.records import Condition, LostTrial, Measurement, Plan, Turn

PLAN = Plan(1, ("baseline",), "baseline", (Condition(1, 1, 0, 1),), 3, 1, 0.0, 0, ())
BEGUN = Begun("f" * 32, "mine", "2026-01-01T00:00:00+00:00", "0.1", "sqlite:////x.db", "mlbench", {})


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal.begin(tmp_path, BEGUN) as begun:
        yield begun


def said(journal: Any) -> str:
    """The one sentence that the user is told."""
    told: list[str] = []
    runs: Any = SimpleNamespace(run_id=BEGUN.run_id, fail=lambda error: None)
    study: Any = SimpleNamespace(plan=PLAN, status="finished")
    config: Any = SimpleNamespace(cache_dir=None)
    progress: Any = SimpleNamespace(notice=told.append)
    outcome = undelivered(runs, journal, study, config, TrackingError("MLflow is away"), progress)
    assert (outcome.exit_code, outcome.undelivered) == (ExitCode.FAILURE, True)
    (sentence,) = told
    return sentence


def test_of_an_incomplete_journal_only_trials_that_count_are_said_to_be_in_it(journal: Journal) -> None:
    """The first trial (number 0) was lost, and number 3 took its place."""
    ns = np.ones(1, np.int64)
    for trial in (0, 3, 1):
        turn = (Turn(trial, 0, 0, "baseline", 1, 1, 2, 1, 1, ns[:0], ns),)
        part = Measurement(PLAN, turn, (), ())
        if trial == 0:
            part = Measurement(PLAN, (), (), (), (LostTrial("baseline", 0, "it hung", repeated_as=3),), void=turn)
        journal.trial(trial, part)
    assert "but 2 of 3 trials are in it: mlbench run --resume" in said(journal)


def test_where_nothing_is_kept_that_is_said(journal: Journal) -> None:
    assert said(journal).endswith("its journal is not complete: what is printed here is kept nowhere else")


def test_a_journal_that_is_complete_is_not_read_trial_by_trial() -> None:
    """That may be much, and its content is not asked for: a journal without any other answer will do."""
    assert said(SimpleNamespace(is_concluded=True)) == (
        f"MLflow is away; nothing is lost: mlbench sync {BEGUN.run_id} delivers it later"
    )
