"""The check of a transformation that must not change answers: outputs side by side, at several batch sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import BuildError
from mlbench.measurement.mixing import mixed
from mlbench.records import Artifact
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


def checked(
    step: str,
    what: str,
    result: Outputs,
    reference: Outputs,
    artifact: Artifact,
    validation: Split,
    tolerance: float,
    sizes: tuple[int, ...] = BATCH_SIZES,
    *,
    every_length: bool = True,
) -> dict[str, Any]:
    """What :func:`require_close` found at every batch size, and at several lengths where they are free, for the record.

    Args:
        step: Who asks.
        what: What was made.
        result: Every output of what was made.
        reference: Every output of what it was made from.
        artifact: Says which axes are free.
        validation: Where the items come from.
        tolerance: Largest allowed difference.
        sizes: Batch sizes; those that there are too few items for are checked, and recorded, with the items there are.
        every_length: False leaves sequences at the length that they have in the data.

    Raises:
        BuildError: As there.
    """
    sizes = real_sizes(sizes, validation)
    lengths = lengths_to_check(artifact, validation) if every_length else ()
    worst = max(
        require_close(step, what, result, reference, cut(validation, artifact, length), tolerance, sizes)
        for length in lengths or (0,)
    )
    found = {"checked_batch_sizes": list(sizes), **({"checked_lengths": list(lengths)} if lengths else {})}
    return {"max_abs_diff": worst, **found}


def real_sizes(sizes: tuple[int, ...], validation: Split) -> tuple[int, ...]:
    """The batch sizes, none of more items than there are, each once, in rising order."""
    return tuple(sorted({min(size, len(validation)) for size in sizes}))


def sequences(artifact: Artifact) -> tuple[str, ...]:
    """Inputs whose second axis is free: a length that may vary between calls."""
    return tuple(spec.name for spec in artifact.inputs if spec.shape[1:2] == (None,))


def lengths_to_check(artifact: Artifact, validation: Split) -> tuple[int, ...]:
    """Lengths to check: the data's own, half of it, and a short one; none where no axis is free."""
    free = sequences(artifact)
    if not free:
        return ()
    whole = validation.inputs[free[0]].shape[1]
    return tuple(sorted({whole, max(2, whole // 2), min(whole, 5)}))


def cut(validation: Split, artifact: Artifact, length: int) -> Split:
    """The split with its sequences cut to a length; 0 is as it is."""
    if not length:
        return validation
    free = sequences(artifact)
    inputs = {name: array[:, :length] if name in free else array for name, array in validation.inputs.items()}
    return replace(validation, inputs=inputs)


def first_rows(inputs: Mapping[str, npt.NDArray[Any]], count: int) -> dict[str, npt.NDArray[Any]]:
    """The first items of every input in one random order, contiguous: splits may be grouped by class."""
    chosen = mixed(len(next(iter(inputs.values()))))[:count]
    return {name: np.ascontiguousarray(array[chosen]) for name, array in inputs.items()}


def require_finite(step: str, outputs: npt.NDArray[np.generic]) -> None:
    """Refuse a result that overflowed.

    Raises:
        BuildError: An output is NaN or infinite.
    """
    if not np.isfinite(outputs.astype(np.float64)).all():
        raise BuildError(step, "the result answers with values that are not finite (NaN or infinity)")
