"""Evidence that steps leave in their record: how far the result is from its input, on real validation items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.workloads import Split

Answer = Callable[[dict[str, npt.NDArray[Any]]], npt.NDArray[np.generic]]


def agreement(reference: npt.NDArray[np.generic], result: npt.NDArray[np.generic]) -> dict[str, float]:
    """``max_abs_diff`` of the scores and ``flip_rate``, the share of items whose highest class changes.

    Args:
        reference: Class scores, shape (items, classes).
        result: Class scores of the same items.
    """
    return {
        "max_abs_diff": float(np.abs(result.astype(np.float64) - reference.astype(np.float64)).max()),
        "flip_rate": float((result.argmax(axis=1) != reference.argmax(axis=1)).mean()),
    }


def accuracy(scores: npt.NDArray[np.generic], labels: npt.NDArray[np.int64]) -> float:
    """Share of items whose highest score is at their label."""
    return float((scores.argmax(axis=1) == labels).mean())


def against_source(reference: Answer, result: Answer, validation: Split) -> dict[str, float]:
    """Agreement and both accuracies on the validation split; the names say that it is not the test split."""
    before, after = reference(validation.inputs), result(validation.inputs)
    found = {f"validation_{name}": value for name, value in agreement(before, after).items()}
    found["validation_accuracy_before"] = accuracy(before, validation.labels)
    found["validation_accuracy"] = accuracy(after, validation.labels)
    return found


def stratified_rows(split: Split, rows: int, seed: int = 0) -> dict[str, npt.NDArray[Any]]:
    """Inputs of up to ``rows`` items of the split, each class by its share, in random but fixed order.

    Args:
        split: Where the items come from.
        rows: How many; all items when the split has fewer.
        seed: Fixes the choice and the order.
    """
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(split))
    labels = split.labels[order]
    # rank of each item within its class, as a share of that class: taking the lowest shares takes every class evenly
    share = np.empty(len(split))
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        share[where] = (np.arange(len(where)) + generator.random()) / len(where)
    chosen = order[np.sort(np.argsort(share, kind="stable")[: min(rows, len(split))])]
    return {name: array[chosen] for name, array in split.inputs.items()}
