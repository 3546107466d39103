"""Which CPUs a trial runs on, and keeping a worker there."""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from contextlib import suppress
from pathlib import Path

from mlbench.errors import WorkerError

_TOPOLOGY = Path("/sys/devices/system/cpu")
_TASKS = Path("/proc/self/task")
_CPUINFO = Path("/proc/cpuinfo")


def usable_cpus(topology: Path = _TOPOLOGY) -> tuple[int, ...]:
    """The CPUs this process may run on: one of every physical core first, then their hardware threads.

    Where the kernel does not say which hardware threads share a core, the order is by number.
    """
    seen: dict[str, int] = {}
    ranked = []
    for cpu in sorted(os.sched_getaffinity(0)):
        try:
            core = (topology / f"cpu{cpu}" / "topology" / "thread_siblings_list").read_text().strip()
        except OSError:
            core = str(cpu)
        seen[core] = seen.get(core, 0) + 1
        ranked.append((seen[core], cpu))
    return tuple(cpu for _, cpu in sorted(ranked))


def trial_cpus(cpus: Sequence[int], trial: int, threads: int) -> tuple[int, ...]:
    """The CPUs of one trial: ``threads`` of ``cpus``, another share in every trial, the same for every arm.

    Args:
        cpus: CPUs to share out; empty leaves workers to the scheduler, and so is the answer.
        trial: Number of the trial, from 0.
        threads: CPUs an arm needs; with more than there are, all of them.
    """
    count = min(threads, len(cpus))
    return tuple(cpus[(trial * count + offset) % len(cpus)] for offset in range(count))


def pin(cpus: Collection[int], tasks: Path = _TASKS) -> None:
    """Keep every thread of this process, and those it will start, on ``cpus``.

    Raises:
        WorkerError: The system refuses.
    """
    try:
        for task in tasks.iterdir():
            os.sched_setaffinity(int(task.name), cpus)
    except OSError as error:
        raise WorkerError(
            f"the worker cannot be kept on CPU {', '.join(map(str, sorted(cpus)))} ({error.strerror});"
            " protocol.pin_cpus=false leaves it to the scheduler"
        ) from error


def allowed(tasks: Path = _TASKS) -> tuple[int, ...]:
    """The CPUs that the threads of this process may run on, all threads together."""
    found: set[int] = set()
    for task in tasks.iterdir():
        with suppress(ProcessLookupError):  # a thread that has just ended
            found |= os.sched_getaffinity(int(task.name))
    return tuple(sorted(found))


def cpu_fields(cpuinfo: Path = _CPUINFO) -> dict[str, str]:
    """What the kernel says of the first processor, by its own names; empty where it cannot be read."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    fields: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    return fields


def cpu_vendor(cpuinfo: Path = _CPUINFO) -> str:
    """``GenuineIntel``, ``AuthenticAMD``, ...; empty where the kernel does not say, as on ARM."""
    return cpu_fields(cpuinfo).get("vendor_id", "")
