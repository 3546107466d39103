"""An object in a process of its own: what it loads, and what it breaks, is not this process's.

It is asked by method name; arguments, answers and errors go over two pipes as pickles, which both ends of the same
program have written. Nothing is timed while it works: the measurement has workers of another kind.
"""

from __future__ import annotations

import io
import os
import pickle
import select
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from mlbench.errors import WorkerGoneError
from mlbench.measurement.interpreters import command, environment
from mlbench.measurement.lifeline import die_with
from mlbench.measurement.own_process import OwnProcess

_PATH = "PYTHONPATH"
_LOOK_S = 1.0  # how often a silent process is looked at: one of its own may keep its pipe open when it is gone
_LEAVE_S = 5.0  # for an orderly end
_HURRY_S = 1.0  # for what an interrupted step tidies up

Tell = Callable[[str], None]


class Apart:
    """A process with one object in it, made there when it is first asked for something. A context manager.

    Args:
        make: Makes the object, from ``args`` and, last, what it may tell in the meantime; found by name over there.
        args: What it is made from.
        tell: Told what the object tells, while it is being asked.
    """

    def __init__(self, make: Callable[..., Any], *args: Any, tell: Tell = lambda _text: None) -> None:
        self._make = (make, args)
        self._tell = tell
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(hurry=error is not None)

    @property
    def begun(self) -> bool:
        """Whether its process is there; it is not before the first question, and not after it is gone."""
        return self._child is not None

    def begin(self) -> None:
        """Start its process, and have it import what the object needs; no need to wait for it."""
        if self._child is None:
            self._child = _Child()
            with suppress(_GoneError):  # the first question will say so
                self._child.send((*self._make, os.environ.get(_PATH)))

    def ask(self, method: str, *args: Any) -> Any:
        """Call a method of the object and wait for its answer.

        Raises:
            WorkerGoneError: The process ended over it; the next question makes another one.
            Exception: What the method raised.
        """
        self.begin()
        child = self._child
        assert child is not None
        try:
            child.send((method, args))
            while True:
                kind, value = child.receive()
                if kind != "told":
                    break
                self._tell(value)
        except _GoneError:
            self._child = None
            raise child.gone() from None
        except BaseException:
            child.interrupt()
            self.close(hurry=True)
            raise
        child.forward()
        if kind == "raised":
            raise value
        return value

    def close(self, *, hurry: bool = False) -> None:
        """End the process and all that it has started; it may tidy up, for a moment only if there is hurry."""
        child, self._child = self._child, None
        if child is not None:
            child.end(_HURRY_S if hurry else _LEAVE_S)


class _GoneError(Exception):
    """The process says no more."""


class _Child:
    """The process and the pipes to it."""

    def __init__(self) -> None:
        self._interrupted = False
        self._process = OwnProcess(
            command(None, "mlbench.measurement.apart", str(os.getpid())), environment(None, os.environ)
        )
        self._to = io.BufferedWriter(_Writing(self._process.writer, self._process.has_ended), 1 << 20)
        self._from = io.BufferedReader(_Reading(self._process.reader, self._process.has_ended), 1 << 20)

    def send(self, value: Any) -> None:
        try:
            pickle.dump(value, self._to, pickle.HIGHEST_PROTOCOL)
            self._to.flush()
        except OSError as error:
            raise _GoneError from error

    def receive(self) -> tuple[str, Any]:
        try:
            kind, value = pickle.load(self._from)  # noqa: S301 - from a process of this program
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            if isinstance(error, pickle.UnpicklingError) and "truncated" not in str(error):
                raise
            raise _GoneError from error
        return kind, value

    def forward(self) -> None:
        """Show what was printed over there since the last time."""
        printed = self._process.printed()
        if printed:
            sys.stderr.write(printed)

    def gone(self) -> WorkerGoneError:
        """How it ended, and what it last said."""
        try:
            return self._process.gone("its process")
        finally:
            self._close()

    def interrupt(self) -> None:
        """Have it stop what it does; what it says of that is nobody's business."""
        self._interrupted = True
        self._process.interrupt()

    def end(self, seconds: float) -> None:
        with suppress(OSError):
            self._to.close()  # which it reads as the end
        try:
            self._process.has_ended(seconds)
            if not self._interrupted:
                self.forward()
        finally:  # also where this is interrupted
            self._process.end()
            self._close()

    def _close(self) -> None:
        for file in (self._to, self._from, self._process):
            with suppress(OSError):  # what was not sent yet goes nowhere
                file.close()


class _End(io.RawIOBase):
    """An end of a pipe whose other end is given up with the process, though somebody else may keep that open.

    Args:
        descriptor: The pipe, owned from here on.
        has_ended: Whether the process has.
    """

    def __init__(self, descriptor: int, has_ended: Callable[[], bool]) -> None:
        self._descriptor = descriptor
        self._has_ended = has_ended

    def close(self) -> None:
        if not self.closed:
            os.close(self._descriptor)
        super().close()


class _Reading(_End):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while True:
            ended = self._has_ended()  # asked before the pipe is looked at: what it said last is read
            if select.select([self._descriptor], [], [], 0.0 if ended else _LOOK_S)[0]:
                return os.readv(self._descriptor, [buffer])
            if ended:
                return 0


class _Writing(_End):
    def __init__(self, descriptor: int, has_ended: Callable[[], bool]) -> None:
        super().__init__(descriptor, has_ended)
        os.set_blocking(descriptor, False)

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        while not self._has_ended():
            if select.select([], [self._descriptor], [], _LOOK_S)[1]:
                return os.write(self._descriptor, data)
        raise BrokenPipeError


# ---------------------------------------------------------------------------------------------------------------------
# the process itself


def serve(reader: Any, writer: Any) -> None:
    """Make the object, and answer for it until the pipe is closed."""

    def say(kind: str, value: Any) -> None:
        pickled = pickle.dumps((kind, value), pickle.HIGHEST_PROTOCOL)  # whole, before the first byte is written
        writer.write(pickled)
        writer.flush()

    made: Any = None
    (make, args, path), begun = pickle.load(reader), False  # noqa: S301 - from the process that has started this one
    os.environ.pop(_PATH, None)  # what it was set to is for this process, and not for those that it starts
    if path is not None:
        os.environ[_PATH] = path
    while True:
        try:
            method, given = pickle.load(reader)  # noqa: S301 - as above
        except EOFError:
            return
        try:
            if not begun:
                made, begun = make(*args, lambda text: say("told", text)), True
            answer = getattr(made, method)(*given)
            sys.stderr.flush()
            say("answer", answer)
        except Exception as error:  # noqa: BLE001 - whatever is raised here is raised over there
            sys.stderr.flush()
            say("raised", _portable(error))


def _portable(error: Exception) -> Exception:
    """The error as it goes through a pipe, with where it comes from."""
    home = type(error).__module__.partition(".")[0]
    # a library's own would be imported with its library where it arrives, or could not be made again
    again = error if home in ("builtins", "mlbench") else RuntimeError(f"{type(error).__name__}: {error}")
    again.add_note("".join(traceback.format_exception(error)).rstrip())  # shown where a traceback is, and nowhere else
    return again


def main() -> None:
    """Keep the pipes to ourselves, so that a library that prints cannot break the conversation."""
    die_with(int(sys.argv[1]))
    signal.signal(signal.SIGINT, signal.default_int_handler)  # also where it was ignored by who started all this
    reader, writer = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(2, 1)
    with suppress(KeyboardInterrupt, BrokenPipeError):  # nobody listens any more
        serve(reader, writer)


if __name__ == "__main__":
    main()
