"""Starting worker processes and speaking with them, from the coordinator's side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy.typing as npt

from mlbench.errors import RefusedError, WorkerError
from mlbench.measurement.settling import Settled, asleep, settle
from mlbench.measurement.wire import Channel, ChannelClosedError, ChannelTimeoutError
from mlbench.records import Arm

IMPORT_TIMEOUT_S = 300.0
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class WorkerHandle(Protocol):
    """A worker as the coordinator sees it: send a command, wait for the answer."""

    pid: int

    def post(self, command: str, **message: Any) -> None:
        """Send a command without waiting."""
        ...

    def answer(self, timeout: float) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Wait for the answer to the last command.

        Raises:
            RefusedError: The worker could not do it, says why, and waits for the next command.
            WorkerError: The worker died, or did not answer in time.
        """
        ...

    def settle(self) -> Settled:
        """After an answer: wait, for a bounded time and without spinning, until all of its threads sleep."""
        ...

    def stop(self) -> None:
        """End the process and everything it started; harmless when it is gone already."""
        ...


class Launcher(Protocol):
    """Starts one fresh worker for one arm in one trial."""

    def __call__(self, arm: Arm) -> WorkerHandle:
        """Start it and return at once."""
        ...


class WorkerProcess:
    """A real worker process, in its own process group.

    Args:
        arm: The arm that it will serve; its settings fix the thread variables of the environment.
    """

    def __init__(self, arm: Arm) -> None:
        self._arm = arm.name
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by stop(); what the worker prints
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "mlbench.measurement.worker", str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=worker_environment(arm.settings.threads, os.environ),
            start_new_session=True,  # a Ctrl-C of the terminal reaches the coordinator only, which ends its workers
            bufsize=0,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._channel = Channel(os.dup(self._process.stdout.fileno()), os.dup(self._process.stdin.fileno()))
        self._process.stdin.close()
        self._process.stdout.close()
        self.pid = self._process.pid

    def post(self, command: str, **message: Any) -> None:
        """Send a command without waiting."""
        try:
            self._channel.send({"command": command, **message})
        except ChannelClosedError:
            raise WorkerError(self._obituary()) from None

    def answer(self, timeout: float) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Wait for the answer to the last command; see :class:`WorkerHandle`."""
        try:
            header, arrays = self._channel.receive(timeout)
        except ChannelClosedError:
            raise WorkerError(self._obituary()) from None
        except ChannelTimeoutError:
            self.stop()
            raise WorkerError(f"the worker gave no answer for {timeout:g} s and was ended") from None
        if not header.pop("ok"):
            raise RefusedError(str(header["error"]))
        return header, arrays

    def settle(self) -> Settled:
        """Wait until all threads sleep; see :class:`WorkerHandle`."""
        return settle(partial(asleep, self.pid))

    def stop(self) -> None:
        """End the whole process group; see :class:`WorkerHandle`."""
        self._channel.close()
        if self._process.poll() is None:
            with suppress(ProcessLookupError):  # it may end between the look and the signal
                os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _obituary(self) -> str:
        code = self._process.wait()
        if code < 0:
            how = f"was ended by signal {signal.Signals(-code).name}"
        else:
            how = f"ended by itself with exit code {code}"
        self._log.seek(0)
        said = [line for line in self._log.read().decode(errors="replace").splitlines() if line.strip()]
        return f"the worker {how}" + (f"; it last said: {said[-1].strip()}" if said else "")


def worker_environment(threads: int, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a worker: thread pools pinned, and the coordinator's own import path, in its order."""
    path = [entry or str(Path.cwd()) for entry in sys.path]
    return {
        **base,
        **dict.fromkeys(_THREAD_VARIABLES, str(threads)),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys([*path, str(Path(__file__).resolve().parents[2])])),
    }


def arm_message(arm: Arm) -> dict[str, Any]:
    """The arm's artifact and settings as plain values for the wire."""
    return {"artifact": asdict(arm.artifact), "settings": asdict(arm.settings)}
