"""Task metrics with intervals, and agreement with the baseline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

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
    """

    name: str
    labels: LabelKind
    metrics: tuple[MetricInfo, ...]

    def decide(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """One prediction per item from the model's outputs, shape (items, ...) in, (items,) out."""
        ...

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Raises:
            MlbenchError: The outputs cannot be scored; the message names the arm.
        """
        ...


__all__ = ["MetricInfo", "Task"]
