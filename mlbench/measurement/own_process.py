"""A process that this one has started for itself: two pipes to it, what it prints, and how it ended."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from mlbench.errors import WorkerGoneError
from mlbench.measurement.guarding import let_go, watch_over
from mlbench.measurement.memory import memory_kills

_DYING_S = 5.0  # from the end of a process's pipe to its own end
_LOOK_S = 0.01
_KIB_PER_MIB = 1024


class OwnProcess:
    """A process in a group of its own, so that a Ctrl-C of the terminal reaches this process only, which ends it.

    Args:
        command: What to start.
        env: Its environment.
        pass_fds: Descriptors that it inherits, besides the pipes that are its standard input and output.

    Attributes:
        reader, writer: This end of its standard output and input; whoever takes them closes them.
        peak_mib: Its peak resident memory in MiB when it has ended; None before, or where the kernel's figure could be
            that of the process that has started it.
    """

    def __init__(self, command: Sequence[str], env: Mapping[str, str], pass_fds: Sequence[int] = ()) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed by close(); what the process prints
        self._shown = 0
        self._memory_kills = memory_kills()
        self._process = subprocess.Popen(
            command,
            pass_fds=pass_fds,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env=env,
            start_new_session=True,
            bufsize=0,
        )
        watch_over(self._process.pid)
        self._inherited_mib = _peak_mib(resource.getrusage(resource.RUSAGE_SELF))
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self.reader, self.writer = os.dup(self._process.stdout.fileno()), os.dup(self._process.stdin.fileno())
        self._process.stdin.close()
        self._process.stdout.close()
        self.pid = self._process.pid
        self.peak_mib: float | None = None

    def interrupt(self) -> None:
        """Send it what Ctrl-C sends."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGINT)

    def has_ended(self, within_s: float = 0.0) -> bool:
        """Whether it comes to its end within so many seconds; it is not taken leave of."""
        until = time.monotonic() + within_s
        while self._process.returncode is None:
            if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                return True
            if time.monotonic() >= until:
                return False
            time.sleep(_LOOK_S)
        return True

    def end(self) -> None:
        """End what is left of its process group, and take leave of it; harmless when it is gone already."""
        if self._process.returncode is not None:
            return
        with suppress(ProcessLookupError):  # before it is waited for: until then nobody else has its number
            os.killpg(self.pid, signal.SIGKILL)
        let_go(self.pid)
        _, status, usage = os.wait4(self.pid, 0)
        self._process.returncode = os.waitstatus_to_exitcode(status)
        peak = _peak_mib(usage)
        # a process that is started takes over the peak of the one that starts it, until its own is higher
        self.peak_mib = peak if peak > self._inherited_mib else None

    def gone(self, what: str) -> WorkerGoneError:
        """Its pipe is closed: end it, and say how it ended and what it last said.

        Args:
            what: What to call it.
        """
        by_itself = False
        try:
            by_itself = self.has_ended(_DYING_S)
        finally:  # also where this is interrupted
            self.end()
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
        return WorkerGoneError(f"{what} {how}{self.last_words()}", ended_by, self.peak_mib)

    def last_words(self) -> str:
        """The last line that it printed, as the end of a sentence; empty where there is none."""
        said = [line for line in self._read(0).decode(errors="replace").splitlines() if line.strip()]
        return f"; it last said: {said[-1].strip()}" if said else ""

    def printed(self) -> str:
        """What it has printed since this was last asked."""
        printed = self._read(self._shown)
        self._shown += len(printed)
        return printed.decode(errors="replace")

    def _read(self, begin: int) -> bytes:
        """From there on, and without moving the place at which the process writes, which is shared."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), max(0, size - begin), begin)

    def close(self) -> None:
        """Forget what it has printed."""
        self._log.close()


def _peak_mib(usage: resource.struct_rusage) -> float:
    return usage.ru_maxrss / _KIB_PER_MIB
