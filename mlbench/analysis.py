"""From what was measured to estimates and verdicts: one result per arm."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from mlbench import statistics
from mlbench.comparison import P50, P95, THROUGHPUT, against_baseline, verdicts
from mlbench.config import ProtocolConfig
from mlbench.explaining import needs_explaining, parents
from mlbench.figures import Figures, turn_mean, turn_p50
from mlbench.handicap import marked
from mlbench.hardware import hardware
from mlbench.measurement.alone import disturbance
from mlbench.metrics import PERCENTILES, SWEEPS
from mlbench.records import (
    Arm,
    ArmResult,
    ConditionKey,
    Estimate,
    Explanation,
    Measurement,
    Noise,
    Notice,
    Quality,
    SeriesPoint,
    Verdict,
    Versus,
)
from mlbench.speeds import TAG, two_speeds


def analyse(
    measurement: Measurement,
    arms: Sequence[Arm],
    qualities: Mapping[str, Quality],
    protocol: ProtocolConfig,
    noise: Noise,
    against_incumbent: Mapping[str, Mapping[str, Estimate]] | None = None,
) -> tuple[ArmResult, ...]:
    """One result per arm of the plan, the baseline first.

    Args:
        measurement: What was measured.
        arms: The arms, in the order of the plan.
        qualities: Quality of each arm that gave predictions.
        protocol: Margin and error rate of the verdicts.
        noise: On an unusable machine every verdict is withheld.
        against_incumbent: Paired differences of quality to the incumbent, by arm.
    """
    figures = Figures(measurement)
    results = {arm.name: _result(arm, figures, measurement, qualities.get(arm.name)) for arm in arms}
    jumps = _two_speeds(figures, [name for name, result in results.items() if result.status != "failed"])
    for name, notices in jumps.items():
        results[name] = replace(
            results[name], warnings=tuple(notices.values()), tags={**results[name].tags, TAG: "true"}
        )
    baseline = measurement.plan.baseline
    variants = [name for name, result in results.items() if name != baseline and result.status != "failed"]
    if results[baseline].status != "failed":
        judged = partial(_judged, figures=figures, measurement=measurement, protocol=protocol, noise=noise, jumps=jumps)
        for name, mine in judged(baseline, variants).items():
            results[name] = against_baseline(results[name], results[baseline], mine, figures, protocol)
        for incumbent in [name for name in variants if results[name].role == "incumbent"]:
            for name, mine in judged(incumbent, [name for name in variants if name != incumbent]).items():
                deltas = dict((against_incumbent or {}).get(name, {}))
                results[name] = replace(results[name], versus_incumbent=Versus(mine, deltas))
        for parent, children in _families(results).items():
            against = {} if parent == baseline else judged(parent, children)
            for name in children:
                results[name] = _to_explain(results[name], parent, against.get(name, results[name].verdicts))
    return marked([results[name] for name in sorted(results, key=lambda name: name != baseline)])


def _families(results: Mapping[str, ArmResult]) -> dict[str, list[str]]:
    """The variants that were measured, by the arm whose recipe they extend."""
    found: dict[str, list[str]] = {}
    for name, parent in parents([arm for arm in results.values() if arm.status != "failed"]).items():
        found.setdefault(parent, []).append(name)
    return found


def _to_explain(result: ArmResult, parent: str, verdicts: Mapping[str, Verdict]) -> ArmResult:
    """The result, with an explanation to be filled in where it is not shown to be faster than its parent."""
    verdict = verdicts.get(P50)
    if verdict is None or not needs_explaining(verdict):
        return result
    return replace(result, why=Explanation(parent, verdict))


def _judged(
    other: str,
    names: Sequence[str],
    *,
    figures: Figures,
    measurement: Measurement,
    protocol: ProtocolConfig,
    noise: Noise,
    jumps: Mapping[str, Mapping[ConditionKey, Notice]],
) -> dict[str, dict[str, Verdict]]:
    """Verdicts of arms against one other, marked and withheld where the evidence is not fit, by arm and metric."""
    found = verdicts(figures, other, names, protocol)
    judged = {}
    for name in names:
        mine = {metric: calls[name] for metric, calls in found.items() if name in calls}
        mine = _marked(mine, figures, {arm: of for arm, of in jumps.items() if arm in (name, other)})
        reason = _withheld(name, other, measurement, noise)
        if reason:
            mine = {metric: statistics.withhold(verdict, reason) for metric, verdict in mine.items()}
        judged[name] = mine
    return judged


def _two_speeds(figures: Figures, names: Sequence[str]) -> dict[str, dict[ConditionKey, Notice]]:
    """What to say of the arms that jump between two speeds, by arm and condition."""
    conditions = dict.fromkeys((figures.plan.latency_at, figures.plan.throughput_at))
    served = {at: [name for name in names if figures.refused(name, at) is None] for at in conditions}
    found = {
        name: {at: two_speeds(figures, name, arms, at) for at, arms in served.items() if name in arms} for name in names
    }
    said = {name: {at: notice for at, notice in of.items() if notice} for name, of in found.items()}
    return {name: of for name, of in said.items() if of}


def _marked(
    verdicts: Mapping[str, Verdict], figures: Figures, jumps: Mapping[str, Mapping[ConditionKey, Notice]]
) -> dict[str, Verdict]:
    """The verdicts on times, marked where the arm or the baseline has two speeds at the condition they are about."""
    plan = figures.plan
    about = {P50: plan.latency_at, P95: plan.latency_at, THROUGHPUT: plan.throughput_at}
    marked = dict(verdicts)
    for arm, conditions in jumps.items():
        for metric, at in about.items():
            if metric in marked and at in conditions:
                marked[metric] = statistics.mark(marked[metric], f"the turns of {arm} jump between two speeds")
    return marked


def _withheld(name: str, baseline: str, measurement: Measurement, noise: Noise) -> str:
    """Why no verdict may be given, or nothing."""
    for arm in (name, baseline):
        lost = measurement.lost_by(arm)
        if lost:
            return f"{len(lost)} of {measurement.plan.trials} trials of {arm} were lost ({lost[0].reason})"
    if not measurement.complete:
        return "the study was interrupted before its planned end"
    if noise.level == "unusable":
        return f"the machine was unusable for measuring: {'; '.join(noise.evidence)}"
    return disturbance(measurement.turns)


def _result(arm: Arm, figures: Figures, measurement: Measurement, quality: Quality | None) -> ArmResult:
    """Everything about one arm that needs no other arm."""
    result = ArmResult(name=arm.name, role=arm.role, recipe=arm.recipe, artifact=arm.artifact)
    lost = measurement.lost_by(arm.name)
    trials = figures.trials(arm.name)
    if not trials:
        reason = lost[0].reason if lost else "the study was interrupted before its first trial was complete"
        return replace(result, status="failed", failure=reason)
    metrics, absent = _latency(arm.name, figures)
    series, refused = _series(arm.name, figures)
    absent |= refused
    found = hardware(
        arm,
        figures.by_trial(arm.name, figures.plan.latency_at),
        figures.by_trial(arm.name, figures.plan.throughput_at),
        [figures.worker(arm.name, trial) for trial in trials],
        measurement.absent,
    )
    metrics |= found.metrics
    absent |= found.absent
    if quality is not None:
        metrics |= {f"quality/{name}": estimate for name, estimate in quality.metrics.items()}
        metrics |= {f"agreement/{name}": estimate for name, estimate in quality.agreement.items()}
    return replace(
        result,
        status="incomplete" if lost or not measurement.complete else "ok",
        failure=f"{len(lost)} of {measurement.plan.trials} trials were lost: {lost[0].reason}" if lost else "",
        effective=figures.worker(arm.name, trials[0]).effective,
        metrics=metrics,
        absent=absent,
        series=series,
        quality=quality,
        tags=found.tags,
    )


def _latency(name: str, figures: Figures) -> tuple[dict[str, Estimate], dict[str, str]]:
    plan = figures.plan
    metrics = {
        P50: statistics.trial_estimate(figures.per_trial(name, plan.latency_at, turn_p50) / 1e6, "ms"),
        "latency/mean_ms": statistics.trial_estimate(figures.per_trial(name, plan.latency_at, turn_mean) / 1e6, "ms"),
        "latency/load_ms": statistics.trial_estimate(figures.reports(name, lambda worker: worker.load_ms), "ms"),
        "latency/first_call_ms": statistics.trial_estimate(
            figures.reports(name, lambda worker: worker.first_call_ms), "ms"
        ),
    }
    compiling = figures.reports(name, lambda worker: math.nan if worker.compile_ms is None else worker.compile_ms)
    if not np.isnan(compiling).any():  # only runtimes that compile in their worker
        metrics["latency/compile_ms"] = statistics.trial_estimate(compiling, "ms")
    absent: dict[str, str] = {}
    refused = figures.refused(name, plan.throughput_at)
    if refused is None:
        metrics[THROUGHPUT] = _throughput(name, plan.throughput_at, figures)
    else:
        absent[THROUGHPUT] = f"{plan.throughput_at.text}: {refused}"
    for percentile, level in PERCENTILES.items():
        metric = f"latency/{percentile}_ms"
        estimate = _percentile(name, level, figures)
        if estimate is None:
            calls, needed = len(figures.calls(name, plan.latency_at)), statistics.min_samples(level)
            absent[metric] = f"{calls} calls do not support this percentile: at least {needed} are needed"
            absent[metric] += f" (protocol.percentiles=[{percentile}])"
        else:
            metrics[metric] = replace(estimate, unit="ms")
    return metrics, absent


def _percentile(name: str, level: float, figures: Figures) -> Estimate | None:
    """One percentile of single calls: over trials where each trial supports it alone, else of all calls together."""
    tails = figures.tails(name, level, figures.trials(name))
    if tails is not None:
        return statistics.trial_estimate(tails / 1e6, "ms")
    return statistics.percentile(figures.calls(name, figures.plan.latency_at), level)


def _throughput(name: str, at: ConditionKey, figures: Figures) -> Estimate:
    """Items per second at the typical pace: a mean would be governed by a few disturbed calls."""
    return statistics.trial_estimate(at.batch_size * 1e9 / figures.per_trial(name, at, turn_p50), "1/s")


def _series(name: str, figures: Figures) -> tuple[dict[str, tuple[SeriesPoint, ...]], dict[str, str]]:
    """Metric series over every swept value, and reasons for the conditions that the arm could not serve."""
    series: dict[str, tuple[SeriesPoint, ...]] = {}
    absent: dict[str, str] = {}
    trials = figures.trials(name)
    for sweep in SWEEPS:
        asked = figures.plan.sweep(sweep.axis)
        refused = [f"{at.text}: {figures.refused(name, at)}" for at in asked if figures.refused(name, at)]
        if refused:
            absent[f"{sweep.prefix}/p50_ms"] = "; ".join(refused)
        served = [(getattr(at, sweep.axis), at) for at in asked if figures.refused(name, at) is None]
        if not served:
            continue
        p50 = {at: statistics.trial_estimate(figures.per_trial(name, at, turn_p50) / 1e6, "ms") for _, at in served}
        peak = {at: statistics.trial_estimate(figures.peaks(name, trials, at), "MiB") for _, at in served}
        series |= {
            f"{sweep.prefix}/p50_ms": tuple(SeriesPoint(step, p50[at]) for step, at in served),
            f"{sweep.prefix}/samples_per_s": tuple(
                SeriesPoint(step, _throughput(name, at, figures)) for step, at in served
            ),
            f"{sweep.prefix}/peak_rss_mib": tuple(SeriesPoint(step, peak[at]) for step, at in served),
        }
    return series, absent
