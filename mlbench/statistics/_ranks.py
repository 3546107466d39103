"""Wilcoxon's signed-rank test, exact for any sample, ties included."""

from __future__ import annotations

import numpy as np
from scipy import stats

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
    ranks = np.rint(2 * stats.rankdata(np.abs(differences))).astype(np.int64)  # doubled, so that mean ranks are whole
    chance = np.zeros(int(ranks.sum()) + 1)
    chance[0] = 1.0
    for rank in ranks:  # each rank counts for the positive side or not, with equal chance
        chance[rank:] = chance[rank:] + chance[:-rank]
        chance /= 2
    positive = int(ranks[differences > 0].sum())
    return float(min(1.0, 2 * min(chance[: positive + 1].sum(), chance[positive:].sum())))
