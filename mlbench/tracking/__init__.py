"""Everything MLflow: runs, models, registry. The only package that imports mlflow.

Importing it costs nothing: mlflow is imported when one of these names is first used. ``mlbench.tracking.names`` stays
free of mlflow, so that names are checked before anything starts.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlbench.tracking.calls import once
    from mlbench.tracking.champion import Champion, find_champion
    from mlbench.tracking.client import Tracker, connect, connect_to_run, locate, look_into
    from mlbench.tracking.history import ModelEntry, ModelHistory, Version, model_history, registered_models
    from mlbench.tracking.load import (
        LoadedStudy,
        StudyEntry,
        load_measurement,
        load_samples,
        load_study,
        studies,
    )
    from mlbench.tracking.pages import experiment_url, study_url
    from mlbench.tracking.publishing import Published, keep_measurement, publish
    from mlbench.tracking.refusals import PromotionRefusedError
    from mlbench.tracking.registered import Registered, fetch, find_registered
    from mlbench.tracking.registry import Promotion, promote, registry_of, rollback
    from mlbench.tracking.runs import OpenArm, OpenStudy
    from mlbench.tracking.server import ui
    from mlbench.tracking.summaries import Search, StudyPage, StudySummary, find_studies

_HOMES = {
    "calls": ("once",),
    "champion": ("Champion", "find_champion"),
    "client": ("Tracker", "connect", "connect_to_run", "locate", "look_into"),
    "history": ("ModelEntry", "ModelHistory", "Version", "model_history", "registered_models"),
    "load": ("LoadedStudy", "StudyEntry", "load_measurement", "load_samples", "load_study", "studies"),
    "pages": ("experiment_url", "study_url"),
    "publishing": ("Published", "keep_measurement", "publish"),
    "refusals": ("PromotionRefusedError",),
    "registered": ("Registered", "fetch", "find_registered"),
    "registry": ("Promotion", "promote", "registry_of", "rollback"),
    "runs": ("OpenArm", "OpenStudy"),
    "server": ("ui",),
    "summaries": ("Search", "StudyPage", "StudySummary", "find_studies"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mlbench.tracking' has no attribute '{name}'")
    return getattr(importlib.import_module(f"mlbench.tracking.{_HOME[name]}"), name)


__all__ = [
    "Champion",
    "LoadedStudy",
    "ModelEntry",
    "ModelHistory",
    "OpenArm",
    "OpenStudy",
    "Promotion",
    "PromotionRefusedError",
    "Published",
    "Registered",
    "Search",
    "StudyEntry",
    "StudyPage",
    "StudySummary",
    "Tracker",
    "Version",
    "connect",
    "connect_to_run",
    "experiment_url",
    "fetch",
    "find_champion",
    "find_registered",
    "find_studies",
    "keep_measurement",
    "load_measurement",
    "load_samples",
    "load_study",
    "locate",
    "look_into",
    "model_history",
    "once",
    "promote",
    "publish",
    "registered_models",
    "registry_of",
    "rollback",
    "studies",
    "study_url",
    "ui",
]
