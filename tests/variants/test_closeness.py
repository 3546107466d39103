"""Answers side by side: at every batch size and length that is claimed, with the items that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlbench.errors import BuildError
from mlbench.records import Artifact, TensorSpec
from mlbench.variants.closeness import (
    checked,
    cut,
    first_rows,
    lengths_to_check,
    real_sizes,
    require_close,
    sequences,
)
from mlbench.workloads import Split

TOKENS, AGE = TensorSpec("tokens", "int64", (None, None)), TensorSpec("age", "float32", (None, 3))
BOTH = Artifact("d", "onnx", "", "", (TOKENS, AGE), (), 0)
PLAIN = Artifact("d", "onnx", "", "", (AGE,), (), 0)


def items(count: int, length: int = 12) -> Split:
    inputs = {"tokens": np.ones((count, length), np.int64), "age": np.zeros((count, 3), np.float32)}
    return Split(inputs, np.zeros(count, np.int64))


def sums(spoiled: Callable[[int, int], float] = lambda rows, length: 0.0) -> Any:
    """A model that adds up its tokens, and what is beside it in batches of so many rows and such a length."""
    return lambda inputs: (inputs["tokens"].sum(axis=1) + spoiled(*inputs["tokens"].shape),)


def found(result: Any, artifact: Artifact = BOTH, count: int = 40, **options: Any) -> dict[str, Any]:
    return checked("step", "made", result, sums(), artifact, items(count), 1e-3, **options)


def test_what_was_checked_is_recorded() -> None:
    assert found(sums()) == {
        "max_abs_diff": 0.0,
        "checked_batch_sizes": [1, 2, 7, 32],
        "checked_lengths": [5, 6, 12],
    }
    assert found(sums(), PLAIN) == {"max_abs_diff": 0.0, "checked_batch_sizes": [1, 2, 7, 32]}
    assert "checked_lengths" not in found(sums(), every_length=False)
    assert found(sums(lambda rows, length: 1e-3 * (rows == 7 and length == 6)))["max_abs_diff"] == pytest.approx(1e-3)


@pytest.mark.parametrize(("rows", "length"), [(1, 12), (32, 5), (7, 6)])
def test_a_difference_at_one_size_and_length_is_found(rows: int, length: int) -> None:
    with pytest.raises(BuildError, match=f"at batch size {rows}, more than the tolerance"):
        found(sums(lambda *shape: 1.0 * (shape == (rows, length))))


def test_sizes_are_those_of_the_items_there_are() -> None:
    assert real_sizes((1, 2, 7, 32), items(5)) == (1, 2, 5)
    assert real_sizes((1, 2, 7, 32), items(7)) == (1, 2, 7)
    seen = []
    assert found(sums(lambda rows, length: seen.append(rows) or 0.0), count=5)["checked_batch_sizes"] == [1, 2, 5]
    assert set(seen) == {1, 2, 5}


def test_only_free_axes_are_cut() -> None:
    assert sequences(BOTH) == ("tokens",)
    assert lengths_to_check(PLAIN, items(3)) == ()
    assert lengths_to_check(BOTH, items(3, length=3)) == (2, 3)
    short = cut(items(3), BOTH, 5)
    assert (short.inputs["tokens"].shape, short.inputs["age"].shape) == ((3, 5), (3, 3))
    assert cut(items(3), BOTH, 0).inputs["tokens"].shape == (3, 12)


CLASSES = np.repeat(np.arange(10), 20)
GROUPED = Split({"x": np.stack([CLASSES, np.arange(200)], axis=1).astype(np.float32)}, CLASSES)


def test_the_first_rows_are_of_many_classes_and_the_fewer_are_among_the_more() -> None:
    (many,) = first_rows(GROUPED.inputs, 32).values()
    assert many.flags["C_CONTIGUOUS"]
    assert len(np.unique(many[:, 0])) >= 8
    np.testing.assert_array_equal(first_rows(GROUPED.inputs, 7)["x"], many[:7])
    assert len(first_rows(GROUPED.inputs, 300)["x"]) == 200


def test_a_difference_in_one_class_is_found_in_a_split_that_is_grouped_by_class() -> None:
    def same(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (inputs["x"],)

    def spoiled(inputs: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        return (np.where(inputs["x"][:, :1] == 9, 1e6, inputs["x"]),)

    assert require_close("step", "made", same, same, GROUPED, 1e-3) == 0.0
    with pytest.raises(BuildError, match="outputs differ from the source's by up to 1e"):
        require_close("step", "made", spoiled, same, GROUPED, 1e-3)
