"""The guardian: a process beside the coordinator that ends what a killed coordinator leaves behind.

The kernel ends workers with their coordinator (:mod:`mlbench.measurement.lifeline`), but neither what a worker has
started nor a compiler that a step runs. The guardian sleeps until the coordinator is gone; then it ends what belongs to
a worker's process group, what has the coordinator's mark in its environment, and what was forked from the coordinator.
:mod:`mlbench.measurement.guarding` starts it as a file, ``python -I -S guardian.py PID MARK``, and writes to its
standard input: ``+GROUP``, ``-GROUP``, ``end``. It imports nothing of mlbench and next to nothing else.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

_GONE = (b"Z", b"X")  # ended, and not taken leave of
_PAUSE_S = 0.02
_PATIENCE_S = 10.0  # with what the kernel cannot end now, such as a process that waits for a disk
_LOOKS = 2  # without a find: what is being started just then may be missed by one


def watch(pipe: int, coordinator: int) -> set[int] | None:
    """Sleep until the coordinator says that it is done, or is gone.

    Args:
        pipe: What it writes to.
        coordinator: A descriptor that becomes readable when it is gone (a pidfd); -1 where there is none: then the end
            of the pipe says so.

    Returns:
        The process groups that it had not let go when it was gone; None where it was done.
    """
    waiting, groups, rest = select.poll(), set[int](), b""
    for descriptor in {pipe, coordinator} - {-1}:
        waiting.register(descriptor, select.POLLIN)
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll()}
        data = os.read(pipe, 4096) if pipe in ready else b""
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            if line == b"end":
                return None
            (groups.add if line.startswith(b"+") else groups.discard)(int(line[1:]))
        if data:
            continue  # all that it said counts, also where it is gone by now
        if coordinator in ready or coordinator < 0:
            return groups
        waiting.unregister(pipe)  # closed by a coordinator that lives on


def leftovers(groups: AbstractSet[int], mark: bytes, pipe: str, proc: Path = Path("/proc")) -> list[int]:
    """Processes that only a coordinator that is gone can have left.

    Args:
        groups: Process groups of its workers.
        mark: An entry of the environment that it gave to what it started.
        pipe: What the link of a descriptor of its pipe says; what was forked from it, and became nothing else, has one.
        proc: The proc file system.
    """
    numbers = [int(place.name) for place in proc.iterdir() if place.name.isdecimal()]
    return [n for n in numbers if n != os.getpid() and _is_left(proc / str(n), groups, mark, pipe)]


def _is_left(place: Path, groups: AbstractSet[int], mark: bytes, pipe: str) -> bool:
    try:
        # "pid (name) state ppid pgrp ...": the name may hold blanks and brackets
        state, _, group = (place / "stat").read_bytes().rpartition(b")")[2].split()[:3]
        if state in _GONE:
            return False
        if int(group) in groups or mark in (place / "environ").read_bytes().split(b"\0"):
            return True
        return any(_target(link) == pipe for link in (place / "fd").iterdir())
    except OSError:  # it is gone, or somebody else's
        return False


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""


def end_all(look: Callable[[], list[int]], patience_s: float = _PATIENCE_S) -> None:
    """End what is found, and what that has started meanwhile, until nothing is found any more."""
    until, empty = time.monotonic() + patience_s, 0
    while empty < _LOOKS and time.monotonic() < until:
        found = look()
        for number in found:
            with suppress(OSError):
                os.kill(number, signal.SIGKILL)
        empty = 0 if found else empty + 1
        time.sleep(_PAUSE_S)


def _descriptor(coordinator: int) -> int:
    """A pidfd of the coordinator, whose child this still is; -1 where the kernel has none, or it is gone."""
    try:
        opened = os.pidfd_open(coordinator)
    except (AttributeError, OSError):
        return -1
    return opened if os.getppid() == coordinator else -1


def main() -> None:
    """Become nobody's child, so that nobody takes this for a worker, and watch."""
    coordinator, mark = _descriptor(int(sys.argv[1])), sys.argv[2].encode()
    if os.fork():
        os._exit(0)
    groups = watch(0, coordinator)
    if groups is not None:
        pipe = _target(Path("/proc/self/fd/0"))
        end_all(lambda: leftovers(groups, mark, pipe))


if __name__ == "__main__":
    main()
