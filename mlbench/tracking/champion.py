"""The version that an alias points at: now, when a study began, and what moved it in between."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException

from mlbench.config import RegistryConfig
from mlbench.tracking import names
from mlbench.tracking.calls import doing, is_absent, is_forbidden

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Champion:
    """What an alias points at.

    Attributes:
        version: None where there is no such model, or no such alias.
    """

    model_name: str
    alias: str
    version: int | None

    @property
    def tags(self) -> dict[str, str]:
        """Tags of a study's run, which say where the alias was when it began."""
        version = _NONE if self.version is None else str(self.version)
        return {names.CHAMPION: f"{self.model_name}@{self.alias}", names.CHAMPION_VERSION: version}

    @classmethod
    def from_tags(cls, tags: Mapping[str, str]) -> Champion | None:
        """What :attr:`tags` say; None where they are not there."""
        if names.CHAMPION not in tags:
            return None
        model_name, _, alias = tags[names.CHAMPION].rpartition("@")
        kept = tags[names.CHAMPION_VERSION]
        return cls(model_name, alias, None if kept == _NONE else int(kept))


def find_champion(tracker: Tracker, config: RegistryConfig, workload: str) -> Champion:
    """The champion that a study of this workload is about to challenge.

    Raises:
        TrackingError: MLflow refused.
    """
    name = config.model_name or names.default_model_name(workload)
    with doing(f"look for the champion of '{name}'"):
        return Champion(name, config.alias, alias_version(tracker, name, config.alias))


def alias_version(tracker: Tracker, name: str, alias: str) -> int | None:
    """The version that an alias points at; None where there is no such model or alias."""
    try:
        return int(tracker.client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if is_absent(error) or (is_forbidden(error) and is_missing(tracker, name)):
            return None
        raise


def is_missing(tracker: Tracker, name: str) -> bool:
    """Whether there is no such model: MLflow's basic-auth refuses to tell the aliases of one, but tells this."""
    try:
        tracker.client.get_registered_model(name)
    except MlflowException as error:
        return is_absent(error)
    return False


def moved_since(tracker: Tracker, tags: Mapping[str, str], now: Champion) -> str:
    """Whether the alias was moved since a study began, and by what; empty where it was not.

    Args:
        tracker: The store.
        tags: Those of the study's run.
        now: What the alias points at now. Of another alias than the study's own nothing was recorded.
    """
    began = Champion.from_tags(tags)
    if began is None or (began.model_name, began.alias) != (now.model_name, now.alias) or began == now:
        return ""
    return moved(tracker, now, began.version)


def moved(tracker: Tracker, now: Champion, before: int | None) -> str:
    """From which version to which, and by what, as far as MLflow knows it."""
    return f"from {_named(before)} to {_named(now.version)}{_mover(tracker, now, before)}"


def _named(version: int | None) -> str:
    return "nothing" if version is None else f"version {version}"


def _mover(tracker: Tracker, now: Champion, before: int | None) -> str:
    """What MLflow knows of the move: a rollback, another study, or somebody else."""
    gone = _version_tags(tracker, now.model_name, before)
    if names.ROLLED_BACK in gone:
        return f" (rolled back at {gone[names.ROLLED_BACK]})"
    if now.version is None:
        return ""
    version = tracker.client.get_model_version(now.model_name, str(now.version))
    if names.PROMOTED in version.tags and names.RUN in version.tags:
        return (
            f" (promoted by the study '{version.tags.get(names.STUDY, '')}', run {version.tags[names.RUN]}, "
            f"at {version.tags[names.PROMOTED]})"
        )
    made = datetime.fromtimestamp(version.creation_timestamp / 1000, UTC).isoformat(timespec="seconds")
    who = f" by {version.user_id}" if version.user_id else ""
    return f" (not by mlbench; that version was made{who} at {made})"


def _version_tags(tracker: Tracker, name: str, version: int | None) -> dict[str, str]:
    if version is None:
        return {}
    try:
        tags: dict[str, str] = tracker.client.get_model_version(name, str(version)).tags
    except MlflowException as error:  # deleted since
        if is_absent(error):
            return {}
        raise
    return tags


__all__ = ["Champion", "alias_version", "find_champion", "is_missing", "moved", "moved_since"]
