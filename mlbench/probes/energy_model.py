"""Energy by a model, only where the user asks for it: CPU time times a stated power. An assumption, no reading."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlbench.records import Turn


def modelled(turns: Sequence[Turn], watts_per_cpu: float) -> tuple[Turn, ...]:
    """The turns with ``energy_modelled_j``: CPU seconds of the whole turn, discarded calls included, times the power.

    CPU time is recorded over the timed calls; the discarded ones are taken to use the CPU alike.

    Args:
        turns: As measured.
        watts_per_cpu: What one busy CPU takes beyond an idle one, as the user states it.
    """
    return tuple(
        replace(turn, hardware={**turn.hardware, "energy_modelled_j": watts_per_cpu * _cpu_seconds(turn)})
        for turn in turns
    )


def _cpu_seconds(turn: Turn) -> float:
    return turn.cpu_ns / max(turn.wall_ns, 1) * (turn.end_ns - turn.start_ns) / 1e9
