"""Estimates of measured figures, with the trial as the unit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mlbench.records import Estimate
from mlbench.statistics._student import from_logarithm, summarize, t_quantile

ON_LOGARITHMS = "geometric mean over trials, t interval"
RATIO = "t interval over trials, on logarithms"
PLAIN = "mean over trials, t interval"


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
    value = math.exp(summary.mean) if positive else summary.mean
    back = from_logarithm if positive else float
    interval = summary.interval(level)
    return Estimate(
        value=value,
        low=None if interval is None else back(interval[0]),
        high=None if interval is None else back(interval[1]),
        level=level,
        n=summary.n,
        unit=unit,
        method=ON_LOGARITHMS if positive else PLAIN,
    )


def at_level(estimate: Estimate, level: float) -> Estimate:
    """The same estimate with its interval at another confidence level.

    Student's t interval is known at every level from its bounds at one and the number of trials: its half-width is a
    multiple of t(n - 1). No other interval is.

    Args:
        estimate: Any estimate; one without an interval stays without.
        level: The confidence level that is wanted.

    Raises:
        ValueError: The interval has another level and is not Student's t.
    """
    if math.isclose(estimate.level, level, abs_tol=1e-9):
        return estimate
    if estimate.low is None and estimate.high is None:
        return replace(estimate, level=level)
    if estimate.method not in (ON_LOGARITHMS, RATIO, PLAIN):
        raise ValueError(
            f"an interval of {estimate.level:g} by '{estimate.method}' is not known at the level {level:g}"
        )
    stretch = t_quantile(estimate.n - 1, 0.5 + level / 2) / t_quantile(estimate.n - 1, 0.5 + estimate.level / 2)

    def moved(bound: float | None) -> float | None:
        if bound is None:
            return None
        if estimate.method == PLAIN:
            return estimate.value + stretch * (bound - estimate.value)
        centre = math.log(estimate.value)
        return from_logarithm(centre + stretch * (math.log(bound) - centre)) if bound > 0 else 0.0

    return replace(estimate, low=moved(estimate.low), high=moved(estimate.high), level=level)
