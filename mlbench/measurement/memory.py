"""Memory of this process, as the kernel states it."""

from __future__ import annotations

from pathlib import Path

from mlbench.errors import WorkerError

_KIB_PER_MIB = 1024


def memory_mib(field: str, status: Path = Path("/proc/self/status")) -> float:
    """``VmRSS`` or ``VmHWM`` of this process in MiB.

    ``VmHWM`` starts afresh with the process image; ``ru_maxrss`` would be inherited from the parent across exec.

    Raises:
        WorkerError: The kernel does not say.
    """
    for line in status.read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / _KIB_PER_MIB
    raise WorkerError(f"{status} has no {field}: peak memory cannot be read on this system")


def unique_mib(rollup: Path = Path("/proc/self/smaps_rollup")) -> float | None:
    """Memory in MiB that would be free again if this process ended (USS): pages that no other process maps.

    The kernel walks every mapping for it, so it is never read while anything is timed. None where it is not offered.
    """
    try:
        lines = rollup.read_text().splitlines()
    except OSError:
        return None
    private = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(private) / _KIB_PER_MIB if private else None


def memory_kills(counters: Path = Path("/proc/vmstat")) -> int:
    """Processes that the kernel has ended for want of memory since the machine was started; 0 where it does not say."""
    try:
        lines = counters.read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)
