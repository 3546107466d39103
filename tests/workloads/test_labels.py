"""Labels as the task needs them, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench.errors import InputError
from mlbench.records import IGNORED, LabelKind
from mlbench.workloads import RawData
from mlbench.workloads.labels import class_counts, read_labels, strata


def raw(labels: Any, classes: tuple[str, ...] = ()) -> RawData:
    return RawData({}, labels if isinstance(labels, np.ndarray) else np.array(labels), classes, "data")


def lists(*items: list[Any]) -> np.ndarray[Any, Any]:
    found = np.empty(len(items), dtype=object)
    found[:] = items
    return found


def refusal(labels: Any, kind: LabelKind, given: tuple[str, ...] | None = None, known: tuple[str, ...] = ()) -> str:
    with pytest.raises(InputError) as caught:
        read_labels(raw(labels, known), kind, given)
    (sentence,) = caught.value.problems
    return sentence


def test_text_becomes_sorted_classes() -> None:
    labels, classes = read_labels(raw(["dog", "cat", "dog", "ant"]), "class", None)
    assert classes == ("ant", "cat", "dog")
    assert labels.tolist() == [2, 1, 2, 0]


def test_numbers_with_gaps_become_indices() -> None:
    labels, classes = read_labels(raw([7, -1, 7, 10]), "class", None)
    assert (classes, labels.tolist()) == (("-1", "7", "10"), [1, 0, 1, 2])


def test_the_models_order_of_classes_wins() -> None:
    labels, classes = read_labels(raw(["dog", "cat"]), "class", ("dog", "eel", "cat"))
    assert (classes, labels.tolist()) == (("dog", "eel", "cat"), [0, 2])
    labels, _ = read_labels(raw([1, 0], ("cat", "dog")), "class", ("dog", "cat"))
    assert labels.tolist() == [0, 1]


def test_labels_outside_the_models_classes() -> None:
    assert refusal(["dog", "fox", "fox"], "class", ("dog", "cat")) == (
        "workload.data: label 'fox' (2 rows) is not among the 2 classes of the model (dog, cat)"
    )
    assert "run from 0 to 3, but it has 2 classes" in refusal([0, 3], "class", None, ("a", "b"))
    assert "'a' stands 2 times" in refusal(["a"], "class", ("a", "a"))


def test_what_cannot_be_a_class() -> None:
    assert "have dtype float64, but labels must be whole numbers or text" in refusal([0.0, 1.5], "class")
    assert "have shape [3, 2], but must have shape (items,)" in refusal(np.zeros((3, 2), dtype=int), "class")


def test_numbers() -> None:
    labels, classes = read_labels(raw([1, 2, 3]), "number", None)
    assert labels.dtype == np.float64
    assert classes == ()
    assert "are not finite (NaN or infinity) in 1 of 2 rows, the first in row 1" in refusal([1.0, np.nan], "number")
    assert "numbers of shape (items,) are needed" in refusal(["a"], "number")
    assert "numbers have no classes" in refusal([1.0], "number", ("a",))


def test_several_labels_from_a_table_or_from_lists() -> None:
    table, classes = read_labels(raw([[1, 0], [1, 1]], ("red", "big")), "multi_hot", None)
    assert (table.tolist(), classes) == ([[1, 0], [1, 1]], ("red", "big"))
    table, _ = read_labels(raw([[1, 0], [1, 1]], ("red", "big")), "multi_hot", ("big", "odd", "red"))
    assert table.tolist() == [[0, 0, 1], [1, 0, 1]]
    table, classes = read_labels(raw(lists(["red"], [], ["red", "big"])), "multi_hot", None)
    assert (table.tolist(), classes) == ([[0, 1], [0, 0], [1, 1]], ("big", "red"))


def test_lists_of_places_among_known_classes() -> None:
    table, classes = read_labels(raw(lists([1], [], [0, 1]), ("red", "big")), "multi_hot", None)
    assert (table.tolist(), classes) == ([[0, 1], [0, 0], [1, 1]], ("red", "big"))
    table, _ = read_labels(raw(lists([1], [], [0, 1]), ("red", "big")), "multi_hot", ("big", "odd", "red"))
    assert table.tolist() == [[1, 0, 0], [0, 0, 0], [1, 0, 1]]
    assert "label 2 in row 1 of data is not a place among 2 classes" in refusal(
        lists([0], [1, 2]), "multi_hot", None, ("red", "big")
    )


def test_what_cannot_be_several_labels() -> None:
    assert "a table of zeros and ones" in refusal([[0, 2]], "multi_hot")
    assert "a table of zeros and ones" in refusal([0, 1], "multi_hot")
    assert "label 'odd' (1 rows) is not among" in refusal(lists(["odd"], ["red"]), "multi_hot", ("red",))
    assert "the label of row 1 of data is not a list" in refusal(lists(["a"], "b"), "multi_hot")  # type: ignore[arg-type]
    assert "are 2 columns, but there are 3 classes" in refusal([[1, 0]], "multi_hot", None, ("a", "b", "c"))


def test_tokens() -> None:
    labels, classes = read_labels(raw([[0, 2, IGNORED], [1, IGNORED, IGNORED]]), "token", None)
    assert classes == ("0", "1", "2")
    assert class_counts(labels, "token", classes) == {"0": 1, "1": 1, "2": 1}
    assert "no token of data has a label" in refusal([[IGNORED]], "token")
    assert "run from 0 to 2, but there are 2 classes" in refusal([[0, 2]], "token", ("a", "b"))
    assert "shape (items, tokens)" in refusal([0, 1], "token")


def test_counts() -> None:
    assert class_counts(np.array([[1, 0], [1, 1]]), "multi_hot", ("a", "b")) == {"a": 2, "b": 1}
    assert class_counts(np.array([0.5]), "number", ()) == {}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=2, max_size=80), st.integers(2, 4))
def test_strata_of_numbers_are_large_enough_and_ordered(values: list[float], least: int) -> None:
    labels = np.array(values)
    codes = strata(labels, "number", least)
    assert np.bincount(codes)[np.unique(codes)].min() >= min(least, len(labels))
    assert len(np.unique(codes)) <= 11


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=3, max_size=40))
def test_strata_of_sets_are_large_enough(rows: list[tuple[int, int]]) -> None:
    codes = strata(np.array(rows), "multi_hot", 3)
    assert np.bincount(codes)[np.unique(codes)].min() >= 3


def test_strata_of_tokens_go_by_the_rarest_class() -> None:
    labels = np.array([[0, 0, 1], [0, 1, IGNORED], [0, 0, 0], [0, IGNORED, 0], [IGNORED, IGNORED, IGNORED]] * 2)
    codes = strata(labels, "token", 2)
    assert codes[0] == codes[1] != codes[2]
    assert codes[2] == codes[3] != codes[4]
