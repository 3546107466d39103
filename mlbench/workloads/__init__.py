"""Workloads: models, datasets and their splits. Importing this package is cheap (the worker may import factories)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mlbench.records import Artifact, Collation, DataInfo, TensorSpec, WorkloadInfo

if TYPE_CHECKING:  # a worker that imports a factory of this package needs no library besides its runtime's
    from mlbench.config import ModelConfig

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Items of one split: input arrays by name (first axis: items) and labels of the task's kind.

    Labels are as :data:`mlbench.records.LabelKind` says: class indices (items,), zeros and ones (items, classes),
    numbers (items,), or class indices (items, tokens). ``task`` is the name of the
    task, which says what they mean. ``originals`` are the same items before they became inputs, as in :class:`RawData`.
    """

    inputs: dict[str, npt.NDArray[Any]] = field(compare=False)
    labels: npt.NDArray[Any] = field(compare=False)
    task: str = "classification"
    originals: dict[str, npt.NDArray[Any]] = field(default_factory=dict, compare=False)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class RawData:
    """A dataset as its source gives it, before splitting.

    Attributes:
        inputs: By name, first axis items. Text is for models that have a tokenizer.
        labels: First axis items. Indices into ``classes``, or values as they were found where ``classes`` is empty.
        classes: Names of the classes, where the source knows them.
        source: Where the data is from, for the record.
        splits: ``train``, ``validation`` or ``test`` for every item, where the source says; shape (items,).
        columns: Columns or arrays of the source with their types, for the record.
        sequences: Names of the inputs whose second axis is the length of a sequence, which models take at any size.
        notes: What the reader of the report should know.
        originals: The items before they became arrays, where that matters: texts by column, the files of images.
        collation: What is done to the items of each batch.
    """

    inputs: dict[str, npt.NDArray[Any]] = field(compare=False)
    labels: npt.NDArray[Any] = field(compare=False)
    classes: tuple[str, ...]
    source: str
    splits: npt.NDArray[np.str_] | None = field(default=None, compare=False)
    columns: dict[str, str] = field(default_factory=dict)
    sequences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    originals: dict[str, npt.NDArray[Any]] = field(default_factory=dict, compare=False)
    collation: Collation = field(default_factory=Collation)


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset, split, with its record, and what is done to the items of each batch."""

    info: DataInfo
    train: Split
    validation: Split
    test: Split
    collation: Collation = field(default_factory=Collation)


@dataclass(frozen=True, slots=True)
class Workload:
    """What is benchmarked, ready for recipes: the splits and the workload's own model as an artifact."""

    info: WorkloadInfo
    data: Data
    source: Artifact


class DatasetSource(Protocol):
    """Where raw data comes from. ``options`` is a frozen dataclass type; an instance is made from its fields."""

    options: type[Any]

    def load(self, options: Any) -> RawData:
        """Read the data.

        Raises:
            InputError: The data cannot be read or is not fit; the message names the key or file.
        """
        ...


class ModelSource(Protocol):
    """Where the workload's model comes from.

    Attributes:
        format: Format of the artifacts it makes; None where that is not known before the model is there.
    """

    format: str | None

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; cheap, runs before anything starts."""
        ...

    def build(self, config: ModelConfig, data: Data, store: Any, progress: Progress) -> Artifact:
        """The model as an artifact in the store, trained if the configuration says so."""
        ...


@runtime_checkable
class EncodingSource(Protocol):
    """A source of models that take something else than the data as it is, such as token ids for text."""

    def encode(self, config: ModelConfig, raw: RawData, classes: tuple[str, ...] | None, task: str) -> RawData:
        """The data as the model takes it.

        Raises:
            InputError: The data is not what the model can take.
        """
        ...


__all__ = [
    "Data",
    "DatasetSource",
    "EncodingSource",
    "ModelSource",
    "Path",
    "Progress",
    "RawData",
    "Split",
    "TensorSpec",
    "Workload",
]
