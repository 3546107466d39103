"""Every public metric: name, unit, direction, definition.

The names are a contract; docs/metrics.md is made from this.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Literal

from mlbench.records import SweepAxis

Direction = Literal["lower", "higher", "none"]
"""Which is better; ``none`` where neither is in itself."""


PERCENTILES: dict[str, float] = {"p90": 0.90, "p95": 0.95, "p99": 0.99, "p999": 0.999}
"""Percentiles of single calls, by name: each is the metric ``latency/<name>_ms`` where the sample supports it."""


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """One metric.

    Attributes:
        name: Public name, as in MLflow; without prefix where a task lists its own metrics.
        unit: ``ms``, ``1/s``, ``MiB``, ``fraction`` (0 to 1), ``ratio``, ``%`` ...; empty for none.
        direction: Which is better.
        definition: One sentence.
        exact: A plain fact without sampling error, so that it has no interval and needs none.
        verdict: Each variant gets a verdict against the baseline on it.
    """

    name: str
    unit: str
    direction: Direction
    definition: str
    exact: bool = False
    verdict: bool = False


CLASSIFICATION: tuple[MetricInfo, ...] = (
    MetricInfo(
        "accuracy",
        "fraction",
        "higher",
        "Share of test items (tokens, where those have the labels) whose predicted class is the true one.",
    ),
    MetricInfo(
        "precision_macro",
        "fraction",
        "higher",
        "Mean over classes of the share of right ones among the items predicted as the class (0 if there are none).",
    ),
    MetricInfo(
        "recall_macro",
        "fraction",
        "higher",
        "Mean over classes of the share of the class's items that are predicted as it (balanced accuracy).",
    ),
    MetricInfo("f1_macro", "fraction", "higher", "Mean over classes of F1, the harmonic mean of precision and recall."),
    MetricInfo("precision_weighted", "fraction", "higher", "Mean of precision over classes, weighted by class size."),
    MetricInfo(
        "recall_weighted", "fraction", "higher", "Mean of recall over classes, weighted by class size; it is accuracy."
    ),
    MetricInfo("f1_weighted", "fraction", "higher", "Mean of F1 over classes, weighted by class size."),
    MetricInfo("error_rate", "fraction", "lower", "Share of test items whose predicted class is not the true one."),
    MetricInfo(
        "ece",
        "fraction",
        "lower",
        "Expected calibration error: mean difference of accuracy and confidence over 15 equal bins of confidence, "
        "weighted by what is in them: items, labelled tokens, or pairs of item and class (Naeini, Cooper and "
        "Hauskrecht 2015).",
    ),
)
"""Metrics of the task ``classification``, without prefix. Classes are those that occur in the test set."""

_ACCURACY, _ECE = CLASSIFICATION[0], CLASSIFICATION[-1]
_MACRO = CLASSIFICATION[1:4]

BINARY: tuple[MetricInfo, ...] = (
    _ACCURACY,
    MetricInfo(
        "precision", "fraction", "higher", "Share of right ones among the items predicted as positive (0 if none are)."
    ),
    MetricInfo("recall", "fraction", "higher", "Share of the positive items that are predicted as positive."),
    MetricInfo("f1", "fraction", "higher", "Harmonic mean of precision and recall of the positive class."),
    MetricInfo(
        "roc_auc",
        "fraction",
        "higher",
        "Chance that a positive item has a higher score than a negative one (half where they are equal).",
    ),
    MetricInfo(
        "average_precision",
        "fraction",
        "higher",
        "Precision at each threshold, averaged by the recall that it adds: the area below the precision-recall steps.",
    ),
    _ECE,
)
"""Metrics of the task ``binary``, without prefix; the positive class is the second."""

MULTILABEL: tuple[MetricInfo, ...] = (
    MetricInfo("f1_micro", "fraction", "higher", "F1 over all pairs of item and class together."),
    *_MACRO,
    MetricInfo("exact_match", "fraction", "higher", "Share of test items whose labels are all right."),
    MetricInfo("hamming_loss", "fraction", "lower", "Share of pairs of item and class that are wrong."),
    _ECE,
)
"""Metrics of the task ``multilabel``, without prefix. Classes are those that occur in the test set."""

REGRESSION: tuple[MetricInfo, ...] = (
    MetricInfo(
        "r2",
        "fraction",
        "higher",
        "Coefficient of determination: 1 minus the squared error over the variance of the labels.",
    ),
    MetricInfo("mae", "units", "lower", "Mean absolute error, in the unit of the labels."),
    MetricInfo("rmse", "units", "lower", "Root of the mean squared error, in the unit of the labels."),
)
"""Metrics of the task ``regression``, without prefix."""

EMBEDDING: tuple[MetricInfo, ...] = (
    MetricInfo(
        "probe_accuracy",
        "fraction",
        "higher",
        "Accuracy of a linear classifier on the embeddings, fitted once on the baseline's of the training split.",
    ),
    MetricInfo("probe_f1_macro", "fraction", "higher", "Mean over classes of the F1 of that classifier."),
)
"""Metrics of the task ``embedding``, without prefix."""

TOKENS: tuple[MetricInfo, ...] = (_ACCURACY, *_MACRO, _ECE)
"""Metrics of the task ``token_classification``, without prefix, over all labelled tokens."""

AGREEMENT: tuple[MetricInfo, ...] = (
    MetricInfo(
        "flip_rate", "fraction", "lower", "Share of test items (or tokens) whose prediction differs from the baseline."
    ),
    MetricInfo(
        "became_wrong", "fraction", "lower", "Share of test items that the baseline has right and the arm wrong."
    ),
    MetricInfo(
        "became_right", "fraction", "higher", "Share of test items that the baseline has wrong and the arm right."
    ),
    MetricInfo(
        "neighbour_overlap",
        "fraction",
        "higher",
        "Mean share of the 10 nearest test items by cosine that are the baseline's nearest too (embeddings).",
    ),
    MetricInfo("mean_abs_diff", "", "lower", "Mean over test items of the absolute difference to the baseline's."),
    MetricInfo("max_abs_diff", "", "lower", "Largest absolute difference of one output to the baseline's.", exact=True),
    MetricInfo("cosine", "", "higher", "Mean over test items of the cosine between the output row and the baseline's."),
)
"""Agreement with the baseline, without prefix."""


def _with_prefix(prefix: str, rows: tuple[MetricInfo, ...]) -> tuple[MetricInfo, ...]:
    return tuple(dataclasses.replace(row, name=f"{prefix}/{row.name}") for row in rows)


QUALITY: tuple[MetricInfo, ...] = tuple(
    dict.fromkeys((*CLASSIFICATION, *BINARY, *MULTILABEL, *REGRESSION, *EMBEDDING, *TOKENS))
)
"""Metrics of all built-in tasks, without prefix."""

METRICS: tuple[MetricInfo, ...] = (
    MetricInfo(
        "latency/p50_ms",
        "ms",
        "lower",
        "Median time of one call at the headline batch size, typical trial.",
        verdict=True,
    ),
    MetricInfo("latency/p90_ms", "ms", "lower", "90th percentile of single calls at the headline batch size."),
    MetricInfo(
        "latency/p95_ms", "ms", "lower", "95th percentile of single calls at the headline batch size.", verdict=True
    ),
    MetricInfo("latency/p99_ms", "ms", "lower", "99th percentile of single calls at the headline batch size."),
    MetricInfo("latency/p999_ms", "ms", "lower", "99.9th percentile of single calls at the headline batch size."),
    MetricInfo("latency/mean_ms", "ms", "lower", "Mean time of one call at the headline batch size, typical trial."),
    MetricInfo(
        "latency/load_ms", "ms", "lower", "Loading the artifact in a fresh process, after the runtime's own import."
    ),
    MetricInfo(
        "latency/compile_ms",
        "ms",
        "lower",
        "Compiling in a fresh process for the headline batch size, before the first call; only where the runtime does.",
    ),
    MetricInfo(
        "latency/first_call_ms", "ms", "lower", "The first call of a fresh process, at the headline batch size."
    ),
    MetricInfo(
        "throughput/samples_per_s",
        "1/s",
        "higher",
        "Largest batch size over the typical (median) time of one call.",
        verdict=True,
    ),
    *_with_prefix("quality", QUALITY),
    *_with_prefix("agreement", AGREEMENT),
    MetricInfo(
        "memory/peak_rss_mib",
        "MiB",
        "lower",
        "Peak resident memory of the worker process after its calls (VmHWM).",
        verdict=True,
    ),
    MetricInfo(
        "memory/load_peak_mib", "MiB", "lower", "Peak resident memory of the worker after loading the artifact."
    ),
    MetricInfo(
        "memory/import_rss_mib", "MiB", "lower", "Resident memory after the runtime's import, before the artifact."
    ),
    MetricInfo("memory/load_rss_mib", "MiB", "lower", "Resident memory of the worker after loading the artifact."),
    MetricInfo(
        "memory/load_uss_mib",
        "MiB",
        "lower",
        "The part of it that no other process shares (USS), read once per worker.",
    ),
    MetricInfo(
        "memory/rss_mib", "MiB", "lower", "Resident memory of the worker right after turns at the headline batch size."
    ),
    MetricInfo("memory/gpu_peak_mib", "MiB", "lower", "Largest GPU memory of the worker seen after its turns (NVML)."),
    MetricInfo(
        "memory/gpu_allocated_peak_mib",
        "MiB",
        "lower",
        "Peak of torch's CUDA allocator at the largest batch size, without CUDA's own context.",
    ),
    MetricInfo("memory/disk_mib", "MiB", "lower", "Size of all files that serving needs.", exact=True),
    MetricInfo(
        "model/parameters", "", "lower", "Weights in the artifact's files, whatever their precision.", exact=True
    ),
    MetricInfo("model/nonzero_pct", "%", "none", "Share of these weights that are not zero.", exact=True),
    MetricInfo("cpu/utilization_pct", "%", "none", "CPU time over wall time of timed calls; 100 is one whole CPU."),
    MetricInfo(
        "cpu/time_per_call_ms", "ms", "lower", "CPU time of the worker process per call at the headline batch size."
    ),
    MetricInfo(
        "cpu/frequency_mhz",
        "MHz",
        "none",
        "Clock of the worker's CPUs right after its turns; absent where only nominal.",
    ),
    MetricInfo(
        "cpu/voluntary_switches_per_s", "1/s", "none", "How often the worker waited: voluntary context switches."
    ),
    MetricInfo(
        "cpu/involuntary_switches_per_s", "1/s", "lower", "How often the worker was preempted by something else."
    ),
    MetricInfo(
        "cpu/throttled_pct", "%", "lower", "Share of the turns' time in which a container's CPU limit stopped it."
    ),
    MetricInfo(
        "cpu/thermal_throttles", "", "lower", "Slow-downs because of heat during a trial's turns, mean of trials."
    ),
    MetricInfo("gpu/utilization_pct", "%", "none", "GPU utilisation at the ends of turns (NVML)."),
    MetricInfo("gpu/power_w", "W", "lower", "GPU power at the ends of turns (NVML)."),
    MetricInfo("gpu/temperature_c", "°C", "lower", "GPU temperature at the ends of turns (NVML)."),
    MetricInfo("gpu/sm_clock_mhz", "MHz", "none", "Clock of the GPU's multiprocessors at the ends of turns (NVML)."),
    MetricInfo("gpu/memory_clock_mhz", "MHz", "none", "Clock of the GPU's memory at the ends of turns (NVML)."),
    MetricInfo(
        "gpu/throttled_pct",
        "%",
        "lower",
        "Share of turns that ended with the GPU slowed down by power, heat or hardware (NVML).",
    ),
    MetricInfo(
        "gpu/call_ms",
        "ms",
        "lower",
        "One call on the GPU's own clock, between CUDA events, headline batch size (torch).",
    ),
    MetricInfo(
        "energy/joules_per_sample",
        "J",
        "lower",
        "Energy per item above the idle machine, from what the tag mlbench.energy.source names.",
    ),
    MetricInfo(
        "vs_baseline/speedup_p50", "ratio", "higher", "p50 of the baseline over p50 of the arm, paired by round."
    ),
    MetricInfo(
        "vs_baseline/speedup_p95", "ratio", "higher", "p95 of the baseline over p95 of the arm, paired by trial."
    ),
    MetricInfo(
        "vs_baseline/speedup_throughput", "ratio", "higher", "Throughput of the arm over that of the baseline, paired."
    ),
    MetricInfo(
        "vs_baseline/cpu_ratio_p50",
        "ratio",
        "lower",
        "CPU time per call of the arm over that of the baseline, paired by round: what p50 is held against.",
    ),
    MetricInfo(
        "vs_baseline/peak_rss_ratio", "ratio", "lower", "Peak memory of the arm over that of the baseline, by trial."
    ),
    MetricInfo(
        "vs_baseline/disk_ratio", "ratio", "lower", "File size of the arm over that of the baseline.", exact=True
    ),
    *(
        MetricInfo(
            f"vs_baseline/{row.name}_delta",
            row.unit,
            row.direction,
            f"{row.name} of the arm minus that of the baseline, paired on the same test items.",
        )
        for row in QUALITY
    ),
)
"""One value per arm. Where a metric has an interval its bounds are logged too, with ``_low`` and ``_high`` appended."""


@dataclass(frozen=True, slots=True)
class Sweep:
    """A swept property of the conditions.

    Attributes:
        axis: Its name in :class:`mlbench.records.ConditionKey`.
        prefix: Of its metric series; their step is the swept value.
        label: What it is called.
    """

    axis: SweepAxis
    prefix: str
    label: str


SWEEPS: tuple[Sweep, ...] = (
    Sweep("batch_size", "by_batch", "batch size"),
    Sweep("input_length", "by_length", "input length"),
    Sweep("threads", "by_threads", "number of threads"),
)

SERIES: tuple[MetricInfo, ...] = tuple(
    row
    for sweep in SWEEPS
    for row in (
        MetricInfo(f"{sweep.prefix}/p50_ms", "ms", "lower", f"Median time of one call at this {sweep.label}."),
        MetricInfo(f"{sweep.prefix}/samples_per_s", "1/s", "higher", f"Items per second at this {sweep.label}."),
        MetricInfo(
            f"{sweep.prefix}/peak_rss_mib",
            "MiB",
            "lower",
            f"Peak resident memory after the turns of this {sweep.label} (and of those measured before it).",
        ),
        MetricInfo(
            f"{sweep.prefix}/speedup_p50",
            "ratio",
            "higher",
            f"p50 of the baseline over p50 of the arm at this {sweep.label}.",
        ),
    )
)
"""One point per swept value, which is the step of the series; everything else is as in the headline condition."""

SYSTEM: tuple[MetricInfo, ...] = (
    MetricInfo(
        "system/worker_cpu_utilization_percentage", "%", "none", "CPU time over wall time of the worker's calls."
    ),
    MetricInfo("system/worker_memory_usage_megabytes", "MB", "lower", "Resident memory of the worker after the turn."),
    MetricInfo("system/worker_preemptions_per_second", "1/s", "lower", "Involuntary context switches of the worker."),
    MetricInfo("system/machine_busy_cpus", "CPUs", "none", "CPUs that all processes used, the worker's included."),
    MetricInfo("system/machine_steal_percentage", "%", "lower", "CPU time stolen by the hypervisor, of one CPU."),
    MetricInfo("system/cpu_pressure_percentage", "%", "lower", "Time in which some task waited for a CPU."),
    MetricInfo("system/memory_pressure_percentage", "%", "lower", "Time in which some task waited for memory."),
    MetricInfo("system/io_pressure_percentage", "%", "lower", "Time in which some task waited for a disk."),
    MetricInfo(
        "system/cpu_limit_throttled_percentage", "%", "lower", "Time in which a container's CPU limit stopped it."
    ),
    MetricInfo("system/cpu_frequency_megahertz", "MHz", "none", "Clock of the worker's CPUs."),
    MetricInfo("system/cpu_thermal_throttles_per_second", "1/s", "lower", "Slow-downs of CPUs because of heat."),
    MetricInfo(
        "system/cpu_power_above_idle_watts", "W", "lower", "Energy of the processors (RAPL) above idle, by time."
    ),
    MetricInfo(
        "system/cpu_power_modelled_watts", "W", "lower", "Energy by `probes.energy_model`, by time: not measured."
    ),
    MetricInfo("system/gpu_utilization_percentage", "%", "none", "GPU utilisation."),
    MetricInfo("system/gpu_memory_usage_megabytes", "MB", "lower", "GPU memory of the worker."),
    MetricInfo("system/gpu_power_usage_watts", "W", "lower", "GPU power."),
    MetricInfo("system/gpu_temperature_celsius", "°C", "lower", "GPU temperature."),
    MetricInfo("system/gpu_clock_megahertz", "MHz", "none", "Clock of the GPU's multiprocessors."),
    MetricInfo("system/gpu_memory_clock_megahertz", "MHz", "none", "Clock of the GPU's memory."),
    MetricInfo("system/gpu_throttled_percentage", "%", "lower", "Turns at whose end the GPU ran slower than it could."),
    MetricInfo("system/gpu_power_above_idle_watts", "W", "lower", "Energy of the GPU's counter above idle, by time."),
)
"""Over time, for the System metrics tab: the step is the number of the point, the timestamp is that of the turns."""

EVALUATION: tuple[MetricInfo, ...] = _with_prefix(
    "pyfunc",
    (
        MetricInfo("p50_ms", "ms", "lower", "Median time of one call of `predict` with `batch_size` items."),
        MetricInfo("p90_ms", "ms", "lower", "90th percentile of single calls."),
        MetricInfo("p95_ms", "ms", "lower", "95th percentile of single calls."),
        MetricInfo("p99_ms", "ms", "lower", "99th percentile of single calls."),
        MetricInfo("p999_ms", "ms", "lower", "99.9th percentile of single calls."),
        MetricInfo("first_call_ms", "ms", "lower", "The first call of the evaluation.", exact=True),
        MetricInfo("samples_per_s", "1/s", "higher", "`throughput_batch_size` over the median time of such a call."),
        MetricInfo(
            "process_rss_mib",
            "MiB",
            "lower",
            "Resident memory of the whole process, with all that it holds.",
            exact=True,
        ),
        MetricInfo(
            "process_peak_rss_mib",
            "MiB",
            "lower",
            "Peak resident memory of the whole process since it began.",
            exact=True,
        ),
        MetricInfo("model_size_mib", "MiB", "lower", "Size of the model's files, as MLflow has it.", exact=True),
        *CLASSIFICATION,
        *REGRESSION,
    ),
)
"""What MLflow's evaluation gives with the evaluator ``mlbench``: no figures of a study, hence the prefix."""

NAMES: tuple[str, ...] = tuple(row.name for row in METRICS)
"""What a policy may name."""


def info(name: str) -> MetricInfo | None:
    """The metric or series of that public name, or None."""
    return next((row for row in (*METRICS, *SERIES, *SYSTEM) if row.name == name), None)
