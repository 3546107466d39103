"""The clock of all measurements, passed in as an argument so that tests run on fake time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol


class Clock(Protocol):
    """A monotonic clock and the CPU clock of this process, both in nanoseconds."""

    now_ns: Callable[[], int]
    cpu_ns: Callable[[], int]


class MonotonicClock:
    """``CLOCK_MONOTONIC``: unaffected by NTP or date changes, and comparable between processes of one machine.

    The attributes are the built-in functions themselves, so that reading the clock costs no Python frame.
    """

    now_ns = staticmethod(time.perf_counter_ns)
    cpu_ns = staticmethod(time.process_time_ns)
