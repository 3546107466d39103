"""Binary classification: one of two classes per item, the second of them the positive one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.errors import MlbenchError
from mlbench.metrics import BINARY, MetricInfo
from mlbench.quality._figures import (
    CHANGES,
    BoolArray,
    FloatArray,
    IntArray,
    are_probabilities,
    calibration_error,
    class_flips,
    confidences,
    cosines,
    largest_difference,
    mean_estimate,
    one_hot,
    paired,
    per_class,
    recall_deltas,
    require_finite,
    require_same_items,
    share,
)
from mlbench.quality.classification import changes, discordant, with_accuracy
from mlbench.records import LabelKind, Predictions, Quality
from mlbench.statistics import mcnemar_exact, tango, wilson


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's answers: whether items are positive, are predicted so, how positive, and how sure; shape (items,)."""

    truth: BoolArray
    predicted: BoolArray
    score: FloatArray
    confidence: FloatArray

    @property
    def right(self) -> BoolArray:
        return np.equal(self.truth, self.predicted)

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`BINARY` in order, for weighted items: (b, items) in, (b, metrics) out."""
        hits = weights @ (self.truth & self.predicted)
        actual, named = weights @ self.truth, weights @ self.predicted
        accuracy = weights @ self.right / weights.sum(axis=1)
        auc, precision_area = _areas(weights, self.truth, self.score)
        return np.column_stack(
            [
                accuracy,
                share(hits, named),
                share(hits, actual),
                share(2 * hits, actual + named),
                auc,
                precision_area,
                calibration_error(weights, self.confidence, self.right),
            ]
        )


def _areas(weights: FloatArray, truth: BoolArray, score: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Area under the ROC curve, and average precision, for weighted items; equal scores are one threshold."""
    order = np.argsort(-score, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(score[order]) != 0]))
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * truth[order], starts, axis=1)
    negative = np.add.reduceat(sorted_weights * ~truth[order], starts, axis=1)
    found, false = positive.cumsum(axis=1), negative.cumsum(axis=1)
    every, none = found[:, -1], false[:, -1]
    below = none[:, np.newaxis] - false + negative / 2
    auc = share((positive * below).sum(axis=1), every * none)
    area = share((positive * share(found, found + false)).sum(axis=1), every)
    return auc, area


class Binary:
    """Precision, recall, F1, ROC AUC and average precision of the positive class, with accuracy and calibration."""

    name = "binary"
    labels: LabelKind = "class"
    metrics: tuple[MetricInfo, ...] = BINARY
    agreement: tuple[str, ...] = (*CHANGES, "max_abs_diff", "cosine")

    def decide(self, outputs: FloatArray) -> IntArray:
        """1 for the positive class: the larger of two outputs, or one output above 0 (0.5 if all are probabilities).

        Raises:
            MlbenchError: The outputs are not (items, 2), (items, 1) or (items,).
        """
        two = _two(outputs)
        return np.asarray(two[:, 1] > two[:, 0], dtype=np.int64)

    def score(self, outputs: FloatArray, labels: IntArray) -> dict[str, float]:
        """``accuracy``: share of right predictions."""
        return {"accuracy": float((self.decide(outputs) == labels).mean())}

    def compare(self, reference: FloatArray, outputs: FloatArray) -> dict[str, float]:
        """``flip_rate``: share of items whose prediction differs."""
        return {"flip_rate": float((self.decide(outputs) != self.decide(reference)).mean())}

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Raises:
            MlbenchError: Outputs or classes do not fit, or the two arms answered different items.
        """
        names = tuple(class_names)
        mine = self._scored(arm, names)
        theirs = None if baseline is None else self._scored(baseline, names)
        require_same_items(arm, baseline)
        n = len(mine.truth)
        alike = np.zeros(n) if baseline is None else cosines(_two(arm.outputs), _two(baseline.outputs))
        rows = paired(
            mine.averages, None if theirs is None else theirs.averages, alike[:, np.newaxis], seed, strata=mine.truth
        )
        cells = np.bincount(2 * mine.truth + mine.predicted, minlength=4).reshape(2, 2)
        quality = Quality(
            metrics=with_accuracy(BINARY, rows.metrics, wilson(int(mine.right.sum()), n), (0.0, 1.0)),
            per_class=per_class(np.diag(cells), cells.sum(axis=0), cells.sum(axis=1), names),
            labels=names,
            confusion=tuple(tuple(int(cell) for cell in row) for row in cells),
        )
        if baseline is None or theirs is None:
            return quality
        became_right, became_wrong = discordant(mine.right, theirs.right)
        return replace(
            quality,
            deltas=with_accuracy(BINARY, rows.deltas, tango(became_right, became_wrong, n), (-1.0, 1.0)),
            agreement={
                **changes(mine.predicted != theirs.predicted, mine.right, theirs.right),
                "max_abs_diff": largest_difference(arm, baseline),
                "cosine": mean_estimate(rows.means[0], n),
            },
            class_flips=class_flips(one_hot(mine.truth.astype(np.int64), 2), mine.predicted != theirs.predicted, names),
            class_deltas=recall_deltas(
                one_hot(mine.truth.astype(np.int64), 2),
                one_hot(mine.predicted.astype(np.int64), 2),
                one_hot(theirs.predicted.astype(np.int64), 2),
                names,
            ),
            mcnemar_p=mcnemar_exact(became_right, became_wrong),
        )

    def _scored(self, predictions: Predictions, names: tuple[str, ...]) -> _Scored:
        if len(names) != 2:
            raise MlbenchError(f"the task 'binary' needs two classes, but the data has {len(names)}")
        require_finite(predictions)
        labels = predictions.labels
        if labels.min() < 0 or labels.max() > 1:
            raise MlbenchError(f"labels run from {labels.min()} to {labels.max()}, but there are two classes")
        two = _two(predictions.outputs)
        return _Scored(labels == 1, self.decide(predictions.outputs) == 1, two[:, 1] - two[:, 0], confidences(two))


def _two(outputs: FloatArray) -> FloatArray:
    """Outputs for the negative and the positive class, (items, 2); one output is the positive one's.

    Raises:
        MlbenchError: The outputs are of another shape.
    """
    if outputs.ndim == 2 and outputs.shape[1] == 2:
        return outputs
    if outputs.ndim == 1 or (outputs.ndim == 2 and outputs.shape[1] == 1):
        flat = outputs.reshape(-1)
        return np.column_stack([1 - flat if are_probabilities(flat) else np.zeros(len(flat)), flat])
    raise MlbenchError(f"outputs of a binary classifier have shape (items, 2) or (items, 1), not {outputs.shape}")
