"""The percentile bootstrap over items, vectorised: a statistic sees how often each item was drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Statistic = Callable[[FloatArray], FloatArray]
"""Weights of shape (resamples, items) in, values of shape (resamples, figures) out. All ones is the sample itself."""

_BLOCK = 4_000_000  # weights held at one time, 32 MB


def bootstrap_interval(
    statistic: Statistic,
    n: int,
    *,
    seed: int,
    resamples: int = 2000,
    strata: npt.ArrayLike | None = None,
    level: float = 0.95,
) -> tuple[FloatArray, FloatArray]:
    """Bounds of the percentile bootstrap interval for every figure of a statistic.

    Items are drawn with replacement; within each stratum, as many as it has, so that a rare class never vanishes. The
    same seed, n and strata give the same draws, so a statistic of two arms on the same items is a paired bootstrap
    (Efron and Tibshirani, An Introduction to the Bootstrap, 13.3).

    Args:
        statistic: Maps weights (resamples, n) to figures (resamples, m).
        n: Items.
        seed: Of the draws.
        resamples: Draws of the whole sample.
        strata: The stratum of every item, shape (n,); None is a single one.
        level: Confidence level.

    Returns:
        Lower and upper bounds, each of shape (m,).

    Raises:
        ValueError: There is no item, or ``strata`` does not fit.
    """
    labels = np.zeros(n, dtype=np.int64) if strata is None else np.asarray(strata)
    if n < 1 or labels.shape != (n,):
        raise ValueError(f"the bootstrap needs at least one item and one stratum for each, not {n} and {labels.shape}")
    figures = np.concatenate([statistic(weights) for weights in _draws(labels, seed, resamples)])
    low, high = np.quantile(figures, [(1 - level) / 2, (1 + level) / 2], axis=0)
    return low, high


def _draws(labels: npt.NDArray[np.generic], seed: int, resamples: int) -> Iterator[FloatArray]:
    """Blocks of weights, shape (some resamples, items): how often each item was drawn."""
    n = len(labels)
    random = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    _, starts, sizes = np.unique(labels[order], return_index=True, return_counts=True)
    start, size = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    block = max(1, _BLOCK // n)
    for done in range(0, resamples, block):
        rows = min(block, resamples - done)
        # position in the sorted order: the start of the item's stratum and a uniform place within it
        place = start + (random.random((rows, n)) * size).astype(np.int64)
        drawn = order[place] + n * np.arange(rows)[:, np.newaxis]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
