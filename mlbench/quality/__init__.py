"""Task metrics with intervals, and agreement with the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from mlbench.metrics import MetricInfo
from mlbench.records import LabelKind, Predictions, Quality


class Task(Protocol):
    """How outputs become predictions, and predictions quality. Implementations are stateless classes.

    Attributes:
        name: Short name in ``workload.task``.
        labels: What the labels are.
        metrics: The metrics that :meth:`evaluate` gives, without prefix.
        agreement: Names of what it gives of the agreement with the baseline, without prefix.
    """

    name: str
    labels: LabelKind
    metrics: tuple[MetricInfo, ...]
    agreement: tuple[str, ...]

    def decide(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Predictions from the model's outputs, shape (items, ...) in, of the shape of the labels out."""
        ...

    def score(self, outputs: npt.NDArray[np.float64], labels: npt.NDArray[Any]) -> dict[str, float]:
        """Quality in a few plain numbers, without intervals: what is looked at while building."""
        ...

    def compare(self, reference: npt.NDArray[np.float64], outputs: npt.NDArray[np.float64]) -> dict[str, float]:
        """How far outputs are from a reference, in a few plain numbers without intervals."""
        ...

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Raises:
            MlbenchError: The outputs cannot be scored; the message names the arm.
        """
        ...


@runtime_checkable
class Probing(Protocol):
    """A task that first learns from the baseline's outputs for the training split, once for all arms.

    It does so in the process that builds the arms, and comes back from there as a pickle.
    """

    def fitted(self, outputs: npt.NDArray[np.float64], labels: npt.NDArray[Any]) -> Task:
        """The task, ready to decide."""
        ...


__all__ = ["MetricInfo", "Probing", "Task"]
