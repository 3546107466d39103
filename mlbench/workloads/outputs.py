"""What a model's first output must look like for its task, and what it is called."""

from __future__ import annotations

from collections.abc import Sequence

from mlbench.records import TensorSpec
from mlbench.registry import load
from mlbench.workloads import Data

_NAMES = {"number": "prediction", "embedding": "embedding"}


def specs(results: Sequence[tuple[str, Sequence[int]]], task: str) -> tuple[TensorSpec, ...]:
    """Outputs by name from their dtypes and shapes (first axis items); the first is what the task reads."""
    first = _NAMES.get(task) or _NAMES.get(load("task", task).labels, "logits")
    names = [first, *(f"output_{number}" for number in range(1, len(results)))]
    return tuple(
        TensorSpec(name, dtype, (None, *shape[1:])) for name, (dtype, shape) in zip(names, results, strict=True)
    )


def misfit(shape: Sequence[int], rows: int, data: Data) -> str | None:
    """Why an output of that shape, for so many items, does not fit the task and the classes; None when it does."""
    task, classes = data.train.task, len(data.info.classes)
    kind = load("task", task).labels
    gives = f"the model gives shape {list(shape)} for {rows} items, but "
    if task == "embedding":
        return None if len(shape) == 2 and shape[0] == rows else f"{gives}embeddings need [{rows}, dimensions]"
    if kind == "number":
        fits = list(shape) in ([rows], [rows, 1])
        return None if fits else f"{gives}one number per item needs [{rows}] or [{rows}, 1]"
    if kind == "token":
        wanted = [rows, data.train.labels.shape[1], classes]
        return None if list(shape) == wanted else f"{gives}{classes} classes per token need {wanted}"
    if task == "binary":
        if classes != 2:
            return f"the task 'binary' needs two classes, but the data has {classes}"
        fits = list(shape) in ([rows, 2], [rows, 1], [rows])
        return None if fits else f"{gives}two classes need [{rows}, 2] or [{rows}, 1]"
    return None if list(shape) == [rows, classes] else f"{gives}{classes} classes need [{rows}, {classes}]"
