"""Probes: sources of hardware figures. They read cheap counters between turns and never while a call is timed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol


class Probe(Protocol):
    """A source of hardware figures, read by the coordinator at the boundaries of turns.

    Attributes:
        name: Short name in ``probes.names``.
        provides: Metric names that this probe can give, so that an unavailable probe leaves a reason for each.
    """

    name: str
    provides: tuple[str, ...]

    def available(self) -> str | None:
        """None when the figures can be read here; otherwise the reason, as a clause."""
        ...

    def source(self) -> str:
        """Where the figures come from, such as ``rapl`` or ``nvml``."""
        ...

    def lacks(self) -> Mapping[str, str]:
        """Metrics of ``provides`` that this device cannot give, with the reason; asked after ``start``."""
        ...

    def start(self) -> None:
        """Open what is needed. Called once, before the first trial, on an idle machine."""
        ...

    def begin(self) -> None:
        """A turn is about to start."""
        ...

    def end(self, pid: int) -> Mapping[str, float]:
        """The turn is over: figures for it, by name of :attr:`mlbench.records.Turn.hardware`."""
        ...

    def stop(self) -> None:
        """Close what was opened."""
        ...


__all__ = ["Probe"]
