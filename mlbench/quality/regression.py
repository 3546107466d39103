"""Regression: one number per item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.errors import MlbenchError
from mlbench.metrics import REGRESSION, MetricInfo
from mlbench.quality._figures import (
    FloatArray,
    estimates,
    largest_difference,
    mean_estimate,
    paired,
    require_finite,
    require_same_items,
)
from mlbench.records import LabelKind, Predictions, Quality


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's answers beside the truth, shape (items,)."""

    truth: FloatArray
    predicted: FloatArray

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`REGRESSION` in order, for weighted items: (b, items) in, (b, metrics) out."""
        total = weights.sum(axis=1)
        errors = self.predicted - self.truth
        squared = weights @ errors**2 / total
        mean = weights @ self.truth / total
        centred = self.truth - self.truth.mean()  # of large numbers the difference of squares would keep no digit
        variance = weights @ centred**2 / total - (mean - self.truth.mean()) ** 2
        # labels that do not vary leave nothing to explain: 1 for no error, else 0, as scikit-learn has it
        flat = variance <= 1e-12 * max(1.0, float(np.abs(centred).max()) ** 2)
        r2 = np.where(flat, np.where(squared == 0, 1.0, 0.0), 1 - squared / np.where(flat, 1.0, variance))
        return np.column_stack([r2, weights @ np.abs(errors) / total, np.sqrt(squared)])


class Regression:
    """R2, mean absolute error and root mean squared error, with paired differences to the baseline."""

    name = "regression"
    labels: LabelKind = "number"
    metrics: tuple[MetricInfo, ...] = REGRESSION
    agreement: tuple[str, ...] = ("mean_abs_diff", "max_abs_diff")

    def decide(self, outputs: FloatArray) -> FloatArray:
        """The number predicted for each item: (items,) or (items, 1) in, (items,) out.

        Raises:
            MlbenchError: There is more than one number per item.
        """
        if outputs.ndim > 2 or (outputs.ndim == 2 and outputs.shape[1] != 1):
            raise MlbenchError(f"outputs of a regression have shape (items,) or (items, 1), not {outputs.shape}")
        return np.asarray(outputs, dtype=np.float64).reshape(-1)

    def score(self, outputs: FloatArray, labels: FloatArray) -> dict[str, float]:
        """``mae``: mean absolute error."""
        return {"mae": float(np.abs(self.decide(outputs) - labels).mean())}

    def compare(self, reference: FloatArray, outputs: FloatArray) -> dict[str, float]:
        """``mean_abs_diff``: mean absolute difference."""
        return {"mean_abs_diff": float(np.abs(self.decide(outputs) - self.decide(reference)).mean())}

    def evaluate(
        self,
        arm: Predictions,
        baseline: Predictions | None,
        class_names: Sequence[str],  # noqa: ARG002 - the protocol's signature
        seed: int,
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Intervals are a percentile bootstrap over items.

        Raises:
            MlbenchError: Outputs do not fit, or the two arms answered different items.
        """
        mine = self._scored(arm)
        theirs = None if baseline is None else self._scored(baseline)
        require_same_items(arm, baseline)
        n = len(mine.truth)
        apart = np.zeros(n) if theirs is None else np.abs(mine.predicted - theirs.predicted)
        rows = paired(mine.averages, None if theirs is None else theirs.averages, apart[:, np.newaxis], seed)
        quality = Quality(metrics=estimates(REGRESSION, rows.metrics, n))
        if baseline is None or theirs is None:
            return quality
        return replace(
            quality,
            deltas=estimates(REGRESSION, rows.deltas, n),
            agreement={
                "mean_abs_diff": mean_estimate(rows.means[0], n),
                "max_abs_diff": largest_difference(arm, baseline),
            },
        )

    def _scored(self, predictions: Predictions) -> _Scored:
        require_finite(predictions)
        return _Scored(predictions.labels.astype(np.float64), self.decide(predictions.outputs))
