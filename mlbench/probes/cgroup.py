"""Time in which a container was stopped because it had used up its CPU limit, from the control group's statistics."""

from __future__ import annotations

from collections.abc import Mapping

from mlbench.measurement.cgroup import Cgroup, Throttling


class CgroupProbe:
    """Throttling of this process's control group during a turn; the workers belong to the same group.

    Args:
        group: The control group.
    """

    name = "cgroup"
    provides = ("cpu/throttled_pct",)

    def __init__(self, group: Cgroup | None = None) -> None:
        self._group = group or Cgroup()
        self._before = Throttling(0, 0.0)

    def available(self) -> str | None:
        """None where a CPU limit is set and its statistics can be read."""
        if self._group.cpus() is None:
            return "no CPU limit is set for this control group, so nothing can be throttled by one"
        try:
            self._group.throttled()
        except (OSError, ValueError, KeyError) as error:
            return f"the control group's cpu.stat cannot be read ({error})"
        return None

    def source(self) -> str:
        """The kernel's control groups."""
        return "cgroup"

    def lacks(self) -> Mapping[str, str]:
        """Nothing: there is one figure."""
        return {}

    def start(self) -> None:
        """Nothing is held open."""

    def begin(self) -> None:
        """Read the counters."""
        self._before = self._group.throttled()

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - one group holds all workers
        """``cgroup_throttled_s`` and ``cgroup_throttled_periods`` of this turn."""
        after = self._group.throttled()
        return {
            "cgroup_throttled_s": after.seconds - self._before.seconds,
            "cgroup_throttled_periods": float(after.periods - self._before.periods),
        }

    def stop(self) -> None:
        """Nothing is held open."""
