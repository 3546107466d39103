"""Percentiles that know their sample size (docs/method.md, "Percentiles")."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from scipy import special

from mlbench.records import Estimate


@cache
def min_samples(q: float, level: float = 0.95) -> int:
    """The fewest samples that support the ``q`` quantile: 46 for 0.9, 93 for 0.95, 473 for 0.99, 4,742 for 0.999.

    With them the second largest observation is a one-sided bound for the quantile at this level, that is
    P(Binomial(n, 1 - q) <= 1) <= 1 - level: the bound leaves at least one observation above. For q < 0.5 the same
    holds with the smallest ones.

    Args:
        q: Quantile, in (0, 1).
        level: Level of the bound.

    Raises:
        ValueError: ``q`` or ``level`` is not in (0, 1).
    """
    if not 0 < q < 1 or not 0 < level < 1:
        raise ValueError(f"a quantile and its level lie between 0 and 1, not {q} and {level}")
    tail = min(q, 1 - q)
    enough = 2
    while special.bdtr(1, enough, tail) > 1 - level:
        enough *= 2
    too_few = enough // 2
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if special.bdtr(1, middle, tail) <= 1 - level else (middle, enough)
    return enough


def supported(n: int, q: float, level: float = 0.95) -> bool:
    """Whether ``n`` samples support the ``q`` quantile."""
    return n >= min_samples(q, level)


def percentile(samples: npt.ArrayLike, q: float, level: float = 0.95, unit: str = "") -> Estimate | None:
    """The ``q`` quantile with a distribution-free interval from order statistics.

    With n independent samples the number below the true quantile is Binomial(n, q), whatever the distribution; the
    interval's ends are the innermost order statistics that miss it with at most (1 - level) / 2 each (David and
    Nagaraja, Order Statistics, 3rd ed., 7.1). The point is linearly interpolated, as numpy does.

    Args:
        samples: Any shape; at least :func:`min_samples` for an answer.
        q: Quantile, in (0, 1).
        level: Confidence level.
        unit: Unit of the samples.

    Returns:
        The estimate with ``n`` samples, or None when the sample does not support this quantile.

    Raises:
        ValueError: ``q`` or ``level`` is not in (0, 1), or a sample is not finite.
    """
    values = np.sort(np.asarray(samples, dtype=np.float64), axis=None)
    if not np.isfinite(values).all():
        raise ValueError("percentiles take finite samples")
    n = len(values)
    if not supported(n, q, level):
        return None
    below = special.bdtr(np.arange(n), n, q)  # P(at most k samples below the quantile), k = 0 .. n - 1
    miss = (1 - level) / 2
    lower = int(np.searchsorted(below, miss, side="right"))  # 1-based rank; 0 where no observation is low enough
    upper = int(np.searchsorted(below, 1 - miss, side="left")) + 1
    return Estimate(
        value=float(np.quantile(values, q)),
        low=float(values[lower - 1]) if lower >= 1 else None,
        high=float(values[upper - 1]) if upper <= n else None,
        level=level,
        n=n,
        unit=unit,
        method="order statistics",
    )
