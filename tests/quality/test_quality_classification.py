"""Classification against scikit-learn, and how far its intervals can be believed."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk
from sklearn.metrics.pairwise import paired_cosine_distances
from statsmodels.stats.proportion import proportion_confint

from mlbench import registry
from mlbench.errors import MlbenchError
from mlbench.metrics import CLASSIFICATION
from mlbench.quality import Task
from mlbench.quality.classification import Classification
from mlbench.records import Predictions, Quality, from_json, to_json
from mlbench.statistics import bootstrap_interval, mcnemar_exact, tango

TASK = Classification()


def outputs(predicted: np.ndarray, classes: int) -> np.ndarray:
    """Outputs that are decided as given."""
    return np.eye(classes)[predicted]


def evaluate(labels: object, predicted: object, baseline: object = None, classes: int = 3, seed: int = 0) -> Quality:
    truth = np.asarray(labels, dtype=np.int64)
    arm = Predictions("arm", outputs(np.asarray(predicted), classes), truth)
    base = None if baseline is None else Predictions("base", outputs(np.asarray(baseline), classes), truth)
    return TASK.evaluate(arm, base, [f"class {index}" for index in range(classes)], seed)


answers = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(
            st.tuples(*[st.integers(0, classes - 1)] * 3),
            min_size=1,
            max_size=60,
        ),
    )
)


# ---------------------------------------------------------------------------------------------------------------------
# points


@settings(max_examples=50)
@given(answers)
def test_points_agree_with_scikit_learn(drawn: tuple[int, list[tuple[int, int, int]]]) -> None:
    classes, items = drawn
    truth, mine, theirs = np.array(items).T
    quality = evaluate(truth, mine, theirs, classes)
    for average in ("macro", "weighted"):
        # classes without test items are left out: the other arm's predictions must not change what is averaged
        expected, base = (
            sk.precision_recall_fscore_support(
                truth, predicted, labels=np.unique(truth), average=average, zero_division=0
            )
            for predicted in (mine, theirs)
        )
        for index, name in enumerate(("precision", "recall", "f1")):
            assert quality.metrics[f"{name}_{average}"].value == pytest.approx(expected[index])
            assert quality.deltas[f"{name}_{average}"].value == pytest.approx(expected[index] - base[index])
    assert quality.metrics["accuracy"].value == pytest.approx(sk.accuracy_score(truth, mine))
    assert quality.metrics["recall_macro"].value == pytest.approx(
        sk.recall_score(truth, mine, average="macro", labels=np.unique(truth))
    )
    flips = {f"class {label}": float(np.mean((mine != theirs)[truth == label])) for label in np.unique(truth).tolist()}
    assert {name: share.value for name, share in quality.class_flips.items()} == pytest.approx(flips)
    assert quality.confusion == tuple(map(tuple, sk.confusion_matrix(truth, mine, labels=range(classes)).tolist()))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        truth, mine, labels=range(classes), zero_division=0
    )
    for index, row in enumerate(quality.per_class):
        assert (row.label, row.support) == (f"class {index}", support[index])
        assert row.precision.value == pytest.approx(precision[index])
        assert row.recall.value == pytest.approx(recall[index])
        assert row.f1.value == pytest.approx(f1[index])


@settings(max_examples=50)
@given(answers)
def test_every_interval_holds_its_point_and_stays_in_range(drawn: tuple[int, list[tuple[int, int, int]]]) -> None:
    classes, items = drawn
    quality = evaluate(*np.array(items).T, classes)
    rows = [row for entry in quality.per_class for row in (entry.precision, entry.recall, entry.f1)]
    shares = [*quality.metrics.values(), *(row for row in rows if row.n)]
    for estimate in shares:
        assert 0 <= estimate.low <= estimate.value + 1e-12
        assert estimate.value - 1e-12 <= estimate.high <= 1
    for estimate in quality.deltas.values():
        assert -1 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert list(quality.metrics) == list(quality.deltas) == [row.name for row in CLASSIFICATION]


def test_decides_for_the_largest_output_and_the_first_of_equals() -> None:
    decided = TASK.decide(np.array([[0.1, 0.7, 0.2], [0.5, 0.5, 0.0], [-3.0, -2.0, -2.0]]))
    assert decided.tolist() == [1, 0, 1]
    with pytest.raises(MlbenchError, match="classes >= 2"):
        TASK.decide(np.zeros(4))


# ---------------------------------------------------------------------------------------------------------------------
# intervals


def test_accuracy_has_wilsons_interval_and_its_difference_tangos() -> None:
    truth = np.zeros(100, dtype=int)
    mine, theirs = truth.copy(), truth.copy()
    mine[:7] = 1
    theirs[5:8] = 1
    quality = evaluate(truth, mine, theirs)
    accuracy = quality.metrics["accuracy"]
    assert (accuracy.low, accuracy.high) == pytest.approx(proportion_confint(93, 100, method="wilson"))
    assert quality.deltas["accuracy"] == tango(1, 5, 100)
    assert quality.mcnemar_p == mcnemar_exact(1, 5)
    assert accuracy.unit == "fraction"


def test_per_class_intervals_and_undefined_shares() -> None:
    # class 0: 3 of 4 found, 1 false; class 1 never predicted; class 2 has no test item but is predicted once
    quality = evaluate([0, 0, 0, 0, 1], [0, 0, 0, 2, 0])
    zero, one, two = quality.per_class
    assert (zero.precision.low, zero.precision.high) == pytest.approx(proportion_confint(3, 4, method="wilson"))
    assert (zero.recall.low, zero.recall.high) == pytest.approx(proportion_confint(3, 4, method="wilson"))
    low, high = proportion_confint(3, 5, method="wilson")  # TP / (TP + FP + FN)
    assert zero.f1.value == pytest.approx(2 * 3 / (2 * 3 + 1 + 1))
    assert (zero.f1.low, zero.f1.high) == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))
    assert (one.precision.value, one.precision.low, one.precision.n) == (0.0, None, 0)
    assert "no item was predicted as this class" in one.precision.method
    assert (two.recall.value, two.recall.low, two.support) == (0.0, None, 0)
    assert "no test item has this class" in two.recall.method
    # macro over the two classes that occur
    assert quality.metrics["precision_macro"].value == pytest.approx((3 / 4 + 0) / 2)
    absent = evaluate([0, 1], [0, 1]).per_class[2]
    assert (absent.f1.value, absent.f1.high) == (0.0, None)


def test_no_error_and_no_change_is_not_certainty() -> None:
    truth = np.repeat(np.arange(3), 100)
    quality = evaluate(truth, truth, truth)
    assert quality.metrics["ece"].value == quality.deltas["ece"].value == 0
    assert quality.metrics["error_rate"].value == 0
    assert quality.metrics["error_rate"].high == pytest.approx(1.959964**2 / (300 + 1.959964**2))
    for estimate in (quality.metrics[row.name] for row in CLASSIFICATION[:-2]):
        assert estimate.value == pytest.approx(1.0)
        assert estimate.low == pytest.approx(300 / (300 + 1.959964**2))
    for estimate in (quality.deltas[row.name] for row in CLASSIFICATION[:-1]):
        assert (estimate.low, estimate.high) == pytest.approx((-0.01264, 0.01264), abs=1e-5)
    assert quality.agreement["flip_rate"].high == pytest.approx(0.01264, abs=1e-5)


def draw(random: np.random.Generator, truth: np.ndarray, error: float, changed: float) -> tuple[np.ndarray, np.ndarray]:
    """Baseline and arm: the baseline errs at that rate to the next class, the arm draws anew for a share of items."""

    def once() -> np.ndarray:
        return np.where(random.random(len(truth)) < error, (truth + 1) % 3, truth)

    theirs = once()
    return theirs, np.where(random.random(len(truth)) < changed, once(), theirs)


SIZES = (20, 60, 120)


def true_f1(error: float) -> float:
    """Macro F1 of the population that :func:`draw` samples."""
    confusion = np.zeros((3, 3))
    for index, size in enumerate(SIZES):
        confusion[index, index] += size * (1 - error)
        confusion[index, (index + 1) % 3] += size * error
    hits = np.diag(confusion)
    return float(np.mean(2 * hits / (confusion.sum(axis=0) + confusion.sum(axis=1))))


@pytest.mark.repeats
@pytest.mark.parametrize("error", [0.10, 0.01])
def test_intervals_of_macro_f1_hold_about_as_often_as_stated(error: float) -> None:
    """200 seeded test sets with a rare class, standard error 1.5 points. The arms are equally good: true delta 0."""
    random = np.random.default_rng(17)
    truth = np.repeat(np.arange(3), SIZES)
    metric = delta = 0
    for _ in range(200):
        theirs, mine = draw(random, truth, error, changed=0.3)
        quality = evaluate(truth, mine, theirs)
        metric += quality.metrics["f1_macro"].low <= true_f1(error) <= quality.metrics["f1_macro"].high
        delta += quality.deltas["f1_macro"].low <= 0 <= quality.deltas["f1_macro"].high
    assert metric >= 0.91 * 200
    assert delta >= 0.91 * 200


def test_the_bare_bootstrap_fails_the_same_check_where_errors_are_few() -> None:
    random = np.random.default_rng(17)
    truth = np.repeat(np.arange(3), SIZES)
    hits = 0
    for _ in range(200):
        _, mine = draw(random, truth, 0.01, changed=0.0)
        right = (mine == truth).astype(float)
        low, high = bootstrap_interval(lambda w, r=right: (w @ r / 200)[:, None], 200, seed=0, strata=truth)
        hits += low[0] <= 0.99 <= high[0]
    assert hits < 0.91 * 200


def test_a_rare_class_widens_the_macro_average() -> None:
    truth = np.array([0] * 190 + [1] * 10)
    predicted = truth.copy()
    predicted[[0, 1, 190, 191]] = [1, 1, 0, 0]
    quality = evaluate(truth, predicted, classes=2)
    recall, accuracy = quality.metrics["recall_macro"], quality.metrics["accuracy"]
    assert recall.high - recall.low > 3 * (accuracy.high - accuracy.low)


def test_differences_are_paired() -> None:
    random = np.random.default_rng(5)
    truth = random.integers(0, 3, 600)
    theirs = np.where(random.random(600) < 0.2, (truth + 1) % 3, truth)
    mine = theirs.copy()
    mine[:3] = (mine[:3] + 1) % 3
    quality = evaluate(truth, mine, theirs)
    metric, delta = quality.metrics["f1_macro"], quality.deltas["f1_macro"]
    assert delta.high - delta.low < 0.4 * (metric.high - metric.low)


def test_the_same_seed_gives_the_same_quality_and_it_survives_json() -> None:
    truth = np.repeat(np.arange(3), 30)
    mine, theirs = np.roll(truth, 2), np.roll(truth, 1)
    one = evaluate(truth, mine, theirs, seed=3)
    assert one == evaluate(truth, mine, theirs, seed=3)
    assert one != evaluate(truth, mine, theirs, seed=4)
    assert from_json(Quality, to_json(one)) == one
    assert json.loads(to_json(one))["metrics"]["accuracy"]["n"] == 90


# ---------------------------------------------------------------------------------------------------------------------
# agreement


def test_agreement_counts_changes_and_their_direction() -> None:
    #           right->wrong, wrong->right, wrong->other wrong, same
    quality = evaluate([0, 0, 0, 0], [1, 0, 2, 0], [0, 1, 1, 0])
    agreement = {name: estimate.value for name, estimate in quality.agreement.items()}
    assert agreement["flip_rate"] == 0.75
    assert (agreement["became_wrong"], agreement["became_right"]) == (0.25, 0.25)
    assert agreement["max_abs_diff"] == 1.0
    assert agreement["cosine"] == 0.25
    assert quality.agreement["max_abs_diff"].low is None


def test_cosine_and_largest_difference_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(6)
    labels = random.integers(0, 4, 50)
    a, b = random.normal(size=(50, 4)), random.normal(size=(50, 4))
    quality = TASK.evaluate(Predictions("a", a, labels), Predictions("b", b, labels), list("wxyz"), 0)
    cosine = quality.agreement["cosine"]
    assert cosine.value == pytest.approx(np.mean(1 - paired_cosine_distances(a, b)))
    assert cosine.low < cosine.value < cosine.high
    assert quality.agreement["max_abs_diff"].value == np.abs(a - b).max()


@pytest.mark.parametrize(
    ("a", "b", "cosine"),
    [([0.0, 0.0], [0.0, 0.0], 1.0), ([0.0, 0.0], [1.0, 0.0], 0.0), ([1e200, 1e200], [1e-200, 1e-200], 1.0)],
)
def test_cosine_at_the_ends_of_the_number_line(a: list[float], b: list[float], cosine: float) -> None:
    labels = np.array([0])
    arm, base = Predictions("a", np.array([a]), labels), Predictions("b", np.array([b]), labels)
    assert TASK.evaluate(arm, base, ["x", "y"], 0).agreement["cosine"].value == pytest.approx(cosine)


def test_the_baseline_alone_has_nothing_to_agree_with() -> None:
    quality = evaluate([0, 1, 2], [0, 1, 1])
    assert (quality.deltas, quality.agreement, quality.mcnemar_p) == ({}, {}, None)


# ---------------------------------------------------------------------------------------------------------------------
# what cannot be scored


@pytest.mark.parametrize(
    ("values", "labels", "message"),
    [
        ([[0.1, np.nan, 0.2], [1.0, 0.0, 0.0]], [0, 1], r"'arm' are not finite .* for 1 of 2 items"),
        ([[0.1, np.inf, 0.2]], [0], "'arm' are not finite"),
        ([[0.1, 0.2]], [0], r"'arm' have shape \(1, 2\)"),
        ([0.1, 0.2, 0.3], [0, 1, 2], "'arm' have shape"),
        ([[0.1, 0.2, 0.3]], [0, 1], "'arm' gave 1 outputs for 2 test items"),
        (np.zeros((0, 3)), [], "'arm' gave 0 outputs for 0 test items"),
        ([[0.1, 0.2, 0.3]], [3], "there are 3 classes"),
        ([[0.1, 0.2, 0.3]], [-1], "there are 3 classes"),
    ],
)
def test_names_the_arm_that_cannot_be_scored(values: object, labels: object, message: str) -> None:
    broken = Predictions("arm", np.array(values, dtype=float), np.array(labels, dtype=np.int64))
    with pytest.raises(MlbenchError, match=message):
        TASK.evaluate(broken, None, ["x", "y", "z"], 0)


def test_one_class_is_no_classification() -> None:
    with pytest.raises(MlbenchError, match="at least two classes"):
        TASK.evaluate(Predictions("arm", np.zeros((1, 1)), np.zeros(1, dtype=np.int64)), None, ["only"], 0)


def test_both_arms_must_have_answered_the_same_items() -> None:
    arm = Predictions("arm", np.eye(3), np.array([0, 1, 2]))
    other = Predictions("base", np.eye(3), np.array([0, 2, 1]))
    with pytest.raises(MlbenchError, match="'arm' and 'base' did not answer the same test items"):
        TASK.evaluate(arm, other, ["x", "y", "z"], 0)


def test_the_registry_finds_the_task() -> None:
    task: Task = registry.load("task", "classification")()
    assert task.name == "classification"
    assert task.metrics is CLASSIFICATION
