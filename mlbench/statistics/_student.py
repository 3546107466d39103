"""Student's t for a handful of trials: mean, spread, interval, p values, and how many trials an answer would take."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

FloatArray = npt.NDArray[np.float64]

ROUNDING = 1e-12
"""Below this, differences of logarithms are arithmetic, not measurement."""

_MOST_TRIALS = 10_000  # a study that would take more is not a plan


def t_quantile(df: int, probability: float) -> float:
    """The quantile of Student's t with ``df`` degrees of freedom."""
    return float(special.stdtrit(df, probability))


def from_logarithm(value: float) -> float | None:
    """E to the ``value``; None where that is more than a float holds, which is no bound at all."""
    try:
        return math.exp(value)
    except OverflowError:
        return None


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and standard deviation of one value per trial; ``sd`` is 0 for a single trial."""

    n: int
    mean: float
    sd: float

    @property
    def error(self) -> float:
        """Standard error of the mean."""
        return self.sd / math.sqrt(self.n)

    def interval(self, level: float) -> tuple[float, float] | None:
        """Mean ± t(n - 1) s / sqrt(n); None for a single trial."""
        if self.n < 2:
            return None
        half = t_quantile(self.n - 1, 0.5 + level / 2) * self.error
        return self.mean - half, self.mean + half

    def p_above(self, bound: float) -> float | None:
        """One-sided p of "the true mean is at most ``bound``"; small when the mean lies above. None for one trial."""
        if self.n < 2:
            return None
        distance = self.mean - bound
        if self.error == 0.0:
            return 0.0 if distance > 0 else 1.0
        return float(special.stdtr(self.n - 1, -distance / self.error))

    def p_zero(self) -> float | None:
        """Two-sided p of "the true mean is 0". None for one trial."""
        upper, lower = self.p_above(0.0), self.mirrored().p_above(0.0)
        return None if upper is None or lower is None else min(1.0, 2 * min(upper, lower))

    def p_equivalent(self, bound: float) -> float | None:
        """The larger p of the two one-sided tests of equivalence within ±``bound``. None for one trial."""
        lower, upper = self.p_above(-bound), self.mirrored().p_above(-bound)
        return None if lower is None or upper is None else max(lower, upper)

    def mirrored(self) -> Summary:
        """The same with the opposite sign."""
        return Summary(self.n, -self.mean, self.sd)

    def trials_needed(self, bound: float, alpha: float, least: int) -> int | None:
        """The fewest trials at which this mean and spread would be called, equivalent within ±``bound`` or different.

        None when the spread is unknown (one trial), or when it would take more than 10,000 trials.
        """
        if self.n < 2:
            return None

        def settled(trials: int) -> bool:
            error = self.sd / math.sqrt(trials)
            different = t_quantile(trials - 1, 1 - alpha / 2) * error < abs(self.mean)
            return different or abs(self.mean) + t_quantile(trials - 1, 1 - alpha) * error < bound

        enough = least
        while not settled(enough):
            if enough >= _MOST_TRIALS:
                return None
            enough = min(2 * enough, _MOST_TRIALS)
        too_few = least - 1
        while enough - too_few > 1:  # half-widths shrink with every trial, so bisection finds the first
            middle = (too_few + enough) // 2
            too_few, enough = (too_few, middle) if settled(middle) else (middle, enough)
        return enough


def summarize(values: FloatArray, scale: float = 1.0) -> Summary:
    """Mean and standard deviation, with what is only rounding of the arithmetic taken as zero.

    Args:
        values: One value per trial, shape (n,), n >= 1.
        scale: Least size that rounding is relative to: 1 for logarithms, 0 for values in a unit of their own.
    """
    mean = float(values.mean())
    sd = float(values.std(ddof=1)) if len(values) > 1 else 0.0
    rounding = ROUNDING * max(scale, float(np.abs(values).max()))
    return Summary(len(values), 0.0 if abs(mean) <= rounding else mean, 0.0 if sd <= rounding else sd)
