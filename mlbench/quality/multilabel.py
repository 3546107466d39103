"""Multi-label classification: any number of classes per item, each with a score of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.errors import MlbenchError
from mlbench.metrics import MULTILABEL, MetricInfo
from mlbench.quality._figures import (
    CHANGES,
    BoolArray,
    FloatArray,
    IntArray,
    are_probabilities,
    calibration_error_of_parts,
    class_flips,
    cosines,
    estimates_and_calibration,
    largest_difference,
    mean_estimate,
    pair_confidences,
    paired,
    per_class,
    recall_deltas,
    require_finite,
    require_same_items,
    share,
)
from mlbench.quality.classification import changes, discordant
from mlbench.records import LabelKind, Predictions, Quality
from mlbench.statistics import mcnemar_exact, tango, wilson


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's answers: whether the item has the class, is predicted to have it, and how surely; (items, classes)."""

    truth: BoolArray
    predicted: BoolArray
    confidence: FloatArray

    @property
    def right(self) -> BoolArray:
        """Items whose labels are all right, shape (items,)."""
        return np.asarray((self.truth == self.predicted).all(axis=1))

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`MULTILABEL` in order, for weighted items: (b, items) in, (b, metrics) out."""
        hits = weights @ (self.truth & self.predicted)
        actual, named = weights @ self.truth, weights @ self.predicted
        occurring = self.truth.any(axis=0)
        macro = [
            share(part, whole)[:, occurring].mean(axis=1) if occurring.any() else np.zeros(len(weights))
            for part, whole in ((hits, named), (hits, actual), (2 * hits, actual + named))
        ]
        micro = share(2 * hits.sum(axis=1), actual.sum(axis=1) + named.sum(axis=1))
        total = weights.sum(axis=1)
        wrong = weights @ (self.truth != self.predicted).mean(axis=1) / total
        error = calibration_error_of_parts(
            weights, self.confidence, self.truth == self.predicted, np.ones_like(self.truth)
        )
        return np.column_stack([micro, *macro, weights @ self.right / total, wrong, error])


class Multilabel:
    """F1 over all pairs and over classes, exact matches, calibration, and their paired differences to the baseline."""

    name = "multilabel"
    labels: LabelKind = "multi_hot"
    metrics: tuple[MetricInfo, ...] = MULTILABEL
    agreement: tuple[str, ...] = (*CHANGES, "max_abs_diff", "cosine")

    def decide(self, outputs: FloatArray) -> IntArray:
        """Zeros and ones, (items, classes): 1 where the output is above 0, or above 0.5 if all are probabilities.

        Raises:
            MlbenchError: The outputs are not (items, classes).
        """
        if outputs.ndim != 2:
            raise MlbenchError(f"outputs of a multi-label classifier have shape (items, classes), not {outputs.shape}")
        return np.asarray(outputs > (0.5 if are_probabilities(outputs) else 0.0), dtype=np.int64)

    def score(self, outputs: FloatArray, labels: IntArray) -> dict[str, float]:
        """``exact_match``: share of items whose labels are all right."""
        return {"exact_match": float((self.decide(outputs) == labels).all(axis=1).mean())}

    def compare(self, reference: FloatArray, outputs: FloatArray) -> dict[str, float]:
        """``flip_rate``: share of items of which some prediction differs."""
        return {"flip_rate": float((self.decide(outputs) != self.decide(reference)).any(axis=1).mean())}

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Intervals are a percentile bootstrap over items, never narrower than the score interval of exact matches.

        Raises:
            MlbenchError: Outputs or classes do not fit, or the two arms answered different items.
        """
        names = tuple(class_names)
        mine = self._scored(arm, len(names))
        theirs = None if baseline is None else self._scored(baseline, len(names))
        require_same_items(arm, baseline)
        n = len(mine.truth)
        alike = np.zeros(n) if baseline is None else cosines(arm.outputs, baseline.outputs)
        rows = paired(mine.averages, None if theirs is None else theirs.averages, alike[:, np.newaxis], seed)
        hits = (mine.truth & mine.predicted).sum(axis=0)
        quality = Quality(
            metrics=estimates_and_calibration(
                MULTILABEL, rows.metrics, n, wilson(int(mine.right.sum()), n), (0.0, 1.0)
            ),
            per_class=per_class(hits, mine.predicted.sum(axis=0), mine.truth.sum(axis=0), names),
            labels=names,
        )
        if baseline is None or theirs is None:
            return quality
        became_right, became_wrong = discordant(mine.right, theirs.right)
        return replace(
            quality,
            deltas=estimates_and_calibration(
                MULTILABEL, rows.deltas, n, tango(became_right, became_wrong, n), (-1.0, 1.0)
            ),
            agreement={
                **changes((mine.predicted != theirs.predicted).any(axis=1), mine.right, theirs.right),
                "max_abs_diff": largest_difference(arm, baseline),
                "cosine": mean_estimate(rows.means[0], n),
            },
            class_flips=class_flips(mine.truth, mine.predicted != theirs.predicted, names),
            class_deltas=recall_deltas(mine.truth, mine.predicted, theirs.predicted, names),
            mcnemar_p=mcnemar_exact(became_right, became_wrong),
        )

    def _scored(self, predictions: Predictions, classes: int) -> _Scored:
        require_finite(predictions)
        if predictions.outputs.shape != predictions.labels.shape or predictions.labels.shape[1:] != (classes,):
            raise MlbenchError(
                f"outputs of '{predictions.arm}' have shape {predictions.outputs.shape}; {classes} classes and "
                f"{len(predictions.labels)} items need ({len(predictions.labels)}, {classes})"
            )
        outputs = predictions.outputs
        return _Scored(predictions.labels == 1, self.decide(outputs) == 1, pair_confidences(outputs))
