"""The machine around the measurement: busy CPUs, stolen time and pressure, from the kernel's own counters."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from mlbench.measurement.clock import Clock, MonotonicClock

_STEAL = 7
_IDLE_FIELDS = (3, 4)  # idle and iowait of /proc/stat
_CPU_FIELDS = 8  # user nice system idle iowait irq softirq steal; guest time is part of user
_RESOURCES = ("cpu", "memory", "io")


class MachineProbe:
    """What everybody did during a turn, in seconds (source: ``/proc/stat``, ``/proc/pressure``).

    Busy and stolen time are those of the CPUs that this process may use; where the kernel lists others (some
    containers renumber them), of all CPUs.

    Args:
        proc: The proc file system.
        ticks_per_second: Unit of ``/proc/stat``.
        affinity: CPUs that a process may run on.
        clock: For the time between the readings, which is a little more than the turn.
    """

    name = "machine"
    provides: tuple[str, ...] = ()

    def __init__(
        self,
        proc: Path = Path("/proc"),
        ticks_per_second: float | None = None,
        affinity: Callable[[int], Collection[int]] = os.sched_getaffinity,
        clock: Clock | None = None,
    ) -> None:
        self._clock = clock or MonotonicClock()
        self._begun = 0
        self._stat = proc / "stat"
        self._pressure = {name: proc / "pressure" / name for name in _RESOURCES}
        self._tick = 1.0 / (ticks_per_second or os.sysconf("SC_CLK_TCK"))
        self._labels = frozenset(f"cpu{cpu}" for cpu in affinity(0))
        self._offered: tuple[str, ...] = ()
        self._before: dict[str, float] = {}

    def available(self) -> str | None:
        """None when ``/proc/stat`` can be read; pressure is read besides where the kernel offers it."""
        try:
            self._busy()
        except (OSError, ValueError) as error:
            return f"{self._stat} cannot be read ({error})"
        return None

    def source(self) -> str:
        """The kernel's counters."""
        return "procfs"

    def lacks(self) -> Mapping[str, str]:
        """Nothing: these figures are evidence on the machine, no metrics of an arm."""
        return {}

    def start(self) -> None:
        """See which kinds of pressure can be read here: some kernels have them switched off."""
        offered = []
        for name in _RESOURCES:
            try:
                self._pressure_seconds(name)
            except (OSError, ValueError):
                continue
            offered.append(name)
        self._offered = tuple(offered)

    def begin(self) -> None:
        """Read the counters."""
        self._begun, self._before = self._clock.now_ns(), self.read()

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - the machine is the same for every worker
        """``machine_busy_s``, ``machine_steal_s``, and where offered ``cpu_``, ``memory_`` and ``io_pressure_s``.

        They are those of ``machine_window_s``, the time since :meth:`begin`.
        """
        after = self.read()
        figures = {name: max(0.0, after[name] - before) for name, before in self._before.items()}
        return {**figures, "machine_window_s": (self._clock.now_ns() - self._begun) / 1e9}

    def stop(self) -> None:
        """Nothing is held open."""

    def read(self) -> dict[str, float]:
        """The counters as they are now, in seconds since boot."""
        busy, steal = self._busy()
        counters = {"machine_busy_s": busy, "machine_steal_s": steal}
        return counters | {f"{name}_pressure_s": self._pressure_seconds(name) for name in self._offered}

    def _busy(self) -> tuple[float, float]:
        lines = [line.split() for line in self._stat.read_text().splitlines() if line.startswith("cpu")]
        mine = [fields for fields in lines if fields[0] in self._labels]
        if len(mine) < len(self._labels) or not mine:
            mine = lines[:1]  # the sum over all CPUs
        busy = steal = 0
        for fields in mine:
            values = [int(value) for value in fields[1 : _CPU_FIELDS + 1]]
            if len(values) < _CPU_FIELDS:
                raise ValueError(f"a line has {len(values)} figures, {_CPU_FIELDS} are expected")
            steal += values[_STEAL]
            busy += sum(values) - values[_STEAL] - sum(values[index] for index in _IDLE_FIELDS)
        if not mine:
            raise ValueError("it has no line on CPUs")
        return busy * self._tick, steal * self._tick

    def _pressure_seconds(self, name: str) -> float:
        # "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345": microseconds in which some task waited
        with self._pressure[name].open() as pressure:
            first = pressure.readline()
        return int(first.rpartition("total=")[2]) / 1e6
