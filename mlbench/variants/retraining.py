"""What steps that train have in common: their parameters, and where those come from that a recipe leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, TypeVar

from annotated_types import Ge, Gt, Lt

from mlbench.config import TrainConfig
from mlbench.variants import BuildContext

_NAMES = tuple(item.name for item in fields(TrainConfig))


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingParams:
    """How long and how fast. What is null is taken from the workload's own training, where it was trained here."""

    epochs: Annotated[int, Ge(1)] = 6
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    batch_size: Annotated[int, Ge(1)] | None = None
    weight_decay: Annotated[float, Ge(0)] | None = None
    label_smoothing: Annotated[float, Ge(0), Lt(1)] | None = None
    max_shift: Annotated[int, Ge(0)] | None = None
    seed: int | None = None


Params = TypeVar("Params", bound=TrainingParams)


def explicit(params: Params, context: BuildContext) -> Params:
    """Every value explicit: the recipe's, or that of the workload's training, or the default."""
    own: Mapping[str, Any] = context.workload.info.model.get("train") or {}
    defaults = TrainConfig()
    unset = [name for name in _NAMES if getattr(params, name) is None]
    return replace(params, **{name: own.get(name, getattr(defaults, name)) for name in unset})


def training(params: TrainingParams) -> TrainConfig:
    """The training that explicit parameters ask for."""
    return TrainConfig(**{name: getattr(params, name) for name in _NAMES})
