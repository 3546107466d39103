"""Every task beyond one class per item, against scikit-learn, and what all of them have in common."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import NearestNeighbors

from mlbench import registry
from mlbench.errors import MlbenchError
from mlbench.quality import Probing, Task
from mlbench.quality._figures import calibration_error, calibration_error_of_parts, class_flips, confidences
from mlbench.quality.binary import Binary, _areas
from mlbench.quality.embedding import Embedding, neighbours
from mlbench.quality.losses import loss_notice, worst_classes
from mlbench.quality.multilabel import Multilabel
from mlbench.quality.regression import Regression
from mlbench.quality.tokens import TokenClassification
from mlbench.records import IGNORED, Predictions, Quality, from_json, to_json

RANDOM = np.random.default_rng(5)
ROWS = 40


def predictions(name: str, outputs: Any, labels: Any) -> Predictions:
    return Predictions(name, np.asarray(outputs, dtype=np.float64), np.asarray(labels))


def embeddings(shift: float) -> tuple[np.ndarray, np.ndarray]:
    values, labels = load_iris(return_X_y=True)
    return values + shift * np.random.default_rng(1).normal(size=values.shape), labels


def example(task: str, shift: float) -> tuple[Task, np.ndarray, np.ndarray, tuple[str, ...]]:
    """A task, outputs that depend on the shift, labels, and class names."""
    random = np.random.default_rng(3)
    noise = random.normal(size=(ROWS, 3))
    if task == "embedding":
        outputs, labels = embeddings(shift)
        return Embedding().fitted(embeddings(0)[0], labels), outputs, labels, ("a", "b", "c")
    if task == "regression":
        labels = random.normal(size=ROWS)
        return Regression(), (labels + 0.3 * noise[:, 0] + shift * noise[:, 1])[:, None], labels, ()
    if task == "binary":
        labels = random.integers(0, 2, ROWS)
        return Binary(), np.column_stack([-labels, labels]) + noise[:, :2] * (1 + shift), labels, ("no", "yes")
    if task == "multilabel":
        table = random.integers(0, 2, (ROWS, 3))
        return Multilabel(), table - 0.5 + noise * (0.5 + shift), table, ("a", "b", "c")
    if task == "token_classification":
        tags = random.integers(0, 3, (ROWS, 5))
        tags[:, 3:][random.random((ROWS, 2)) < 0.5] = IGNORED
        scores = np.eye(3)[np.maximum(tags, 0)] + random.normal(size=(ROWS, 5, 3)) * (0.5 + shift)
        return TokenClassification(), scores, tags, ("a", "b", "c")
    labels = random.integers(0, 3, ROWS)
    return registry.load("task", task)(), np.eye(3)[labels] + noise * (0.5 + shift), labels, ("a", "b", "c")


TASKS = ["classification", "binary", "multilabel", "regression", "embedding", "token_classification"]


def evaluate(task: str, shift: float = 0.4) -> Quality:
    judge, base, labels, names = example(task, 0.0)
    outputs = example(task, shift)[1]
    return judge.evaluate(predictions("arm", outputs, labels), predictions("base", base, labels), names, 0)


# ---------------------------------------------------------------------------------------------------------------------
# what all have in common


@pytest.mark.parametrize("task", TASKS)
def test_declared_metrics_are_given_with_intervals_that_hold_them(task: str) -> None:
    quality, rows = evaluate(task), registry.load("task", task).metrics
    assert tuple(quality.agreement) == registry.load("task", task).agreement
    assert set(quality.metrics) == set(quality.deltas) == {row.name for row in rows}
    for row in rows:
        assert quality.metrics[row.name].unit == row.unit
        assert row.direction != "none"
    for estimate in [*quality.metrics.values(), *quality.deltas.values()]:
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.low < estimate.high
    assert from_json(Quality, to_json(quality)) == quality


@pytest.mark.parametrize("task", TASKS)
def test_an_arm_that_answers_like_the_baseline_differs_in_nothing(task: str) -> None:
    quality = evaluate(task, shift=0.0)
    assert all(delta.value == 0 for delta in quality.deltas.values())
    assert quality.agreement["max_abs_diff"].value == 0
    assert quality.agreement.get("flip_rate", quality.agreement["max_abs_diff"]).value == 0
    assert loss_notice("arm", quality) is None
    if task != "regression":
        assert quality.agreement["cosine"].value == pytest.approx(1)
        assert all(delta.low < 0 < delta.high for name, delta in quality.deltas.items() if name != "ece")


@pytest.mark.parametrize("task", TASKS)
def test_outputs_that_cannot_be_scored_name_the_arm(task: str) -> None:
    judge, outputs, labels, names = example(task, 0.0)
    broken = outputs.copy()
    broken.reshape(-1)[3] = np.nan
    with pytest.raises(MlbenchError, match="outputs of 'odd' are not finite"):
        judge.evaluate(predictions("odd", broken, labels), None, names, 0)
    others = predictions("base", outputs, np.roll(labels, 1, axis=0))
    with pytest.raises(MlbenchError, match="'odd' and 'base' did not answer the same test items"):
        judge.evaluate(predictions("odd", outputs, labels), others, names, 0)
    with pytest.raises(MlbenchError, match=r"gave 39 outputs|have shape"):
        judge.evaluate(predictions("odd", outputs[:39], labels), None, names, 0)


@pytest.mark.parametrize("task", TASKS)
def test_decisions_have_the_shape_of_the_labels(task: str) -> None:
    judge, outputs, labels, _ = example(task, 0.0)
    assert judge.decide(outputs).shape == labels.shape


# ---------------------------------------------------------------------------------------------------------------------
# against scikit-learn


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3), st.integers(0, 3)), min_size=2, max_size=30))
def test_weighted_areas_agree_with_scikit_learn(items: list[tuple[bool, int, int]]) -> None:
    truth, score, weights = (np.array(column) for column in zip(*items, strict=True))
    if not (weights[truth] > 0).any() or not (weights[~truth] > 0).any():
        return
    auc, area = _areas(weights[None].astype(float), truth, score.astype(float))
    assert auc[0] == pytest.approx(sk.roc_auc_score(truth, score, sample_weight=weights))
    assert area[0] == pytest.approx(sk.average_precision_score(truth, score, sample_weight=weights))


def test_binary_agrees_with_scikit_learn() -> None:
    judge, outputs, labels, names = example("binary", 0.3)
    found = judge.evaluate(predictions("arm", outputs, labels), None, names, 0)
    predicted, score = outputs.argmax(axis=1), outputs[:, 1] - outputs[:, 0]
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "precision": sk.precision_score(labels, predicted),
        "recall": sk.recall_score(labels, predicted),
        "f1": sk.f1_score(labels, predicted),
        "roc_auc": sk.roc_auc_score(labels, score),
        "average_precision": sk.average_precision_score(labels, score),
    }
    assert {name: found.metrics[name].value for name in expected} == pytest.approx(expected)
    assert found.confusion == tuple(map(tuple, sk.confusion_matrix(labels, predicted).tolist()))


def test_one_output_is_the_positive_classs() -> None:
    judge, labels = Binary(), np.array([0, 1, 1, 0])
    assert judge.decide(np.array([[-1.0], [2.0], [-0.1], [0.1]])).tolist() == [0, 1, 0, 1]
    assert judge.decide(np.array([0.2, 0.9, 0.5, 0.51])).tolist() == [0, 1, 0, 1]
    with pytest.raises(MlbenchError, match=r"shape \(items, 2\) or \(items, 1\)"):
        judge.decide(np.zeros((2, 3)))
    with pytest.raises(MlbenchError, match="needs two classes, but the data has 3"):
        judge.evaluate(predictions("arm", np.zeros((4, 2)), labels), None, ("a", "b", "c"), 0)


def test_multilabel_agrees_with_scikit_learn() -> None:
    judge, outputs, labels, names = example("multilabel", 0.3)
    found, predicted = judge.evaluate(predictions("arm", outputs, labels), None, names, 0), outputs > 0
    macro = sk.precision_recall_fscore_support(labels, predicted, average="macro", zero_division=0)
    expected = {
        "f1_micro": sk.f1_score(labels, predicted, average="micro"),
        "precision_macro": macro[0],
        "recall_macro": macro[1],
        "f1_macro": macro[2],
        "exact_match": sk.accuracy_score(labels, predicted),
        "hamming_loss": sk.hamming_loss(labels, predicted),
    }
    assert {name: found.metrics[name].value for name in expected} == pytest.approx(expected)
    probabilities = judge.decide(np.array([[0.4, 0.6], [0.5, 1.0]]))
    assert probabilities.tolist() == [[0, 1], [0, 1]]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.floats(-1e3, 1e3), st.floats(-10, 10)), min_size=2, max_size=30))
def test_regression_agrees_with_scikit_learn(items: list[tuple[float, float]]) -> None:
    labels, errors = np.array(items).T
    if labels.std() < 1e-2:
        return
    found = Regression().evaluate(predictions("arm", labels + errors, labels), None, (), 0).metrics
    assert found["r2"].value == pytest.approx(sk.r2_score(labels, labels + errors), rel=1e-6, abs=1e-6)
    assert found["mae"].value == pytest.approx(sk.mean_absolute_error(labels, labels + errors))
    assert found["rmse"].value == pytest.approx(sk.root_mean_squared_error(labels, labels + errors))


def test_regression_of_labels_that_do_not_vary() -> None:
    flat = np.full(5, 7.0)
    assert Regression().evaluate(predictions("arm", flat, flat), None, (), 0).metrics["r2"].value == 1
    assert Regression().evaluate(predictions("arm", flat + 1, flat), None, (), 0).metrics["r2"].value == 0
    with pytest.raises(MlbenchError, match=r"shape \(items,\) or \(items, 1\)"):
        Regression().decide(np.zeros((2, 2)))


def test_tokens_agree_with_scikit_learn() -> None:
    judge, outputs, labels, names = example("token_classification", 0.3)
    found, counted = judge.evaluate(predictions("arm", outputs, labels), None, names, 0), labels != IGNORED
    truth, predicted = labels[counted], outputs.argmax(axis=2)[counted]
    macro = sk.precision_recall_fscore_support(truth, predicted, average="macro", zero_division=0)
    assert found.metrics["accuracy"].value == pytest.approx(sk.accuracy_score(truth, predicted))
    assert found.metrics["f1_macro"].value == pytest.approx(macro[2])
    assert [row.support for row in found.per_class] == np.bincount(truth, minlength=3).tolist()
    with pytest.raises(MlbenchError, match="no token of the test split has a label"):
        judge.evaluate(predictions("arm", outputs, np.full_like(labels, IGNORED)), None, names, 0)


@pytest.mark.parametrize("classes", [2, 3])
def test_the_probe_is_a_logistic_regression_in_numbers(classes: int) -> None:
    """Whoever gets it from another process needs no scikit-learn for it."""
    labels = np.arange(60) % classes
    rows = RANDOM.normal(size=(60, 4)) + 2 * np.eye(4)[labels]
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    expected = LogisticRegression(C=10.0, max_iter=2000).fit(unit, labels)
    probe = pickle.loads(pickle.dumps(Embedding().fitted(rows, labels)))
    others = RANDOM.normal(size=(500, 4))
    of_others = others / np.linalg.norm(others, axis=1, keepdims=True)
    np.testing.assert_array_equal(probe.decide(others), expected.predict(of_others))
    assert b"sklearn" not in pickle.dumps(probe)


def test_the_probe_is_the_baselines_and_shared() -> None:
    judge, base, labels, names = example("embedding", 0.0)
    assert isinstance(Embedding(), Probing)
    turned = base @ np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]  # as good, but not what the probe was built on
    quality = judge.evaluate(predictions("arm", turned, labels), predictions("base", base, labels), names, 0)
    assert quality.deltas["probe_accuracy"].value < -0.1
    assert quality.agreement["neighbour_overlap"].value == pytest.approx(1)
    assert judge.evaluate(predictions("base", base, labels), None, names, 0).metrics["probe_accuracy"].value > 0.9
    with pytest.raises(MlbenchError, match="is not fitted"):
        Embedding().decide(base)
    with pytest.raises(MlbenchError, match=r"shape \(items, dimensions\)"):
        judge.decide(base[:, 0])


def test_neighbours_agree_with_scikit_learn() -> None:
    values = RANDOM.normal(size=(60, 8))
    expected = NearestNeighbors(n_neighbors=11, metric="cosine").fit(values).kneighbors(values)[1][:, 1:]
    assert [set(row) for row in neighbours(values)] == [set(row) for row in expected]
    assert neighbours(values[:4]).shape == (4, 3)


# ---------------------------------------------------------------------------------------------------------------------
# calibration and lost classes


def test_calibration_error_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55])
    right = np.array([True, False, True, True])
    found = calibration_error(np.array([[1.0, 1, 1, 1], [2, 0, 0, 2]]), confidence, right)
    assert found.tolist() == pytest.approx([0.5 * 0.45 + 0.5 * 0.45, 0.5 * 0.05 + 0.5 * 0.45])


def expected_ece(confidence: np.ndarray, right: np.ndarray) -> float:
    """The definition, bin by bin."""
    total = 0.0
    for number in range(15):
        inside = (confidence >= number / 15) & ((confidence < (number + 1) / 15) | (number == 14))
        if inside.any():
            total += inside.sum() * abs(right[inside].mean() - confidence[inside].mean())
    return total / len(confidence)


@pytest.mark.parametrize("probabilities", [False, True])
def test_calibration_of_several_labels_is_over_pairs(*, probabilities: bool) -> None:
    judge, outputs, labels, names = example("multilabel", 0.3)
    present = 1 / (1 + np.exp(-outputs))
    given_outputs = present if probabilities else outputs
    found = judge.evaluate(predictions("arm", given_outputs, labels), None, names, 0).metrics["ece"]
    decided = present > 0.5
    confidence = np.where(decided, present, 1 - present)
    expected = expected_ece(confidence.ravel(), (decided == (labels == 1)).ravel())
    assert found.value == pytest.approx(expected)
    assert found.low is not None
    assert found.low < expected


def test_calibration_of_tokens_is_over_those_that_have_labels() -> None:
    judge, outputs, labels, names = example("token_classification", 0.3)
    found = judge.evaluate(predictions("arm", outputs, labels), None, names, 0).metrics["ece"]
    chances = (np.exp(outputs) / np.exp(outputs).sum(axis=2, keepdims=True))[labels != IGNORED]
    right = chances.argmax(axis=1) == labels[labels != IGNORED]
    assert found.value == pytest.approx(expected_ece(chances.max(axis=1), right))
    other = outputs.copy()
    other[labels == IGNORED] = 9.0  # what nobody asks for does not count
    assert judge.evaluate(predictions("arm", other, labels), None, names, 0).metrics["ece"].value == found.value


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1000), st.booleans(), st.booleans()), min_size=4, max_size=24))
def test_a_weight_is_as_good_as_that_many_items(parts: list[tuple[int, bool, bool]]) -> None:
    rows = len(parts) // 2
    confidence, right, counted = (np.array(column)[: 2 * rows].reshape(rows, 2) for column in zip(*parts, strict=True))
    confidence = confidence / 1000
    weights = np.arange(rows) % 3
    again = np.repeat(np.arange(rows), weights)
    found = calibration_error_of_parts(weights[np.newaxis].astype(float), confidence, right, counted)
    chosen = counted[again]
    expected = expected_ece(confidence[again][chosen], right[again][chosen]) if chosen.any() else 0.0
    assert found[0] == pytest.approx(expected, abs=1e-9)


def test_confidence_is_the_softmax_unless_outputs_are_probabilities() -> None:
    logits = np.array([[0.0, 0.0], [10.0, -10.0]])
    assert confidences(logits).tolist() == pytest.approx([0.5, 1.0], abs=1e-6)
    assert confidences(np.array([[0.3, 0.7]])).tolist() == [0.7]
    assert confidences(np.array([[1e4, 0.0]])).tolist() == [1.0]


def test_an_arm_that_loses_names_its_worst_classes() -> None:
    labels = np.repeat([0, 1, 2], 40)
    base = np.eye(3)[labels]
    worse = base.copy()
    worse[:10], worse[40:42] = np.eye(3)[1], np.eye(3)[0]
    judge = registry.load("task", "classification")()
    quality = judge.evaluate(predictions("arm", worse, labels), predictions("b", base, labels), ("a", "b", "c"), 0)
    assert [name for name, _ in worst_classes(quality)] == ["a", "b"]
    notice = loss_notice("int8", quality)
    assert notice is not None
    assert notice.message == (
        "int8 loses 10.0 points of accuracy, most in 'a' (-25.0 points of recall, 40 items), 'b' (-5.0 points of "
        "recall, 40 items)"
    )
    assert loss_notice("b", judge.evaluate(predictions("b", base, labels), None, ("a", "b", "c"), 0)) is None
    flips = {name: (share.value, share.n) for name, share in quality.class_flips.items()}
    assert flips == {"a": (0.25, 40), "b": (0.05, 40), "c": (0.0, 40)}


def test_flips_of_a_class_are_of_its_own_labels_where_items_have_several() -> None:
    truth = np.array([[1, 1, 0], [1, 0, 0], [0, 0, 0], [1, 1, 0]], dtype=bool)
    flipped = np.array([[1, 0, 1], [0, 1, 1], [1, 1, 1], [0, 1, 0]], dtype=bool)
    found = class_flips(truth, flipped, ("a", "b", "never"))
    assert {name: (share.value, share.n) for name, share in found.items()} == {"a": (1 / 3, 3), "b": (0.5, 2)}
    whole = class_flips(truth, flipped.any(axis=1), ("a", "b", "never"))
    assert {name: share.value for name, share in whole.items()} == {"a": 1.0, "b": 1.0}
