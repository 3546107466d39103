"""From what was predicted to quality: the task made ready, its decisions, and the quality of every arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.quality import Probing, Task
from mlbench.quality.losses import loss_notice
from mlbench.records import Arm, Estimate, Measurement, Notice, Quality
from mlbench.registry import load
from mlbench.runtimes.loading import answers


def ready_task(name: str, baseline: Arm, inputs: Mapping[str, npt.NDArray[Any]], labels: npt.NDArray[Any]) -> Task:
    """The task of that name; one that learns from the baseline's outputs for the training split has done so.

    Args:
        name: Short name of the task.
        baseline: The arm whose outputs are learned from.
        inputs: Inputs of the training split, by name.
        labels: Its labels.

    Raises:
        WorkerError: The baseline cannot be served here.
    """
    task: Task = load("task", name)()
    return (
        task.fitted(answers(baseline.artifact, baseline.settings, inputs), labels)
        if isinstance(task, Probing)
        else task
    )


def decided(measurement: Measurement, task: Task) -> Measurement:
    """The measurement with what the task makes of all outputs that are finite."""
    predictions = tuple(
        replace(item, decided=task.decide(item.outputs)) if np.isfinite(item.outputs).all() else item
        for item in measurement.predictions
    )
    return replace(measurement, predictions=predictions)


def qualities(measurement: Measurement, task: Task, classes: Sequence[str], seed: int) -> dict[str, Quality]:
    """Quality of every arm that answered for the whole test set, paired with the baseline's answers.

    Raises:
        MlbenchError: Outputs of an arm cannot be scored; the message names it.
    """
    predictions = {item.arm: item for item in measurement.predictions}
    baseline = measurement.plan.baseline
    return {
        name: task.evaluate(item, predictions.get(baseline) if name != baseline else None, classes, seed)
        for name, item in predictions.items()
    }


def deltas_against(
    measurement: Measurement, task: Task, classes: Sequence[str], seed: int, other: str | None
) -> dict[str, dict[str, Estimate]]:
    """Paired differences of quality to another arm than the baseline, by arm; empty where there is no such arm.

    Raises:
        MlbenchError: Outputs of an arm cannot be scored; the message names it.
    """
    predictions = {item.arm: item for item in measurement.predictions}
    reference = predictions.get(other or "")
    if reference is None:
        return {}
    challengers = [item for name, item in predictions.items() if name not in (other, measurement.plan.baseline)]
    return {item.arm: task.evaluate(item, reference, classes, seed).deltas for item in challengers}


def loss_notices(found: Mapping[str, Quality]) -> tuple[Notice, ...]:
    """A sentence for each arm that lost quality: in which classes."""
    notices = (loss_notice(name, quality) for name, quality in found.items())
    return tuple(notice for notice in notices if notice is not None)
