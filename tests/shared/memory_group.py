"""A control group in which processes have little memory together."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

_PLACES = (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max"))
_NUMBERS = count()


@contextmanager
def memory_group(mebibytes: int) -> Iterator[Path | None]:
    """Its directory, through whose ``cgroup.procs`` processes join it; None where none can be made: that needs root."""
    group = _made(mebibytes)
    try:
        yield group
    finally:
        until = time.monotonic() + 10
        while group is not None and group.exists() and time.monotonic() < until:
            with suppress(OSError):  # the kernel is still clearing up after what was ended
                group.rmdir()
            time.sleep(0.01)


def _made(mebibytes: int) -> Path | None:
    for root, limit in _PLACES:
        group = Path(root) / f"mlbench-test-{os.getpid()}-{next(_NUMBERS)}"
        with suppress(OSError):
            group.mkdir()
            try:
                (group / limit).write_text(str(mebibytes << 20))
            except OSError:
                group.rmdir()
                continue
            return group
    return None
