"""Pages of study summaries: what a list of studies shows, from the tags of their runs, with one search a page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from mlflow.entities import Run, ViewType

from mlbench.errors import InputError
from mlbench.tracking import names
from mlbench.tracking.calls import doing

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

PAGE = 50
_MOST_EXPERIMENTS = 1000
_FIELDS = {
    "study": f"tags.`{names.STUDY}`",
    "workload": "params.`workload`",
    "winner": f"tags.`{names.WINNER}`",
}
Field = Literal["study", "workload", "winner"]
FIELDS: tuple[Field, ...] = ("study", "workload", "winner")
DECISIONS = ("promote", "hold", "inconclusive", "none")
"""Decisions to choose from; ``none`` is a study without a result."""


@dataclass(frozen=True, slots=True)
class Search:
    """Which studies.

    Attributes:
        text: Part of the name in ``field``, in capitals or not; empty for all.
        decision: One of :data:`DECISIONS`; empty for all.
        experiment: Id of an experiment; empty for all that are not deleted.
    """

    text: str = ""
    field: Field = "study"
    decision: str = ""
    experiment: str = ""


@dataclass(frozen=True, slots=True)
class StudySummary:
    """One line of the list.

    Attributes:
        created: When it began, ``2026-01-05 14:12`` in UTC.
        status: Of its run: ``FINISHED``, ``RUNNING`` ...
        decision: ``promote``, ``hold``, ``inconclusive``; empty where there is no result.
        noise: Of the machine: ``quiet``, ``noisy``, ``unusable``; empty where there is no result.
    """

    run_id: str
    name: str
    workload: str
    experiment_id: str
    experiment: str
    created: str
    status: str
    decision: str
    winner: str
    noise: str
    arms: str
    trials: str


@dataclass(frozen=True, slots=True)
class StudyPage:
    """One page of the list, newest first; ``following`` is the token of the next one, empty on the last."""

    studies: tuple[StudySummary, ...]
    following: str
    experiments: dict[str, str]


def find_studies(tracker: Tracker, search: Search, token: str = "", size: int = PAGE) -> StudyPage:
    """One page of the studies that a search means.

    Raises:
        InputError: The token is of another search, or the text cannot be searched for.
        TrackingError: MLflow refused.
    """
    from mlflow.exceptions import MlflowException

    with doing("list the studies"):
        experiments = _experiments(tracker)
        ids = [search.experiment] if search.experiment in experiments else list(experiments)
        if not ids:
            return StudyPage((), "", experiments)
        try:
            found = tracker.client.search_runs(
                ids, condition(search), ViewType.ACTIVE_ONLY, size, ["attributes.start_time DESC"], token or None
            )
        except MlflowException as error:
            if token:
                raise InputError("this page of the list is no longer there: begin at the newest studies") from error
            raise
    return StudyPage(tuple(_summary(run, experiments) for run in found), found.token or "", experiments)


def condition(search: Search) -> str:
    """The search in MLflow's language of filters.

    >>> condition(Search("bert", "workload", "promote"))
    "tags.`mlbench.kind` = 'study' and params.`workload` ILIKE '%bert%' and tags.`mlbench.decision` = 'promote'"

    Raises:
        InputError: The text holds both kinds of quotation marks: MLflow has no way to write that.
    """
    parts = [f"tags.`{names.KIND}` = 'study'"]
    if search.text:
        quote = '"' if "'" in search.text else "'"
        if quote in search.text:
            raise InputError("a search cannot hold both kinds of quotation marks")
        parts.append(f"{_FIELDS[search.field]} ILIKE {quote}%{search.text}%{quote}")
    if search.decision == "none":
        parts.append(f"tags.`{names.DECISION}` IS NULL")
    elif search.decision:
        parts.append(f"tags.`{names.DECISION}` = '{search.decision}'")
    return " and ".join(parts)


def _experiments(tracker: Tracker) -> dict[str, str]:
    """Names of the experiments by id, the last used first."""
    found = tracker.client.search_experiments(max_results=_MOST_EXPERIMENTS, order_by=["last_update_time DESC"])
    return {item.experiment_id: item.name for item in found}


def _summary(run: Run, experiments: Mapping[str, str]) -> StudySummary:
    tags, params, info = run.data.tags, run.data.params, run.info
    return StudySummary(
        info.run_id,
        tags.get(names.STUDY) or info.run_name,
        params.get("workload", ""),
        info.experiment_id,
        experiments.get(info.experiment_id, ""),
        moment(info.start_time),
        info.status,
        tags.get(names.DECISION, ""),
        tags.get(names.WINNER, ""),
        tags.get(names.NOISE, ""),
        params.get("arms", ""),
        params.get("trials", ""),
    )


def moment(milliseconds: int) -> str:
    """A time of MLflow's as ``2026-01-05 14:12``, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M")


__all__ = ["DECISIONS", "FIELDS", "PAGE", "Field", "Search", "StudyPage", "StudySummary", "condition", "find_studies"]
