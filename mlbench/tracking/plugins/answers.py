"""A pyfunc model's answers, in whatever form, as the outputs that mlbench's tasks score."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench import registry
from mlbench.errors import InputError, MlbenchError
from mlbench.records import Estimate, Predictions
from mlbench.tracking.plugins.settings import EvaluatorSettings

CALIBRATION = "ece"


def quality(
    predict: Callable[[Any], Any], features: Any, labels: Any, settings: EvaluatorSettings, column: str | None
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Quality on the whole dataset, and reasons for what cannot be had.

    Raises:
        InputError: ``classes`` does not fit.
    """
    if labels is None:
        return {}, {"quality": "the dataset has no targets"}
    task = registry.load("task", settings.task)()
    try:
        answers = plain(predict(features), column)
        names, predictions, reasons = _as_outputs(settings, answers, np.asarray(labels))
        found = task.evaluate(predictions, None, names, settings.seed)
    except InputError:
        raise
    except MlbenchError as error:
        return {}, {"quality": str(error)}
    return {name: estimate for name, estimate in found.metrics.items() if name not in reasons}, reasons


def plain(answer: Any, column: str | None) -> npt.NDArray[Any]:
    """The model's answer as an array, first axis items.

    Raises:
        MlbenchError: It has several parts, and none was chosen.
    """
    if column is not None and (hasattr(answer, "columns") or isinstance(answer, Mapping)):
        answer = answer[column]
    if isinstance(answer, Mapping):
        if len(answer) != 1:
            raise MlbenchError(
                f"the model answers with several parts ({', '.join(map(str, answer))}): choose one with `predictions`"
            )
        answer = next(iter(answer.values()))
    values = np.asarray(answer)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _as_outputs(
    settings: EvaluatorSettings, answers: npt.NDArray[Any], labels: npt.NDArray[Any]
) -> tuple[tuple[str, ...], Predictions, dict[str, str]]:
    """Names of the classes, outputs beside labels, and reasons for metrics that these answers do not allow."""
    if len(answers) != len(labels):
        raise MlbenchError(f"the model gave {len(answers)} answers for {len(labels)} items")
    if settings.task == "regression":
        return (), Predictions("the model", _numbers(answers, "answers"), _numbers(labels, "targets")), {}
    if answers.ndim == 1:
        classes = list(settings.classes or _sorted([*labels.tolist(), *answers.tolist()]))
        outputs = np.eye(len(classes))[_indices(answers, classes, "answers")]
        reasons = {CALIBRATION: "the model answers with classes, and only scores can be held against what came true"}
    else:
        classes = list(settings.classes or range(answers.shape[1]))
        outputs, reasons = _numbers(answers, "answers"), {}
        if outputs.ndim == 2 and len(classes) != outputs.shape[1]:
            raise InputError(
                f"evaluator_config['mlbench'].classes: the model gives {outputs.shape[1]} scores for "
                f"{len(classes)} classes"
            )
    indices = _indices(labels, classes, "targets")
    return tuple(map(str, classes)), Predictions("the model", outputs, indices), reasons


def _numbers(values: npt.NDArray[Any], what: str) -> npt.NDArray[np.float64]:
    try:
        return values.astype(np.float64)
    except (TypeError, ValueError) as error:
        raise MlbenchError(f"the {what} are not numbers: {error}") from error


def _sorted(values: list[Any]) -> list[Any]:
    """Each value once, in order, values of different types one type after the other."""
    return sorted(dict.fromkeys(values), key=lambda value: (type(value).__name__, value))


def _indices(values: npt.NDArray[Any], classes: list[Any], what: str) -> npt.NDArray[np.int64]:
    """The place of each value among the classes."""
    places = {name: place for place, name in enumerate(classes)}
    listed = values.tolist()
    unknown = [value for value in dict.fromkeys(listed) if value not in places]
    if unknown:
        raise MlbenchError(
            f"the {what} hold {unknown[0]!r}, which is none of the classes {', '.join(map(repr, classes[:10]))}: give "
            "evaluator_config['mlbench'].classes in the order of the model's scores"
        )
    return np.array([places[value] for value in listed], dtype=np.int64)


__all__ = ["plain", "quality"]
