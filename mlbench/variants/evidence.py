"""Evidence that steps leave in their record: how far the result is from its input, on real validation items."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.registry import load
from mlbench.workloads import Split
from mlbench.workloads.labels import strata

if TYPE_CHECKING:
    from torch import nn

_SEED = 0
_ITEMS = 256  # of a comparison: building must not take longer the more data there is
_STRATA = {"class": "class", "number": "decile of the label", "multi_hot": "set of classes", "token": "rarest class"}

Answer = Callable[[dict[str, npt.NDArray[Any]]], npt.NDArray[np.generic]]


def agreement(
    reference: npt.NDArray[np.generic], result: npt.NDArray[np.generic], task: str = "classification"
) -> dict[str, float]:
    """``max_abs_diff`` of the outputs, and what the task says of their difference (``flip_rate`` for classes).

    Args:
        reference: Outputs, first axis items.
        result: Outputs for the same items.
        task: Name of the task.
    """
    before, after = reference.astype(np.float64), result.astype(np.float64)
    return {"max_abs_diff": float(np.abs(after - before).max()), **load("task", task)().compare(before, after)}


def score(outputs: npt.NDArray[np.generic], split: Split) -> dict[str, float]:
    """Quality of the outputs for a split in the plain numbers of its task (``accuracy`` for classes)."""
    found: dict[str, float] = load("task", split.task)().score(outputs.astype(np.float64), split.labels)
    return found


def against_source(reference: Answer, result: Answer, validation: Split) -> dict[str, float]:
    """Agreement and both qualities on a stratified sample of the validation split, whatever its size.

    The names say that it is not the test split, and ``validation_items`` how many items it was.
    """
    chosen = _stratified(validation, min(_ITEMS, len(validation)), _SEED)
    sample = replace(
        validation,
        inputs={name: array[chosen] for name, array in validation.inputs.items()},
        labels=validation.labels[chosen],
        originals={},
    )
    before, after = reference(sample.inputs), result(sample.inputs)
    found = {f"validation_{name}": value for name, value in agreement(before, after, sample.task).items()}
    found |= {f"validation_{name}_before": value for name, value in score(before, sample).items()}
    found |= {f"validation_{name}": value for name, value in score(after, sample).items()}
    return {**found, "validation_items": len(sample)}


def weighted_layers(module: nn.Module) -> dict[str, int]:
    """Linear layers and convolutions of a model, by :func:`torch_class`."""
    from torch import nn

    kinds = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the base of all convolutions has no public name
    return dict(sorted(Counter(torch_class(layer) for layer in module.modules() if isinstance(layer, kinds)).items()))


def torch_class(layer: nn.Module) -> str:
    """Name of the layer's class, or of that class of torch which the user's own extends."""
    return next(base.__name__ for base in type(layer).__mro__ if base.__module__.startswith("torch."))


def calibration(train: Split, rows: int) -> dict[str, Any]:
    """Which items :func:`stratified_rows` gives for a calibration, for the record of the step that was calibrated.

    Args:
        train: The training split: no step is calibrated on another one.
        rows: How many were asked for.
    """
    by = _STRATA[load("task", train.task).labels]
    return {
        "calibration_rows": min(rows, len(train)),
        "calibration_set": f"training split, stratified by {by}, seed {_SEED}",
    }


def stratified_rows(split: Split, rows: int, seed: int = _SEED) -> dict[str, npt.NDArray[Any]]:
    """Inputs of up to ``rows`` items, each class (or other stratum) by its share, in random but fixed order.

    Args:
        split: Where the items come from.
        rows: How many; all items when the split has fewer.
        seed: Fixes the choice and the order.
    """
    chosen = _stratified(split, rows, seed)
    return {name: array[chosen] for name, array in split.inputs.items()}


def _stratified(split: Split, rows: int, seed: int) -> npt.NDArray[np.intp]:
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(split))
    labels = strata(split.labels, load("task", split.task).labels, least=1)[order]
    # rank of each item within its class, as a share of that class: taking the lowest shares takes every class evenly
    share = np.empty(len(split))
    for label in np.unique(labels):
        where = np.flatnonzero(labels == label)
        share[where] = (np.arange(len(where)) + generator.random()) / len(where)
    chosen: npt.NDArray[np.intp] = order[np.sort(np.argsort(share, kind="stable")[: min(rows, len(split))])]
    return chosen
