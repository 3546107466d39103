"""Wilcoxon's signed-rank test, exact for any sample, ties included."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from mlbench.statistics._student import ROUNDING, FloatArray


def signed_rank_p(values: FloatArray) -> float | None:
    """The exact two-sided p of "the distribution is symmetric about 0" (Wilcoxon 1945).

    Zeros are dropped, ties share their mean rank, and the null distribution is that of the signs given those ranks.

    Args:
        values: Differences, shape (n,).

    Returns:
        The p value, or None where every difference is zero.
    """
    differences = values[np.abs(values) > ROUNDING]
    if not len(differences):
        return None
    _, tie, counts = np.unique(np.abs(differences), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(counts) - counts + 1)[tie]  # doubled, so that mean ranks are whole
    chance = _sums(tuple(np.sort(ranks).tolist()))
    positive = int(ranks[differences > 0].sum())
    return float(min(1.0, 2 * min(chance[: positive + 1].sum(), chance[positive:].sum())))


@lru_cache(maxsize=64)
def _sums(ranks: tuple[int, ...]) -> FloatArray:
    """The chance of every sum of ranks, if each counts for the positive side or not with equal chance."""
    chance = np.zeros(sum(ranks) + 1)
    chance[0] = 1.0
    for rank in ranks:
        chance[rank:] = chance[rank:] + chance[:-rank]
        chance /= 2
    return chance
