"""Runtimes: load an artifact, answer batches. The worker process imports these, so they import their library late."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mlbench.records import Artifact, RuntimeSettings, Scalar

Batch = Mapping[str, npt.NDArray[Any]]


class Device(Protocol):
    """A device with a clock and a memory of its own, as a session sees it."""

    def synchronize(self) -> None:
        """Wait until it is done with everything it was given."""
        ...

    def reset_peak(self) -> None:
        """Let the peak of its memory start anew."""
        ...

    def peak_mib(self) -> float:
        """Peak of the memory that this process has taken on it since then, MiB."""
        ...

    def call_ms(self, prepared: Any) -> float:
        """Make one call and say how long it took on the device's own clock, ms."""
        ...


class Session(Protocol):
    """A loaded artifact, ready to answer.

    A session on a device may also have it as ``device`` (:class:`Device`), None where there is none.

    A session that compiles in this process may also have ``compile(prepared)``, called once before the first call:
    what it takes is recorded as compile time, apart from loading and from the first call.

    A session whose library computes matrix products through another one may also have ``libraries(call)``, asked
    once after the last turn with a call of the model as it was timed: facts about that one, for ``effective``.

    A session that can say where the parts of its model run may also have ``placement(prepared)``, asked once in a
    study, when a worker has made its report: facts for ``effective``. It may take as much memory as loading did.
    """

    def prepare(self, batch: Batch) -> Any:
        """Turn numpy inputs (first axis: items) into what ``run`` takes. Outside the clock."""
        ...

    def run(self, prepared: Any) -> Any:
        """One call of the model. This, and only this, is timed; it returns when the device is done."""
        ...

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """What ``run`` returned, as numpy arrays in the order of the artifact's outputs. Outside the clock."""
        ...

    def effective(self) -> dict[str, Scalar]:
        """What is really in force: ``runtime``, ``version``, ``threads``, ``device``, ``precision``, providers ..."""
        ...


class Runtime(Protocol):
    """A way to serve artifacts. Implementations are stateless classes without constructor arguments.

    One whose library can say where the time of a call goes may also have ``profile(artifact, settings, batches)``,
    which gives a :class:`mlbench.records.Profile` for each batch: from a few calls, in a process that measures nothing.

    One whose settings may ask for what is not here may also have ``check_available(settings)``, which raises
    WorkerError: it is asked before anything is measured, and says nothing of a single artifact.
    """

    name: str
    formats: tuple[str, ...]

    def import_library(self) -> None:
        """Import what serving needs, so that the memory floor can be read before the artifact is loaded."""
        ...

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> Session:
        """Load the artifact.

        Raises:
            WorkerError: The artifact or the settings cannot be served; the message says why.
        """
        ...


__all__ = ["Batch", "Device", "Runtime", "Session"]
