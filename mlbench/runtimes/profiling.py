"""What the runtimes' profilers have in common: a handful of calls, and operators summed up by type."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from mlbench.records import OperatorTime, Profile

DISCARDED, MOST_CALLS, SECONDS = 3, 10, 2.0


@dataclass(frozen=True, slots=True)
class Ran:
    """Some runs of one type of operator in one call: how often, how long all of them took, and on what."""

    operator: str
    count: int
    ms: float
    where: str = ""


def warmed(call: Callable[[], Any], now: Callable[[], float] = time.perf_counter) -> int:
    """Call a few times, and say how many calls to profile: 10, or as many as fit into 2 seconds, but at least one."""
    took = 0.0
    for _ in range(DISCARDED):
        took = timed(call, now) / 1e3
    return max(1, min(MOST_CALLS, int(SECONDS / took) if took > 0 else MOST_CALLS))


def timed(call: Callable[[], Any], now: Callable[[], float] = time.perf_counter) -> float:
    """Call once and say how long it took, milliseconds."""
    start = now()
    call()
    return (now() - start) * 1e3


def profile_of(source: str, batch_size: int, took_ms: Sequence[float], ran: Sequence[Iterable[Ran]]) -> Profile:
    """A profile from what ran in each call; medians over the calls, since one that was disturbed says nothing.

    Args:
        source: The profiler.
        batch_size: Items per call.
        took_ms: Wall time of each call.
        ran: What ran in each call; the same type on the same place is added up.
    """
    counts: Counter[tuple[str, str]] = Counter()
    sums: list[dict[tuple[str, str], float]] = []
    for of_call in ran:
        ms: dict[tuple[str, str], float] = defaultdict(float)
        for item in of_call:
            counts[item.operator, item.where] += item.count
            ms[item.operator, item.where] += item.ms
        sums.append(ms)
    calls = len(sums)
    operators = [
        OperatorTime(operator, count / calls, median(ms.get((operator, where), 0.0) for ms in sums), where)
        for (operator, where), count in counts.items()
    ]
    longest = tuple(sorted(operators, key=lambda item: -item.ms))
    return Profile(source, batch_size, calls, median(took_ms), longest)
