"""Samples that jump between two speeds (docs/method.md, "Two speeds")."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mlbench.statistics._student import ROUNDING, FloatArray

APART = 0.20
"""Modes closer than this are what throttling does to any arm."""

SEPARATION = 8.0
"""Ashman's D from which the modes count as two: 2 just parts them, and halves of one normal sample have 2.3."""

SHARE, FEWEST = 0.05, 5
"""The rarer mode holds at least this share of all turns, and so many of them ..."""

SUSTAINED = 0.25
"""... and at least this share of the turns of one trial: an isolated burst is no mode."""

_TO_SD = 1.4826  # median absolute deviation to standard deviation, for normal samples


@dataclass(frozen=True, slots=True)
class TwoSpeeds:
    """Two modes of one arm's turns.

    Attributes:
        slow: Which turns are in the slower mode, shape (trials, rounds).
        ratio: Slower over faster mode, medians of the turns.
        separation: Ashman's D of the two.
    """

    slow: npt.NDArray[np.bool_]
    ratio: float
    separation: float


def two_speeds(medians: npt.ArrayLike, others: npt.ArrayLike = ()) -> TwoSpeeds | None:
    """Whether the turns of an arm have two speeds, and which turns have which.

    The turns are split into two by least squares (Fisher 1958; in one dimension the best split is found exactly), and
    the split counts if Ashman's D (Ashman, Bird and Zepf 1994), with medians and median absolute deviations for means
    and standard deviations, is at least :data:`SEPARATION`, the modes are :data:`APART`, and the rarer one is no
    accident (:data:`SHARE`, :data:`SUSTAINED`). What the machine does to all arms is taken off before: a turn counts
    by its distance to the median of the other arms in its round. It must show in the arm's own times too, so that a
    jump of another arm is not put down to this one.

    Args:
        medians: Turn medians of the arm, shape (trials, rounds), positive, any unit.
        others: Those of the other arms for the same trials and rounds, shape (arms, trials, rounds); may be empty.

    Returns:
        The two modes, or None.

    Raises:
        ValueError: The shapes do not fit.
    """
    own = np.log(np.asarray(medians, dtype=np.float64))
    rest = np.asarray(others, dtype=np.float64)
    if own.ndim != 2 or (rest.size and rest.shape[1:] != own.shape):
        raise ValueError(f"turn medians of shape (trials, rounds) are needed, not {own.shape} beside {rest.shape}")
    values = own - np.median(np.log(rest), axis=0) if rest.size else own
    least = max(FEWEST, math.ceil(SHARE * values.size))
    if values.size < 2 * least:
        return None
    slow = _upper(values, least)
    high, low = values[slow], values[~slow]
    gap = float(np.median(high) - np.median(low))
    spread = math.hypot(_spread(high), _spread(low))
    separation = math.sqrt(2) * gap / max(spread, ROUNDING)
    own_gap = float(np.median(own[slow]) - np.median(own[~slow]))
    rarer = slow if slow.mean() <= 0.5 else ~slow
    apart = gap >= math.log1p(APART) and own_gap >= gap / 2
    if not apart or separation < SEPARATION or rarer.mean(axis=1).max() < SUSTAINED:
        return None
    return TwoSpeeds(slow, math.exp(own_gap), separation)


def _upper(values: FloatArray, least: int) -> npt.NDArray[np.bool_]:
    """The upper part of the split in two with the least squares within, each part at least so large."""
    order = np.argsort(values, axis=None, kind="stable")
    ordered = values.ravel()[order]
    count = np.arange(least, len(ordered) - least + 1)  # how many are below
    total = np.cumsum(ordered)
    below, above = total[count - 1], total[-1] - total[count - 1]
    between = count * (len(ordered) - count) * (above / (len(ordered) - count) - below / count) ** 2
    upper = np.zeros(len(ordered), dtype=np.bool_)
    upper[order[count[int(np.argmax(between))] :]] = True
    return upper.reshape(values.shape)


def _spread(values: FloatArray) -> float:
    return _TO_SD * float(np.median(np.abs(values - np.median(values))))
