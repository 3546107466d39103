"""Classification: one class per item. Intervals are described in docs/method.md, "Quality"."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mlbench.errors import MlbenchError
from mlbench.metrics import CLASSIFICATION, MetricInfo
from mlbench.records import ClassQuality, Estimate, LabelKind, Predictions, Quality
from mlbench.statistics import bootstrap_interval, mcnemar_exact, tango, wilson

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_BOOTSTRAP = "stratified percentile bootstrap over items, at least as wide as accuracy's score interval"


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's predictions beside the truth. ``labels``, ``predicted``: class indices, shape (items,)."""

    labels: IntArray
    predicted: IntArray
    classes: int

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.labels, self.predicted)

    def confusion(self) -> IntArray:
        """Counts, rows are true classes, columns predicted ones."""
        cells = np.bincount(self.labels * self.classes + self.predicted, minlength=self.classes**2)
        return cells.reshape(self.classes, self.classes).astype(np.int64)

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`CLASSIFICATION` in order, for weighted items: (b, items) in, (b, 7) out."""
        hits = _count(weights[:, self.right], self.labels[self.right], self.classes)
        actual = _count(weights, self.labels, self.classes)
        named = _count(weights, self.predicted, self.classes)
        occurring = np.bincount(self.labels, minlength=self.classes) > 0
        precision, recall = _share(hits, named), _share(hits, actual)
        f1 = _share(2 * hits, actual + named)
        per_class = [values[:, occurring] for values in (precision, recall, f1)]
        size = actual[:, occurring]
        total = weights.sum(axis=1)
        accuracy = hits.sum(axis=1) / total
        macro = [values.mean(axis=1) for values in per_class]
        weighted = [(values * size).sum(axis=1) / total for values in per_class]
        return np.column_stack([accuracy, *macro, *weighted])


class Classification:
    """Accuracy, precision, recall and F1, each with an interval, and their paired differences to the baseline."""

    name = "classification"
    labels: LabelKind = "class"
    metrics: tuple[MetricInfo, ...] = CLASSIFICATION

    def decide(self, outputs: FloatArray) -> IntArray:
        """The class with the largest output, the first one of equals: shape (items, classes) in, (items,) out.

        Raises:
            MlbenchError: The outputs are not (items, classes) with at least two classes.
        """
        if outputs.ndim != 2 or outputs.shape[1] < 2:
            raise MlbenchError(f"outputs of a classifier have shape (items, classes >= 2), not {outputs.shape}")
        decided: IntArray = np.argmax(outputs, axis=1).astype(np.int64)
        return decided

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
        if baseline is not None and not np.array_equal(arm.labels, baseline.labels):
            raise MlbenchError(f"'{arm.arm}' and '{baseline.arm}' did not answer the same test items in the same order")
        n = len(mine.labels)
        cosines = np.zeros(n) if baseline is None else _cosines(arm.outputs, baseline.outputs)

        def figures(weights: FloatArray) -> FloatArray:
            averages = mine.averages(weights)
            if theirs is None:
                return averages
            # one draw for the arm, the difference and the agreement: that is what makes the difference paired
            return np.column_stack([averages, averages - theirs.averages(weights), weights @ cosines / n])

        point = figures(np.ones((1, n)))[0]
        intervals = np.column_stack([point, *bootstrap_interval(figures, n, seed=seed, strata=mine.labels)])
        count = len(CLASSIFICATION)
        quality = Quality(
            metrics=_with_intervals(intervals[:count], wilson(int(mine.right.sum()), n), least=0.0),
            per_class=_per_class(mine, names),
            labels=names,
            confusion=tuple(tuple(int(cell) for cell in row) for row in mine.confusion()),
        )
        if baseline is None or theirs is None:
            return quality
        became_right, became_wrong = _discordant(mine, theirs)
        cosine, at_least, at_most = intervals[-1].tolist()
        return replace(
            quality,
            deltas=_with_intervals(intervals[count : 2 * count], tango(became_right, became_wrong, n), least=-1.0),
            agreement={
                "flip_rate": wilson(int((mine.predicted != theirs.predicted).sum()), n),
                "became_wrong": wilson(became_wrong, n),
                "became_right": wilson(became_right, n),
                "max_abs_diff": Estimate(
                    float(np.abs(arm.outputs - baseline.outputs).max()), n=n, method="largest of all outputs"
                ),
                "cosine": Estimate(cosine, at_least, at_most, n=n, method="stratified percentile bootstrap"),
            },
            mcnemar_p=mcnemar_exact(became_right, became_wrong),
        )

    def _scored(self, predictions: Predictions, classes: int) -> _Scored:
        outputs, labels, arm = predictions.outputs, predictions.labels, predictions.arm
        if outputs.ndim != 2 or outputs.shape[1] != classes or classes < 2:
            raise MlbenchError(
                f"outputs of '{arm}' have shape {outputs.shape}; a classifier of {classes} classes gives "
                f"({len(labels)}, {classes}), and needs at least two classes"
            )
        if labels.shape != outputs.shape[:1] or not len(labels):
            raise MlbenchError(f"'{arm}' gave {len(outputs)} outputs for {len(labels)} test items")
        broken = int((~np.isfinite(outputs).all(axis=1)).sum())
        if broken:
            raise MlbenchError(
                f"outputs of '{arm}' are not finite (NaN or infinity) for {broken} of {len(labels)} items"
            )
        if labels.min() < 0 or labels.max() >= classes:
            raise MlbenchError(f"labels run from {labels.min()} to {labels.max()}, but there are {classes} classes")
        return _Scored(labels.astype(np.int64), self.decide(outputs), classes)


def _count(weights: FloatArray, classes_of_items: IntArray, classes: int) -> FloatArray:
    """Weight per class: (b, items) in, (b, classes) out."""
    items = len(classes_of_items)
    # sparse, since a dense indicator of 1,000 classes would be as large as the weights of all resamples
    belongs = sparse.csr_array((np.ones(items), (np.arange(items), classes_of_items)), shape=(items, classes))
    return np.asarray(weights @ belongs)


def _share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part of whole, 0 where there is nothing to have a part of."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def _with_intervals(rows: FloatArray, accuracy: Estimate, least: float) -> dict[str, Estimate]:
    """Metrics from rows of point, low and high: on each side at least as wide as the score interval of accuracy.

    Resampling a sample without errors (or without changed items) gives no variation at all, which is not evidence
    that there is none.
    """
    assert accuracy.low is not None
    assert accuracy.high is not None
    below, above = accuracy.value - accuracy.low, accuracy.high - accuracy.value
    estimates = {
        row.name: Estimate(
            value=point,
            low=max(least, min(low, point - below)),
            high=min(1.0, max(high, point + above)),
            level=accuracy.level,
            n=accuracy.n,
            unit="fraction",
            method=_BOOTSTRAP,
        )
        for row, (point, low, high) in zip(CLASSIFICATION, rows.tolist(), strict=True)
    }
    return {**estimates, "accuracy": accuracy}


def _discordant(mine: _Scored, theirs: _Scored) -> tuple[int, int]:
    """Items that only the arm has right, and that only the baseline has right."""
    return int((mine.right & ~theirs.right).sum()), int((~mine.right & theirs.right).sum())


def _per_class(mine: _Scored, names: Sequence[str]) -> tuple[ClassQuality, ...]:
    confusion = mine.confusion()
    actual, named, hits = confusion.sum(axis=1), confusion.sum(axis=0), np.diag(confusion)
    return tuple(
        ClassQuality(
            label=name,
            precision=_class_share(int(hits[index]), int(named[index]), "no item was predicted as this class"),
            recall=_class_share(int(hits[index]), int(actual[index]), "no test item has this class"),
            f1=_class_f1(int(hits[index]), int(actual[index] + named[index] - hits[index])),
            support=int(actual[index]),
        )
        for index, name in enumerate(names)
    )


def _class_share(hits: int, of: int, why_not: str) -> Estimate:
    return wilson(hits, of) if of else Estimate(0.0, n=0, unit="fraction", method=f"0 by definition: {why_not}")


def _class_f1(hits: int, union: int) -> Estimate:
    """F1 = 2 J / (1 + J) of the share J = TP / (TP + FP + FN), which has Wilson's interval."""
    if not union:
        return _class_share(0, 0, "the class neither occurs nor was predicted")
    share = wilson(hits, union)
    assert share.low is not None
    assert share.high is not None
    value, low, high = (2 * j / (1 + j) for j in (share.value, share.low, share.high))
    return Estimate(value, low, high, share.level, union, "fraction", "Wilson score interval of TP / (TP + FP + FN)")


def _cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cosine of each pair of rows; rows of zeros agree with each other only."""
    scale_a, scale_b = np.abs(a).max(axis=1, keepdims=True), np.abs(b).max(axis=1, keepdims=True)
    a = np.divide(a, scale_a, out=np.zeros_like(a), where=scale_a > 0)  # squares must not overflow
    b = np.divide(b, scale_b, out=np.zeros_like(b), where=scale_b > 0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ((scale_a == 0) & (scale_b == 0))[:, 0].astype(np.float64)
    cosines: FloatArray = np.divide((a * b).sum(axis=1), norms, out=both_zero, where=norms > 0)
    return np.clip(cosines, -1.0, 1.0)
