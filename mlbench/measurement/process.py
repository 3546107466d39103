"""Starting worker processes and speaking with them, from the coordinator's side."""

from __future__ import annotations

import math
import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import numpy.typing as npt

from mlbench.disk import no_room
from mlbench.errors import MlbenchError, RefusedError, WorkerGoneError
from mlbench.measurement.cells import calls_over
from mlbench.measurement.guarding import let_go, watch_over
from mlbench.measurement.interpreters import command, environment
from mlbench.measurement.limits import Overdue, overdue
from mlbench.measurement.memory import memory_kills
from mlbench.measurement.settling import Settled, asleep, settle
from mlbench.measurement.wire import PROCESSING, TOKENIZER, Channel, ChannelClosedError, ChannelTimeoutError
from mlbench.records import Arm, Collation

IMPORT_TIMEOUT_S = 300.0
_DYING_S = 5.0  # from the end of a worker's pipe to its own end
_KIB_PER_MIB = 1024
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
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop(); what the worker prints
        self._cells = _shared_file()
        self._asked = ""
        self._memory_kills = memory_kills()
        self._process = subprocess.Popen(
            command(python, "mlbench.measurement.worker", str(os.getpid()), str(self._cells.fileno())),
            pass_fds=(self._cells.fileno(),),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=worker_environment(arm.settings.threads, os.environ, python),
            start_new_session=True,  # a Ctrl-C of the terminal reaches the coordinator only, which ends its workers
            bufsize=0,
        )
        watch_over(self._process.pid)
        self._inherited_mib = _peak_mib(resource.getrusage(resource.RUSAGE_SELF))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(os.dup(self._process.stdout.fileno()), os.dup(self._process.stdin.fileno()))
        self._process.stdin.close()
        self._process.stdout.close()
        self.pid = self._process.pid
        self._peak_mib: float | None = None

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
        self._log.close()
        self._cells.close()

    def _end(self) -> None:
        """End what is left of the process group, and take leave of the worker."""
        self._channel.close()
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):  # before the worker is waited for: until then nobody else has its number
            os.killpg(self.pid, signal.SIGKILL)
        let_go(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        peak = _peak_mib(usage)
        # a process that is started takes over the peak of the one that starts it, until its own is higher
        self._peak_mib = peak if peak > self._inherited_mib else None

    def _late(self, late: Overdue) -> WorkerGoneError:
        """It has taken longer than it may: end it, and say in what, and what it last said."""
        self._end()
        how = f"{'hung in a call' if late.in_call else 'gave no answer'} for {late.limit_s:g} s"
        if late.calls is not None:
            calls = "1 call" if late.calls == 1 else f"{late.calls} calls"
            how += f" (after {calls} of {_CALLS_OF[self._asked]})"
        return WorkerGoneError(f"the worker {how} and was ended{self._last_words()}", peak_mib=self._peak_mib)

    def _gone(self) -> WorkerGoneError:
        """Its pipe is closed: how it ended, and what it last said."""
        by_itself = self._process.returncode is not None or self._has_ended()
        self._end()
        code = self._process.returncode
        ended_by = signal.Signals(-code).name if by_itself and code < 0 else None
        if not by_itself:
            how = "closed its pipe, went on, and was ended"
        elif ended_by is None:
            how = f"ended by itself with exit code {code}"
        else:
            how = f"was ended by signal {ended_by}"
        if ended_by == "SIGKILL" and memory_kills() > self._memory_kills:
            how += ", while the kernel ended processes for want of memory"
        return WorkerGoneError(f"the worker {how}{self._last_words()}", ended_by, self._peak_mib)

    def _last_words(self) -> str:
        self._log.seek(0)
        said = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"; it last said: {said[-1].strip()}" if said else ""

    def _has_ended(self) -> bool:
        """Whether the process comes to its end within a moment; it is not taken leave of."""
        until = time.monotonic() + _DYING_S
        while os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            if time.monotonic() > until:
                return False
            time.sleep(0.01)
        return True


def _shared_file() -> IO[bytes]:
    """An empty file that only the worker and this process have, in memory: see :mod:`mlbench.measurement.cells`."""
    try:
        return os.fdopen(os.memfd_create("mlbench-calls"), "r+b", buffering=0)
    except (AttributeError, OSError):  # no such call in this C library, in this kernel, or in this container
        # not on a disk where that can be: what is written back is protected from writing first, which a call would feel
        return tempfile.TemporaryFile(buffering=0, dir=_IN_MEMORY if os.access(_IN_MEMORY, os.W_OK) else None)


def _peak_mib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / _KIB_PER_MIB


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
