"""Arms whose turns jump between two speeds, in words (docs/method.md, "Two speeds")."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlbench import statistics
from mlbench.figures import Figures, turn_p50
from mlbench.records import ConditionKey, Notice
from mlbench.statistics import TwoSpeeds

CODE, TAG = "two_speeds", "mlbench.two_speeds"
_SHOWN = 5  # trials that are named one by one


def two_speeds(figures: Figures, arm: str, arms: Sequence[str], at: ConditionKey) -> Notice | None:
    """What to say of an arm that has two speeds at a condition; None where it has one.

    Args:
        figures: The turns.
        arm: Its name.
        arms: All arms that were measured.
        at: The condition.
    """
    trials = figures.trials(arm)
    beside = [other for other in arms if other != arm and set(trials) <= set(figures.trials(other))]
    own = figures.matrix(arm, at, trials, turn_p50)
    found = statistics.two_speeds(own, [figures.matrix(other, at, trials, turn_p50) for other in beside])
    if found is None:
        return None
    fast, slow = np.median(own[~found.slow]) / 1e6, np.median(own[found.slow]) / 1e6
    return Notice(
        CODE,
        f"{arm} jumps between two speeds at {at.text}: {fast:.3g} ms and {slow:.3g} ms "
        f"(x{found.ratio:.2f}), the slower one in {int(found.slow.sum())} of {found.slow.size} turns: "
        + _where(found, trials),
        "its ratio is a mixture of both; take threads=1, look for other work on this machine, or raise protocol.trials",
    )


def _where(found: TwoSpeeds, trials: Sequence[int]) -> str:
    """In which trials the slower speed was seen, from which round on and in how many of the rounds."""
    rounds = found.slow.shape[1]
    seen = [
        f"trial {trials[row] + 1} ({count} of {rounds}, first in round {int(np.argmax(found.slow[row])) + 1})"
        for row, count in enumerate(found.slow.sum(axis=1))
        if count
    ]
    more = f" and {len(seen) - _SHOWN} more trials" if len(seen) > _SHOWN else ""
    return ", ".join(seen[:_SHOWN]) + more
