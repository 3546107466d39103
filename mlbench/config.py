"""The schema of a study's configuration: frozen dataclasses that the Hydra tree ``conf/`` is validated into, once.

``mlbench.compose`` fills these from YAML and overrides and reports every problem together. Nothing downstream reads
raw configuration. Field constraints are declared here, so that one place says what is allowed.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

# A number is fine where text is wanted (a study named 2024); infinity and not-a-number are never fine.
_FORBID: dict[str, Any] = {"extra": "forbid", "allow_inf_nan": False, "coerce_numbers_to_str": True}

PositiveInt = Annotated[int, Ge(1)]
Fraction = Annotated[float, Gt(0), Lt(1)]
Seed = Annotated[int, Ge(0), Lt(2**32)]  # what NumPy, scikit-learn and PyTorch all take


@dataclass(frozen=True, slots=True)
class TrainConfig:
    """How a torch model is trained or fine-tuned; deterministic, and it never sees the test set."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    epochs: PositiveInt = 12
    learning_rate: Annotated[float, Gt(0)] = 3e-3
    batch_size: PositiveInt = 64
    weight_decay: Annotated[float, Ge(0)] = 1e-2
    label_smoothing: Annotated[float, Ge(0), Lt(1)] = 0.05
    max_shift: Annotated[int, Ge(0)] = 0
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """The workload's model. ``factory`` names code to run: ``package.module:function``.

    ``path`` names a model that is whole by itself (an ONNX file, a folder, a hub id), ``options`` are the source's own.
    ``trust`` is the user's word that a pickled file may run the code in it.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    source: str = "torch_factory"
    factory: str | None = None
    args: dict[str, Any] = field(default_factory=dict)
    path: str | None = None
    options: dict[str, Any] = field(default_factory=dict)
    weights: str | None = None
    trust: bool = False
    train: TrainConfig | None = None


@dataclass(frozen=True, slots=True)
class DataConfig:
    """The workload's dataset: a registered source, its options, and how it is split (stratified, seeded).

    ``classes`` gives the names of the classes in the order of the model's outputs. The fractions say how large the
    splits are that the source does not name.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    source: str
    options: dict[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None
    rows: PositiveInt | None = None
    test_fraction: Fraction = 0.4
    validation_fraction: Fraction = 0.12
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class WorkloadConfig:
    """What is benchmarked: model + dataset + task."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str
    model: ModelConfig
    data: DataConfig
    task: str = "classification"


@dataclass(frozen=True, slots=True)
class RuntimeConfig:
    """How an arm is served; see :class:`mlbench.records.RuntimeSettings`."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str = "auto"
    threads: PositiveInt | None = None
    inter_threads: PositiveInt = 1
    device: Literal["cpu", "cuda"] = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    python: str | None = None


@dataclass(frozen=True, slots=True)
class RecipeConfig:
    """A recipe: steps in order (each a mapping with ``name`` and the step's own parameters) and runtime settings."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    steps: tuple[dict[str, Any], ...] = ()
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    description: str = ""


@dataclass(frozen=True, slots=True)
class BaselineConfig:
    """The arm that everything is compared against: a recipe with a name."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str = "baseline"
    steps: tuple[dict[str, Any], ...] = ()
    runtime: RuntimeConfig = field(default_factory=RuntimeConfig)
    description: str = ""


@dataclass(frozen=True, slots=True)
class ScenarioConfig:
    """The load pattern: one request after another, each as soon as the one before it is answered.

    The first batch size, input length and number of threads are the headline condition. Each further value is a
    condition of its own with everything else as in the headline; the largest batch size gives the throughput.
    ``input_lengths`` applies to inputs whose second axis is free (sequences): items are cut or repeated to the length.
    ``threads`` replaces every arm's own setting, with fresh workers for each number.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str = "batches"
    batch_sizes: Annotated[tuple[PositiveInt, ...], Len(1)] = (1, 32)
    input_lengths: tuple[PositiveInt, ...] = ()
    threads: tuple[PositiveInt, ...] = ()


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """How it is measured.

    ``rounds``/``calls``/``discard`` apply to the headline batch size, the ``sweep_`` ones to every other batch size.
    ``pin_cpus`` keeps all workers of a trial on the same CPUs, as many as they have threads, others in every trial.
    ``margin`` is the equivalence margin of p50 and throughput as a fraction, ``tail_margin`` that of p95,
    ``memory_margin`` that of peak memory; ``alpha`` is the error rate of the verdicts. The rounds are raised so that
    all calls together support the ``percentiles`` asked for. ``extend`` asks for so many further looks: as many trials
    again, as long as a verdict on p50 is open. ``budget_minutes`` is the time for the whole study, to which the plan is
    sized before it starts. A worker that hangs is ended and its trial is lost: after ``turn_timeout_s`` while
    it loads or in a call of its warm-up, and in a call or a turn that takes far longer than the warm-up says and than
    ``hang_floor_s``.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str = "default"
    trials: PositiveInt = 10
    extend: Annotated[int, Ge(0), Le(2)] = 0
    rounds: Annotated[int, Ge(2)] = 20
    calls: PositiveInt = 10
    discard: Annotated[int, Ge(0)] = 2
    sweep_rounds: Annotated[int, Ge(2)] = 4
    sweep_calls: PositiveInt = 3
    sweep_discard: Annotated[int, Ge(0)] = 1
    warmup_calls: PositiveInt = 30
    warmup_seconds: Annotated[float, Ge(0)] = 0.5
    min_value_ms: Annotated[float, Ge(0)] = 1.0
    pin_cpus: bool = True
    budget_minutes: Annotated[float, Gt(0)] | None = None
    percentiles: tuple[Literal["p90", "p95", "p99", "p999"], ...] = ()
    margin: Annotated[float, Gt(0), Lt(1)] = 0.03
    tail_margin: Annotated[float, Gt(0), Lt(1)] = 0.20
    memory_margin: Annotated[float, Gt(0), Lt(1)] = 0.05
    alpha: Annotated[float, Gt(0), Le(0.5)] = 0.05
    turn_timeout_s: Annotated[float, Gt(0)] = 300.0
    hang_floor_s: Annotated[float, Gt(0)] = 30.0


@dataclass(frozen=True, slots=True)
class EnergyModelConfig:
    """Energy by a model where no counter can be read: CPU time times what one busy CPU takes beyond an idle one."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    watts_per_cpu: Annotated[float, Gt(0)]


@dataclass(frozen=True, slots=True)
class ProbesConfig:
    """Which sources of hardware figures are asked; each says by itself when it is not available.

    With an ``energy_model`` energy is modelled, and labelled so, where the probe ``energy`` finds no counter.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    names: tuple[str, ...] = ("machine", "cgroup", "frequency", "thermal", "gpu", "energy")
    energy_model: EnergyModelConfig | None = None


@dataclass(frozen=True, slots=True)
class ConstraintConfig:
    """One goal that an arm must meet, tested by the bound of the interval, never by the point estimate.

    ``against: baseline`` compares with the baseline: ``unit: points`` is the difference times 100, ``percent`` the
    relative change in percent, ``units`` the plain difference. ``against: incumbent`` compares in the same way with the
    current champion, where the study has it as an arm. ``against: absolute`` reads the metric itself (``unit: units``).
    ``confidence`` is the level of the two-sided interval.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    metric: str
    against: Literal["baseline", "incumbent", "absolute"] = "baseline"
    unit: Literal["points", "percent", "units"] = "units"
    min: float | None = None
    max: float | None = None
    confidence: Annotated[float, Ge(0.5), Lt(1)] = 0.95


@dataclass(frozen=True, slots=True)
class TermConfig:
    """One further metric of an objective; ``weight`` counts where the metrics are weighted."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    metric: str
    goal: Literal["minimize", "maximize"] = "minimize"
    weight: Annotated[float, Gt(0)] = 1.0


@dataclass(frozen=True, slots=True)
class ObjectiveConfig:
    """What decides between the arms that meet every constraint: one metric, or with ``then`` several.

    ``combine: lexicographic`` asks the next metric only where arms are not shown to differ on the one before;
    ``weighted`` adds up their relative gains over the baseline (docs/method.md, "Objective").
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    metric: str = "latency/p50_ms"
    goal: Literal["minimize", "maximize"] = "minimize"
    weight: Annotated[float, Gt(0)] = 1.0
    then: tuple[TermConfig, ...] = ()
    combine: Literal["lexicographic", "weighted"] = "lexicographic"
    require_better: bool = True

    @property
    def terms(self) -> tuple[TermConfig, ...]:
        """Every metric of the objective, the first one first."""
        return (TermConfig(self.metric, self.goal, self.weight), *self.then)


@dataclass(frozen=True, slots=True)
class PolicyConfig:
    """The user's goals. With ``enforce`` the exit code says whether they were met.

    ``environment`` says where a study must have been measured for its winner to be promoted: patterns with ``*`` and
    ``?``, by the names of ``environment.json``.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    name: str
    constraints: tuple[ConstraintConfig, ...] = ()
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    environment: dict[str, str] = field(default_factory=dict)
    enforce: bool = False


@dataclass(frozen=True, slots=True)
class TrackingConfig:
    """Where the evidence goes. ``uri: null`` is MLflow's own default; ``log_models`` keeps every arm's artifact.

    The delivery of a finished study is tried ``attempts`` times before it is left to ``mlbench sync``.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    uri: str | None = None
    experiment: str = "mlbench"
    log_models: bool = True
    attempts: PositiveInt = 4


@dataclass(frozen=True, slots=True)
class RegistryConfig:
    """Where the winner goes. ``model_name: null`` means ``mlbench-<workload>``; ``promote: false`` only decides.

    ``trust`` is the user's word that a registered model may run the code in it, where it takes part as the champion.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    model_name: str | None = None
    alias: str = "champion"
    promote: bool = True
    trust: bool = False


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """A whole study, as composed.

    ``threads`` is the default for every arm; an arm's own runtime may differ. With ``incumbent`` the current champion
    of the registry takes part. With ``profile`` a few calls are profiled after the measurement, of arms that are no
    faster than the recipe they extend.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = _FORBID
    workload: WorkloadConfig
    baseline: BaselineConfig
    variants: dict[str, RecipeConfig]
    scenario: ScenarioConfig
    protocol: ProtocolConfig
    probes: ProbesConfig
    policy: PolicyConfig
    tracking: TrackingConfig
    registry: RegistryConfig
    name: str | None = None
    incumbent: bool = False
    profile: bool = True
    seed: Seed = 0
    threads: PositiveInt = 1
    cache_dir: str | None = None
