from typing import Any

import numpy as np
import pytest

from mlbench.errors import WorkerError
from mlbench.measurement.answer import require_answer
from mlbench.records import TensorSpec

LOGITS = TensorSpec("logits", "float32", (None, 3))
NUMBER = TensorSpec("prediction", "float64", (None,))
TOKENS = TensorSpec("logits", "float32", (None, 16, 3))
CLASS = TensorSpec("class", "int64", (None,))


def answer(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.ones(shape, dtype)


def spoiled(*values: float) -> np.ndarray[Any, Any]:
    given = answer(4, 3)
    given[1 : 1 + len(values), 1] = values
    return given


@pytest.mark.parametrize(
    ("given", "spec", "exact"),
    [
        (answer(4, 3), LOGITS, True),
        (answer(4, 3, dtype="float16"), LOGITS, True),  # how exact is the quality's business
        (answer(4), NUMBER, True),
        (answer(4, 1), NUMBER, True),
        (answer(4, 7, 3), TOKENS, False),
        (answer(4, dtype="int32"), CLASS, True),
        (answer(4, dtype="bool"), CLASS, True),
        (answer(4, 9), None, True),
    ],
)
def test_an_answer_of_the_declared_kind_passes(given: np.ndarray[Any, Any], spec: TensorSpec, exact: bool) -> None:
    require_answer((given,), 4, spec, exact=exact)


@pytest.mark.parametrize(
    ("given", "spec", "exact", "message"),
    [
        (answer(3, 3), LOGITS, True, r"shape \[3, 3\] for a batch of 4 items"),
        (answer(1, 3), LOGITS, True, r"shape \[1, 3\] for a batch of 4 items"),
        (np.float32(1), LOGITS, True, r"shape \[\] for a batch of 4 items"),
        (answer(4, 2), LOGITS, True, r"shape \[4, 2\], where the workload's model gives \[items, 3\]"),
        (answer(4), LOGITS, True, r"shape \[4\], where the workload's model gives \[items, 3\]"),
        (answer(4, 3), NUMBER, True, r"shape \[4, 3\], where the workload's model gives \[items\]"),
        (answer(4, 7, 3), TOKENS, True, r"shape \[4, 7, 3\], where the workload's model gives \[items, 16, 3\]"),
        (answer(4, 7, 2), TOKENS, False, r"shape \[4, 7, 2\]"),
        (
            answer(4, 3, dtype="int64"),
            LOGITS,
            True,
            r"int64, where the workload's model gives real numbers \(float32\)",
        ),
        (answer(4, dtype="float32"), CLASS, True, r"float32, where the workload's model gives whole numbers \(int64\)"),
        (answer(4, 3, dtype="complex64"), LOGITS, True, "complex64, which is neither real nor whole numbers"),
        (np.full((4, 3), "cat"), LOGITS, True, "neither real nor whole numbers"),
        (spoiled(np.nan), LOGITS, True, r"not finite \(NaN\) for 1 of 4 items"),
        (spoiled(np.inf, np.inf), LOGITS, True, r"not finite \(infinity\) for 2 of 4 items"),
        (spoiled(-np.inf), LOGITS, True, r"not finite \(minus infinity\) for 1 of 4 items"),
        (spoiled(np.nan, -np.inf), LOGITS, True, r"not finite \(NaN and minus infinity\) for 2 of 4 items"),
    ],
)
def test_what_is_no_answer_is_named(given: np.ndarray[Any, Any], spec: TensorSpec, exact: bool, message: str) -> None:
    with pytest.raises(WorkerError, match=message):
        require_answer((given,), 4, spec, exact=exact)


def test_no_output_at_all_is_no_answer() -> None:
    with pytest.raises(WorkerError, match="returned nothing"):
        require_answer((), 4, LOGITS, exact=True)
