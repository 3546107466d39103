"""Starting worker processes and speaking with them, from the coordinator's side."""

from __future__ import annotations

import math
import os
import tempfile
import time
from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from mlbench.disk import no_room
from mlbench.errors import MlbenchError, RefusedError, WorkerGoneError
from mlbench.measurement.cells import calls_over
from mlbench.measurement.interpreters import command, environment
from mlbench.measurement.limits import Overdue, overdue
from mlbench.measurement.own_process import OwnProcess
from mlbench.measurement.settling import Settled, asleep, settle
from mlbench.measurement.wire import PROCESSING, TOKENIZER, Channel, ChannelClosedError, ChannelTimeoutError
from mlbench.records import Arm, Collation

IMPORT_TIMEOUT_S = 300.0
_IN_MEMORY = "/dev/shm"  # noqa: S108 - a place for files that no disk is behind
_CALLS_OF = {"turn": "this turn", "warm_up": "the warm-up", "predict": "the predictions"}
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerHandle(Protocol):
    """A worker as the coordinator sees it: send a command, wait for the answer."""

    pid: int

    def post(self, command: str, **message: Any) -> None:
        """Send a command without waiting."""
        ...

    def answer(self, timeout: float, call_s: float = math.inf) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Wait for the answer to the last command.

        Args:
            timeout: Seconds for all of it.
            call_s: Seconds for each call that the worker makes for it.

        Raises:
            RefusedError: The worker could not do it, says why, and waits for the next command.
            WorkerGoneError: The worker died, or took longer than one of these and was ended.
        """
        ...

    def settle(self) -> Settled:
        """After an answer: wait, for a bounded time and without spinning, until all of its threads sleep."""
        ...

    def stop(self) -> None:
        """End the process and everything in its process group; harmless when it is gone already."""
        ...


class Launcher(Protocol):
    """Starts one fresh worker for one arm in one trial."""

    def __call__(self, arm: Arm) -> WorkerHandle:
        """Start it and return at once."""
        ...


class WorkerProcess:
    """A real worker process, in its own process group.

    Args:
        arm: The arm that it will serve; its settings fix the interpreter, and the thread variables of the environment.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm.name
        python = arm.settings.python
        self._cells = _shared_file()
        self._asked = ""
        self._process = OwnProcess(
            command(python, "mlbench.measurement.worker", str(os.getpid()), str(self._cells.fileno())),
            worker_environment(arm.settings.threads, os.environ, python),
            pass_fds=(self._cells.fileno(),),
        )
        self._channel = Channel(self._process.reader, self._process.writer)
        self.pid = self._process.pid

    def post(self, command: str, **message: Any) -> None:
        """Send a command without waiting."""
        self._asked = command
        try:
            self._channel.send({"command": command, **message})
        except ChannelClosedError:
            raise self._gone() from None

    def answer(self, timeout: float, call_s: float = math.inf) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Wait for the answer to the last command; see :class:`WorkerHandle`."""
        deadline = time.monotonic() + timeout
        late = overdue(self._channel.ready, partial(calls_over, self._cells.fileno()), timeout, call_s)
        if late is not None:
            raise self._late(late)
        try:
            header, arrays = self._channel.receive(deadline - time.monotonic())
        except ChannelClosedError:
            raise self._gone() from None
        except ChannelTimeoutError:
            raise self._late(Overdue(timeout, in_call=False, calls=None)) from None
        if not header.pop("ok"):
            raise RefusedError(str(header["error"]))
        return header, arrays

    def settle(self) -> Settled:
        """Wait until all threads sleep; see :class:`WorkerHandle`."""
        return settle(partial(asleep, self.pid))

    def stop(self) -> None:
        """End the whole process group; see :class:`WorkerHandle`."""
        self._end()
        self._process.close()
        self._cells.close()

    def _end(self) -> None:
        self._channel.close()
        self._process.end()

    def _late(self, late: Overdue) -> WorkerGoneError:
        """It has taken longer than it may: end it, and say in what, and what it last said."""
        self._end()
        how = f"{'hung in a call' if late.in_call else 'gave no answer'} for {late.limit_s:g} s"
        if late.calls is not None:
            calls = "1 call" if late.calls == 1 else f"{late.calls} calls"
            how += f" (after {calls} of {_CALLS_OF[self._asked]})"
        last = self._process.last_words()
        return WorkerGoneError(f"the worker {how} and was ended{last}", peak_mib=self._process.peak_mib)

    def _gone(self) -> WorkerGoneError:
        """Its pipe is closed: how it ended, and what it last said."""
        gone = self._process.gone("the worker")
        self._channel.close()
        return gone


def _shared_file() -> IO[bytes]:
    """An empty file that only the worker and this process have, in memory: see :mod:`mlbench.measurement.cells`."""
    try:
        return os.fdopen(os.memfd_create("mlbench-calls"), "r+b", buffering=0)
    except (AttributeError, OSError):  # no such call in this C library, in this kernel, or in this container
        # not on a disk where that can be: what is written back is protected from writing first, which a call would feel
        return tempfile.TemporaryFile(buffering=0, dir=_IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None)


def worker_environment(threads: int, base: Mapping[str, str], python: str | None = None) -> dict[str, str]:
    """The environment of a worker: thread pools pinned, and the import path of its interpreter."""
    return {**environment(python, base), **dict.fromkeys(_THREAD_VARIABLES, str(threads))}


def save_inputs(directory: Path, inputs: Mapping[str, npt.NDArray[Any]], collation: Collation | None = None) -> None:
    """Leave the items of every input where workers read them, in the order of the inputs, and what begins each call.

    Raises:
        MlbenchError: There is no room for them, or the directory cannot be written to.
    """
    try:
        for index, array in enumerate(inputs.values()):
            np.save(directory / f"{index}.npy", array)
        for name, text in ((TOKENIZER, collation.tokenizer), (PROCESSING, collation.processing)) if collation else ():
            if text:
                (directory / name).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = no_room(error, directory) or str(error)
        raise MlbenchError(
            f"the workers' inputs cannot be written to {directory}: {reason}; $TMPDIR names another place"
        ) from error


def arm_message(arm: Arm) -> dict[str, Any]:
    """The arm's artifact and settings as plain values for the wire."""
    return {"artifact": asdict(arm.artifact), "settings": asdict(arm.settings)}
