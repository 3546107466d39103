"""Which runtime serves an artifact, and opening a session with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError, WorkerError
from mlbench.records import Artifact, RuntimeSettings, Scalar
from mlbench.registry import entries, load
from mlbench.runtimes import Batch, Device, Runtime, Session
from mlbench.runtimes.kept import settings_kept

AUTO = "auto"


def runtime_for(artifact_format: str, settings: RuntimeSettings) -> Runtime:
    """The runtime that ``settings`` name, or for ``auto`` the first registered one that serves the format.

    Raises:
        WorkerError: No such runtime, it is not installed, or it does not serve the format.
    """
    try:
        if settings.name != AUTO:
            named: Runtime = load("runtime", settings.name)()
            if artifact_format not in named.formats:
                raise WorkerError(_not_served(artifact_format, named))
            return named
        absent = []
        for name, entry in entries("runtime").items():
            reason = entry.missing()
            if reason is not None:
                absent.append(f"'{name}' {reason}")
                continue
            runtime: Runtime = load("runtime", name)()
            if artifact_format in runtime.formats:
                return runtime
    except InputError as error:
        raise WorkerError(str(error)) from error
    raise WorkerError("; ".join([f"no runtime here serves {artifact_format} artifacts", *absent]))


def check_runtime(artifact_format: str | None, settings: RuntimeSettings) -> list[str]:
    """Problems of runtime settings, as sentences; cheap: imports no runtime's library.

    Args:
        artifact_format: What is to be served; None when it is not known.
        settings: The settings as the user wrote them.
    """
    if settings.name == AUTO and artifact_format is None:
        return []
    try:
        if artifact_format is None:
            runtime: Runtime = load("runtime", settings.name)()
        else:
            runtime = runtime_for(artifact_format, settings)
    except (InputError, WorkerError) as error:
        return [f"runtime: {error}"]
    checker: Callable[[dict[str, Any]], list[str]] | None = getattr(runtime, "check_options", None)
    return checker(settings.options) if checker is not None else []


def check_available(artifact_format: str, settings: RuntimeSettings) -> None:
    """See that what the settings ask for is here: devices, execution providers, arithmetic of a precision.

    Raises:
        WorkerError: It is not, or no runtime here serves the format.
    """
    runtime = runtime_for(artifact_format, settings)
    checker: Callable[[RuntimeSettings], None] | None = getattr(runtime, "check_available", None)
    if checker is not None:
        checker(settings)


def _not_served(artifact_format: str, runtime: Runtime) -> str:
    return f"'{runtime.name}' does not serve {artifact_format} artifacts; it serves {', '.join(runtime.formats)}"


def open_session(
    artifact: Artifact,
    settings: RuntimeSettings,
    find_runtime: Callable[[str, RuntimeSettings], Runtime] = runtime_for,
) -> Session:
    """Load an artifact into its runtime; calls of a delayed artifact take their stated share longer.

    Raises:
        WorkerError: The artifact or the settings cannot be served; the message says why.
    """
    session = find_runtime(artifact.format, settings).load(artifact, settings)
    percent = artifact.meta.get("delay_percent", 0.0)
    return DelayedSession(session, percent) if percent else session


def answers(
    artifact: Artifact, settings: RuntimeSettings, inputs: Batch, batch_size: int = 32
) -> npt.NDArray[np.float64]:
    """The artifact's first output for all items, in this process; nothing is timed.

    Raises:
        WorkerError: The artifact or the settings cannot be served; the message says why.
    """
    rows = len(next(iter(inputs.values())))
    parts = []
    with settings_kept():
        session = open_session(artifact, settings)
        for start in range(0, rows, batch_size):
            batch = {name: array[start : start + batch_size] for name, array in inputs.items()}
            parts.append(np.asarray(session.outputs(session.run(session.prepare(batch)))[0], dtype=np.float64))
    return np.concatenate(parts)


class DelayedSession:
    """A session whose calls do ``percent`` more work: the clock is read in a loop until that share has passed.

    Args:
        session: The session that answers.
        percent: Share of each call's own duration, in percent.
        now_ns: Monotonic clock.
    """

    def __init__(self, session: Session, percent: float, now_ns: Callable[[], int] = time.perf_counter_ns) -> None:
        self._session = session
        self._percent = percent
        self._now_ns = now_ns
        self.device: Device | None = getattr(session, "device", None)
        if hasattr(session, "compile"):
            self.compile = session.compile
        if hasattr(session, "libraries"):
            self.libraries = session.libraries
        if hasattr(session, "placement"):
            self.placement = session.placement

    def prepare(self, batch: Batch) -> Any:
        """As the wrapped session."""
        return self._session.prepare(batch)

    def run(self, prepared: Any) -> Any:
        """One call, and then busy until ``percent`` of its duration has passed again."""
        start = self._now_ns()
        result = self._session.run(prepared)
        end = self._now_ns()
        until = end + (end - start) * self._percent / 100
        while self._now_ns() < until:
            pass
        return result

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """As the wrapped session."""
        return self._session.outputs(result)

    def effective(self) -> dict[str, Scalar]:
        """As the wrapped session, with ``delay_percent``."""
        return {**self._session.effective(), "delay_percent": self._percent}
