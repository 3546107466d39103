"""What a control group allows this process: CPU time and memory, as containers limit them (cgroup v2 and v1).

A limit may stand anywhere between this process's group and the root, and the smallest holds. Which CPUs a group may
use (cpuset) needs no reading here: the kernel keeps the affinity of its processes within them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

_UNLIMITED = 1 << 60  # version 1 writes "none" as the largest number of whole pages
_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Throttling:
    """Since the group was made: periods in which it was stopped for having used its CPU time, and for how long."""

    periods: int
    seconds: float


class Cgroup:
    """The control group of this process.

    Args:
        proc: The proc file system.
        root: Where control groups are mounted.
    """

    def __init__(self, proc: Path = Path("/proc"), root: Path = Path("/sys/fs/cgroup")) -> None:
        self._cpu = _directories("cpu", proc, root)
        self._memory = _directories("memory", proc, root)

    def cpus(self) -> float | None:
        """CPU seconds that may be used in a second; None where there is no limit."""
        return min((quota for _, quota in self._limited()), default=None)

    def memory_mib(self) -> float | None:
        """Memory that may be used; None where there is no limit."""
        found = [_number(group / name) for group in self._memory for name in ("memory.max", "memory.limit_in_bytes")]
        return min((limit / _MIB for limit in found if limit is not None and limit < _UNLIMITED), default=None)

    def throttled(self) -> Throttling:
        """How often and how long the groups with a CPU limit were stopped.

        Raises:
            OSError, ValueError: The kernel's statistics cannot be read.
        """
        periods, seconds = 0, 0.0
        for group, _ in self._limited():
            fields = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())
            periods += int(fields["nr_throttled"])
            if "throttled_usec" in fields:
                seconds += int(fields["throttled_usec"]) / 1e6
            else:
                seconds += int(fields["throttled_time"]) / 1e9  # version 1 counts nanoseconds
        return Throttling(periods, seconds)

    def _limited(self) -> list[tuple[Path, float]]:
        """The groups with a CPU limit, and the limit in CPUs."""
        quotas = ((group, _quota(group)) for group in self._cpu)
        return [(group, quota) for group, quota in quotas if quota is not None]


def cpu_budget(group: Cgroup | None = None, affinity: Callable[[int], set[int]] = os.sched_getaffinity) -> int:
    """How many CPUs' worth of time this process may use, in whole CPUs and at least one.

    No more than the CPUs it may run on, and no more than its control group's limit: threads beyond that are stopped
    in every period of the limit.
    """
    count, quota = len(affinity(0)), (group or Cgroup()).cpus()
    return count if quota is None else max(1, min(count, int(quota)))


def _directories(controller: str, proc: Path, root: Path) -> list[Path]:
    """The group's directories for a controller, from its own up to the mounted root, in either version."""
    try:
        lines = (proc / "self" / "cgroup").read_text().splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            mount = root  # version 2: one tree for all controllers
        elif controller in controllers.split(","):
            mount = root / controller if (root / controller).is_dir() else root / controllers
        else:
            continue
        # inside a container the path may be the host's: then only the mounted root, which is the group itself, exists
        parts = [part for part in PurePosixPath(path).parts if part not in ("/", "..")]
        chain = [mount.joinpath(*parts[:length]) for length in range(len(parts), -1, -1)]
        found += [group for group in chain if group.is_dir()]
    return found


def _quota(group: Path) -> float | None:
    try:
        first, second = (group / "cpu.max").read_text().split()
    except (OSError, ValueError):
        quota, period = _number(group / "cpu.cfs_quota_us"), _number(group / "cpu.cfs_period_us")
        return quota / period if quota is not None and quota > 0 and period else None
    return None if first == "max" else int(first) / int(second)


def _number(path: Path) -> int | None:
    """The file's number; None where there is no such file, or it says ``max``."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
