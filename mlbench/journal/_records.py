"""What a journal says besides the measurement itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from mlbench.config import ProtocolConfig, RegistryConfig
from mlbench.records import SCHEMA_VERSION, Plan, Recipe, Role, RuntimeSettings, Study


@dataclass(frozen=True, slots=True)
class Begun:
    """A study that was begun.

    Attributes:
        run_id: Its run in MLflow.
        created: When it began, ISO 8601 with time zone.
        tracking_uri: The absolute tracking URI, credentials masked.
        experiment: Name of the experiment.
        config: The composed configuration for the record: interpolations as written, credentials masked.
        overrides: As the user wrote them, credentials masked.
    """

    run_id: str
    name: str
    created: str
    version: str
    tracking_uri: str
    experiment: str
    config: dict[str, Any]
    overrides: tuple[str, ...] = ()
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class JournaledArm:
    """An arm as it is measured; ``digest`` is its artifact's key in the store."""

    name: str
    role: Role
    recipe: Recipe
    settings: RuntimeSettings
    digest: str


@dataclass(frozen=True, slots=True)
class Planned:
    """The order of work, the protocol behind it (a time budget may have changed the configured one), and the arms."""

    plan: Plan
    protocol: ProtocolConfig
    arms: tuple[JournaledArm, ...]
    schema: int = SCHEMA_VERSION


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What was concluded, and how it is delivered.

    Attributes:
        study: The record; no credentials in it.
        log_models: Whether the arms' artifacts are logged as models.
        registry: Where the winner is promoted to; None where nothing is promoted.
        example: A few test items by input name, for the models' input example.
    """

    study: Study
    log_models: bool
    registry: RegistryConfig | None
    example: dict[str, npt.NDArray[Any]] = field(compare=False)


@dataclass(frozen=True, slots=True)
class Options:
    """What of a :class:`Conclusion` is neither its study nor an array; ``inputs`` names the arrays in order."""

    log_models: bool
    registry: RegistryConfig | None
    inputs: tuple[str, ...]
    schema: int = SCHEMA_VERSION
