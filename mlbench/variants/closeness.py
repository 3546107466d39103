"""The check of a transformation that must not change answers: outputs side by side, at several batch sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import BuildError
from mlbench.workloads import Split

BATCH_SIZES = (1, 2, 7, 32)

Outputs = Callable[[dict[str, npt.NDArray[Any]]], tuple[npt.NDArray[np.generic], ...]]


def require_close(
    step: str,
    what: str,
    result: Outputs,
    reference: Outputs,
    validation: Split,
    tolerance: float,
    sizes: tuple[int, ...] = BATCH_SIZES,
) -> float:
    """Largest absolute difference of any output, for batches of validation items.

    Args:
        step: Who asks, for the message.
        what: What was made, such as ``exported``.
        result: Every output of what was made.
        reference: Every output of what it was made from.
        validation: Where the items come from.
        tolerance: Largest allowed difference, as a share of the reference's largest value (at least 1).
        sizes: Batch sizes.

    Raises:
        BuildError: It is too large or not a number, or a batch size is answered in another shape.
    """
    worst = 0.0
    for size in sizes:
        inputs = first_rows(validation.inputs, size)
        for ours, theirs in zip(result(inputs), reference(inputs), strict=True):
            if ours.shape != theirs.shape:
                raise BuildError(
                    step, f"the {what} model gives shape {list(ours.shape)} for {size} items, not {list(theirs.shape)}"
                )
            difference = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
            if not difference <= tolerance * max(1.0, float(np.abs(theirs).max())):
                raise BuildError(
                    step,
                    f"the {what} model's outputs differ from the source's by up to {difference:.3g} at batch size "
                    f"{size}, more than the tolerance {tolerance:g}",
                )
            worst = max(worst, difference)
    return worst


def first_rows(inputs: Mapping[str, npt.NDArray[Any]], count: int) -> dict[str, npt.NDArray[Any]]:
    """The first items of every input, contiguous."""
    return {name: np.ascontiguousarray(array[:count]) for name, array in inputs.items()}


def require_finite(step: str, outputs: npt.NDArray[np.generic]) -> None:
    """Refuse a result that overflowed.

    Raises:
        BuildError: An output is NaN or infinite.
    """
    if not np.isfinite(outputs.astype(np.float64)).all():
        raise BuildError(step, "the result answers with values that are not finite (NaN or infinity)")
