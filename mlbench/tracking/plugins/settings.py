"""The evaluator's settings: ``evaluator_config={"mlbench": {...}}``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt

from mlbench.config import PositiveInt, Seed
from mlbench.errors import InputError

_TASKS: dict[str, Literal["classification", "regression"]] = {"classifier": "classification", "regressor": "regression"}


@dataclass(frozen=True, slots=True)
class EvaluatorSettings:
    """What is measured, and how long that may take.

    Attributes:
        enabled: Asks for the evaluator where ``evaluators`` names none.
        batch_size: Items of a call that is timed for its latency.
        throughput_batch_size: Items of a call that is timed for the throughput.
        calls: Timed calls of each kind; 93 support p95, 473 p99.
        warmup_calls: Calls before them.
        max_seconds: After that long no further call of a kind is started.
        task: What quality is read off the answers; ``auto`` goes by MLflow's ``model_type``.
        classes: The labels in the order of the model's scores, where they are not 0, 1, 2, ...
        seed: Of the bootstrap.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "allow_inf_nan": False}
    enabled: bool = True
    batch_size: PositiveInt = 1
    throughput_batch_size: PositiveInt = 32
    calls: PositiveInt = 100
    warmup_calls: Annotated[int, Ge(0)] = 10
    max_seconds: Annotated[float, Gt(0)] = 60.0
    task: Literal["auto", "classification", "regression", "none"] = "auto"
    classes: tuple[str | int | float | bool, ...] | None = None
    seed: Seed = 0


SETTINGS = frozenset(item.name for item in fields(EvaluatorSettings))


def settings(config: Mapping[str, Any], model_type: str | None) -> EvaluatorSettings:
    """The settings of one evaluation, with the task that ``auto`` means for this kind of model.

    Raises:
        InputError: One sentence for each thing that is wrong.
    """
    from pydantic import TypeAdapter, ValidationError

    from mlbench import schema

    whole = "evaluator_config['mlbench']"
    wrong = [f"{whole}.{problem}" for problem in schema.booleans(config, EvaluatorSettings)]
    if wrong:
        raise InputError(wrong)
    try:
        chosen: EvaluatorSettings = TypeAdapter(EvaluatorSettings).validate_python(dict(config))
    except ValidationError as error:
        raise InputError(schema.problems(error, EvaluatorSettings, [whole])) from error
    return chosen if chosen.task != "auto" else replace(chosen, task=_TASKS.get(model_type or "", "none"))


__all__ = ["SETTINGS", "EvaluatorSettings", "settings"]
