"""Classification: one class per item. Intervals are described in docs/method.md, "Quality"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from mlbench.errors import MlbenchError
from mlbench.metrics import CLASSIFICATION, MetricInfo
from mlbench.quality._figures import (
    CHANGES,
    BoolArray,
    FloatArray,
    IntArray,
    calibration_error,
    class_flips,
    confidences,
    cosines,
    count,
    estimates,
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
from mlbench.records import Estimate, LabelKind, Predictions, Quality
from mlbench.statistics import mcnemar_exact, tango, wilson


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's predictions beside the truth: class indices and the decided class's probability, shape (items,)."""

    labels: IntArray
    predicted: IntArray
    confidence: FloatArray
    classes: int

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.labels, self.predicted)

    def confusion(self) -> IntArray:
        """Counts, rows are true classes, columns predicted ones."""
        cells = np.bincount(self.labels * self.classes + self.predicted, minlength=self.classes**2)
        return cells.reshape(self.classes, self.classes).astype(np.int64)

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`CLASSIFICATION` in order, for weighted items: (b, items) in, (b, metrics) out."""
        hits = count(weights[:, self.right], self.labels[self.right], self.classes)
        actual = count(weights, self.labels, self.classes)
        named = count(weights, self.predicted, self.classes)
        occurring = np.bincount(self.labels, minlength=self.classes) > 0
        precision, recall = share(hits, named), share(hits, actual)
        f1 = share(2 * hits, actual + named)
        per_class = [values[:, occurring] for values in (precision, recall, f1)]
        size = actual[:, occurring]
        total = weights.sum(axis=1)
        accuracy = hits.sum(axis=1) / total
        macro = [values.mean(axis=1) for values in per_class]
        weighted = [(values * size).sum(axis=1) / total for values in per_class]
        error = calibration_error(weights, self.confidence, self.right)
        return np.column_stack([accuracy, *macro, *weighted, 1 - accuracy, error])


class Classification:
    """Accuracy, precision, recall and F1, each with an interval, and their paired differences to the baseline."""

    name = "classification"
    labels: LabelKind = "class"
    metrics: tuple[MetricInfo, ...] = CLASSIFICATION
    agreement: tuple[str, ...] = (*CHANGES, "max_abs_diff", "cosine")

    def decide(self, outputs: FloatArray) -> IntArray:
        """The class with the largest output, the first one of equals: shape (items, classes) in, (items,) out.

        Raises:
            MlbenchError: The outputs are not (items, classes) with at least two classes.
        """
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            raise MlbenchError(f"outputs of a classifier have shape (items, classes >= 2), not {outputs.shape}")
        decided: IntArray = np.argmax(outputs, axis=1).astype(np.int64)
        return decided

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

        Accuracy has Wilson's interval and its difference Tango's; averages over classes have a stratified percentile
        bootstrap (paired for differences) that is never narrower than those; classes have Wilson intervals.

        Args:
            arm: Outputs of shape (items, classes) and labels of shape (items,).
            baseline: The same items through the baseline; None when ``arm`` is the baseline.
            class_names: One name per column of the outputs.
            seed: Of the bootstrap.

        Raises:
            MlbenchError: Outputs are not finite or do not fit the classes, or the two arms answered different items.
        """
        names = tuple(class_names)
        mine = self._scored(arm, len(names))
        theirs = None if baseline is None else self._scored(baseline, len(names))
        require_same_items(arm, baseline)
        n = len(mine.labels)
        alike = np.zeros(n) if baseline is None else cosines(arm.outputs, baseline.outputs)
        rows = paired(
            mine.averages, None if theirs is None else theirs.averages, alike[:, None], seed, strata=mine.labels
        )
        accuracy = wilson(int(mine.right.sum()), n)
        confusion = mine.confusion()
        quality = Quality(
            metrics=with_accuracy(CLASSIFICATION, rows.metrics, accuracy, (0.0, 1.0)),
            per_class=per_class(np.diag(confusion), confusion.sum(axis=0), confusion.sum(axis=1), names),
            labels=names,
            confusion=tuple(tuple(int(cell) for cell in row) for row in confusion),
        )
        if baseline is None or theirs is None:
            return quality
        became_right, became_wrong = discordant(mine.right, theirs.right)
        return replace(
            quality,
            deltas=with_accuracy(CLASSIFICATION, rows.deltas, tango(became_right, became_wrong, n), (-1.0, 1.0)),
            agreement={
                **changes(mine.predicted != theirs.predicted, mine.right, theirs.right),
                "max_abs_diff": largest_difference(arm, baseline),
                "cosine": mean_estimate(rows.means[0], n),
            },
            class_flips=class_flips(one_hot(mine.labels, len(names)), mine.predicted != theirs.predicted, names),
            class_deltas=recall_deltas(
                one_hot(mine.labels, len(names)),
                one_hot(mine.predicted, len(names)),
                one_hot(theirs.predicted, len(names)),
                names,
            ),
            mcnemar_p=mcnemar_exact(became_right, became_wrong),
        )

    def _scored(self, predictions: Predictions, classes: int) -> _Scored:
        outputs, labels, arm = predictions.outputs, predictions.labels, predictions.arm
        if outputs.ndim != 2 or outputs.shape[1] != classes or classes < 2:
            raise MlbenchError(
                f"outputs of '{arm}' have shape {outputs.shape}; a classifier of {classes} classes gives "
                f"({len(labels)}, {classes}), and needs at least two classes"
            )
        require_finite(predictions)
        if labels.min() < 0 or labels.max() >= classes:
            raise MlbenchError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
        return _Scored(labels.astype(np.int64), self.decide(outputs), confidences(outputs), classes)


def with_accuracy(
    infos: Sequence[MetricInfo], rows: FloatArray, accuracy: Estimate, bounds: tuple[float, float]
) -> dict[str, Estimate]:
    """Metrics of which the first is accuracy with an interval of its own, and the floor of the others but the last.

    The last is the calibration error, which does not hang on how many answers are right. The error rate, where it is
    asked for, is accuracy the other way round.
    """
    found = estimates(infos[:-1], rows[:-1], accuracy.n, floor=accuracy, bounds=bounds)
    if "error_rate" in found:
        assert accuracy.low is not None
        assert accuracy.high is not None
        whole = sum(bounds)  # 1 for shares, 0 for their differences
        found["error_rate"] = replace(
            accuracy, value=whole - accuracy.value, low=whole - accuracy.high, high=whole - accuracy.low
        )
    return {**found, "accuracy": accuracy, **estimates(infos[-1:], rows[-1:], accuracy.n, bounds=bounds)}


def changes(flipped: BoolArray, mine: BoolArray, theirs: BoolArray) -> dict[str, Estimate]:
    """Flip rate, and the shares that became wrong and right. All: whether so, by item, shape (items,)."""
    became_right, became_wrong = discordant(mine, theirs)
    n = len(flipped)
    return {
        "flip_rate": wilson(int(flipped.sum()), n),
        "became_wrong": wilson(became_wrong, n),
        "became_right": wilson(became_right, n),
    }


def discordant(mine: BoolArray, theirs: BoolArray) -> tuple[int, int]:
    """Items that only the arm has right, and that only the baseline has right."""
    return int((mine & ~theirs).sum()), int((~mine & theirs).sum())
