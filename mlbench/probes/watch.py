"""A look at the machine while nothing is measured: before the first trial, over each trial, and after the last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from mlbench.measurement.clock import Clock, MonotonicClock
from mlbench.probes.machine import MachineProbe
from mlbench.probes.neighbours import Neighbours
from mlbench.records import MachineLook, Moment

LOOK_SECONDS = 0.5
_RATES = {
    "machine_busy_s": "busy_cpus",
    "machine_steal_s": "steal_cpus",
    "cpu_pressure_s": "cpu_waiting",
    "memory_pressure_s": "memory_waiting",
    "io_pressure_s": "io_waiting",
}


class MachineWatch:
    """Collects looks; it runs between trials only, so that it takes no time from any turn.

    Args:
        machine: Reads the machine's counters; None looks at nothing.
        neighbours: Reads the process table.
        clock: For the length of a look.
        sleep: Waits while the idle machine is watched.
        load: Load averages over 1, 5 and 15 minutes.
    """

    def __init__(
        self,
        machine: MachineProbe | None,
        neighbours: Neighbours | None = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        load: Callable[[], tuple[float, float, float]] = os.getloadavg,
    ) -> None:
        self._machine = machine
        self._neighbours = neighbours or Neighbours()
        self._clock = clock or MonotonicClock()
        self._sleep = sleep
        self._load = load
        self._looks: list[MachineLook] = []
        self._started, self._counters = 0, dict[str, float]()

    @property
    def looks(self) -> tuple[MachineLook, ...]:
        """What was seen so far."""
        return tuple(self._looks)

    def before(self) -> None:
        """Watch the idle machine for a moment; everything that is busy now is somebody else."""
        self._idle("before")

    def trial_over(self, trial: int) -> None:
        """A trial has ended and its workers are gone: who else was busy since the last look?"""
        self._look("during", trial)

    def after(self) -> bool:
        """Watch the idle machine again; false when this was interrupted, which must not cost what was measured."""
        try:
            self._idle("after")
        except KeyboardInterrupt:
            return False
        return True

    def _idle(self, moment: Moment) -> None:
        if self._machine is not None:
            self._neighbours.begin()
            self._started, self._counters = self._clock.now_ns(), self._machine.read()
            self._sleep(LOOK_SECONDS)
            self._look(moment)

    def _look(self, moment: Moment, trial: int | None = None) -> None:
        if self._machine is None:
            return
        now, counters = self._clock.now_ns(), self._machine.read()
        seconds = max(now - self._started, 1) / 1e9
        figures = {
            rate: round(max(0.0, counters[name] - self._counters[name]) / seconds, 4)
            for name, rate in _RATES.items()
            if name in counters
        }
        figures["load_1m"] = self._load()[0]
        others = self._neighbours.busiest(seconds)
        self._looks.append(MachineLook(moment, trial, round(seconds, 3), figures, others))
        self._started, self._counters = now, counters
