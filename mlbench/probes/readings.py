"""The probes around one turn. What a probe cannot read costs its figures of that turn, and not the study."""

from __future__ import annotations

from collections.abc import Sequence

from mlbench.probes import Probe


class Readings:
    """Reads every probe before and after a turn.

    Args:
        probes: Started.
    """

    def __init__(self, probes: Sequence[Probe]) -> None:
        self._probes = tuple(probes)
        self._begun: list[Probe] = []

    def begin(self) -> None:
        """A turn is about to start."""
        self._begun = []
        for probe in self._probes:
            try:
                probe.begin()
            except Exception:  # noqa: BLE001, S112 - a driver's or a third party's own errors; the figure is missing then
                continue
            self._begun.append(probe)

    def end(self, pid: int) -> dict[str, float]:
        """The turn of that process is over: all figures that could be read on both sides of it."""
        figures: dict[str, float] = {}
        for probe in self._begun:
            try:
                figures.update(probe.end(pid))
            except Exception:  # noqa: BLE001, S112 - as above
                continue
        return figures
