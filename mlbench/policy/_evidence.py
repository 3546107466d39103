"""What the policy reads: an arm beside the one it is held against, in the unit and at the level that is asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

from mlbench import statistics
from mlbench._policy_words import absent, label
from mlbench.metrics import info
from mlbench.records import ArmResult, Estimate, Verdict, Versus

Unit = Literal["points", "percent", "units"]
Bounds = tuple[float | None, float | None]

_BY_VERDICT = {
    "vs_baseline/speedup_p50": "latency/p50_ms",
    "vs_baseline/cpu_ratio_p50": "latency/p50_ms",
    "vs_baseline/speedup_p95": "latency/p95_ms",
    "vs_baseline/speedup_throughput": "throughput/samples_per_s",
    "vs_baseline/peak_rss_ratio": "memory/peak_rss_mib",
}


@dataclass(frozen=True, slots=True)
class Pair:
    """An arm and the one that it is held against.

    Attributes:
        against: What the other one is called in a sentence.
        verdicts: Of the arm against the other, by metric.
        deltas: Paired differences of quality, arm minus the other, by name without prefix.
        share: Share of the error rate that each look at the verdicts may spend.
    """

    arm: ArmResult
    other: ArmResult
    against: str
    verdicts: Mapping[str, Verdict]
    deltas: Mapping[str, Estimate]
    share: float = 1.0

    def level(self, confidence: float) -> float:
        """The level at which intervals of paired times and memory are read, so that all looks together keep it."""
        return 1 - (1 - confidence) * self.share


def with_baseline(arm: ArmResult, baseline: ArmResult, share: float) -> Pair:
    """The arm beside the baseline."""
    deltas = {} if arm.quality is None else arm.quality.deltas
    return Pair(arm, baseline, "the baseline", arm.verdicts, deltas, share)


def with_incumbent(arm: ArmResult, incumbent: ArmResult, share: float) -> Pair:
    """The arm beside the incumbent."""
    versus = arm.versus_incumbent or Versus()
    return Pair(arm, incumbent, "the incumbent", versus.verdicts, versus.deltas, share)


def read(pair: Pair, metric: str, confidence: float) -> tuple[Estimate | None, str]:
    """The arm's own figure at a level, or why there is none."""
    estimate = pair.arm.metrics.get(metric)
    if estimate is None:
        return None, absent(metric, pair.arm)
    verdict = pair.verdicts.get(_BY_VERDICT.get(metric, ""))
    if verdict is None:
        return statistics.at_level(estimate, confidence), ""
    if verdict.withheld:
        return None, f"{label(metric)} cannot be relied on: {verdict.reason}"
    return statistics.at_level(estimate, pair.level(confidence)), ""


def difference(pair: Pair, metric: str, unit: Unit, confidence: float) -> tuple[Estimate | None, str]:
    """The arm less the other in a unit and at a level, or why there is none.

    A change in percent, and a difference in units that comes of a ratio, takes the other's own value as measured.
    """
    if metric in pair.verdicts and not metric.startswith("quality/"):
        return _change(pair, metric, unit, confidence)
    delta, reason = _plain_difference(pair, metric, confidence)
    return (None, reason) if delta is None else _in_unit(pair, metric, unit, delta)


def _change(pair: Pair, metric: str, unit: Unit, confidence: float) -> tuple[Estimate | None, str]:
    """A paired ratio, as a change in the unit that is asked."""
    found, reason = ratio(pair, metric, confidence)
    if found is None:
        return None, reason
    change = _moved(found, -1.0)
    if unit == "percent":
        return scaled(change, 100.0, "%"), ""
    theirs = pair.other.metrics.get(metric)
    if theirs is None:
        return None, f"{label(metric)} of {pair.against} was not measured"
    return _in_unit(pair, metric, unit, scaled(change, theirs.value, theirs.unit))


def _plain_difference(pair: Pair, metric: str, confidence: float) -> tuple[Estimate | None, str]:
    """The paired difference of a quality metric, or the difference of two plain facts."""
    prefix, _, name = metric.partition("/")
    row = info(metric)
    theirs, mine = pair.other.metrics.get(metric), pair.arm.metrics.get(metric)
    if prefix == "quality" and name in pair.deltas:
        return statistics.at_level(pair.deltas[name], confidence), ""
    if row is not None and row.exact and theirs is not None and mine is not None:
        return replace(mine, value=mine.value - theirs.value), ""
    if prefix == "quality" or mine is None:
        return None, absent(metric, pair.arm)
    return None, f"{label(metric)} is not compared with {pair.against}"


def ratio(pair: Pair, metric: str, confidence: float) -> tuple[Estimate | None, str]:
    """The arm over the other at a level, or why there is none."""
    if metric in pair.verdicts:
        verdict = pair.verdicts[metric]
        if verdict.withheld or verdict.ratio is None:
            return None, f"{label(metric)} cannot be held against {pair.against}: {verdict.reason}"
        return statistics.at_level(verdict.ratio, pair.level(confidence)), ""
    change, reason = _plain_difference(pair, metric, confidence)
    if change is None:
        return None, reason
    theirs = pair.other.metrics.get(metric)
    if theirs is None or theirs.value <= 0:
        return None, f"{label(metric)} of {pair.against} is not above 0, so there is no ratio to it"
    return _moved(scaled(change, 1 / theirs.value, "ratio"), 1.0), ""


def bounds(metric: str, estimate: Estimate) -> Bounds:
    """Bounds of the interval; the value itself where the metric is a plain fact."""
    row = info(metric)
    if row is not None and row.exact and estimate.low is None and estimate.high is None:
        return estimate.value, estimate.value
    return estimate.low, estimate.high


def scaled(estimate: Estimate, factor: float, unit: str) -> Estimate:
    """The estimate times a positive factor."""
    return replace(
        estimate,
        value=estimate.value * factor,
        low=None if estimate.low is None else estimate.low * factor,
        high=None if estimate.high is None else estimate.high * factor,
        unit=unit,
    )


def negative(estimate: Estimate) -> Estimate:
    """The estimate with the opposite sign."""
    turned = scaled(estimate, -1.0, estimate.unit)
    return replace(turned, low=turned.high, high=turned.low)


def inverse(estimate: Estimate) -> Estimate:
    """The reciprocal of a positive ratio."""
    low = None if estimate.high is None else 1 / estimate.high
    high = 1 / estimate.low if estimate.low else None
    return replace(estimate, value=1 / estimate.value, low=low, high=high)


def in_points(delta: Estimate) -> Estimate:
    """A difference of shares in points; of anything else as it is."""
    return scaled(delta, 100.0, "points") if delta.unit in ("", "fraction") else delta


def _moved(estimate: Estimate, by: float) -> Estimate:
    low = None if estimate.low is None else estimate.low + by
    high = None if estimate.high is None else estimate.high + by
    return replace(estimate, value=estimate.value + by, low=low, high=high)


def _in_unit(pair: Pair, metric: str, unit: Unit, delta: Estimate) -> tuple[Estimate | None, str]:
    """A plain difference in the unit that is asked."""
    if unit == "points":
        return scaled(delta, 100.0, "points"), ""
    if unit == "percent":
        theirs = pair.other.metrics.get(metric)
        if theirs is None or not theirs.value:
            return None, f"{label(metric)} of {pair.against} is 0 or unknown, so there is no change in percent"
        return scaled(delta, 100.0 / abs(theirs.value), "%"), ""
    return delta, ""
