"""Calls that begin before the model's inputs are there: making them is inside the clock, the same way for every arm."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Scalar
from mlbench.runtimes import Batch, Device, Session


class OriginalsSession(ABC):
    """A session whose calls are given items as a caller of the model has them in hand.

    Args:
        session: The session that answers the model's inputs.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        device: Device | None = getattr(session, "device", None)
        self.device: Device | None = None if device is None else _OriginalsDevice(device, self._inputs)
        if hasattr(session, "compile"):
            self.compile = self._compile
        if hasattr(session, "libraries"):
            self.libraries = session.libraries
        if hasattr(session, "placement"):
            self.placement = self._placement

    @abstractmethod
    def prepare(self, batch: Batch) -> list[Any]:
        """Items as Python values, from arrays of them, first axis items. Outside the clock."""

    @abstractmethod
    def made(self, items: list[Any]) -> dict[str, npt.NDArray[Any]]:
        """The model's inputs of those items, by name."""

    @abstractmethod
    def maker(self) -> dict[str, Scalar]:
        """The library that makes them, with its version."""

    def run(self, prepared: list[Any]) -> Any:
        """From items to the model's result."""
        return self._session.run(self._inputs(prepared))

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """As the wrapped session."""
        return self._session.outputs(result)

    def effective(self) -> dict[str, Scalar]:
        """As the wrapped session, with ``timing`` and what makes its inputs."""
        return {**self._session.effective(), "timing": "end-to-end", **self.maker()}

    def _inputs(self, items: list[Any]) -> Any:
        return self._session.prepare(self.made(items))

    def _placement(self, prepared: list[Any]) -> dict[str, Scalar]:
        ask: Any = getattr(self._session, "placement", None)
        found: dict[str, Scalar] = ask(self._inputs(prepared))
        return found

    def _compile(self, prepared: list[Any]) -> None:
        compile_for: Any = getattr(self._session, "compile", None)
        compile_for(self._inputs(prepared))


class _OriginalsDevice:
    """The device of such a session: on its own clock is what is left when the model's inputs are there."""

    def __init__(self, device: Device, inputs: Callable[[list[Any]], Any]) -> None:
        self._device = device
        self._inputs = inputs

    def synchronize(self) -> None:
        self._device.synchronize()

    def reset_peak(self) -> None:
        self._device.reset_peak()

    def peak_mib(self) -> float:
        return self._device.peak_mib()

    def call_ms(self, prepared: list[Any]) -> float:
        return self._device.call_ms(self._inputs(prepared))
