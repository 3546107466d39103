"""How often a CPU slowed down because it was too hot, from the kernel's counters (x86: ``thermal_throttle``)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

_COUNTERS = ("core_throttle_count", "package_throttle_count")


class ThermalProbe:
    """Thermal throttling events during a turn: the largest increase of any counter of the CPUs in use.

    Not a sum: hardware threads of a core, and cores of a package, count the same event.

    Args:
        sys_root: The sys file system.
        affinity: CPUs that a process may run on.
    """

    name = "thermal"
    provides = ("cpu/thermal_throttles",)

    def __init__(
        self, sys_root: Path = Path("/sys"), affinity: Callable[[int], Collection[int]] = os.sched_getaffinity
    ) -> None:
        self._cpus = sys_root / "devices" / "system" / "cpu"
        self._affinity = affinity
        self._files: tuple[Path, ...] = ()
        self._before: tuple[int, ...] = ()

    def available(self) -> str | None:
        """None where the kernel counts throttling and says so."""
        self._files = self._find()
        if not self._files:
            return "the kernel exposes no thermal_throttle counters here (most virtual machines, other CPUs than x86)"
        try:
            self._read()
        except (OSError, ValueError) as error:
            return f"the thermal_throttle counters cannot be read ({error})"
        return None

    def source(self) -> str:
        """The kernel's counters."""
        return "thermal_throttle"

    def lacks(self) -> Mapping[str, str]:
        """Nothing: there is one figure."""
        return {}

    def start(self) -> None:
        """Find the counters."""
        self._files = self._find()

    def begin(self) -> None:
        """Read the counters."""
        self._before = self._read()

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - heat of the CPUs beside is heat too
        """``thermal_throttles`` of this turn."""
        increases = (after - before for after, before in zip(self._read(), self._before, strict=True))
        return {"thermal_throttles": float(max(0, *increases))}

    def stop(self) -> None:
        """Nothing is held open."""

    def _find(self) -> tuple[Path, ...]:
        places = (self._cpus / f"cpu{cpu}" / "thermal_throttle" for cpu in sorted(self._affinity(0)))
        return tuple(place / name for place in places for name in _COUNTERS if (place / name).is_file())

    def _read(self) -> tuple[int, ...]:
        return tuple(int(path.read_text()) for path in self._files)
