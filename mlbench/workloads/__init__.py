"""Workloads: models, datasets and their splits. Importing this package is cheap (the worker may import factories)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mlbench.config import DataConfig, ModelConfig
from mlbench.records import Artifact, DataInfo, TensorSpec, WorkloadInfo

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Split:
    """Items of one split: input arrays by name (first axis: items) and class indices, shape (items,)."""

    inputs: dict[str, npt.NDArray[Any]] = field(compare=False)
    labels: npt.NDArray[np.int64] = field(compare=False)

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, slots=True)
class RawData:
    """A dataset as its source gives it, before splitting."""

    inputs: dict[str, npt.NDArray[Any]] = field(compare=False)
    labels: npt.NDArray[np.int64] = field(compare=False)
    classes: tuple[str, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Data:
    """A dataset, split, with its record."""

    info: DataInfo
    train: Split
    validation: Split
    test: Split


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
    """Where the workload's model comes from."""

    format: str

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; cheap, runs before anything starts."""
        ...

    def build(self, config: ModelConfig, data: Data, store: Any, progress: Progress) -> Artifact:
        """The model as an artifact in the store, trained if the configuration says so."""
        ...


__all__ = [
    "Data",
    "DataConfig",
    "DatasetSource",
    "ModelSource",
    "Path",
    "Progress",
    "RawData",
    "Split",
    "TensorSpec",
    "Workload",
]
