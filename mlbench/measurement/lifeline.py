"""A worker never outlives its coordinator: the kernel ends it when the coordinator is gone, however that came about."""

from __future__ import annotations

import ctypes
import os
import signal

_PR_SET_PDEATHSIG = 1  # <linux/prctl.h>


def die_with(parent: int) -> None:
    """Have this process killed as soon as the thread that started it is gone; costs nothing while it lives.

    The end of the pipe alone would not do: a worker in the middle of a long call does not read it.

    Args:
        parent: Process id of the coordinator. If it has ended before this was called, this process ends here.
    """
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the kernel was told
        os._exit(0)
