from dataclasses import replace

import numpy as np
import pytest

from mlbench.measurement.alone import awake, disturbance, notices, overlap
from mlbench.records import Turn

NONE = np.zeros(0, np.int64)


def turns(count: int = 20, awake_of: dict[str, int] | None = None) -> list[Turn]:
    """Turns of a, b, a, b ... of 10 ns each, 5 ns apart; of every arm the first so many did not go to sleep."""
    made = [
        Turn(0, number // 2, number % 2, "ab"[number % 2], 1, 15 * number, 15 * number + 10, 9, 9, NONE, NONE)
        for number in range(count)
    ]
    left = dict(awake_of or {})
    for number, turn in enumerate(made):
        stays = left.get(turn.arm, 0) > 0
        left[turn.arm] = left.get(turn.arm, 0) - 1
        made[number] = replace(turn, hardware={"settle_ms": 1.0, "awake": float(stays)})
    return made


def test_turns_one_after_the_other_are_in_order() -> None:
    assert overlap(turns()) == ""
    assert overlap(turns(1)) == overlap([]) == ""
    touching = turns(2)
    touching[1] = replace(touching[1], start_ns=touching[0].end_ns)
    assert overlap(touching) == ""
    assert notices(turns()) == []


def test_the_clock_may_start_anew_between_two_trials() -> None:
    first, second = turns(4), [replace(turn, trial=1) for turn in turns(4)]
    assert overlap([*first, *second]) == ""
    assert overlap([*first, *turns(4)]) != ""


@pytest.mark.parametrize(
    ("which", "change"),
    [
        (5, {"start_ns": 69}),  # one nanosecond before the turn before it has ended
        (4, {"end_ns": 76}),
        (5, {"start_ns": 200}),  # after its own end: a clock that runs backwards
        (0, {"start_ns": 11}),
    ],
)
def test_windows_that_cross_are_found(which: int, change: dict[str, int]) -> None:
    crossed = turns()
    crossed[which] = replace(crossed[which], **change)
    assert overlap(crossed) == disturbance(crossed) != ""
    (notice,) = notices(crossed)
    assert notice.code == "overlapping_turns"
    assert "no verdict" in notice.message


def test_turns_out_of_order_are_found() -> None:
    assert "trial 1, round 1 began before the turn of b in trial 1, round 1 had ended" in overlap(turns(2)[::-1])


def test_a_few_turns_with_threads_awake_are_borne_and_more_are_not() -> None:
    assert awake(turns(80, {"a": 2})) == ""  # 2 of 40 are 5 %
    assert notices(turns(80, {"a": 2})) == []
    assert awake(turns(80, {"a": 3, "b": 40})) == (
        "threads still ran when the next turn began: a (3 of 40 turns), b (40 of 40 turns)"
    )
    (notice,) = notices(turns(80, {"a": 3}))
    assert notice.code == "awake_threads"
    assert "OMP_WAIT_POLICY" in notice.action
    assert disturbance(turns(80, {"a": 3})) == awake(turns(80, {"a": 3}))


def test_turns_recorded_without_that_figure_say_nothing() -> None:
    assert awake([replace(turn, hardware={}) for turn in turns()]) == ""
