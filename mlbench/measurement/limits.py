"""How long a worker may take, so that one that hangs is found (docs/faults.md, "Workers that die or hang")."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

FACTOR = 20.0
"""A call may take so many times as long as the slowest call of the warm-up: beyond that it is not slow, it hangs."""

LOOKS = 4
"""In the time that one call may take the coordinator looks so many times whether another call is over."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a worker may take for what it is asked.

    Attributes:
        floor_s: What holds calls is never ended sooner, however fast the warm-up was: machines stall.
        unknown_s: For what is not made of calls whose duration is known: loading, the first call, the report.
    """

    floor_s: float = 30.0
    unknown_s: float = 300.0

    def call(self, slowest_s: float) -> float:
        """For one call, which may take :data:`FACTOR` times ``slowest_s``."""
        return self.calls(1, slowest_s)

    def calls(self, count: int, slowest_s: float) -> float:
        """For so many calls, each of which may take :data:`FACTOR` times ``slowest_s``."""
        return max(self.floor_s, FACTOR * count * slowest_s)

    def unsure(self, count: int, call_s: float) -> float:
        """For so many calls, and whatever goes with them, where little is known of how long one takes."""
        return max(self.unknown_s, self.calls(count, call_s))


@dataclass(frozen=True, slots=True)
class Overdue:
    """A worker has taken longer than it may.

    Attributes:
        limit_s: Seconds that it had.
        in_call: For one call; otherwise for all that it was asked.
        calls: Calls that were over; None where that cannot be seen, or where it makes none.
    """

    limit_s: float
    in_call: bool
    calls: int | None


def overdue(
    ready: Callable[[float], bool],
    calls_over: Callable[[], int | None],
    whole_s: float,
    call_s: float = math.inf,
    now: Callable[[], float] = time.monotonic,
) -> Overdue | None:
    """Wait for an answer, and look now and then whether calls come to their end; None when the answer is there.

    A call that hangs is found no sooner than after ``call_s``, and at most one look later.

    Args:
        ready: Sleeps until there is an answer, for so many seconds at most; whether there is one.
        calls_over: How many calls are over; None where the worker does not show them, and then ``call_s`` is not held.
        whole_s: Seconds for the whole answer.
        call_s: Seconds from the end of a call, or from the beginning, to the end of the next.
        now: The clock, in seconds.
    """
    begun = changed = now()
    calls = None if call_s == math.inf else 0
    while not ready(max(0.0, min(begun + whole_s - now(), call_s / LOOKS))):
        shown = None if calls is None else calls_over()
        time_s = now()
        if shown != calls:
            calls, changed = shown, time_s
        if calls is not None and time_s - changed >= call_s:
            return Overdue(call_s, in_call=True, calls=calls)
        if time_s - begun >= whole_s:
            return Overdue(whole_s, in_call=False, calls=calls)
    return None
