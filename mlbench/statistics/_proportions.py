"""Shares and differences of paired shares, by score intervals that never collapse to a point."""

from __future__ import annotations

import math
from collections.abc import Callable

from scipy import special, stats

from mlbench.records import Estimate

_HALVINGS = 100  # of an interval inside [-1, 1]: more than doubles can tell apart


def wilson(k: int, n: int, level: float = 0.95, unit: str = "fraction") -> Estimate:
    """The share k / n with Wilson's score interval (Wilson 1927).

    Args:
        k: Items that have the property.
        n: Items.
        level: Confidence level.
        unit: Unit of the estimate.

    Raises:
        ValueError: Not 0 <= k <= n with n >= 1.
    """
    if not 0 <= k <= n or n < 1:
        raise ValueError(f"a share needs 0 <= k <= n and n >= 1, not {k} of {n}")
    z2 = _z(level) ** 2
    share = k / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n * n))) / (1 + z2 / n)
    # at the ends the bound is exact, and rounding must not put it beside the point
    low = 0.0 if k == 0 else max(0.0, centre - half)
    high = 1.0 if k == n else min(1.0, centre + half)
    return Estimate(share, low, high, level, n, unit, "Wilson score interval")


def tango(b: int, c: int, n: int, level: float = 0.95, unit: str = "fraction") -> Estimate:
    """The difference (b - c) / n of two paired shares with Tango's score interval.

    Tango (1998), Statistics in Medicine 17, 891-908: the differences that the score test with the restricted maximum
    likelihood estimate of the discordant share does not reject. With b = c = 0 the interval is ±z²/(n + z²): a sample
    without any change does not show that there is none.

    Args:
        b: Items that only the first has right.
        c: Items that only the second has right.
        n: All items.
        level: Confidence level.
        unit: Unit of the estimate.

    Raises:
        ValueError: Not b, c >= 0 with b + c <= n and n >= 1.
    """
    if b < 0 or c < 0 or b + c > n or n < 1:
        raise ValueError(f"paired counts need b, c >= 0 and b + c <= n, not b = {b}, c = {c}, n = {n}")
    z, point = _z(level), (b - c) / n
    low = -1.0 if c == n else _root(lambda delta: _tango_score(b, c, n, delta) - z, -1.0, point)
    high = 1.0 if b == n else _root(lambda delta: _tango_score(b, c, n, delta) + z, point, 1.0)
    return Estimate(point, low, high, level, n, unit, "Tango score interval, paired")


def mcnemar_exact(b: int, c: int) -> float:
    """McNemar's exact two-sided p of "neither is right more often": binomial on the b + c items that differ.

    Raises:
        ValueError: A count is negative.
    """
    if b < 0 or c < 0:
        raise ValueError(f"counts cannot be negative: {b}, {c}")
    return 1.0 if b + c == 0 else float(stats.binomtest(b, b + c).pvalue)


def _z(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a confidence level lies between 0 and 1, not {level}")
    return float(special.ndtri(0.5 + level / 2))


def _tango_score(b: int, c: int, n: int, delta: float) -> float:
    """Tango's score statistic for a true difference ``delta``; falls as ``delta`` grows."""
    linear = (2 * n - b + c) * delta - b - c
    constant = -c * delta * (1 - delta)
    root = math.sqrt(max(0.0, linear * linear - 8 * n * constant))
    discordant = max(0.0, (root - linear) / (4 * n))  # restricted estimate of the share c / n
    variance = n * (2 * discordant + delta * (1 - delta))
    distance = b - c - n * delta
    if variance <= 0.0:
        return 0.0 if distance == 0.0 else math.copysign(math.inf, distance)
    return distance / math.sqrt(variance)


def _root(function: Callable[[float], float], positive: float, negative: float) -> float:
    """Where a falling function crosses zero, between a point where it is positive and one where it is negative."""
    for _ in range(_HALVINGS):
        middle = (positive + negative) / 2
        if function(middle) > 0:
            positive = middle
        else:
            negative = middle
    return (positive + negative) / 2
