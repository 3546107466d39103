"""Answers side by side: at every batch size and length that is claimed, with the items that there are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlbench.errors import BuildError
from mlbench.records import Artifact, TensorSpec
from mlbench.variants.closeness import checked, cut, lengths_to_check, real_sizes, sequences
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
