"""Whether exactly one arm ran at a time, from what the turns recorded (docs/method.md, "One arm runs at a time")."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from mlbench.records import Notice, Turn

AWAKE_SHARE = 0.05  # medians over rounds bear a few disturbed turns, not more


def overlap(turns: Sequence[Turn]) -> str:
    """The first turn that began before the one before it had ended, as a sentence; nothing where there is none.

    Between two trials no worker is left, and a machine that was started again meanwhile has another clock.

    Args:
        turns: In the order in which they were measured.
    """
    for earlier, later in pairwise(turns):
        if earlier.trial == later.trial and not earlier.start_ns <= earlier.end_ns <= later.start_ns <= later.end_ns:
            return f"{_place(later)} began before {_place(earlier)} had ended"
    return ""


def _place(turn: Turn) -> str:
    return f"the turn of {turn.arm} in trial {turn.trial + 1}, round {turn.round + 1}"


def awake(turns: Sequence[Turn]) -> str:
    """Arms whose threads did not go to sleep after their turns, as a sentence; nothing where all did."""
    took = Counter(turn.arm for turn in turns)
    stayed = Counter(turn.arm for turn in turns if turn.hardware.get("awake"))
    restless = [
        f"{arm} ({count} of {took[arm]} turns)" for arm, count in stayed.items() if count > AWAKE_SHARE * took[arm]
    ]
    return f"threads still ran when the next turn began: {', '.join(restless)}" if restless else ""


def disturbance(turns: Sequence[Turn]) -> str:
    """Why these turns are fit for no verdict, or nothing."""
    return overlap(turns) or awake(turns)


def notices(turns: Sequence[Turn]) -> list[Notice]:
    """What the reader must know of arms that did not run alone."""
    found = []
    if crossed := overlap(turns):
        found.append(
            Notice(
                "overlapping_turns",
                f"more than one arm ran at a time: {crossed}; no verdict is given",
                "this should not be possible: please report it, with plan.json and hardware.parquet",
            )
        )
    if restless := awake(turns):
        found.append(
            Notice(
                "awake_threads",
                f"{restless}; they disturbed every arm, and no verdict is given",
                "unset OMP_WAIT_POLICY, GOMP_SPINCOUNT and KMP_BLOCKTIME, leave the runtime's option allow_spinning "
                "off, or take threads=1",
            )
        )
    return found
