"""The history of a registered model: its versions, where they come from, and every move of the champion."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlbench.errors import InputError
from mlbench.tracking import names
from mlbench.tracking.calls import doing, is_absent
from mlbench.tracking.summaries import moment

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

PAGE = 50
_EVIDENCE = ("p50_ms", "speedup_p50", "accuracy", "samples_per_s", "peak_rss_mib", "disk_mib")


@dataclass(frozen=True, slots=True)
class ModelEntry:
    """A registered model of which mlbench has promoted a version; ``aliases`` by name."""

    name: str
    aliases: dict[str, int]
    updated: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version of a registered model.

    Attributes:
        made: When it was registered.
        promoted: When a champion's alias was pointed at it by mlbench, the last time; empty where it never was.
        replaced: The version that was there before; None where there was none.
        rolled_back: When the alias was taken from it again; empty where it was not.
        study, run_id, arm: Where it was measured; empty for a version that is not mlbench's.
        evidence: What it was measured at, as text by name of the figure.
        aliases: The aliases that point at it now.
    """

    number: int
    made: str
    promoted: str
    replaced: int | None
    rolled_back: str
    study: str
    run_id: str
    arm: str
    evidence: dict[str, str]
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Move:
    """A move of the champion: ``promoted`` or ``rolled back``, from one version to another; newest first."""

    moment: str
    what: str
    version: int
    before: int | None


@dataclass(frozen=True, slots=True)
class ModelHistory:
    """A registered model, newest version first; ``following`` is the token of older ones, empty on the last page."""

    name: str
    aliases: dict[str, int]
    versions: tuple[Version, ...]
    following: str

    @property
    def moves(self) -> tuple[Move, ...]:
        """What happened to the champion, as far as the versions say: each keeps its last promotion and rollback."""
        moves = [Move(v.promoted, "promoted", v.number, v.replaced) for v in self.versions if v.promoted]
        moves += [
            Move(v.rolled_back, "rolled back", v.replaced, v.number)
            for v in self.versions
            if v.rolled_back and v.replaced is not None
        ]
        return tuple(sorted(moves, key=lambda move: move.moment, reverse=True))

    @property
    def champions(self) -> tuple[Version, ...]:
        """The versions that mlbench has promoted, in the order in which that happened."""
        return tuple(sorted((v for v in self.versions if v.promoted and v.run_id), key=lambda v: v.promoted))


def registered_models(tracker: Tracker, token: str = "") -> tuple[tuple[ModelEntry, ...], str]:
    """Registered models, by name, and the token of the next page (empty on the last).

    Raises:
        TrackingError: MLflow refused.
    """
    with doing("list the registered models"):
        found = tracker.client.search_registered_models(None, PAGE, ["name ASC"], token or None)
        return (
            tuple(
                ModelEntry(model.name, _numbers(model.aliases), moment(model.last_updated_timestamp)) for model in found
            ),
            found.token or "",
        )


def model_history(tracker: Tracker, name: str, token: str = "") -> ModelHistory:
    """The versions of a registered model, newest first.

    Raises:
        InputError: There is no such model.
        TrackingError: MLflow refused.
    """
    with doing(f"read the model '{name}'"):
        try:
            aliases = _numbers(tracker.client.get_registered_model(name).aliases)
        except MlflowException as error:
            if is_absent(error):
                raise InputError(f"there is no registered model '{name}'") from error
            raise
        quote = '"' if "'" in name else "'"
        found = tracker.client.search_model_versions(
            f"name = {quote}{name}{quote}", PAGE, ["version_number DESC"], token or None
        )
        return ModelHistory(name, aliases, tuple(_version(item, aliases) for item in found), found.token or "")


def _numbers(aliases: Mapping[str, object]) -> dict[str, int]:
    return {alias: int(str(version)) for alias, version in aliases.items()}


def _version(item: ModelVersion, aliases: Mapping[str, int]) -> Version:
    tags, number = item.tags, int(item.version)
    replaced = tags.get(names.REPLACED)
    return Version(
        number,
        moment(item.creation_timestamp),
        tags.get(names.PROMOTED, ""),
        int(replaced) if replaced else None,
        tags.get(names.ROLLED_BACK, ""),
        tags.get(names.STUDY, ""),
        tags.get(names.RUN, ""),
        tags.get(names.ARM, ""),
        {name: tags[f"mlbench.{name}"] for name in _EVIDENCE if f"mlbench.{name}" in tags},
        tuple(alias for alias, version in aliases.items() if version == number),
    )


__all__ = ["ModelEntry", "ModelHistory", "Move", "Version", "model_history", "registered_models"]
