"""How much of the spread comes from the process: two halves of the same trials held against each other."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from mlbench.records import Estimate

MIN_HALVES = 3
"""Trials that a split-half estimate takes at least."""


@dataclass(frozen=True, slots=True)
class BetweenProcesses:
    """Where the spread of log ratios comes from.

    Attributes:
        share: Part of the variance of a trial's value that its processes brought along, 0 to 1.
        process_sd: Standard deviation between processes, in logs (0.01 is 1 %).
        round_sd: Standard deviation between rounds of one trial, in logs.
        trials: Trials that took part.
    """

    share: float
    process_sd: float
    round_sd: float
    trials: int


def between_processes(log_ratios: npt.ArrayLike) -> BetweenProcesses:
    """Split-half estimate of the process effect (Kalibera and Jones 2013: repeat where the variance arises).

    Even and odd rounds of a trial share its processes and nothing else, so the covariance of their means over trials
    is the variance between processes; what is left of the spread is from the rounds. An estimate below 0 counts as 0.

    Args:
        log_ratios: log(variant / baseline) of each round, shape (trials, rounds), at least 3 trials and 2 rounds.

    Raises:
        ValueError: Too few trials or rounds, or a value is not finite.
    """
    values = np.asarray(log_ratios, dtype=np.float64)
    if values.ndim != 2 or values.shape[0] < MIN_HALVES or values.shape[1] < 2:
        raise ValueError(f"at least 3 trials and 2 rounds are needed, not shape {values.shape}")
    if not np.isfinite(values).all():
        raise ValueError("every log ratio must be finite")
    even, odd = values[:, ::2].mean(axis=1), values[:, 1::2].mean(axis=1)
    process = max(0.0, float(np.cov(even, odd, ddof=1)[0, 1]))
    rounds = float(values.var(axis=1, ddof=1).mean())
    total = process + rounds / values.shape[1]
    return BetweenProcesses(process / total if total > 0 else 0.0, math.sqrt(process), math.sqrt(rounds), len(values))


def clopper_pearson(successes: int, n: int, level: float = 0.95) -> Estimate:
    """A share with its exact binomial interval (Clopper and Pearson 1934).

    Raises:
        ValueError: ``n`` is below 1, or ``successes`` is not in 0..n.
    """
    if n < 1 or not 0 <= successes <= n:
        raise ValueError(f"{successes} of {n} is no share")
    bounds = stats.binomtest(successes, n).proportion_ci(level, method="exact")
    return Estimate(successes / n, float(bounds.low), float(bounds.high), level, n, "fraction", "Clopper-Pearson")


def most_expected(n: int, rate: float, level: float = 0.95) -> int:
    """The most of ``n`` that a rate explains: more come with a probability of at most 1 - ``level`` (exact binomial).

    >>> most_expected(40, 0.05), most_expected(10, 0.05)
    (4, 2)
    """
    return next(k for k in range(n + 1) if stats.binom.sf(k, n, rate) <= 1 - level)
