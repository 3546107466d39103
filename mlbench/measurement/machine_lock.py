"""One study at a time on a machine: measuring two side by side would falsify both."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from mlbench.errors import InputError, MlbenchError

VARIABLE = "MLBENCH_LOCK"
_NAME = "mlbench.lock"
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_MAKE = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT | os.O_EXCL
_EVERYBODY_READS = 0o644


class MachineBusyError(MlbenchError):
    """Another study has the machine, and this one was not to wait."""


class MachineLock:
    """The machine for oneself, until it is released or its holder has ended, however that came about.

    The lock is on a file that all users of the machine share, ``mlbench.lock`` in the directory for temporary files
    or what ``MLBENCH_LOCK`` names. It is opened for reading only and never written, so that it does not matter who
    made it, or what somebody put in its place.

    Args:
        wait: Wait for the study that has the machine; otherwise refuse.
        say: Told why it takes a while.

    Raises:
        InputError: There is something else in the lock file's place, or it cannot be made.
        MachineBusyError: Another study has the machine, and this one was not to wait.
    """

    def __init__(self, *, wait: bool, say: Callable[[str], None]) -> None:
        path = Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir()) / _NAME)
        self._descriptor = -1
        while self._descriptor < 0:
            descriptor = _open(path)
            try:
                _lock(descriptor, path, wait=wait, say=say)
                current = _is_current(descriptor, path)
            except BaseException:
                os.close(descriptor)
                raise
            if current:
                self._descriptor = descriptor
            else:  # removed while we waited: whoever comes next would lock another file
                os.close(descriptor)

    def release(self) -> None:
        """Give the machine back; may be called again."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def _open(path: Path) -> int:
    try:
        descriptor = _opened(path)
    except OSError as error:
        raise InputError(
            f"{VARIABLE}: the lock file {path} cannot be used ({error.strerror}); name another one, the same for all "
            "studies on this machine"
        ) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{VARIABLE}: {path} is no plain file: name another one")
    return descriptor


def _opened(path: Path) -> int:
    try:
        return os.open(path, _READ)
    except FileNotFoundError:
        pass
    try:
        descriptor = os.open(path, _MAKE, _EVERYBODY_READS)
    except FileExistsError:  # another study was first
        return os.open(path, _READ)
    os.fchmod(descriptor, _EVERYBODY_READS)  # other users lock it too, whatever our umask
    return descriptor


def _lock(descriptor: int, path: Path, *, wait: bool, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not wait:
            raise MachineBusyError(
                "another study is being measured on this machine, and measuring two would falsify both: without "
                "--no-wait this one waits for its end"
            ) from None
        say(f"another study is being measured on this machine: waiting for its end ({path})")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _is_current(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False
