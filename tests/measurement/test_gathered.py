"""What is gathered where a trial is lost: which trials count, under which numbers, and that nothing is dropped."""

from dataclasses import replace

import numpy as np
import pytest
from fakes import make_arm

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.gathered import Gathered
from mlbench.measurement.plan import make_plan
from mlbench.records import LostTrial, Measurement, Turn, WorkerReport, trials_in

ARMS = [make_arm("baseline", "baseline"), make_arm("a")]
PLAN = make_plan(
    [arm.name for arm in ARMS], "baseline", ScenarioConfig(batch_sizes=(1,)), ProtocolConfig(trials=3, rounds=2), seed=3
)


def give(gathered: Gathered, trial: int, lost: str | None = None) -> Measurement:
    """A trial in which both arms come to their end, or one is lost after its turns; and what is handed over of it."""
    ns = np.array([trial + 1], np.int64)
    for place, arm in enumerate(PLAN.arms):
        gathered.turns.append(Turn(trial, 0, place, arm, 1, 10 * trial, 10 * trial + 1, 1, 1, ns, ns))
        if arm == lost:
            gathered.lose(LostTrial(arm, trial, "it hung"), gone=True)
        else:
            gathered.workers.append(WorkerReport(arm, trial, 7, 1.0, 1.0, 1.0, 1.0, {"1": 1.0}, ns))
    gathered.over(PLAN, trial, retry=True)
    return gathered.part(PLAN, trial)


def test_nothing_that_was_given_is_dropped() -> None:
    gathered = Gathered()
    parts = [give(gathered, 0), give(gathered, 1, lost="a"), give(gathered, 3), give(gathered, 2)]
    measured = gathered.measured(PLAN)
    assert len(measured.turns) + len(measured.void) == 4 * 2
    assert len(measured.workers) + len(measured.void_workers) == 4 * 2 - 1
    assert [(turn.trial, turn.arm) for turn in measured.void] == [(1, "baseline"), (1, "a")]
    assert [bool(part.turns) for part in parts] == [True, False, True, True]
    assert [bool(part.void) for part in parts] == [False, True, False, False]


def test_only_the_plans_trials_and_what_took_their_places_are_left_to_do() -> None:
    gathered = Gathered()
    assert [gathered.is_done(place) for place in range(3)] == [False] * 3
    give(gathered, 0, lost="a")
    assert (gathered.number(0), gathered.is_done(0)) == (3, False)
    give(gathered, 3)
    assert [gathered.is_done(place) for place in range(3)] == [True, False, False]


@pytest.mark.parametrize("kept", [(0, 1, 3), (3, 1, 0)])
def test_parts_are_put_together_in_any_order(kept: tuple[int, ...]) -> None:
    first = Gathered()
    parts = {trial: give(first, trial, lost="a" if trial == 1 else None) for trial in (0, 1, 3)}
    again = Gathered([parts[trial] for trial in kept])
    assert [again.number(place) for place in range(3)] == [0, 3, 2]
    assert [again.is_done(place) for place in range(3)] == [True, True, False]
    assert trials_in(PLAN, [parts[trial] for trial in kept]) == 2
    assert again.untold() == []
    give(again, 2, lost="a")  # its second chance is used up
    assert again.is_done(2)
    assert [(loss.trial, loss.repeated_as) for loss in again.measured(PLAN).lost] == [(1, 3), (2, None)]


def test_a_trial_whose_lost_first_is_damaged_does_not_count_beside_the_one_that_is_measured_again() -> None:
    """The journal gives trial 4 (number 3) back, and nothing that says in whose place it was."""
    first = Gathered()
    give(first, 1, lost="a")
    kept = [give(first, 3)]
    assert trials_in(PLAN, kept) == 0
    again = Gathered(kept)
    assert [again.is_done(place) for place in range(3)] == [False] * 3
    give(again, 0)
    give(again, 1, lost="a")
    assert again.number(1) == 4  # 3 is taken
    give(again, 4)
    give(again, 2)
    measured = again.measured(PLAN)
    assert measured.counted == {0: 0, 4: 1, 2: 2}
    assert {turn.trial for turn in measured.turns} == {0, 2, 4}
    assert {turn.trial for turn in measured.void} == {1, 3}
    assert trials_in(PLAN, [measured]) == 3


def test_what_was_measured_again_under_the_same_number_counts() -> None:
    """As mlbench wrote it before a second attempt had a number of its own."""
    gathered = Gathered()
    part = replace(give(gathered, 0), lost=(LostTrial("a", 0, "it hung", repeated_as=0),))
    again = Gathered([part])
    assert again.is_done(0)
    measured = again.measured(PLAN)
    assert (measured.turns, measured.void, measured.lost_by("a")) == (part.turns, (), ())
    give(again, 1, lost="a")  # the second chance was had
    assert again.is_done(1)
