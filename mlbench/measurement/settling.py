"""Waiting until the threads of a worker that has just answered are asleep.

An answer does not end them: the idle threads of an OpenMP pool go on spinning for some milliseconds, in case there is
more to do, and would take a processor away from the arm whose turn comes next.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 0.25
"""Pools are seen asleep within 10 ms; what is awake after so long never sleeps, or has something else to do."""

_FIRST_PAUSE_S = 0.0002
_LONGEST_PAUSE_S = 0.005
_AWAKE = ("R", "D")  # runs or waits for a processor; in a system call that cannot be interrupted


@dataclass(frozen=True, slots=True)
class Settled:
    """How long the coordinator looked and waited, and whether the worker was asleep in the end."""

    ms: float
    asleep: bool


def asleep(pid: int, proc: Path = Path("/proc"), cpu_ns: Callable[[int], int] | None = None) -> bool:
    """Whether every thread of a process sleeps: none runs, and its CPU clock stood still while that was looked at.

    A process that is gone runs no thread either; that it is gone is told when it is next spoken to.

    Args:
        pid: The process.
        proc: The proc file system.
        cpu_ns: CPU time that a process has used, all threads together, in nanoseconds.
    """
    used = cpu_ns or process_cpu_ns
    try:
        before = used(pid)
        states = [_state(task) for task in (proc / str(pid) / "task").iterdir()]
        return not any(state in _AWAKE for state in states) and used(pid) == before
    except OSError:
        return True


def _state(task: Path) -> str:
    try:
        stat = (task / "stat").read_text()
    except OSError:
        return ""  # this thread has just ended
    return stat[stat.rindex(")") + 2]  # "pid (name) state ...", and the name may hold anything


def process_cpu_ns(pid: int) -> int:
    """CPU time of another process, exact at the moment of reading; about 2 µs.

    The clock's number is what ``clock_getcpuclockid(3)`` gives on Linux: ``MAKE_PROCESS_CPUCLOCK(pid, CPUCLOCK_SCHED)``
    of its ``include/linux/posix-timers.h``.
    """
    return time.clock_gettime_ns(~pid << 3 | 2)


def settle(
    at_rest: Callable[[], bool],
    limit_s: float = LIMIT_S,
    now_ns: Callable[[], int] = time.perf_counter_ns,
    sleep: Callable[[float], None] = time.sleep,
) -> Settled:
    """Look until the process is at rest, sleeping between looks for ever longer, for at most about ``limit_s``."""
    begun, pause = now_ns(), _FIRST_PAUSE_S
    while True:
        rest = at_rest()
        spent = now_ns() - begun
        if rest or spent >= limit_s * 1e9:
            return Settled(spent / 1e6, rest)
        sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
