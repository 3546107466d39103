"""The machine around the measurement: busy CPUs, stolen time and CPU pressure, from the kernel's own counters."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_STEAL = 7
_IDLE_FIELDS = (3, 4)  # idle and iowait of /proc/stat
_CPU_FIELDS = 8  # user nice system idle iowait irq softirq steal; guest time is part of user


class MachineProbe:
    """CPU seconds of the whole machine during a turn (source: ``/proc/stat``, ``/proc/pressure/cpu``).

    Args:
        proc: The proc file system.
        ticks_per_second: Unit of ``/proc/stat``.
    """

    name = "machine"
    provides: tuple[str, ...] = ()

    def __init__(self, proc: Path = Path("/proc"), ticks_per_second: float | None = None) -> None:
        self._stat = proc / "stat"
        self._pressure = proc / "pressure" / "cpu"
        self._tick = 1.0 / (ticks_per_second or os.sysconf("SC_CLK_TCK"))
        self._has_pressure = False
        self._before: dict[str, float] = {}

    def available(self) -> str | None:
        """None when ``/proc/stat`` can be read; CPU pressure is read besides where the kernel offers it."""
        try:
            self._busy()
        except (OSError, ValueError) as error:
            return f"{self._stat} cannot be read ({error})"
        return None

    def source(self) -> str:
        """The kernel's counters."""
        return "procfs"

    def start(self) -> None:
        """See whether CPU pressure can be read here: some kernels have it switched off."""
        try:
            self._pressure_seconds()
            self._has_pressure = True
        except (OSError, ValueError):
            self._has_pressure = False

    def begin(self) -> None:
        """Read the counters."""
        self._before = self.read()

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - the machine is the same for every worker
        """``machine_busy_s``, ``machine_steal_s`` and, where offered, ``cpu_pressure_s`` of this turn, in seconds."""
        after = self.read()
        return {name: max(0.0, after[name] - before) for name, before in self._before.items()}

    def stop(self) -> None:
        """Nothing is held open."""

    def read(self) -> dict[str, float]:
        """The counters as they are now, in seconds since boot."""
        busy, steal = self._busy()
        counters = {"machine_busy_s": busy, "machine_steal_s": steal}
        if self._has_pressure:
            counters["cpu_pressure_s"] = self._pressure_seconds()
        return counters

    def _busy(self) -> tuple[float, float]:
        with self._stat.open() as stat:
            fields = [int(value) for value in stat.readline().split()[1 : _CPU_FIELDS + 1]]
        if len(fields) < _CPU_FIELDS:
            raise ValueError(f"its first line has {len(fields)} figures, {_CPU_FIELDS} are expected")
        steal = fields[_STEAL]
        idle = sum(fields[index] for index in _IDLE_FIELDS)
        return (sum(fields) - idle - steal) * self._tick, steal * self._tick

    def _pressure_seconds(self) -> float:
        # "some avg10=0.00 avg60=0.00 avg300=0.00 total=12345": microseconds in which some task waited for a CPU
        with self._pressure.open() as pressure:
            first = pressure.readline()
        return int(first.rpartition("total=")[2]) / 1e6
