"""Variants against the baseline: a verdict on each metric, and the figures that show by how much they differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from mlbench import statistics
from mlbench.config import ProtocolConfig
from mlbench.figures import Figures, turn_cpu, turn_p50
from mlbench.metrics import PERCENTILES, SWEEPS
from mlbench.records import ArmResult, Estimate, Measurement, SeriesPoint, Verdict

P50, P95 = "latency/p50_ms", "latency/p95_ms"
THROUGHPUT, PEAK_MEMORY = "throughput/samples_per_s", "memory/peak_rss_mib"


def p50_verdict(figures: Figures, baseline: str, name: str, protocol: ProtocolConfig) -> Verdict:
    """The verdict on p50 of one arm by itself, before Holm, over the trials that both arms have completed."""
    headline = figures.plan.latency_at
    verdict = statistics.compare(
        figures.ratios(name, baseline, headline, turn_p50),
        metric=P50,
        margin=protocol.margin,
        alpha=figures.plan.look_alpha(protocol.alpha),
        cpu_log_ratios=figures.ratios(name, baseline, headline, turn_cpu),
    )
    by_round = figures.round_ratios(name, baseline, headline, turn_p50)
    if len(by_round) < statistics.MIN_HALVES:
        return verdict
    return replace(verdict, process_share=statistics.between_processes(by_round).share)


def undecided(measurement: Measurement, protocol: ProtocolConfig) -> list[str]:
    """Variants whose verdict on p50 is open and might be settled by more trials, Holm over all variants.

    A variant with a lost trial, or whose wall and CPU time disagree, gets no answer however many trials follow.
    """
    figures, baseline = Figures(measurement), measurement.plan.baseline
    lost = {loss.arm for loss in measurement.lost if not loss.repeated}
    whole = [name for name in measurement.plan.arms if name != baseline and not lost & {name, baseline}]
    whole = [name for name in whole if figures.trials(name, baseline)]
    found = {name: p50_verdict(figures, baseline, name, protocol) for name in whole}
    return [
        name
        for name, verdict in statistics.holm(found, figures.plan.look_alpha(protocol.alpha)).items()
        if verdict.call == "inconclusive" and (not verdict.withheld or verdict.trials < statistics.MIN_TRIALS)
    ]


def verdicts(
    figures: Figures, baseline: str, variants: Sequence[str], protocol: ProtocolConfig
) -> dict[str, dict[str, Verdict]]:
    """Verdicts by metric and arm, Holm over the variants of each metric; each kind of metric has its own margin."""
    found: dict[str, dict[str, Verdict]] = {P50: {}, P95: {}, THROUGHPUT: {}, PEAK_MEMORY: {}}
    for name in variants:
        if figures.trials(name, baseline):
            for verdict in _of(figures, baseline, name, protocol):
                found[verdict.metric][name] = verdict
    return {metric: statistics.holm(calls, figures.plan.look_alpha(protocol.alpha)) for metric, calls in found.items()}


def _of(figures: Figures, baseline: str, name: str, protocol: ProtocolConfig) -> list[Verdict]:
    """Every verdict that one variant's trials can give, before Holm."""
    trials, alpha = figures.trials(name, baseline), figures.plan.look_alpha(protocol.alpha)
    found = [
        p50_verdict(figures, baseline, name, protocol),
        statistics.compare(
            np.log(figures.peaks(name, trials) / figures.peaks(baseline, trials)),
            metric=PEAK_MEMORY,
            margin=protocol.memory_margin,
            alpha=alpha,
        ),
    ]
    at = figures.plan.throughput_at
    if figures.both_serve(name, baseline, at):
        found.append(
            statistics.compare(
                -figures.ratios(name, baseline, at, turn_p50),  # items per second: the reciprocal of time per call
                metric=THROUGHPUT,
                margin=protocol.margin,
                alpha=alpha,
                lower_is_better=False,
                cpu_log_ratios=-figures.ratios(name, baseline, at, turn_cpu),
            )
        )
    mine, theirs = (figures.tails(arm, PERCENTILES["p95"], trials) for arm in (name, baseline))
    if mine is not None and theirs is not None:
        found.append(
            statistics.compare(
                np.log(mine / theirs),
                metric=P95,
                margin=protocol.tail_margin,
                alpha=alpha,
            )
        )
    return found


def against_baseline(
    result: ArmResult,
    baseline: ArmResult,
    found: Mapping[str, Verdict],
    figures: Figures,
    protocol: ProtocolConfig,
) -> ArmResult:
    """The result with its verdicts and the figures against the baseline that MLflow's charts draw."""
    metrics = dict(result.metrics)
    for metric, name in {P50: "speedup_p50", P95: "speedup_p95"}.items():
        if metric in found:
            metrics[f"vs_baseline/{name}"] = _inverse(_ratio(found[metric]))
    for metric, name in {THROUGHPUT: "speedup_throughput", PEAK_MEMORY: "peak_rss_ratio"}.items():
        if metric in found:
            metrics[f"vs_baseline/{name}"] = _ratio(found[metric])
    cpu = found[P50].cpu_ratio if P50 in found else None
    if cpu is not None:
        metrics["vs_baseline/cpu_ratio_p50"] = cpu
    if result.quality is not None:
        metrics |= {f"vs_baseline/{name}_delta": estimate for name, estimate in result.quality.deltas.items()}
    metrics["vs_baseline/disk_ratio"] = Estimate(
        metrics["memory/disk_mib"].value / baseline.metrics["memory/disk_mib"].value, n=1, unit="ratio"
    )
    series = {**result.series, **_speedups(figures, baseline.name, result.name, protocol)}
    return replace(result, verdicts=dict(found), metrics=metrics, series=series)


def _speedups(
    figures: Figures, baseline: str, name: str, protocol: ProtocolConfig
) -> dict[str, tuple[SeriesPoint, ...]]:
    """Speed-up of p50 against the baseline at every condition that both serve."""
    series, alpha = {}, figures.plan.look_alpha(protocol.alpha)
    for sweep in SWEEPS if figures.trials(name, baseline) else ():
        metric, points = f"{sweep.prefix}/speedup_p50", []
        for at in figures.plan.sweep(sweep.axis):
            if figures.both_serve(name, baseline, at):
                ratios = figures.ratios(name, baseline, at, turn_p50)
                verdict = statistics.compare(ratios, metric=metric, margin=protocol.margin, alpha=alpha)
                points.append(SeriesPoint(getattr(at, sweep.axis), _inverse(_ratio(verdict))))
        if points:
            series[metric] = tuple(points)
    return series


def _ratio(verdict: Verdict) -> Estimate:
    """The verdict's ratio: there is one wherever both arms have a whole trial."""
    assert verdict.ratio is not None
    return verdict.ratio


def _inverse(ratio: Estimate) -> Estimate:
    """The speed-up: baseline over variant."""
    return replace(
        ratio,
        value=1.0 / ratio.value,
        low=None if ratio.high is None else 1.0 / ratio.high,
        high=1.0 / ratio.low if ratio.low else None,
    )
