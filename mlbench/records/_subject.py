"""What is measured: recipes, artifacts, arms, and the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from mlbench.records._types import Role


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a runtime serves an artifact.

    Attributes:
        name: Runtime's short name, or ``auto``: the one that serves the artifact's format.
        threads: Threads inside one operator (intra-op). 1 by default: more makes latencies bimodal on small machines.
        inter_threads: Threads across operators.
        device: ``cpu`` or ``cuda``.
        options: Options of the one runtime (for onnxruntime: ``graph_level``, ``providers`` ...).
        python: Absolute path of the interpreter that the worker runs on; None is mlbench's own.
    """

    name: str = "auto"
    threads: int = 1
    inter_threads: int = 1
    device: str = "cpu"
    options: dict[str, Any] = field(default_factory=dict)
    python: str | None = None


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
class Collation:
    """What is done to the items of each batch, the same for every arm. Without any of it they are served as they are.

    Attributes:
        trim: Name of the input that is 1 for real tokens and 0 for padding: sequences are cut to the longest real one
            of the batch before anything is timed. Empty leaves them.
        tokenizer: A tokenizer of the library ``tokenizers`` as JSON, truncation and padding included: items are texts,
            and every call begins by turning them into tokens. Empty where they are tokens already.
        words: The texts are lists of words, written as JSON.
        processing: What is done to images (:class:`mlbench.runtimes.processed.Processing` as JSON): items are images,
            and every call begins by preparing them. Empty where they are the model's inputs already.
    """

    trim: str = ""
    tokenizer: str = ""
    words: bool = False
    processing: str = ""

    @property
    def begins(self) -> str:
        """What every call begins with: ``texts``, ``words`` or ``images``; empty where it is the model's inputs."""
        if self.processing:
            return "images"
        return ("words" if self.words else "texts") if self.tokenizer else ""


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
