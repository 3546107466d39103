"""From what was measured to estimates and verdicts: one result per arm."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mlbench import statistics
from mlbench.config import ProtocolConfig
from mlbench.measurement.alone import disturbance
from mlbench.records import (
    Arm,
    ArmResult,
    Estimate,
    Measurement,
    Noise,
    Quality,
    SeriesPoint,
    Turn,
    Verdict,
    WorkerReport,
)

P50, P95 = "latency/p50_ms", "latency/p95_ms"
THROUGHPUT, PEAK_MEMORY = "throughput/samples_per_s", "memory/peak_rss_mib"
PERCENTILES = {"latency/p90_ms": 0.90, P95: 0.95, "latency/p99_ms": 0.99}
TAIL_MARGIN = 0.20  # p95 is noisier than p50 at the same budget and has a margin of its own
MEMORY_MARGIN = 0.05
_MIB = 1 << 20

Floats = npt.NDArray[np.float64]
Figure = Callable[[Turn], float]


def turn_p50(turn: Turn) -> float:
    """The median of the turn's timed values, nanoseconds per call."""
    return float(np.median(turn.values_ns()))


def _turn_mean(turn: Turn) -> float:
    return float(turn.timed_ns.mean())


def _turn_cpu(turn: Turn) -> float:
    """CPU time per call, kept off zero: the logarithm is taken."""
    return max(turn.cpu_ns / len(turn.timed_ns), 1.0)


class Figures:
    """The turns and worker reports of one study, arranged by arm; only whole trials take part."""

    def __init__(self, measurement: Measurement) -> None:
        self.plan = measurement.plan
        self._workers: dict[str, dict[int, WorkerReport]] = defaultdict(dict)
        for worker in measurement.workers:
            self._workers[worker.arm][worker.trial] = worker
        self._turns: dict[tuple[str, int], dict[int, list[Turn]]] = defaultdict(lambda: defaultdict(list))
        for turn in measurement.turns:
            if turn.trial in self._workers[turn.arm]:
                self._turns[turn.arm, turn.batch_size][turn.trial].append(turn)

    def trials(self, arm: str, *others: str) -> list[int]:
        """Trials that these arms have all completed."""
        shared = set(self._workers[arm])
        for other in others:
            shared &= set(self._workers[other])
        return sorted(shared)

    def worker(self, arm: str, trial: int) -> WorkerReport:
        """What that worker said of itself."""
        return self._workers[arm][trial]

    def turns(self, arm: str, batch_size: int, trial: int) -> list[Turn]:
        """The turns of one arm in one trial, in order of rounds."""
        return self._turns[arm, batch_size][trial]

    def matrix(self, arm: str, batch_size: int, trials: Sequence[int], figure: Figure) -> Floats:
        """One figure per turn, shape (trials, rounds)."""
        return np.array([[figure(turn) for turn in self.turns(arm, batch_size, trial)] for trial in trials])

    def per_trial(self, arm: str, batch_size: int, figure: Figure) -> Floats:
        """The median over rounds of one figure, shape (trials,)."""
        return np.median(self.matrix(arm, batch_size, self.trials(arm), figure), axis=1)

    def calls(self, arm: str, batch_size: int) -> Floats:
        """Every timed call in ms, over all trials."""
        turns = [turn for trial in self.trials(arm) for turn in self.turns(arm, batch_size, trial)]
        return np.concatenate([turn.timed_ns for turn in turns]) / 1e6

    def reports(self, arm: str, figure: Callable[[WorkerReport], float]) -> Floats:
        """One figure per worker, shape (trials,)."""
        return np.array([figure(self.worker(arm, trial)) for trial in self.trials(arm)])


def analyse(
    measurement: Measurement,
    arms: Sequence[Arm],
    qualities: Mapping[str, Quality],
    protocol: ProtocolConfig,
    noise: Noise,
) -> tuple[ArmResult, ...]:
    """One result per arm of the plan, the baseline first.

    Args:
        measurement: What was measured.
        arms: The arms, in the order of the plan.
        qualities: Quality of each arm that gave predictions.
        protocol: Margin and error rate of the verdicts.
        noise: On an unusable machine every verdict is withheld.
    """
    figures = Figures(measurement)
    results = {arm.name: _result(arm, figures, measurement, qualities.get(arm.name)) for arm in arms}
    baseline = measurement.plan.baseline
    variants = [name for name, result in results.items() if name != baseline and result.status != "failed"]
    if results[baseline].status != "failed":
        verdicts = _verdicts(figures, baseline, variants, protocol)
        for name in variants:
            reason = _withheld(name, baseline, measurement, noise)
            mine = {metric: calls[name] for metric, calls in verdicts.items() if name in calls}
            if reason:
                mine = {metric: statistics.withhold(verdict, reason) for metric, verdict in mine.items()}
            results[name] = _with_comparison(results[name], results[baseline], mine, figures, protocol)
    return tuple(results[name] for name in sorted(results, key=lambda name: name != baseline))


def _withheld(name: str, baseline: str, measurement: Measurement, noise: Noise) -> str:
    """Why no verdict may be given, or nothing."""
    for arm in (name, baseline):
        lost = [loss for loss in measurement.lost if loss.arm == arm]
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
    lost = [loss for loss in measurement.lost if loss.arm == arm.name]
    trials = figures.trials(arm.name)
    if not trials:
        reason = lost[0].reason if lost else "the study was interrupted before its first trial was complete"
        return replace(result, status="failed", failure=reason)
    metrics, absent = _latency(arm.name, figures)
    metrics |= _memory(arm, figures) | _cpu(arm.name, figures)
    for hardware in (_gpu(arm.name, figures), _energy(arm.name, figures)):
        metrics |= hardware
    absent |= {name: reason for name, reason in measurement.absent.items() if name not in metrics}
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
        series=_series(arm.name, figures),
        quality=quality,
    )


def _latency(name: str, figures: Figures) -> tuple[dict[str, Estimate], dict[str, str]]:
    plan = figures.plan
    metrics = {
        P50: statistics.trial_estimate(figures.per_trial(name, plan.headline, turn_p50) / 1e6, "ms"),
        "latency/mean_ms": statistics.trial_estimate(figures.per_trial(name, plan.headline, _turn_mean) / 1e6, "ms"),
        "latency/load_ms": statistics.trial_estimate(figures.reports(name, lambda worker: worker.load_ms), "ms"),
        "latency/first_call_ms": statistics.trial_estimate(
            figures.reports(name, lambda worker: worker.first_call_ms), "ms"
        ),
        THROUGHPUT: _throughput(name, plan.largest, figures),
    }
    absent: dict[str, str] = {}
    for metric, level in PERCENTILES.items():
        estimate = _percentile(name, level, figures)
        if estimate is None:
            calls, needed = len(figures.calls(name, plan.headline)), statistics.min_samples(level)
            absent[metric] = f"{calls} calls do not support this percentile: at least {needed} are needed"
        else:
            metrics[metric] = replace(estimate, unit="ms")
    return metrics, absent


def _percentile(name: str, level: float, figures: Figures) -> Estimate | None:
    """One percentile of single calls: over trials where each trial supports it alone, else of all calls together."""
    tails = _tails(name, level, figures, figures.trials(name))
    if tails is not None:
        return statistics.trial_estimate(tails / 1e6, "ms")
    return statistics.percentile(figures.calls(name, figures.plan.headline), level)


def p50_verdict(figures: Figures, baseline: str, name: str, protocol: ProtocolConfig) -> Verdict:
    """The verdict on p50 of one arm by itself, before Holm, over the trials that both arms have completed."""
    trials, size = figures.trials(name, baseline), figures.plan.headline

    def ratios(figure: Figure) -> Floats:
        return statistics.paired_log_ratios(
            figures.matrix(baseline, size, trials, figure), figures.matrix(name, size, trials, figure)
        )

    return statistics.compare(
        ratios(turn_p50),
        metric=P50,
        margin=protocol.margin,
        alpha=protocol.alpha,
        cpu_log_ratios=ratios(_turn_cpu),
    )


def _tails(name: str, level: float, figures: Figures, trials: Sequence[int]) -> Floats | None:
    """A percentile of each trial's calls in ns, shape (trials,); None where a trial alone does not support it."""
    values = []
    for trial in trials:
        calls = np.concatenate([turn.timed_ns for turn in figures.turns(name, figures.plan.headline, trial)])
        if not statistics.supported(len(calls), level):
            return None
        values.append(np.quantile(calls, level))
    return np.array(values)


def _throughput(name: str, batch_size: int, figures: Figures) -> Estimate:
    """Items per second at the typical pace: a mean would be governed by a few disturbed calls."""
    return statistics.trial_estimate(batch_size * 1e9 / figures.per_trial(name, batch_size, turn_p50), "1/s")


def _memory(arm: Arm, figures: Figures) -> dict[str, Estimate]:
    def peak(worker: WorkerReport) -> float:
        return max(worker.peak_mib.values())

    return {
        PEAK_MEMORY: statistics.trial_estimate(figures.reports(arm.name, peak), "MiB"),
        "memory/load_peak_mib": statistics.trial_estimate(
            figures.reports(arm.name, lambda worker: worker.load_peak_mib), "MiB"
        ),
        "memory/import_rss_mib": statistics.trial_estimate(
            figures.reports(arm.name, lambda worker: worker.import_rss_mib), "MiB"
        ),
        "memory/disk_mib": Estimate(arm.artifact.size_bytes / _MIB, n=1, unit="MiB", method="bytes of the files"),
    }


def _cpu(name: str, figures: Figures) -> dict[str, Estimate]:
    size = figures.plan.headline

    def utilization(turn: Turn) -> float:
        return 100.0 * turn.cpu_ns / max(turn.wall_ns, 1)

    return {
        "cpu/utilization_pct": statistics.trial_estimate(figures.per_trial(name, size, utilization), "%"),
        "cpu/time_per_call_ms": statistics.trial_estimate(figures.per_trial(name, size, _turn_cpu) / 1e6, "ms"),
    }


_GPU = {
    "gpu/utilization_pct": ("gpu_utilization_pct", "%"),
    "gpu/power_w": ("gpu_power_w", "W"),
    "memory/gpu_peak_mib": ("gpu_memory_mib", "MiB"),
}


def _gpu(name: str, figures: Figures) -> dict[str, Estimate]:
    """Figures of the GPU at the ends of turns; only where every trial has them."""
    metrics = {}
    for metric, (figure, unit) in _GPU.items():
        per_trial = []
        for trial in figures.trials(name):
            turns = figures.turns(name, figures.plan.largest, trial)
            values = [turn.hardware[figure] for turn in turns if figure in turn.hardware]
            if values:
                per_trial.append(max(values) if metric == "memory/gpu_peak_mib" else float(np.mean(values)))
        if len(per_trial) == len(figures.trials(name)):
            metrics[metric] = statistics.trial_estimate(np.array(per_trial), unit)
    return metrics


def _energy(name: str, figures: Figures) -> dict[str, Estimate]:
    """Joules per item at the headline batch size, idle power subtracted; discarded calls took energy too."""
    per_trial = []
    for trial in figures.trials(name):
        turns = figures.turns(name, figures.plan.headline, trial)
        if any("energy_j" not in turn.hardware for turn in turns):
            return {}
        items = sum((len(turn.timed_ns) + len(turn.discarded_ns)) * turn.batch_size for turn in turns)
        per_trial.append(sum(turn.hardware["energy_j"] for turn in turns) / items)
    return {"energy/joules_per_sample": statistics.trial_estimate(np.array(per_trial), "J")}


def _series(name: str, figures: Figures) -> dict[str, tuple[SeriesPoint, ...]]:
    sizes = sorted(figures.plan.batch_sizes)

    def p50(size: int) -> Estimate:
        return statistics.trial_estimate(figures.per_trial(name, size, turn_p50) / 1e6, "ms")

    def peak(size: int) -> Estimate:
        return statistics.trial_estimate(figures.reports(name, lambda worker: worker.peak_mib[str(size)]), "MiB")

    return {
        "by_batch/p50_ms": tuple(SeriesPoint(size, p50(size)) for size in sizes),
        "by_batch/samples_per_s": tuple(SeriesPoint(size, _throughput(name, size, figures)) for size in sizes),
        "by_batch/peak_rss_mib": tuple(SeriesPoint(size, peak(size)) for size in sizes),
    }


def _verdicts(
    figures: Figures, baseline: str, variants: Sequence[str], protocol: ProtocolConfig
) -> dict[str, dict[str, Verdict]]:
    """Verdicts by metric and arm, Holm over the variants of each metric."""
    plan = figures.plan
    found: dict[str, dict[str, Verdict]] = {P50: {}, P95: {}, THROUGHPUT: {}, PEAK_MEMORY: {}}
    for name in variants:
        trials = figures.trials(name, baseline)
        if not trials:
            continue

        def ratios(size: int, figure: Figure, name: str = name, trials: Sequence[int] = trials) -> Floats:
            return statistics.paired_log_ratios(
                figures.matrix(baseline, size, trials, figure), figures.matrix(name, size, trials, figure)
            )

        found[P50][name] = p50_verdict(figures, baseline, name, protocol)
        # items per second: the reciprocal of time per call
        found[THROUGHPUT][name] = statistics.compare(
            -ratios(plan.largest, turn_p50),
            metric=THROUGHPUT,
            margin=protocol.margin,
            alpha=protocol.alpha,
            lower_is_better=False,
        )
        found[PEAK_MEMORY][name] = statistics.compare(
            np.log([max(figures.worker(name, trial).peak_mib.values()) for trial in trials])
            - np.log([max(figures.worker(baseline, trial).peak_mib.values()) for trial in trials]),
            metric=PEAK_MEMORY,
            margin=MEMORY_MARGIN,
            alpha=protocol.alpha,
        )
        mine, theirs = (_tails(arm, PERCENTILES[P95], figures, trials) for arm in (name, baseline))
        if mine is not None and theirs is not None:
            found[P95][name] = statistics.compare(
                np.log(mine / theirs), metric=P95, margin=TAIL_MARGIN, alpha=protocol.alpha
            )
    return {metric: statistics.holm(calls, protocol.alpha) for metric, calls in found.items()}


def _with_comparison(
    result: ArmResult,
    baseline: ArmResult,
    verdicts: Mapping[str, Verdict],
    figures: Figures,
    protocol: ProtocolConfig,
) -> ArmResult:
    """The result with its verdicts and the figures against the baseline that MLflow's charts draw."""
    metrics = dict(result.metrics)
    for metric, name in {P50: "speedup_p50", P95: "speedup_p95"}.items():
        if metric in verdicts:
            metrics[f"vs_baseline/{name}"] = _inverse(_ratio(verdicts[metric]))
    for metric, name in {THROUGHPUT: "speedup_throughput", PEAK_MEMORY: "peak_rss_ratio"}.items():
        if metric in verdicts:
            metrics[f"vs_baseline/{name}"] = _ratio(verdicts[metric])
    if result.quality is not None:
        metrics |= {f"vs_baseline/{name}_delta": estimate for name, estimate in result.quality.deltas.items()}
    metrics["vs_baseline/disk_ratio"] = Estimate(
        metrics["memory/disk_mib"].value / baseline.metrics["memory/disk_mib"].value, n=1, unit="ratio"
    )
    points = []
    trials = figures.trials(result.name, baseline.name)
    for size in sorted(figures.plan.batch_sizes) if trials else ():
        ratios = statistics.paired_log_ratios(
            figures.matrix(baseline.name, size, trials, turn_p50),
            figures.matrix(result.name, size, trials, turn_p50),
        )
        verdict = statistics.compare(ratios, metric="by_batch/p50_ms", margin=protocol.margin, alpha=protocol.alpha)
        points.append(SeriesPoint(size, _inverse(_ratio(verdict))))
    series = {**result.series, "by_batch/speedup_p50": tuple(points)}
    return replace(result, verdicts=dict(verdicts), metrics=metrics, series=series)


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
        high=None if ratio.low is None else 1.0 / ratio.low,
    )
