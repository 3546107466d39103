"""Errors that reach the user, and the exit codes that scripts rely on."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import Any


class ExitCode(IntEnum):
    """Exit codes of the ``mlbench`` command (a public contract)."""

    DONE = 0
    FAILURE = 1
    WRONG_INPUT = 2
    POLICY_NOT_MET = 3
    INCONCLUSIVE = 4
    INTERRUPTED = 130  # what shells report for a command ended by Ctrl-C


class MlbenchError(Exception):
    """Base of every error that mlbench raises on purpose; printed without a traceback."""

    exit_code: ExitCode = ExitCode.FAILURE


class InputError(MlbenchError):
    """The user's input is wrong: every problem found, each one plain sentence.

    Args:
        problems: One sentence per problem, naming the key or file, what was wrong and what would be right.
    """

    exit_code = ExitCode.WRONG_INPUT

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (problems,) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(self.problems))


class BuildError(MlbenchError):
    """A recipe step could not build its artifact; only this arm fails.

    Args:
        step: The step's short name.
        message: What went wrong, in the tool's own words.
    """

    def __init__(self, step: str, message: str) -> None:
        self.step = step
        self._message = message
        super().__init__(f"step '{step}': {message}")

    def __reduce__(self) -> tuple[type[BuildError], tuple[str, str], dict[str, Any]]:
        return type(self), (self.step, self._message), self.__dict__


class WorkerError(MlbenchError):
    """A worker process failed, died or answered wrongly; carries the worker's own message."""


class RefusedError(WorkerError):
    """A worker could not do what it was asked, said why, and is ready for the next command."""


class WorkerGoneError(WorkerError):
    """A worker process is gone: it died, or gave no answer in time and was ended.

    Args:
        message: What happened, in a sentence.
        signal: Name of the signal that ended it; None where none did, or where it was ours.
        peak_mib: Its peak resident memory in MiB; None where the kernel does not tell it.
    """

    def __init__(self, message: str, signal: str | None = None, peak_mib: float | None = None) -> None:
        super().__init__(message)
        self.signal = signal
        self.peak_mib = peak_mib


class TrackingError(MlbenchError):
    """MLflow could not be reached, or refused what was sent."""


class NotAllowedError(TrackingError):
    """MLflow knows who is asking, and does not allow it."""
