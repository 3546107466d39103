"""Keep what tools print and log off the terminal, but at hand for an error message."""

from __future__ import annotations

import contextlib
import io
import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from typing import IO, Any

from mlbench.errors import BuildError


class Captured:
    """Lines that a tool printed, logged or warned about, in order."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def last(self, count: int = 5) -> str:
        """The last lines, joined for a message."""
        return "; ".join(self.lines[-count:])


class _Stream(io.TextIOBase):
    """Captures what the thread that made it writes; other threads (a progress display) pass through."""

    def __init__(self, captured: Captured, through: IO[str]) -> None:
        super().__init__()
        self._captured = captured
        self._through = through
        self._thread = threading.get_ident()

    def write(self, text: str) -> int:
        if threading.get_ident() != self._thread:
            return self._through.write(text)
        self._captured.lines += [line.strip() for line in text.splitlines() if line.strip()]
        return len(text)

    def flush(self) -> None:
        if threading.get_ident() != self._thread:
            self._through.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._through, name)


class _Handler(logging.Handler):
    def __init__(self, captured: Captured) -> None:
        super().__init__(logging.INFO)
        self._captured = captured

    def emit(self, record: logging.LogRecord) -> None:
        self._captured.lines += [line.strip() for line in record.getMessage().splitlines() if line.strip()]


def _with_handlers(names: tuple[str, ...]) -> list[logging.Logger]:
    """The named loggers, and those below them that have handlers of their own."""
    found = [logging.getLogger(name) for name in names]
    prefixes = tuple(f"{name}." for name in names)
    for name, logger in list(logging.Logger.manager.loggerDict.items()):
        if isinstance(logger, logging.Logger) and logger.handlers and name.startswith(prefixes):
            found.append(logger)
    return found


@contextlib.contextmanager
def quiet(*loggers: str) -> Iterator[Captured]:
    """Capture this thread's prints and warnings, and the messages of the named loggers (and those below them)."""
    captured = Captured()
    handler = _Handler(captured)
    before = []
    for logger in _with_handlers(loggers):
        before.append((logger, logger.handlers, logger.propagate))
        logger.handlers, logger.propagate = [handler], False
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out, err = sys.stdout, sys.stderr
        try:
            with (
                contextlib.redirect_stdout(_Stream(captured, out)),
                contextlib.redirect_stderr(_Stream(captured, err)),
            ):
                yield captured
        finally:
            for logger, handlers, propagate in before:
                logger.handlers, logger.propagate = handlers, propagate
            captured.lines += [f"{item.category.__name__}: {item.message}" for item in caught]


@contextlib.contextmanager
def words(step: str, *loggers: str) -> Iterator[None]:
    """Keep a tool off the terminal, and turn what it raises into the step's failure, in the tool's words."""
    with quiet(*loggers):
        try:
            yield
        except BuildError:
            raise
        except Exception as error:  # tools raise what they like
            first = next(iter(str(error).strip().splitlines()), "")
            raise BuildError(step, f"{type(error).__name__}: {first}") from error
