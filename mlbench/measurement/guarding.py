"""Nothing outlives a coordinator that is killed: while a study runs, a guardian watches over what it starts.

See :mod:`mlbench.measurement.guardian` for what it ends, and how it knows.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlbench.errors import MlbenchError

MARK = "MLBENCH_GUARDED"  # in the environment of everything that is started meanwhile

_pipes: list[int] = []  # to the guardians of this process, of which the last one is told


@contextmanager
def guarded() -> Iterator[None]:
    """Have a guardian: a process that sleeps, and ends what is left of this one's if this one is killed meanwhile.

    It costs a few milliseconds to start, and nothing afterwards. A terminal's Ctrl-C does not reach it. It is no child
    of this process, and ends when this is over.

    Raises:
        MlbenchError: It cannot be started.
    """
    mark, before = secrets.token_hex(16), os.environ.get(MARK)
    pipe = _start(f"{MARK}={mark}")
    _pipes.append(pipe)
    os.environ[MARK] = mark
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(MARK, None)
        else:
            os.environ[MARK] = before
        _tell(pipe, "end")
        _pipes.remove(pipe)
        os.close(pipe)


def watch_over(group: int) -> None:
    """Have the process group ended with this process; without a guardian there is nobody to do it."""
    for pipe in _pipes[-1:]:
        _tell(pipe, f"+{group}")


def let_go(group: int) -> None:
    """The process group has ended: its number may become somebody else's."""
    for pipe in _pipes[-1:]:
        _tell(pipe, f"-{group}")


def _start(mark: str) -> int:
    """Start it, and return the end of its pipe that is written to."""
    reading, writing = os.pipe()
    guardian = str(Path(__file__).with_name("guardian.py"))
    try:
        subprocess.run(  # which ends at once: the guardian is what it has forked
            [sys.executable, "-I", "-S", guardian, str(os.getpid()), mark],
            stdin=reading,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
            check=True,
        )
    except (OSError, subprocess.SubprocessError) as error:
        os.close(writing)
        raise MlbenchError(f"the guardian, a process of mlbench's own, cannot be started: {error}") from error
    finally:
        os.close(reading)
    os.set_blocking(writing, False)
    return writing


def _tell(pipe: int, line: str) -> None:
    with suppress(OSError):  # somebody has ended it, and nothing else suffers from that
        os.write(pipe, f"{line}\n".encode())
