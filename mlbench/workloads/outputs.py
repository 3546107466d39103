"""What a model's first output must look like for its task, and what it is called."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError, WorkerError
from mlbench.records import Artifact, RuntimeSettings, TensorSpec
from mlbench.registry import load
from mlbench.workloads import Data

_WHERE = "workload.model"
_PROBE_ROWS = 2
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


def failure(batch: Mapping[str, npt.NDArray[Any]], error: Exception) -> InputError:
    """What to say of a model that raised that error on this batch."""
    shapes = ", ".join(f"{name} {array.dtype} {list(array.shape[1:])}" for name, array in batch.items())
    reason = next(iter(str(error).strip().splitlines()), "")
    return InputError(f"{_WHERE}: the model fails on the data ({shapes}): {type(error).__name__}: {reason}")


def fitted(artifact: Artifact, data: Data) -> Artifact:
    """The artifact with its outputs, as its own runtime gives them for the first validation items.

    Args:
        artifact: Files in their place, with inputs.
        data: What the task is, and the items.

    Raises:
        InputError: The runtime cannot load it, it fails on the data, or its first output does not fit the task.
    """
    from mlbench.runtimes.kept import settings_kept
    from mlbench.runtimes.loading import open_session, runtime_for

    settings = RuntimeSettings()
    batch = {
        spec.name: np.ascontiguousarray(data.validation.inputs[spec.name][:_PROBE_ROWS]) for spec in artifact.inputs
    }
    try:
        runtime_for(artifact.format, settings).import_library()
        with settings_kept():
            session = open_session(artifact, settings)
            results = session.outputs(session.run(session.prepare(batch)))
    except WorkerError as error:
        raise InputError(f"{_WHERE}: {error}") from error
    except Exception as error:  # a model may raise what it likes
        raise failure(batch, error) from error
    unfit = misfit(results[0].shape, _PROBE_ROWS, data)
    if unfit is not None:
        raise InputError(f"{_WHERE}: {unfit}")
    return replace(artifact, outputs=specs([(item.dtype.name, item.shape) for item in results], data.train.task))
