"""The rule that turns paired trials into a verdict (docs/method.md, "Rule")."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import numpy.typing as npt

from mlbench.records import Call, Estimate, Verdict
from mlbench.statistics._estimates import RATIO
from mlbench.statistics._ranks import signed_rank_p
from mlbench.statistics._student import FloatArray, Summary, from_logarithm, summarize

MIN_TRIALS = 6
"""Fewer trials give no verdict: below this not even a rank test could tell (2 / 2**6 < 5 %)."""

SIZE_TOLERANCE = 0.25
"""Wall and CPU time that agree on the call may differ by this share of the wall effect (in logs) before the size of
the effect is not to be believed either."""


def paired_log_ratios(baseline: npt.ArrayLike, variant: npt.ArrayLike) -> FloatArray:
    """One log ratio per trial: the median over rounds of log(variant) - log(baseline).

    The difference is taken inside a round, where both turns are neighbours in time (docs/method.md, "From calls to
    one number per trial"). A metric with one value per trial has one round.

    Args:
        baseline: Turn medians of the baseline, shape (trials, rounds), positive, any unit.
        variant: Turn medians of the variant for the same trials and rounds, same shape and unit.

    Returns:
        Shape (trials,).

    Raises:
        ValueError: The shapes differ or are not (trials, rounds), or a value is not positive and finite.
    """
    old, new = np.asarray(baseline, dtype=np.float64), np.asarray(variant, dtype=np.float64)
    if old.shape != new.shape:
        raise ValueError(f"trials cannot be paired: the baseline has shape {old.shape}, the variant {new.shape}")
    if old.ndim != 2 or old.shape[1] == 0:
        raise ValueError(f"turn medians must have shape (trials, rounds), not {old.shape}")
    for name, values in (("baseline", old), ("variant", new)):
        if not (np.isfinite(values).all() and (values > 0).all()):
            raise ValueError(f"every turn median of the {name} must be positive and finite")
    ratios: FloatArray = np.median(np.log(new) - np.log(old), axis=1)
    return ratios


def compare(
    log_ratios: npt.ArrayLike,
    *,
    metric: str,
    margin: float,
    alpha: float = 0.05,
    lower_is_better: bool = True,
    cpu_log_ratios: npt.ArrayLike | None = None,
) -> Verdict:
    """The verdict on one metric of one variant against the baseline.

    The interval is Student's t over trials, mean ± t(P - 1) s / sqrt(P) on the log ratios. In this order: fewer than
    :data:`MIN_TRIALS` trials are inconclusive; ``equivalent`` if the 1 - 2 alpha interval lies inside the margin (two
    one-sided tests); ``slower`` or ``faster`` if the 1 - alpha interval excludes a ratio of 1; else inconclusive.

    Args:
        log_ratios: One log(variant / baseline) per trial, shape (P,), from :func:`paired_log_ratios`.
        metric: Public name of the metric.
        margin: Equivalence margin as a fraction: 0.03 is 1/1.03 to 1.03.
        alpha: Error rate of the verdict.
        lower_is_better: False where more is better; ``faster`` reads "better" either way.
        cpu_log_ratios: The same from process CPU time, shape (P,). Where it disagrees with wall time the verdict is
            withheld or marked (docs/method.md, "Wall time and processor time").

    Raises:
        ValueError: Shapes are wrong, a value is not finite, or ``margin`` or ``alpha`` is out of range.
    """
    if not margin > 0 or not 0 < alpha <= 0.5:
        raise ValueError(f"margin must be positive and alpha in (0, 0.5], not {margin} and {alpha}")
    wall = _sample(log_ratios, "log_ratios")
    cpu = None if cpu_log_ratios is None else _sample(cpu_log_ratios, "cpu_log_ratios")
    if cpu is not None and len(cpu) != len(wall):
        raise ValueError(f"{len(wall)} trials of wall time cannot be held against {len(cpu)} of CPU time")
    if not len(wall):
        return Verdict(
            metric,
            "inconclusive",
            None,
            margin=margin,
            reason=_too_few(0),
            lower_is_better=lower_is_better,
            withheld=True,
        )
    summary, bound = summarize(wall), math.log1p(margin)
    cpu_summary = None if cpu is None else summarize(cpu)
    verdict = Verdict(
        metric=metric,
        call=_call(summary, bound, alpha, lower_is_better=lower_is_better),
        ratio=_ratio(summary, 1 - alpha),
        equivalence=_ratio(summary, 1 - 2 * alpha),
        margin=margin,
        p_value=summary.p_zero(),
        equivalence_p=summary.p_equivalent(bound),
        rank_p=signed_rank_p(wall),
        trials=summary.n,
        cpu_ratio=None if cpu_summary is None else _ratio(cpu_summary, 1 - alpha),
        lower_is_better=lower_is_better,
    )
    if verdict.call == "inconclusive":
        verdict = unsettled(verdict, summary, alpha)
    return verdict if cpu_summary is None else _held_against(verdict, summary, cpu_summary, alpha)


def withhold(verdict: Verdict, reason: str) -> Verdict:
    """The same evidence with no answer: it is not fit for one, and more trials of the kind would not help."""
    return dataclasses.replace(mark(verdict, reason), call="inconclusive", trials_needed=None, withheld=True)


def mark(verdict: Verdict, reason: str) -> Verdict:
    """The same answer, with something that the reader must know beside it."""
    return dataclasses.replace(verdict, reason=f"{verdict.reason}; {reason}" if verdict.reason else reason)


def unsettled(verdict: Verdict, summary: Summary, alpha: float) -> Verdict:
    """The verdict as inconclusive, with the reason and the number of trials that would settle it."""
    bound = math.log1p(verdict.margin)
    needed = summary.trials_needed(bound, alpha, max(MIN_TRIALS, summary.n + 1))
    few = summary.n < MIN_TRIALS
    reason = _too_few(summary.n) if few else _too_wide(verdict)
    if needed is not None:
        reason += f"; about {needed} trials would settle it"
    return dataclasses.replace(verdict, call="inconclusive", reason=reason, trials_needed=needed, withheld=few)


def recovered(verdict: Verdict) -> Summary | None:
    """Mean and spread of the log ratios, worked back from the interval; None where the verdict has none."""
    ratio = verdict.ratio
    if ratio is None or ratio.low is None or ratio.high is None:
        return None
    unit = Summary(ratio.n, 0.0, math.sqrt(ratio.n)).interval(ratio.level)  # half-width of a standard error of 1
    assert unit is not None
    error = (math.log(ratio.high) - math.log(ratio.low)) / 2 / unit[1]
    return Summary(ratio.n, math.log(ratio.value), error * math.sqrt(ratio.n))


def _sample(values: npt.ArrayLike, name: str) -> FloatArray:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise ValueError(f"{name} must hold one value per trial, not shape {sample.shape}")
    if not np.isfinite(sample).all():
        raise ValueError(f"{name} must be finite")
    return sample


def _call(summary: Summary, bound: float, alpha: float, *, lower_is_better: bool) -> Call:
    different, equivalent = summary.interval(1 - alpha), summary.interval(1 - 2 * alpha)
    if summary.n < MIN_TRIALS or different is None or equivalent is None:
        return "inconclusive"
    if -bound < equivalent[0] and equivalent[1] < bound:
        return "equivalent"
    if different[0] > 0:
        return "slower" if lower_is_better else "faster"
    if different[1] < 0:
        return "faster" if lower_is_better else "slower"
    return "inconclusive"


def _ratio(summary: Summary, level: float) -> Estimate:
    low, high = summary.interval(level) or (None, None)
    return Estimate(
        value=math.exp(summary.mean),
        low=None if low is None else from_logarithm(low),
        high=None if high is None else from_logarithm(high),
        level=level,
        n=summary.n,
        unit="ratio",
        method=RATIO,
    )


def _held_against(verdict: Verdict, wall: Summary, cpu: Summary, alpha: float) -> Verdict:
    """The verdict after the CPU times were heard: kept, marked, or withheld."""
    if verdict.call == "inconclusive":
        return verdict
    mine, theirs = wall.interval(1 - alpha), cpu.interval(1 - alpha)
    assert mine is not None
    assert theirs is not None
    bound, gap = math.log1p(verdict.margin), abs(wall.mean - cpu.mean)
    if (mine[0] <= theirs[1] and theirs[0] <= mine[1]) or gap <= bound:
        return verdict
    reason = f"wall time gives a ratio of {_span(verdict.ratio)}, process CPU time {_span(verdict.cpu_ratio)}"
    same = _call(cpu, bound, alpha, lower_is_better=verdict.lower_is_better) == verdict.call
    if same and gap <= max(bound, SIZE_TOLERANCE * abs(wall.mean)):
        return dataclasses.replace(verdict, reason=f"{reason}: the call is the same, the size is in doubt")
    return withhold(verdict, f"{reason}: they disagree, as they do on a busy machine")


def _span(estimate: Estimate | None) -> str:
    assert estimate is not None
    return f"{estimate.value:.3g} ({estimate.low:.3g} to {estimate.high:.3g})"


def _too_few(trials: int) -> str:
    counted = f"{trials} trials" if trials != 1 else "1 trial"
    return f"{counted}: no verdict with fewer than {MIN_TRIALS}"


def _too_wide(verdict: Verdict) -> str:
    ratio = verdict.ratio
    assert ratio is not None
    return (
        f"the {100 * ratio.level:.3g} % interval of the ratio, {ratio.low:.3f} to {ratio.high:.3f}, does not exclude "
        f"1, and equivalence within {100 * verdict.margin:g} % is not shown"
    )
