"""How the policy says what it found: numbers with their intervals, goals and reasons in plain sentences."""

from __future__ import annotations

import math

from mlbench.config import ConstraintConfig
from mlbench.metrics import info
from mlbench.records import ArmResult, Estimate

RELATIVE = ("agreement/", "vs_baseline/")
"""Prefixes of metrics that compare with the baseline by what they are."""

_LABELS = {
    "latency/p50_ms": "p50",
    "latency/p95_ms": "p95",
    "throughput/samples_per_s": "throughput",
    "memory/peak_rss_mib": "peak memory",
    "memory/disk_mib": "file size",
}
_UNITS = ("ms", "mib", "w", "pct")  # how names of metrics end


def label(metric: str) -> str:
    """A metric's name in a sentence: ``p50`` for ``latency/p50_ms``."""
    if metric in _LABELS:
        return _LABELS[metric]
    words = metric.partition("/")[2].split("_")
    return " ".join(words[:-1] if words[-1] in _UNITS else words)


def asked(goal: ConstraintConfig) -> str:
    """The goal as the user set it."""
    where = "" if goal.against == "absolute" or goal.metric.startswith(RELATIVE) else f" against the {goal.against}"
    sure = "" if goal.confidence == 0.95 else f" ({100 * goal.confidence:g} % confidence)"
    return f"{goal.metric}{where}: {limits(goal)}{sure}"


def limits(goal: ConstraintConfig) -> str:
    """The goal's bounds with their unit."""
    unit = _unit(goal)
    bounds = {"at least": goal.min, "at most": goal.max}
    return " and ".join(f"{word} {bound:g}{unit}" for word, bound in bounds.items() if bound is not None)


def _unit(goal: ConstraintConfig) -> str:
    row = info(goal.metric)
    unit = {"points": "points", "percent": "%", "units": row.unit if row is not None else ""}[goal.unit]
    return "" if unit in ("", "fraction", "ratio") else f" {unit}"


def not_excluded(goal: ConstraintConfig, low: float | None, *, relative: bool) -> str:
    """What the interval leaves open."""
    unit = _unit(goal)
    if low is None:
        return f"without an interval it cannot be told whether it is {limits(goal)}"
    if goal.min is None or low >= goal.min:
        return f"it cannot be excluded that it is above {goal.max:g}{unit}"
    if relative and goal.min < 0:
        lost = "1 point" if goal.min == -1 and goal.unit == "points" else f"{-goal.min:g}{unit}"
        return f"it cannot be excluded that it loses more than {lost}"
    return f"it cannot be excluded that it is below {goal.min:g}{unit}"


def plain(estimate: Estimate) -> str:
    """A value with its interval, three significant digits."""
    unit = "" if estimate.unit in ("", "fraction", "ratio") else f" {estimate.unit}"
    bounds = "" if estimate.low is None or estimate.high is None else f" ({estimate.low:.3g} to {estimate.high:.3g})"
    return f"{estimate.value:.3g}{unit}{bounds}"


def signed(estimate: Estimate) -> str:
    """A difference with its sign: points and percent with one decimal, else three significant digits."""
    coarse = estimate.unit in ("points", "%")

    def one(value: float) -> str:
        return f"{round(value, 1) + 0.0:+.1f}" if coarse else f"{value:+.3g}"

    unit = "" if estimate.unit in ("", "fraction", "ratio") else f" {estimate.unit}"
    bounds = "" if estimate.low is None or estimate.high is None else f" ({one(estimate.low)} to {one(estimate.high)})"
    return f"{one(estimate.value)}{unit}{bounds}"


def times(ratio: Estimate) -> tuple[str, str]:
    """A ratio and, with a space before, its interval in brackets, with as many decimals as the interval has meaning."""
    if ratio.low is None or ratio.high is None:
        return f"{ratio.value:.2f}x", ""
    half = (ratio.high - ratio.low) / 2
    decimals = min(3, max(1, math.ceil(-math.log10(half)))) if half > 0 else 2
    interval = f"{100 * ratio.level:.3g} % interval {ratio.low:.{decimals}f} to {ratio.high:.{decimals}f}"
    return f"{ratio.value:.{decimals}f}x", f" ({interval})"


def in_brackets(ratio: Estimate | None) -> str:
    """The interval of a ratio in brackets, with a space before; nothing where there is none."""
    if ratio is None or ratio.low is None or ratio.high is None:
        return ""
    return f" (ratio {ratio.low:.3f} to {ratio.high:.3f})"


def absent(metric: str, arm: ArmResult) -> str:
    """That the metric was not measured, with the reason where one was recorded."""
    return f"{label(metric)} was not measured" + (f": {arm.absent[metric]}" if metric in arm.absent else "")
