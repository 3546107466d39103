import math
from itertools import pairwise

import pytest

from mlbench.measurement.limits import LOOKS, Limits, Overdue, overdue


@pytest.mark.parametrize(
    ("count", "slowest_s", "seconds"),
    [(12, 0.002, 30.0), (12, 0.125, 30.0), (12, 0.25, 60.0), (1000, 0.0, 30.0)],
)
def test_calls_may_take_twenty_times_as_long_as_the_slowest_and_never_less_than_the_floor(
    count: int, slowest_s: float, seconds: float
) -> None:
    assert Limits().calls(count, slowest_s) == seconds


@pytest.mark.parametrize(("slowest_s", "seconds"), [(0.0, 30.0), (1.5, 30.0), (2.0, 40.0)])
def test_so_may_a_single_call(slowest_s: float, seconds: float) -> None:
    assert Limits().call(slowest_s) == seconds


@pytest.mark.parametrize(("count", "call_s", "seconds"), [(30, 0.1, 300.0), (30, 1.0, 600.0)])
def test_what_is_not_known_well_has_more_time(count: int, call_s: float, seconds: float) -> None:
    assert Limits().unsure(count, call_s) == seconds


class Pretended:
    """A worker on a clock that only waiting moves: its calls are over at these times, and its answer is there at one.

    Args:
        ends: Seconds at which a call is over.
        answers: Seconds at which the answer is there.
        shows: Whether it shows its calls.
        stale: Calls that it shows until the first of these is over, from what it was asked before.
    """

    def __init__(self, ends: list[float], answers: float = math.inf, *, shows: bool = True, stale: int = 0) -> None:
        self.ends, self.answers, self.shows, self.stale = ends, answers, shows, stale
        self.time = 0.0
        self.looks: list[float] = []

    def ready(self, seconds: float) -> bool:
        self.time += min(seconds, max(0.0, self.answers - self.time))
        return self.time >= self.answers

    def calls_over(self) -> int | None:
        self.looks.append(self.time)
        over = sum(end <= self.time for end in self.ends)
        return (over or self.stale) if self.shows else None

    def wait(self, whole_s: float, call_s: float = math.inf) -> Overdue | None:
        return overdue(self.ready, self.calls_over, whole_s, call_s, lambda: self.time)


def test_a_turn_that_is_over_before_the_first_look_is_not_looked_at() -> None:
    worker = Pretended([0.1 * call for call in range(1, 13)], answers=1.2)
    assert worker.wait(30.0, 30.0) is None
    assert (worker.time, worker.looks) == (1.2, [])


def test_nobody_looks_more_often_than_in_every_quarter_of_what_a_call_may_take() -> None:
    worker = Pretended([1.0 * call for call in range(1, 91)], answers=90.0)
    assert worker.wait(600.0, 30.0) is None
    assert worker.looks == [7.5 * look for look in range(1, 12)]
    assert LOOKS == 4


@pytest.mark.parametrize("hangs_at", [0.001, 7.4, 7.5, 7.6, 29.0, 100.0, 431.3])
def test_a_call_that_hangs_is_found_by_its_own_limit_and_no_more_than_a_look_later(hangs_at: float) -> None:
    ends = [hangs_at * call / 17 for call in range(1, 18)]
    assert max(after - before for before, after in pairwise([0.0, *ends])) < 30.0
    worker = Pretended(ends)
    assert worker.wait(10_000.0, 30.0) == Overdue(30.0, in_call=True, calls=17)
    assert hangs_at + 30.0 <= worker.time <= hangs_at + 37.5


def test_a_hang_in_the_first_call_is_found_at_the_limit() -> None:
    worker = Pretended([])
    assert worker.wait(10_000.0, 30.0) == Overdue(30.0, in_call=True, calls=0)
    assert worker.time == 30.0


def test_a_slow_turn_whose_calls_come_to_their_end_is_not_ended_by_what_a_call_may_take() -> None:
    worker = Pretended([29.0 * call for call in range(1, 201)], answers=29.0 * 200)
    assert worker.wait(20 * 200 * 29.0, 30.0) is None
    assert worker.time == 29.0 * 200


def test_it_is_ended_by_what_the_turn_may_take() -> None:
    worker = Pretended([29.0 * call for call in range(1, 201)], answers=29.0 * 200)
    assert worker.wait(300.0, 30.0) == Overdue(300.0, in_call=False, calls=10)
    assert worker.time == 300.0


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ([], Overdue(30.0, in_call=True, calls=0)),  # no call was ever over: it is in its first one for 30 s
        ([0.1], Overdue(30.0, in_call=False, calls=1)),  # in its second one for less
    ],
)
def test_where_the_whole_turn_may_take_no_longer_than_a_call_the_turn_ends_at_its_limit(
    ends: list[float], expected: Overdue
) -> None:
    worker = Pretended(ends)
    assert worker.wait(30.0, 30.0) == expected
    assert worker.time == 30.0


def test_what_was_left_from_the_last_turn_is_not_taken_for_progress_twice() -> None:
    worker = Pretended([], stale=12)
    assert worker.wait(10_000.0, 30.0) == Overdue(30.0, in_call=True, calls=12)
    assert worker.time == 37.5


def test_a_worker_that_does_not_show_its_calls_has_the_limit_of_the_turn_only() -> None:
    worker = Pretended([], shows=False)
    assert worker.wait(300.0, 30.0) == Overdue(300.0, in_call=False, calls=None)
    assert worker.time == 300.0


def test_what_makes_no_calls_is_not_looked_at() -> None:
    worker = Pretended([])
    assert worker.wait(300.0) == Overdue(300.0, in_call=False, calls=None)
    assert (worker.time, worker.looks) == (300.0, [])
