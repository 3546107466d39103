"""What is concluded: estimates, verdicts, the decision, and the study as a whole."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from mlbench.records._plan import Plan
from mlbench.records._profiled import Profile
from mlbench.records._subject import Artifact, Recipe, WorkloadInfo
from mlbench.records._types import SCHEMA_VERSION, Call, Level, Moment, Role, Scalar


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
        class_flips: Share of each class's items (tokens, where those have the labels) whose prediction differs from the
            baseline's, by class; empty for the baseline.
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
    class_flips: dict[str, Estimate] = field(default_factory=dict)


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


NO_REASON = "no reason found in the evidence"
"""What is said of an arm whose explanation has no reasons."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an arm is not faster than the recipe that it extends, from evidence alone.

    Attributes:
        parent: The arm of that recipe.
        verdict: On p50 against it.
        reasons: One sentence each; empty where the evidence shows none.
        unseen: What could not be looked at, with the reason.
    """

    parent: str
    verdict: Verdict
    reasons: tuple[str, ...] = ()
    unseen: tuple[str, ...] = ()


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
        why: Where it is not shown to be faster than the recipe that it extends: why.
        profiles: Where the time of its calls goes; only of arms that explain something.
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
    why: Explanation | None = None
    profiles: tuple[Profile, ...] = ()


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
