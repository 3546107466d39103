"""Evidence: plain definitions, and calibration items that represent every class."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from mlbench.variants.evidence import (
    against_source,
    agreement,
    calibration,
    score,
    stratified_rows,
    torch_class,
    weighted_layers,
)
from mlbench.workloads import Split


def test_agreement_by_hand() -> None:
    reference = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 1.0], [5.0, 4.0]])
    result = reference + np.array([[0.0, 0.5], [0.0, 2.5], [0.0, 0.0], [-0.25, 0.0]])
    assert agreement(reference, result) == {"max_abs_diff": 2.5, "flip_rate": 0.25}
    assert agreement(reference, reference) == {"max_abs_diff": 0.0, "flip_rate": 0.0}


def test_score_by_hand() -> None:
    split = Split({}, np.array([1, 0, 0]))
    assert score(np.array([[1, 2], [3, 1], [0, 1]]), split) == {"accuracy": pytest.approx(2 / 3)}


@pytest.mark.parametrize(
    ("task", "labels", "reference", "result", "expected"),
    [
        ("binary", [0, 1], [[-1.0], [2.0]], [[1.0], [2.0]], {"flip_rate": 0.5, "accuracy": 0.5}),
        ("multilabel", [[0, 1], [1, 1]], [[-1, 1], [1, 1]], [[-1, 1], [1, -1]], {"flip_rate": 0.5, "exact_match": 0.5}),
        ("regression", [1.0, 2.0], [[1.0], [2.0]], [[1.5], [2.0]], {"mean_abs_diff": 0.25, "mae": 0.25}),
        ("embedding", [0, 1], [[1.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 0.0]], {"cosine": 0.5}),
        (
            "token_classification",
            [[0, -100], [1, 1]],
            [[[1, 0], [1, 0]], [[0, 1], [0, 1]]],
            [[[1, 0], [0, 1]], [[0, 1], [1, 0]]],
            {"flip_rate": 0.5, "accuracy": 2 / 3},
        ),
    ],
)
def test_every_task_has_evidence_of_its_own(
    task: str, labels: list, reference: list, result: list, expected: dict[str, float]
) -> None:
    before, after, split = np.array(reference), np.array(result), Split({}, np.array(labels), task)
    found = {**agreement(before, after, task), **score(after, split)}
    assert found.pop("max_abs_diff") == np.abs(before - after).max()
    assert found == pytest.approx(expected)


def test_against_source_names_what_it_measured_on() -> None:
    split = Split({"x": np.eye(3)}, np.arange(3))
    found = against_source(lambda inputs: inputs["x"], lambda inputs: inputs["x"][:, [1, 0, 2]], split)
    assert found == {
        "validation_max_abs_diff": 1.0,
        "validation_flip_rate": 2 / 3,
        "validation_accuracy_before": 1.0,
        "validation_accuracy": 1 / 3,
        "validation_items": 3,
    }


def test_against_source_asks_no_more_of_a_large_split_and_every_class_of_it() -> None:
    labels = np.repeat(np.arange(4), [700, 200, 90, 10])
    split = Split({"x": np.eye(4)[labels]}, labels)
    asked: list[np.ndarray] = []

    def answer(inputs: dict[str, np.ndarray]) -> np.ndarray:
        asked.append(inputs["x"])
        return inputs["x"]

    found = against_source(answer, answer, split)
    assert (found["validation_items"], found["validation_accuracy"]) == (256, 1.0)
    assert [len(items) for items in asked] == [256, 256]
    assert np.bincount(asked[0].argmax(axis=1), minlength=4).tolist() == pytest.approx([179, 51, 23, 3], abs=1)


def rows_of(labels: list[int], rows: int, seed: int = 0) -> np.ndarray:
    split = Split({"x": np.arange(len(labels)), "y": np.array(labels)}, np.array(labels))
    chosen = stratified_rows(split, rows, seed)
    np.testing.assert_array_equal(chosen["y"], np.array(labels)[chosen["x"]])
    assert len(set(chosen["x"])) == len(chosen["x"])
    return chosen["x"]


@pytest.mark.parametrize("rows", [10, 20, 50, 99])
def test_every_class_has_its_share(rows: int) -> None:
    labels = [0] * 60 + [1] * 30 + [2] * 10
    counts = np.bincount(np.array(labels)[rows_of(labels, rows)], minlength=3)
    assert counts.sum() == rows
    np.testing.assert_allclose(counts, rows * np.array([0.6, 0.3, 0.1]), atol=1)


def test_all_rows_when_there_are_fewer() -> None:
    assert sorted(rows_of([0, 1, 0], 10)) == [0, 1, 2]


def test_the_choice_is_fixed_by_the_seed_and_mixed() -> None:
    labels = [0] * 50 + [1] * 50
    np.testing.assert_array_equal(rows_of(labels, 40), rows_of(labels, 40))
    assert set(rows_of(labels, 40)) != set(rows_of(labels, 40, seed=1))
    first_half = np.array(labels)[rows_of(labels, 40)[:20]]
    assert 0 < first_half.sum() < 20  # not one class after the other


@pytest.mark.parametrize(
    ("task", "labels", "by"),
    [
        ("classification", [0, 1, 1], "class"),
        ("regression", [0.5, 1.5, 2.5], "decile of the label"),
        ("multilabel", [[0, 1], [1, 1], [0, 0]], "set of classes"),
        ("token_classification", [[0, 1], [1, -100], [0, 0]], "rarest class"),
    ],
)
def test_a_calibration_is_named_as_it_was_chosen(task: str, labels: list, by: str) -> None:
    train = Split({"x": np.arange(3)}, np.array(labels), task)
    for asked, there in ((2, 2), (256, 3)):
        assert calibration(train, asked) == {
            "calibration_rows": there,
            "calibration_set": f"training split, stratified by {by}, seed 0",
        }
        assert len(stratified_rows(train, asked)["x"]) == there


def test_layers_are_named_by_the_class_of_torch() -> None:
    class Padded(nn.Conv2d):
        """A class of the user."""

    module = nn.Sequential(Padded(1, 2, 3), nn.Conv2d(2, 2, 1), nn.ReLU(), nn.Linear(2, 2), nn.LayerNorm(2))
    assert weighted_layers(module) == {"Conv2d": 2, "Linear": 1}
    assert torch_class(module[0]) == "Conv2d"
