"""Token classification: one class per token; tokens marked :data:`mlbench.records.IGNORED` do not count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from mlbench.errors import MlbenchError
from mlbench.metrics import TOKENS, MetricInfo
from mlbench.quality._figures import (
    CHANGES,
    BoolArray,
    FloatArray,
    IntArray,
    calibration_error_of_parts,
    confidences,
    cosines,
    estimates,
    estimates_and_calibration,
    largest_difference,
    mean_estimate,
    paired,
    per_class,
    require_finite,
    require_same_items,
    share,
)
from mlbench.records import IGNORED, Estimate, LabelKind, Predictions, Quality
from mlbench.statistics import tango, wilson


@dataclass(frozen=True, slots=True)
class _Scored:
    """One arm's answers: class indices, which tokens count, how sure they are, (items, tokens); number of classes."""

    labels: IntArray
    predicted: IntArray
    counted: BoolArray
    confidence: FloatArray
    classes: int

    @property
    def right(self) -> BoolArray:
        return np.asarray((self.labels == self.predicted) & self.counted)

    def tables(self) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Tokens per item and class: right ones, predicted ones, true ones; each (items, classes)."""
        return (
            _per_item(self.labels, self.right, self.classes),
            _per_item(self.predicted, self.counted, self.classes),
            _per_item(self.labels, self.counted, self.classes),
        )

    def averages(self, weights: FloatArray) -> FloatArray:
        """The metrics of :data:`TOKENS` in order, for weighted items: (b, items) in, (b, metrics) out."""
        tables = self.tables()
        hits, named, actual = (weights @ table for table in tables)
        occurring = tables[2].any(axis=0)
        macro = [
            share(part, whole)[:, occurring].mean(axis=1)
            for part, whole in ((hits, named), (hits, actual), (2 * hits, actual + named))
        ]
        error = calibration_error_of_parts(weights, self.confidence, self.right, self.counted)
        return np.column_stack([share(hits.sum(axis=1), actual.sum(axis=1)), *macro, error])


def _per_item(classes_of_tokens: IntArray, chosen: BoolArray, classes: int) -> FloatArray:
    """How often each class occurs in each item, among the chosen tokens: (items, classes)."""
    items = len(chosen)
    rows = np.broadcast_to(np.arange(items)[:, np.newaxis], chosen.shape)
    cells = np.bincount(rows[chosen] * classes + classes_of_tokens[chosen], minlength=items * classes)
    return cells.reshape(items, classes).astype(np.float64)


class TokenClassification:
    """Accuracy and calibration over labelled tokens, and precision, recall and F1 averaged over classes.

    The item is what is resampled, since tokens of one item are not independent.
    """

    name = "token_classification"
    labels: LabelKind = "token"
    metrics: tuple[MetricInfo, ...] = TOKENS
    agreement: tuple[str, ...] = (*CHANGES, "max_abs_diff", "cosine")

    def decide(self, outputs: FloatArray) -> IntArray:
        """The class with the largest output for each token: (items, tokens, classes) in, (items, tokens) out.

        Raises:
            MlbenchError: The outputs are of another shape.
        """
        if outputs.ndim != 3 or outputs.shape[2] < 2:
            raise MlbenchError(
                f"outputs of a token classifier have shape (items, tokens, classes), not {outputs.shape}"
            )
        return np.asarray(np.argmax(outputs, axis=2), dtype=np.int64)

    def score(self, outputs: FloatArray, labels: IntArray) -> dict[str, float]:
        """``accuracy``: share of labelled tokens that are right."""
        counted = labels != IGNORED
        return {"accuracy": float((self.decide(outputs) == labels)[counted].mean())}

    def compare(self, reference: FloatArray, outputs: FloatArray) -> dict[str, float]:
        """``flip_rate``: share of all tokens, labelled or not, whose prediction differs."""
        return {"flip_rate": float((self.decide(outputs) != self.decide(reference)).mean())}

    def evaluate(
        self, arm: Predictions, baseline: Predictions | None, class_names: Sequence[str], seed: int
    ) -> Quality:
        """Quality of one arm, and its paired difference to the baseline where there is one.

        Intervals are a percentile bootstrap over items, never narrower than Wilson's interval would be if each item
        had a single token; for differences never narrower than Tango's for items with more and with fewer right tokens.

        Raises:
            MlbenchError: Outputs or classes do not fit, or the two arms answered different items.
        """
        names = tuple(class_names)
        mine = self._scored(arm, len(names))
        theirs = None if baseline is None else self._scored(baseline, len(names))
        require_same_items(arm, baseline)
        n = len(mine.labels)
        alike = np.zeros(n) if baseline is None else cosines(_flat(arm, mine), _flat(baseline, mine))
        rows = paired(mine.averages, None if theirs is None else theirs.averages, alike[:, np.newaxis], seed)
        hits, named, actual = (table.sum(axis=0).astype(np.int64) for table in mine.tables())
        quality = Quality(
            metrics=estimates_and_calibration(
                TOKENS, rows.metrics, n, _as_items(float(rows.metrics[0, 0]), n), (0.0, 1.0)
            ),
            per_class=per_class(hits, named, actual, names),
            labels=names,
        )
        if baseline is None or theirs is None:
            return quality
        tokens = mine.counted
        return replace(
            quality,
            deltas=estimates_and_calibration(TOKENS, rows.deltas, n, _by_item(mine.right, theirs.right), (-1.0, 1.0)),
            class_deltas=_class_deltas(mine, theirs, names),
            class_flips=_class_flips(mine, theirs, names),
            agreement={
                "flip_rate": _share_of_tokens(mine.predicted != theirs.predicted, tokens, seed),
                "became_wrong": _share_of_tokens(~mine.right & theirs.right, tokens, seed),
                "became_right": _share_of_tokens(mine.right & ~theirs.right, tokens, seed),
                "max_abs_diff": largest_difference(arm, baseline),
                "cosine": mean_estimate(rows.means[0], n),
            },
        )

    def _scored(self, predictions: Predictions, classes: int) -> _Scored:
        require_finite(predictions)
        predicted = self.decide(predictions.outputs)
        labels = predictions.labels
        if predictions.outputs.shape != (*labels.shape, classes):
            raise MlbenchError(
                f"outputs of '{predictions.arm}' have shape {predictions.outputs.shape}; labels of shape "
                f"{labels.shape} and {classes} classes need {(*labels.shape, classes)}"
            )
        counted = labels != IGNORED
        if not counted.any():
            raise MlbenchError("no token of the test split has a label")
        confidence = np.zeros(labels.shape)
        confidence[counted] = confidences(predictions.outputs[counted])
        return _Scored(labels.astype(np.int64), predicted, counted, confidence, classes)


def _by_item(mine: BoolArray, theirs: BoolArray) -> Estimate:
    """Tango's interval for items with more, and with fewer, right tokens than the baseline."""
    more = mine.sum(axis=1) - theirs.sum(axis=1)
    return tango(int((more > 0).sum()), int((more < 0).sum()), len(more))


def _class_deltas(mine: _Scored, theirs: _Scored, names: Sequence[str]) -> dict[str, Estimate]:
    """Recall of each class against the baseline's; without interval, since tokens of one item are not independent."""
    ours, _, actual = (table.sum(axis=0) for table in mine.tables())
    base = theirs.tables()[0].sum(axis=0)
    return {
        name: Estimate(float((ours[index] - base[index]) / size), n=int(size), unit="fraction", method="of all tokens")
        for index, (name, size) in enumerate(zip(names, actual, strict=True))
        if size
    }


def _class_flips(mine: _Scored, theirs: _Scored, names: Sequence[str]) -> dict[str, Estimate]:
    """Share of each class's tokens that changed; without interval, since tokens of one item are not independent."""
    labels, changed = (table[mine.counted] for table in (mine.labels, mine.predicted != theirs.predicted))
    sizes = np.bincount(labels, minlength=len(names))
    flipped = np.bincount(labels, weights=changed, minlength=len(names))
    return {
        name: Estimate(float(flipped[index] / size), n=int(size), unit="fraction", method="of all tokens")
        for index, (name, size) in enumerate(zip(names, sizes, strict=True))
        if size
    }


def _flat(predictions: Predictions, scored: _Scored) -> FloatArray:
    """Outputs of the tokens that count, zeros for the others, one row per item."""
    outputs = predictions.outputs * scored.counted[:, :, np.newaxis]
    return np.asarray(outputs.reshape(len(outputs), -1))


def _as_items(accuracy: float, n: int) -> Estimate:
    """Wilson's interval for that share of ``n`` items."""
    return wilson(round(accuracy * n), n)


def _share_of_tokens(chosen: BoolArray, counted: BoolArray, seed: int) -> Estimate:
    """Share of the labelled tokens, bootstrapped over items, at least as wide as for one token per item."""
    part, whole = (chosen & counted).sum(axis=1), counted.sum(axis=1)
    n = len(part)

    def statistic(weights: FloatArray) -> FloatArray:
        return share(weights @ part, weights @ whole)[:, np.newaxis]

    row = paired(statistic, None, np.zeros((n, 1)), seed).metrics
    info = MetricInfo("share", "fraction", "none", "")
    return estimates((info,), row, n, _as_items(float(row[0, 0]), n), (0.0, 1.0))["share"]
