"""Embeddings: how close they stay to the baseline's, and what a linear classifier makes of them.

The classifier (the probe) is fitted once, on the baseline's embeddings of the training split, and shared by all arms:
an arm is judged by whether what was built on the baseline's embeddings goes on working.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from mlbench.errors import MlbenchError
from mlbench.metrics import EMBEDDING, MetricInfo
from mlbench.quality._figures import (
    CHANGES,
    FloatArray,
    IntArray,
    class_flips,
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
from mlbench.quality.classification import changes, discordant
from mlbench.records import LabelKind, Predictions, Quality
from mlbench.statistics import mcnemar_exact, tango, wilson

NEIGHBOURS = 10
_STRENGTH = 10.0  # inverse regularisation of the probe, as is usual for sentence embeddings
_ROUNDS = 2000


@dataclass(frozen=True, slots=True)
class _Probe:
    """A linear classifier in numbers, so that whoever has it needs no library for it.

    Attributes:
        weights, bias: Of each class, shapes (classes, dimensions) and (classes,).
        classes: Their indices, shape (classes,).
    """

    weights: FloatArray
    bias: FloatArray
    classes: IntArray

    def predict(self, rows: FloatArray) -> IntArray:
        """The class of each row, shape (items,); the first one of equals."""
        return np.asarray(self.classes[np.argmax(rows @ self.weights.T + self.bias, axis=1)], dtype=np.int64)


class Embedding:
    """Cosine and nearest neighbours against the baseline, and accuracy and F1 of the shared probe.

    Args:
        probe: A fitted classifier; :meth:`fitted` makes it.
    """

    name = "embedding"
    labels: LabelKind = "class"
    metrics: tuple[MetricInfo, ...] = EMBEDDING
    agreement: tuple[str, ...] = (*CHANGES, "neighbour_overlap", "max_abs_diff", "cosine")

    def __init__(self, probe: _Probe | None = None) -> None:
        self._probe = probe

    def fitted(self, outputs: FloatArray, labels: IntArray) -> Self:
        """The task with its probe, a logistic regression on normalised embeddings.

        Args:
            outputs: The baseline's embeddings of the training split, shape (items, dimensions).
            labels: Class indices of the same items.
        """
        from sklearn.linear_model import LogisticRegression

        found = LogisticRegression(C=_STRENGTH, max_iter=_ROUNDS).fit(_normalised(_rows(outputs)), labels)
        weights, bias = found.coef_, found.intercept_
        if len(weights) == 1:  # of two classes it keeps the second only: the first has it against nothing
            weights, bias = np.vstack([np.zeros_like(weights), weights]), np.concatenate([np.zeros(1), bias])
        return type(self)(_Probe(weights, bias, found.classes_))

    def decide(self, outputs: FloatArray) -> IntArray:
        """The class that the probe gives each embedding: (items, dimensions) in, (items,) out.

        Raises:
            MlbenchError: There is no probe yet, or the outputs are not embeddings.
        """
        if self._probe is None:
            raise MlbenchError("the probe of the task 'embedding' is not fitted")
        return self._probe.predict(_normalised(_rows(outputs)))

    def score(self, outputs: FloatArray, labels: IntArray) -> dict[str, float]:  # noqa: ARG002 - the protocol's
        """Nothing: embeddings have no quality without a probe."""
        return {}

    def compare(self, reference: FloatArray, outputs: FloatArray) -> dict[str, float]:
        """``cosine``: mean cosine of the embeddings."""
        return {"cosine": float(cosines(_rows(outputs), _rows(reference)).mean())}

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Raises:
            MlbenchError: Outputs do not fit, or the two arms answered different items.
        """
        names = tuple(class_names)
        require_finite(arm)
        require_same_items(arm, baseline)
        labels, predicted = arm.labels.astype(np.int64), self.decide(arm.outputs)
        theirs = None if baseline is None else self.decide(baseline.outputs)
        right, n = predicted == labels, len(labels)
        rows = paired(
            lambda weights: _averages(weights, labels, predicted, len(names)),
            None if theirs is None else lambda weights: _averages(weights, labels, theirs, len(names)),
            _agreement(arm, baseline),
            seed,
            strata=labels,
        )
        truth, mine = one_hot(labels, len(names)), one_hot(predicted, len(names))
        quality = Quality(
            metrics=estimates(EMBEDDING, rows.metrics, n, wilson(int(right.sum()), n), (0.0, 1.0)),
            per_class=per_class((truth & mine).sum(axis=0), mine.sum(axis=0), truth.sum(axis=0), names),
            labels=names,
        )
        if baseline is None or theirs is None:
            return quality
        became_right, became_wrong = discordant(right, theirs == labels)
        return replace(
            quality,
            deltas=estimates(EMBEDDING, rows.deltas, n, tango(became_right, became_wrong, n), (-1.0, 1.0)),
            agreement={
                **changes(predicted != theirs, right, theirs == labels),
                "neighbour_overlap": mean_estimate(rows.means[1], n, "fraction"),
                "max_abs_diff": largest_difference(arm, baseline),
                "cosine": mean_estimate(rows.means[0], n),
            },
            class_flips=class_flips(truth, predicted != theirs, names),
            class_deltas=recall_deltas(truth, mine, one_hot(theirs, len(names)), names),
            mcnemar_p=mcnemar_exact(became_right, became_wrong),
        )


def _averages(weights: FloatArray, labels: IntArray, predicted: IntArray, classes: int) -> FloatArray:
    """The metrics of :data:`EMBEDDING` in order, for weighted items: (b, items) in, (b, metrics) out."""
    right = labels == predicted
    hits = count(weights[:, right], labels[right], classes)
    actual, named = count(weights, labels, classes), count(weights, predicted, classes)
    occurring = np.bincount(labels, minlength=classes) > 0
    f1 = share(2 * hits, actual + named)[:, occurring].mean(axis=1)
    return np.column_stack([hits.sum(axis=1) / weights.sum(axis=1), f1])


def _agreement(arm: Predictions, baseline: Predictions | None) -> FloatArray:
    """Cosine to the baseline's embedding, and overlap of nearest neighbours, by item: (items, 2)."""
    if baseline is None:
        return np.zeros((len(arm.labels), 2))
    ours, theirs = neighbours(arm.outputs), neighbours(baseline.outputs)
    overlap = [len(set(mine) & set(other)) / max(1, len(other)) for mine, other in zip(ours, theirs, strict=True)]
    return np.column_stack([cosines(arm.outputs, baseline.outputs), overlap])


def neighbours(outputs: FloatArray, most: int = NEIGHBOURS) -> IntArray:
    """The nearest other items by cosine, the lower index first of equals, shape (items, at most ``most``)."""
    unit = _normalised(outputs)
    found = []
    for start in range(0, len(unit), 1024):  # the whole matrix of a large test set would not fit
        alike = unit[start : start + 1024] @ unit.T
        alike[np.arange(len(alike)), start + np.arange(len(alike))] = -np.inf
        found.append(np.argsort(-alike, axis=1, kind="stable")[:, : min(most, len(unit) - 1)])
    return np.asarray(np.concatenate(found), dtype=np.int64)


def _rows(outputs: npt.NDArray[Any]) -> FloatArray:
    if outputs.ndim != 2:
        raise MlbenchError(f"embeddings have shape (items, dimensions), not {outputs.shape}")
    return np.asarray(outputs, dtype=np.float64)


def _normalised(rows: FloatArray) -> FloatArray:
    norms = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))
