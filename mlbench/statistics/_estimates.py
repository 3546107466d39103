"""Estimates of measured figures, with the trial as the unit."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from mlbench.records import Estimate
from mlbench.statistics._student import summarize


def trial_estimate(values_per_trial: npt.ArrayLike, unit: str, level: float = 0.95) -> Estimate:
    """The typical value over trials with its interval.

    Positive values: geometric mean with Student's t interval on logarithms. Otherwise (a utilisation can be 0, energy
    above idle can be negative): arithmetic mean with the t interval.

    Args:
        values_per_trial: One value per trial, shape (P,).
        unit: Unit of the values.
        level: Confidence level.

    Returns:
        The estimate; ``n`` is the number of trials, and a single trial has no interval.

    Raises:
        ValueError: There is no value, or one is not finite.
    """
    values = np.asarray(values_per_trial, dtype=np.float64)
    if values.ndim != 1 or not len(values) or not np.isfinite(values).all():
        raise ValueError("an estimate takes one finite value per trial, and at least one")
    positive = bool((values > 0).all())
    summary = summarize(np.log(values)) if positive else summarize(values, scale=0.0)
    back = math.exp if positive else float
    interval = summary.interval(level)
    return Estimate(
        value=back(summary.mean),
        low=None if interval is None else back(interval[0]),
        high=None if interval is None else back(interval[1]),
        level=level,
        n=summary.n,
        unit=unit,
        method="geometric mean over trials, t interval" if positive else "mean over trials, t interval",
    )
