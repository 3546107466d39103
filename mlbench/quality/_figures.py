"""What the tasks share: counting with weights, the paired bootstrap, agreement, and classes one by one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from mlbench.errors import MlbenchError
from mlbench.metrics import MetricInfo
from mlbench.records import ClassQuality, Estimate, Predictions
from mlbench.statistics import bootstrap_interval, tango, wilson

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]
Averages = Callable[[FloatArray], FloatArray]
"""Weights (resamples, items) in, metrics (resamples, metrics) out."""

CHANGES = ("flip_rate", "became_wrong", "became_right")
"""Names of what agreement says where a prediction is right or wrong."""

_PERCENTILE = "percentile bootstrap over items"
_FLOORED = "stratified percentile bootstrap over items, at least as wide as accuracy's score interval"
_ECE_BINS = 15


@dataclass(frozen=True, slots=True)
class Paired:
    """Rows of point, low and high: of the metrics, their differences to the baseline, and means over items."""

    metrics: FloatArray
    deltas: FloatArray
    means: FloatArray


def paired(
    mine: Averages, theirs: Averages | None, means: FloatArray, seed: int, strata: npt.ArrayLike | None = None
) -> Paired:
    """Points and bootstrap intervals of metrics, their paired differences, and means over items.

    One draw of items serves the arm, the baseline and the means: that is what makes the difference paired.

    Args:
        mine: Metrics of the arm for weighted items.
        theirs: The same of the baseline; None when the arm is the baseline.
        means: One value per item and figure, shape (items, figures), to be averaged.
        seed: Of the bootstrap.
        strata: Stratum of each item; None is a single one.
    """
    n = len(means)

    def figures(weights: FloatArray) -> FloatArray:
        averages = mine(weights)
        parts = [averages, weights @ means / weights.sum(axis=1, keepdims=True)]
        if theirs is not None:
            parts.insert(1, averages - theirs(weights))
        return np.column_stack(parts)

    point = figures(np.ones((1, n)))[0]
    low, high = bootstrap_interval(figures, n, seed=seed, strata=strata)
    rows = np.column_stack([point, np.minimum(low, point), np.maximum(high, point)])
    end = len(rows) - means.shape[1]
    count = end if theirs is None else end // 2
    return Paired(rows[:count], rows[count:end], rows[end:])


def estimates(
    infos: Sequence[MetricInfo],
    rows: FloatArray,
    n: int,
    floor: Estimate | None = None,
    bounds: tuple[float, float] | None = None,
) -> dict[str, Estimate]:
    """Metrics by name from rows of point, low and high.

    Args:
        infos: What the rows are.
        rows: Shape (metrics, 3).
        n: Items.
        floor: On each side at least as wide as this one's interval, since resampling a sample without errors (or
            without changed items) gives no variation at all, which is not evidence that there is none.
        bounds: The values that are possible.
    """
    below = above = 0.0
    if floor is not None:
        assert floor.low is not None
        assert floor.high is not None
        below, above = floor.value - floor.low, floor.high - floor.value
    least, most = bounds or (-np.inf, np.inf)
    return {
        info.name: Estimate(
            value=point,
            low=max(least, min(low, point - below)),
            high=min(most, max(high, point + above)),
            n=n,
            unit=info.unit,
            method=_FLOORED if floor is not None else _PERCENTILE,
        )
        for info, (point, low, high) in zip(infos, rows.tolist(), strict=True)
    }


def estimates_and_calibration(
    infos: Sequence[MetricInfo], rows: FloatArray, n: int, floor: Estimate, bounds: tuple[float, float]
) -> dict[str, Estimate]:
    """:func:`estimates` of which the last is the calibration error.

    It has no floor, since it does not hang on how many answers are right.
    """
    return {
        **estimates(infos[:-1], rows[:-1], n, floor, bounds),
        **estimates(infos[-1:], rows[-1:], n, bounds=bounds),
    }


def mean_estimate(row: FloatArray, n: int, unit: str = "") -> Estimate:
    """A mean over items from its row of point, low and high."""
    value, low, high = row.tolist()
    return Estimate(value, low, high, n=n, unit=unit, method=_PERCENTILE)


def largest_difference(arm: Predictions, baseline: Predictions) -> Estimate:
    """The largest absolute difference of one output to the baseline's."""
    return Estimate(
        float(np.abs(arm.outputs - baseline.outputs).max()), n=len(arm.labels), method="largest of all outputs"
    )


def require_same_items(arm: Predictions, baseline: Predictions | None) -> None:
    """Raise MlbenchError when the two did not answer the same items."""
    if baseline is None:
        return
    if not np.array_equal(arm.labels, baseline.labels):
        raise MlbenchError(f"'{arm.arm}' and '{baseline.arm}' did not answer the same test items in the same order")
    if arm.outputs.shape != baseline.outputs.shape:
        raise MlbenchError(
            f"outputs of '{arm.arm}' have shape {arm.outputs.shape}, those of '{baseline.arm}' {baseline.outputs.shape}"
        )


def require_finite(predictions: Predictions) -> None:
    """Raise MlbenchError when there is nothing to score, or an output is NaN or infinite."""
    outputs, labels, arm = predictions.outputs, predictions.labels, predictions.arm
    if not len(labels) or len(outputs) != len(labels):
        raise MlbenchError(f"'{arm}' gave {len(outputs)} outputs for {len(labels)} test items")
    broken = int((~np.isfinite(outputs.reshape(len(outputs), -1)).all(axis=1)).sum())
    if broken:
        raise MlbenchError(f"outputs of '{arm}' are not finite (NaN or infinity) for {broken} of {len(labels)} items")


def are_probabilities(outputs: FloatArray) -> bool:
    """Whether all outputs lie in 0 to 1, as probabilities do and logits of a real test set do not."""
    return bool((outputs >= 0).all() and (outputs <= 1).all())


def confidences(outputs: FloatArray) -> FloatArray:
    """Probability of the decided class: outputs as they are where they are probabilities, else their softmax."""
    if are_probabilities(outputs) and np.allclose(outputs.sum(axis=1), 1, atol=1e-3):
        return np.asarray(outputs.max(axis=1))
    shifted = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return np.asarray(1 / shifted.sum(axis=1))


def pair_confidences(outputs: FloatArray) -> FloatArray:
    """Probability of what is decided for each pair of item and class, that it has it or has it not; same shape.

    Outputs are probabilities where all of them can be, else logits.
    """
    if are_probabilities(outputs):
        return np.maximum(outputs, 1 - outputs)
    return np.asarray(1 / (1 + np.exp(-np.abs(outputs))))


def calibration_error(weights: FloatArray, confidence: FloatArray, right: BoolArray) -> FloatArray:
    """Expected calibration error (Naeini et al. 2015) for weighted items: (b, items) in, (b,) out.

    The mean over 15 equal bins of confidence, by weight, of the difference between accuracy and confidence.
    """
    bins = _bins(confidence)
    gaps = count(weights * (right - confidence), bins, _ECE_BINS)
    return np.asarray(np.abs(gaps).sum(axis=1) / weights.sum(axis=1))


def calibration_error_of_parts(
    weights: FloatArray, confidence: FloatArray, right: BoolArray, counted: BoolArray
) -> FloatArray:
    """:func:`calibration_error` over the parts of weighted items, such as their tokens: (b, items) in, (b,) out.

    Args:
        weights: Of items; each part has its item's.
        confidence: Of each part's decided answer, shape (items, parts).
        right: Whether that is right, same shape.
        counted: Whether the part counts, same shape.
    """
    items = len(confidence)
    cells = np.arange(items)[:, np.newaxis] * _ECE_BINS + _bins(confidence)
    gaps = np.bincount(cells[counted], (right - confidence)[counted], minlength=items * _ECE_BINS)
    return share(np.abs(weights @ gaps.reshape(items, _ECE_BINS)).sum(axis=1), weights @ counted.sum(axis=1))


def _bins(confidence: FloatArray) -> IntArray:
    return np.minimum((confidence * _ECE_BINS).astype(np.int64), _ECE_BINS - 1)


def count(weights: FloatArray, classes_of_items: IntArray, classes: int) -> FloatArray:
    """Weight per class: (b, items) in, (b, classes) out."""
    items = len(classes_of_items)
    # sparse, since a dense indicator of 1,000 classes would be as large as the weights of all resamples
    belongs = sparse.csr_array((np.ones(items), (np.arange(items), classes_of_items)), shape=(items, classes))
    return np.asarray(weights @ belongs)


def share(part: FloatArray, whole: FloatArray) -> FloatArray:
    """Part of whole, 0 where there is nothing to have a part of."""
    return np.divide(part, whole, out=np.zeros_like(part), where=whole > 0)


def cosines(a: FloatArray, b: FloatArray) -> FloatArray:
    """Cosine of each pair of rows; rows of zeros agree with each other only."""
    scale_a, scale_b = np.abs(a).max(axis=1, keepdims=True), np.abs(b).max(axis=1, keepdims=True)
    a = np.divide(a, scale_a, out=np.zeros_like(a), where=scale_a > 0)  # squares must not overflow
    b = np.divide(b, scale_b, out=np.zeros_like(b), where=scale_b > 0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    both_zero = ((scale_a == 0) & (scale_b == 0))[:, 0].astype(np.float64)
    cosines: FloatArray = np.divide((a * b).sum(axis=1), norms, out=both_zero, where=norms > 0)
    return np.clip(cosines, -1.0, 1.0)


def per_class(hits: IntArray, named: IntArray, actual: IntArray, names: Sequence[str]) -> tuple[ClassQuality, ...]:
    """Every class with its precision, recall and F1 from counts, each of shape (classes,)."""
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


def one_hot(indices: IntArray, classes: int) -> BoolArray:
    """Whether the item has the class: (items,) in, (items, classes) out."""
    return np.asarray(indices[:, np.newaxis] == np.arange(classes))


def recall_deltas(truth: BoolArray, mine: BoolArray, theirs: BoolArray, names: Sequence[str]) -> dict[str, Estimate]:
    """Recall of each class against the baseline's, paired, by class; classes that do not occur are left out.

    Args:
        truth: Whether the item has the class, shape (items, classes).
        mine: Whether the arm predicts that it has, same shape.
        theirs: Whether the baseline does.
        names: Of the classes.
    """
    found = {}
    for index, name in enumerate(names):
        has = truth[:, index]
        gained = int((mine[has, index] & ~theirs[has, index]).sum())
        lost = int((~mine[has, index] & theirs[has, index]).sum())
        if has.any():
            found[name] = tango(gained, lost, int(has.sum()))
    return found


def class_flips(truth: BoolArray, flipped: BoolArray, names: Sequence[str]) -> dict[str, Estimate]:
    """Share of the items of each class whose prediction changed, by class; classes that do not occur are left out.

    Args:
        truth: Whether the item has the class, shape (items, classes).
        flipped: Whether its prediction differs from the baseline's, shape (items,); or of each class, as ``truth``.
        names: Of the classes.
    """
    changed = np.broadcast_to(flipped if flipped.ndim == 2 else flipped[:, np.newaxis], truth.shape)
    found = {}
    for index, name in enumerate(names):
        has = truth[:, index]
        if has.any():
            found[name] = wilson(int(changed[has, index].sum()), int(has.sum()))
    return found


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
