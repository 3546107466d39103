"""The value objects that the stages of a study hand each other.

All are frozen and slotted. ``to_json``/``from_json`` write and read any of them; bulk data (calls, turns,
predictions) has column form for Parquet in :mod:`mlbench.tables`. This module imports only the standard library
and numpy at import time, because the worker process imports it and its memory is being measured.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from mlbench.errors import MlbenchError

SCHEMA_VERSION = 1
MOST_LOOKS = 3  # at the verdicts of one study

T = TypeVar("T")
Role = Literal["baseline", "variant", "incumbent"]
Call = Literal["faster", "slower", "equivalent", "inconclusive"]
Scalar = str | int | float | bool | None
Level = Literal["quiet", "noisy", "unusable"]
Moment = Literal["before", "during", "after"]
LabelKind = Literal["class", "multi_hot", "number", "token"]
"""What the labels of a task are: class indices (items,), zeros and ones (items, classes), numbers (items,), or class
indices (items, tokens) where :data:`IGNORED` marks tokens that do not count."""
IGNORED = -100
SweepAxis = Literal["batch_size", "input_length", "threads"]


# ---------------------------------------------------------------------------------------------------------------------
# what is measured


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a runtime serves an artifact.

    Attributes:
        name: Runtime's short name, or ``auto``: the one that serves the artifact's format.
        threads: Threads inside one operator (intra-op). 1 by default: more makes latencies bimodal on small machines.
        inter_threads: Threads across operators.
        device: ``cpu`` or ``cuda``.
        options: Options of the one runtime (for onnxruntime: ``graph_level``, ``providers``, ``allow_spinning``).
    """

    name: str = "auto"
    threads: int = 1
    inter_threads: int = 1
    device: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepSpec:
    """One step of a recipe as the user wrote it: the step's short name and its parameters."""

    name: str
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Recipe:
    """An ordered list of steps and the runtime settings that serve the result."""

    name: str
    steps: tuple[StepSpec, ...] = ()
    runtime: RuntimeSettings = field(default_factory=RuntimeSettings)
    description: str = ""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """Name, numpy dtype and shape of one model input or output; ``None`` marks the batch (or another free) axis."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class StepRecord:
    """What one step did: its parameters as resolved, what it changed, how long it took.

    ``changed`` holds evidence such as counts of quantized nodes or the share of parameters removed.
    """

    name: str
    params: dict[str, Any]
    fingerprint: str
    changed: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a recipe builds: files in one directory, loadable by one runtime.

    Attributes:
        digest: SHA-256 over everything that determines the artifact (source digest, step versions, parameters,
            library versions); the key in the store.
        format: ``torch_module``, ``torchscript``, ``onnx``, ... ; a runtime says which formats it serves.
        path: Absolute directory that holds the files.
        entry: File name, inside ``path``, that the runtime loads.
        inputs: Model inputs, in call order.
        outputs: Model outputs, in order; the first is what the task reads.
        size_bytes: Bytes of all files that serving needs.
        steps: What was done, in order.
        meta: What the runtime needs besides the files (for ``torch_module``: ``factory`` and ``args``);
            ``delay_percent`` when the ``delay`` step was applied.
        parameters, nonzero: Weights, and how many of them are not zero; None where they were not counted.
        uncounted: Why not.
    """

    digest: str
    format: str
    path: str
    entry: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    size_bytes: int
    steps: tuple[StepRecord, ...] = ()
    meta: dict[str, Any] = field(default_factory=dict)
    parameters: int | None = None
    nonzero: int | None = None
    uncounted: str = ""


@dataclass(frozen=True, slots=True)
class Arm:
    """One artifact under measurement."""

    name: str
    role: Role
    recipe: Recipe
    artifact: Artifact
    settings: RuntimeSettings


@dataclass(frozen=True, slots=True)
class DataInfo:
    """The dataset as used: where from, how split, and a digest of the bytes.

    Attributes:
        rows: Items by split.
        classes: Names of the classes; empty where labels are numbers.
        class_counts: How often each class occurs, by split and class name.
        inputs: What the model takes.
        columns: The source's columns or arrays by name, with their types as they were read.
    """

    source: str
    digest: str
    rows: dict[str, int]
    classes: tuple[str, ...]
    class_counts: dict[str, dict[str, int]]
    inputs: tuple[TensorSpec, ...]
    notes: tuple[str, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkloadInfo:
    """The workload as used, for the record."""

    name: str
    task: str
    data: DataInfo
    model: dict[str, Any]
    model_digest: str


# ---------------------------------------------------------------------------------------------------------------------
# how it is measured


class ConditionKey(NamedTuple):
    """Which condition: what one call is given, and with how many threads it is served.

    Attributes:
        batch_size: Items per call.
        input_length: Length of the sequence inputs; None leaves every item as the data has it.
        threads: Threads of every arm; None leaves each arm its own setting.
    """

    batch_size: int
    input_length: int | None = None
    threads: int | None = None

    @property
    def text(self) -> str:
        """In a few words: ``batch size 8, input length 64, 2 threads``."""
        parts = [f"batch size {self.batch_size}"]
        if self.input_length is not None:
            parts.append(f"input length {self.input_length}")
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        return ", ".join(parts)

    @property
    def short(self) -> str:
        """The key of JSON mappings: ``8``, ``8;length=64``, ``8;length=64;threads=2``."""
        length = "" if self.input_length is None else f";length={self.input_length}"
        return f"{self.batch_size}{length}" + ("" if self.threads is None else f";threads={self.threads}")


@dataclass(frozen=True, slots=True)
class Round:
    """One round: every arm takes one turn, in this order."""

    trial: int
    batch_size: int
    round: int
    order: tuple[str, ...]
    input_length: int | None = None
    threads: int | None = None

    @property
    def key(self) -> ConditionKey:
        """The condition that it belongs to."""
        return ConditionKey(self.batch_size, self.input_length, self.threads)


@dataclass(frozen=True, slots=True)
class Condition:
    """One point of a sweep, and how much it is measured in each trial.

    Attributes:
        batch_size: Items per call.
        rounds: Rounds per trial.
        discard: Calls at the start of each turn that are recorded but never analysed.
        calls: Timed values per turn. A timed value is the mean of ``group`` calls where one call is too short.
        input_length, threads: As in :class:`ConditionKey`.
    """

    batch_size: int
    rounds: int
    discard: int
    calls: int
    input_length: int | None = None
    threads: int | None = None

    @property
    def key(self) -> ConditionKey:
        """Which condition this is."""
        return ConditionKey(self.batch_size, self.input_length, self.threads)


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole order of work, fixed from a seed before the first call.

    Attributes:
        conditions: In the order in which they are measured; the first is the headline for latency, the one with the
            largest batch size for throughput.
        trials: Generations of fresh worker processes; the unit of analysis. The most there may be, and after a look
            has ended the measurement the number there were.
        warmup_calls, warmup_seconds: Warm-up of a fresh worker: at least both.
        min_value_ns: A timed value lasts at least this long; shorter calls are grouped.
        schedule: Every round, in order.
        cpus: CPUs that the trials take in turn; empty leaves the workers to the scheduler.
        looks: Numbers of trials after which the verdicts are looked at; empty where that is once, at the end.
        look: Which of the looks ended the measurement, from 1; 0 where none has.
    """

    seed: int
    arms: tuple[str, ...]
    baseline: str
    conditions: tuple[Condition, ...]
    trials: int
    warmup_calls: int
    warmup_seconds: float
    min_value_ns: int
    schedule: tuple[Round, ...]
    cpus: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    look: int = 0
    schema: int = SCHEMA_VERSION

    def look_alpha(self, alpha: float) -> float:
        """Error rate of each look: all of ``alpha``, or a third of it where there are several (docs/method.md)."""
        return alpha / MOST_LOOKS if self.looks else alpha

    def ended_at(self, look: int) -> Plan:
        """The same plan, of which no more was measured than up to this look (from 1); the schedule stays whole."""
        return replace(self, trials=self.looks[look - 1], look=look)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes in the order in which they are measured, each once."""
        return tuple(dict.fromkeys(condition.batch_size for condition in self.conditions))

    @property
    def latency_at(self) -> ConditionKey:
        """The condition of the latency figures: the first, the headline."""
        return self.conditions[0].key

    @property
    def throughput_at(self) -> ConditionKey:
        """The condition of the throughput figure: the largest batch size, everything else as in the headline."""
        return self.latency_at._replace(batch_size=self.largest)

    @property
    def headline(self) -> int:
        """The batch size of the latency figures: the first."""
        return self.conditions[0].batch_size

    @property
    def largest(self) -> int:
        """The batch size of the throughput figure: the largest."""
        return max(self.batch_sizes)

    @property
    def thread_counts(self) -> tuple[int | None, ...]:
        """Generations of workers in each trial: None is each arm's own number of threads."""
        return tuple(dict.fromkeys(condition.threads for condition in self.conditions))

    def first_of(self, threads: int | None) -> ConditionKey:
        """The condition that a generation of workers is loaded and warmed up with."""
        return next(condition.key for condition in self.conditions if condition.threads == threads)

    def sweep(self, axis: SweepAxis) -> tuple[ConditionKey, ...]:
        """The conditions that differ from the headline in this axis only, in ascending order, the headline included.

        Empty where the axis is not swept.
        """
        first = self.latency_at
        found = [item.key for item in self.conditions if item.key == first._replace(**{axis: getattr(item.key, axis)})]
        if len(found) < 2 and axis != "batch_size":
            return ()
        return tuple(sorted(found, key=lambda key: int(getattr(key, axis) or 0)))


@dataclass(frozen=True, slots=True)
class Turn:
    """A few discarded and some timed calls of one arm, without interruption.

    Attributes:
        position: Place of this turn in its round, from 0.
        start_ns, end_ns: Monotonic clock of the machine (comparable between processes) around the whole turn.
        cpu_ns: CPU time of the worker process over the timed calls.
        wall_ns: Wall time over the timed calls, in the worker.
        discarded_ns: One entry per discarded call.
        timed_ns: One entry per timed call, ``calls * group`` long; consecutive ``group`` calls form one timed value.
        group: Calls per timed value.
        hardware: Figures for this turn by name (``rss_mib``, ``voluntary_switches``, ``involuntary_switches``,
            ``machine_busy_s``, ``machine_steal_s``, ``cpu_pressure_s``, ``cpu_mhz``, ``gpu_power_w``, ``energy_rapl_j``
            ...); absent where not readable.
            ``coordinator_ms`` is CPU time of the coordinator itself between passing the turn and having the answer,
            ``settle_ms`` is how long it took after the turn until all threads of the worker were seen asleep, and
            ``awake`` is 1 where they never were.
    """

    trial: int
    round: int
    position: int
    arm: str
    batch_size: int
    start_ns: int
    end_ns: int
    cpu_ns: int
    wall_ns: int
    discarded_ns: npt.NDArray[np.int64] = field(compare=False)
    timed_ns: npt.NDArray[np.int64] = field(compare=False)
    group: int = 1
    hardware: dict[str, float] = field(default_factory=dict)
    input_length: int | None = None
    threads: int | None = None

    @property
    def key(self) -> ConditionKey:
        """The condition that it belongs to."""
        return ConditionKey(self.batch_size, self.input_length, self.threads)

    def values_ns(self) -> npt.NDArray[np.float64]:
        """The timed values: mean nanoseconds per call of each group, shape (calls,)."""
        values: npt.NDArray[np.float64] = self.timed_ns.reshape(-1, self.group).mean(axis=1)
        return values


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker process (one arm in one trial; with a sweep over threads, one for each number) said of itself.

    Attributes:
        load_ms: Loading the artifact into the runtime, after the runtime's own import.
        first_call_ms: The first call, at the worker's first condition.
        import_rss_mib: Resident memory after importing the runtime, before the artifact: the runtime's floor.
        load_peak_mib: Peak resident memory (the kernel's high-water mark) after loading.
        load_rss_mib, load_uss_mib: Resident memory after loading, and the part that no other process shares; None
            where they were not read.
        peak_mib: Peak resident memory after the turns of each condition, by :attr:`ConditionKey.short`.
        warmup_ns: Warm-up calls at the worker's first condition, in order; never analysed.
        effective: What is really in force: runtime version, threads, providers, precision, device.
        modules: Top-level modules that the worker had imported when its turns were over.
        cpus: CPUs that the kernel let the worker run on while it was measured.
        gpu: On a device: ``gpu_allocated_peak_mib`` and ``gpu_call_ms`` after the last turn of each condition, by name,
            ``@`` and :attr:`ConditionKey.short`.
        threads: The conditions' threads that it was started for; None where threads are not swept.
        compile_ms: Compiling for the worker's first condition, after loading and before the first call; None for
            runtimes that compile nothing in the worker.
    """

    arm: str
    trial: int
    pid: int
    load_ms: float
    first_call_ms: float
    import_rss_mib: float
    load_peak_mib: float
    peak_mib: dict[str, float]
    warmup_ns: npt.NDArray[np.int64] = field(compare=False)
    effective: dict[str, Scalar] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    gpu: dict[str, float] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    threads: int | None = None
    compile_ms: float | None = None
    load_rss_mib: float | None = None
    load_uss_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Raw model output of one arm for the whole test set, in test-set order.

    Attributes:
        outputs: First output of the model, shape (rows, classes) for classification.
        labels: True labels, of the kind that the task declares; class indices of shape (rows,) for classification.
        decided: What the task made of the outputs, of the labels' shape; None where it was not asked.
    """

    arm: str
    outputs: npt.NDArray[np.float64] = field(compare=False)
    labels: npt.NDArray[Any] = field(compare=False)
    decided: npt.NDArray[Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LostTrial:
    """A trial of one arm that gave no complete data, and why."""

    arm: str
    trial: int
    reason: str


@dataclass(frozen=True, slots=True)
class Refusal:
    """A condition that an arm could not serve, and why; the arm's other conditions are not affected."""

    arm: str
    batch_size: int
    reason: str
    input_length: int | None = None
    threads: int | None = None

    @property
    def key(self) -> ConditionKey:
        """The condition."""
        return ConditionKey(self.batch_size, self.input_length, self.threads)


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another program, by name alone, and how many CPUs all its processes used."""

    name: str
    cpus: float


@dataclass(frozen=True, slots=True)
class MachineLook:
    """The machine while nothing was measured, or over a whole trial.

    Attributes:
        moment: ``before`` the first trial and ``after`` the last one nothing of ours runs; ``during`` is one trial.
        trial: Which one, for ``during``.
        seconds: How long was looked.
        figures: ``busy_cpus``, ``steal_cpus``, shares of time in which tasks waited (``cpu_waiting``,
            ``memory_waiting``, ``io_waiting``), and the load average ``load_1m``; absent where not readable. The
            figures of a trial hold our own workers too.
        others: The busiest other programs.
    """

    moment: Moment
    trial: int | None
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    others: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was measured, as it came.

    Attributes:
        epoch_ns: Wall-clock time (Unix) at the zero of the monotonic clock of all turns; 0 where it was not kept.
    """

    plan: Plan
    turns: tuple[Turn, ...]
    workers: tuple[WorkerReport, ...]
    predictions: tuple[Predictions, ...]
    lost: tuple[LostTrial, ...] = ()
    machine: dict[str, float] = field(default_factory=dict)
    energy_source: str = "absent"
    absent: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    machine_looks: tuple[MachineLook, ...] = ()
    epoch_ns: int = 0
    refused: tuple[Refusal, ...] = ()


# ---------------------------------------------------------------------------------------------------------------------
# what is concluded


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value with its interval.

    Attributes:
        value, low, high: Point and interval bounds; ``low``/``high`` are None where no interval can be given.
        level: Confidence level of the interval, such as 0.95.
        n: Sample size: trials for measurements, items for quality.
        unit: ``ms``, ``1/s``, ``MiB``, ``ratio``, ``points``, ...
        method: How the interval was made, in a few words.
    """

    value: float
    low: float | None = None
    high: float | None = None
    level: float = 0.95
    n: int = 0
    unit: str = ""
    method: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The decision rule's answer for one arm against the baseline on one metric.

    Attributes:
        metric: Metric name, such as ``latency/p50_ms``.
        call: ``faster`` / ``slower`` / ``equivalent`` / ``inconclusive``. For metrics that are not times, ``faster``
            reads "better" and ``slower`` reads "worse".
        ratio: Variant over baseline, with its 1 - alpha interval (95 % at a single look).
        equivalence: The same ratio with the 1 - 2 alpha interval that the equivalence test reads.
        margin: Equivalence margin as a ratio minus one (0.03 is 3 %).
        p_value, p_adjusted: Two-sided p of "no difference", and after Holm over the study's variants.
        equivalence_p: p of the equivalence test (the larger of two one-sided ones), before Holm.
        rank_p: Wilcoxon signed-rank p over trials, a cross-check.
        trials: Trials that took part.
        trials_needed: Trials that would settle an inconclusive answer, where that can be said.
        cpu_ratio: The same estimate from process CPU time instead of wall time.
        reason: Why, when the call is not plain from the interval.
        lower_is_better: Direction of the metric, so that ``faster`` reads "better" either way.
        process_share: Part of the variance of a trial's value that its processes brought along, 0 to 1 (p50 only).
        withheld: The evidence is not fit for any answer (too few trials, wall and CPU time disagree), so not even
            the interval may be used to decide.
    """

    metric: str
    call: Call
    ratio: Estimate | None
    equivalence: Estimate | None = None
    margin: float = 0.03
    p_value: float | None = None
    p_adjusted: float | None = None
    rank_p: float | None = None
    trials: int = 0
    trials_needed: int | None = None
    cpu_ratio: Estimate | None = None
    reason: str = ""
    equivalence_p: float | None = None
    lower_is_better: bool = True
    withheld: bool = False
    process_share: float | None = None


@dataclass(frozen=True, slots=True)
class ClassQuality:
    """Precision, recall and F1 of one class, with how many test items have it."""

    label: str
    precision: Estimate
    recall: Estimate
    f1: Estimate
    support: int


@dataclass(frozen=True, slots=True)
class Quality:
    """Quality of one arm on the test set.

    Attributes:
        metrics: By name without prefix (``accuracy``, ``f1_macro`` ...).
        deltas: Arm minus baseline, paired on the same items, by the same names; empty for the baseline.
        agreement: ``flip_rate``, ``max_abs_diff``, ``cosine`` against the baseline; empty for the baseline.
        per_class: One entry per class.
        confusion: Counts, rows are true classes, columns predicted ones.
        class_deltas: Recall of each class minus the baseline's, paired, by class; empty for the baseline.
        mcnemar_p: Exact McNemar p for accuracy against the baseline.
    """

    metrics: dict[str, Estimate]
    deltas: dict[str, Estimate] = field(default_factory=dict)
    agreement: dict[str, Estimate] = field(default_factory=dict)
    per_class: tuple[ClassQuality, ...] = ()
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    mcnemar_p: float | None = None
    class_deltas: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SeriesPoint:
    """One point of a metric series over the swept value (``step``: batch size, input length or threads)."""

    step: int
    estimate: Estimate


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the reader must know: a short code, one sentence, and what to do next."""

    code: str
    message: str
    action: str = ""


@dataclass(frozen=True, slots=True)
class Versus:
    """A variant against the incumbent, measured in the same rounds.

    Attributes:
        verdicts: By metric name.
        deltas: Paired differences of quality, by name without prefix.
    """

    verdicts: dict[str, Verdict] = field(default_factory=dict)
    deltas: dict[str, Estimate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ArmResult:
    """All that a study concluded about one arm.

    Attributes:
        status: ``ok``, ``failed`` (could not be built or served) or ``incomplete`` (lost trials).
        failure: The message when not ok.
        metrics: Headline metrics by public name (docs/metrics.md).
        absent: Metrics that could not be had, with the reason.
        series: Metric series over a swept value, by name (``by_batch/p50_ms``, ``by_length/p50_ms`` ...).
        verdicts: By metric name; empty for the baseline.
        versus_incumbent: Against the incumbent, for variants of a study that has one.
        warnings: What the reader must know of this arm's figures.
    """

    name: str
    role: Role
    recipe: Recipe
    status: Literal["ok", "failed", "incomplete"] = "ok"
    failure: str = ""
    artifact: Artifact | None = None
    effective: dict[str, Scalar] = field(default_factory=dict)
    metrics: dict[str, Estimate] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    series: dict[str, tuple[SeriesPoint, ...]] = field(default_factory=dict)
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    quality: Quality | None = None
    tags: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Notice, ...] = ()
    versus_incumbent: Versus | None = None


@dataclass(frozen=True, slots=True)
class NoiseMoment:
    """The verdict on the machine at one moment: before, during or after the measurement."""

    moment: Moment
    level: Level
    evidence: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Noise:
    """A verdict on the machine: ``quiet``, ``noisy`` or ``unusable``, with the evidence.

    Attributes:
        moments: The verdicts that it was made of, in order of time.
    """

    level: Level
    evidence: tuple[str, ...] = ()
    moments: tuple[NoiseMoment, ...] = ()


@dataclass(frozen=True, slots=True)
class ConstraintResult:
    """One constraint of the policy held against one arm; ``passed`` is None where the data cannot tell."""

    constraint: str
    passed: bool | None
    estimate: Estimate | None
    reason: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What the policy made of one arm."""

    arm: str
    eligible: bool
    constraints: tuple[ConstraintResult, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policy made of the verdicts.

    Attributes:
        outcome: ``promote`` (ship ``winner``), ``hold`` (keep the baseline) or ``inconclusive``.
        winner: Arm name, for ``promote`` only.
        sentence: The decision in one sentence.
        judgements: A reason for every arm.
    """

    outcome: Literal["promote", "hold", "inconclusive"]
    winner: str | None
    sentence: str
    judgements: tuple[Judgement, ...]
    policy: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Study:
    """A finished study: all that `show`, `report` and `promote` need, without the raw samples."""

    name: str
    created: str
    version: str
    config: dict[str, Any]
    overrides: tuple[str, ...]
    workload: WorkloadInfo
    plan: Plan
    environment: dict[str, str]
    arms: tuple[ArmResult, ...]
    decision: Decision
    noise: Noise
    warnings: tuple[Notice, ...] = ()
    wall_seconds: float = 0.0
    energy_source: str = "absent"
    status: Literal["finished", "interrupted"] = "finished"
    schema: int = SCHEMA_VERSION

    @property
    def baseline(self) -> ArmResult:
        """The arm that everything is compared against."""
        return next(arm for arm in self.arms if arm.role == "baseline")

    def arm(self, name: str) -> ArmResult:
        """The arm of that name.

        Raises:
            KeyError: No arm has that name.
        """
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise KeyError(name)


# ---------------------------------------------------------------------------------------------------------------------
# JSON


class RecordError(MlbenchError):
    """A stored record cannot be read: damaged, or written by a newer mlbench."""


@cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter  # imported late: the worker never needs it

    return TypeAdapter(cast("type[Any]", cls))


def to_dict(record: object) -> dict[str, Any]:
    """The record as JSON-ready plain values (records with numpy arrays have Parquet form instead)."""
    result: dict[str, Any] = _adapter(cast("Hashable", type(record))).dump_python(record, mode="json")
    return result


def to_json(record: object, *, indent: int | None = 2) -> str:
    """The record as JSON text; not-a-number is refused, since a missing number must be absent with a reason.

    Raises:
        ValueError: The record holds NaN or infinity.
    """
    return json.dumps(to_dict(record), indent=indent, allow_nan=False, ensure_ascii=False)


def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
    """A record from plain values.

    Raises:
        RecordError: The values do not fit the record, or its schema version is newer than this mlbench.
    """
    from pydantic import ValidationError

    schema = data.get("schema", SCHEMA_VERSION) if isinstance(data, Mapping) else SCHEMA_VERSION
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise RecordError(
            f"this {cls.__name__} has schema version {schema}, but this mlbench reads up to {SCHEMA_VERSION}: "
            "upgrade mlflow-mlbench"
        )
    try:
        record: T = _adapter(cast("Hashable", cls)).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"this is not a readable {cls.__name__}: {where}: {first['msg']}") from error
    return record


def from_json(cls: type[T], text: str | bytes) -> T:
    """A record from JSON text.

    Raises:
        RecordError: The text is not JSON, or not this record.
    """
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RecordError(f"this is not a readable {cls.__name__}: {error}") from error
    return from_dict(cls, data)
