"""The list of studies, and the page of one study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import numpy as np
import numpy.typing as npt

from mlbench.dashboard import charts
from mlbench.dashboard.axes import Axis, axes, choose
from mlbench.dashboard.templating import render
from mlbench.dashboard.web import Answer, Request, data, page
from mlbench.errors import InputError
from mlbench.records import ConditionKey, Study
from mlbench.reporting import page as tables
from mlbench.reporting import view
from mlbench.reporting.colours import arm_colours
from mlbench.tracking import LoadedStudy, Search, StudyPage, Tracker, find_studies, load_samples, load_study
from mlbench.tracking.summaries import DECISIONS, FIELDS, Field

_NULL = -1  # in samples, what is not swept


@dataclass(frozen=True, slots=True)
class ListView:
    """The list as its page shows it; ``newest`` and ``older`` are addresses, empty where there are none."""

    search: Search
    found: StudyPage
    newest: str
    older: str


@dataclass(frozen=True, slots=True)
class Choice:
    """What a reader chose on the page of a study.

    Attributes:
        x, y: The axes; None where no arm has any figure.
        arms: Names of the arms that are shown.
        at: The condition whose calls are shown.
        kind: How they are shown.
    """

    known: tuple[Axis, ...]
    x: Axis | None
    y: Axis | None
    arms: tuple[str, ...]
    at: ConditionKey
    kind: str


# ---------------------------------------------------------------------------------------------------------------------
# the list


def listed(request: Request, tracker: Tracker) -> Answer:
    """The list of studies, searched."""
    search = search_of(request)
    token = request.value("page")
    found = find_studies(tracker, search, token)
    shown = ListView(
        search,
        found,
        _list_address(request, search) if token else "",
        _list_address(request, search, found.following) if found.following else "",
    )
    return page(render("studies.html.j2", request.root, list=shown, decisions=DECISIONS, fields=FIELDS))


def search_of(request: Request) -> Search:
    """The search in the address of the list; what it does not know is left out."""
    given = request.value("in")
    field: Field = next((name for name in FIELDS if name == given), "study")
    decision = request.value("decision")
    return Search(
        request.value("q").strip()[:200],
        field,
        decision if decision in DECISIONS else "",
        request.value("experiment"),
    )


def _list_address(request: Request, search: Search, token: str = "") -> str:
    values = {
        "q": search.text,
        "in": search.field if search.text else "",
        "decision": search.decision,
        "experiment": search.experiment,
        "page": token,
    }
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{request.root}/?{query}" if query else f"{request.root}/"


# ---------------------------------------------------------------------------------------------------------------------
# one study


def study_page(request: Request, tracker: Tracker, run_id: str) -> Answer:
    """The page of one study."""
    loaded = load_study(tracker, run_id)
    study = loaded.study
    return page(
        render(
            "study.html.j2",
            request.root,
            study=study,
            run_id=loaded.run_id,
            choice=chosen(request, study),
            conditions=[(item.key.short, item.key.text) for item in study.plan.conditions],
            kinds=charts.KINDS,
            colours=arm_colours(arm.name for arm in study.arms),
            table=tables.arms(study),
            judgements={name: reason for name, reason, _ in tables.judgements(study)},
            mlflow=mlflow_address(request, loaded),
            report=mlflow_address(request, loaded, "report/report.html"),
        )
    )


def mlflow_address(request: Request, loaded: LoadedStudy, artifact: str = "") -> str:
    """MLflow's own page of the study's run, or of an artifact of it, among the pages for models rather than agents."""
    above, below = request.root.removesuffix("/mlbench"), f"/artifacts/{artifact}" if artifact else ""
    run = f"#/experiments/{quote(loaded.experiment_id)}/runs/{quote(loaded.run_id)}"
    return f"{above}/{run}{below}?workflowType=machine_learning"


def chosen(request: Request, study: Study) -> Choice:
    """What the address of the page, or of one of its figures, chooses; what it does not know is left out."""
    known = axes([study])
    quality = f"quality/{view.quality_metric(study)}"
    names = tuple(arm.name for arm in study.arms)
    if "filter" in request.query:
        numbers = set(request.query.get("arm", ()))
        names = tuple(name for number, name in enumerate(names) if str(number) in numbers)
    conditions = {item.key.short: item.key for item in study.plan.conditions}
    kind = request.value("kind")
    return Choice(
        known,
        choose(known, request.value("x"), (view.HEADLINE,)),
        choose(known, request.value("y"), (quality, "throughput/samples_per_s")),
        names,
        conditions.get(request.value("condition"), study.plan.latency_at),
        kind if kind in charts.KINDS else next(iter(charts.KINDS)),
    )


def plane_figure(request: Request, tracker: Tracker, run_id: str) -> Answer:
    """The figure of one figure of the arms against another."""
    study = load_study(tracker, run_id).study
    choice = chosen(request, study)
    if choice.x is None or choice.y is None:
        raise InputError("no arm of this study has any figure")
    return data(charts.drawn(charts.plane(study, choice.x, choice.y, choice.arms)))


def samples_figure(request: Request, tracker: Tracker, run_id: str) -> Answer:
    """The distribution of single calls of the chosen arms in the chosen condition, with a table."""
    loaded = load_study(tracker, run_id)
    choice = chosen(request, loaded.study)
    samples = samples_at(tracker, loaded, choice.arms, choice.at)
    figure = charts.distribution(loaded.study, choice.at, samples, choice.kind)
    return data(charts.drawn(figure, charts.quantiles(loaded.study, samples)))


def samples_at(
    tracker: Tracker, loaded: LoadedStudy, arms: Sequence[str], at: ConditionKey
) -> dict[str, npt.NDArray[np.int64]]:
    """Nanoseconds of every timed call of these arms in one condition, shape (calls,); arms without any are left out."""
    found = {}
    for name in arms:
        known = next(arm for arm in loaded.study.arms if arm.name == name)
        if name not in loaded.arms or known.status == "failed":
            continue
        try:
            calls = timed(load_samples(tracker, loaded, name), at)
        except InputError:  # its samples are gone; it is left out, as the figure and its table show
            continue
        if len(calls):
            found[name] = calls
    return found


def timed(samples: Mapping[str, npt.NDArray[Any]], at: ConditionKey) -> npt.NDArray[np.int64]:
    """The timed calls of one condition that count, in nanoseconds, from the columns of an arm's samples."""
    there = (samples["phase"] == "timed") & samples["counted"]
    for name, value in at._asdict().items():
        there &= samples[name] == (_NULL if value is None else value)
    calls: npt.NDArray[np.int64] = samples["ns"][there]
    return calls


__all__ = [
    "chosen",
    "listed",
    "mlflow_address",
    "plane_figure",
    "samples_at",
    "samples_figure",
    "search_of",
    "study_page",
    "timed",
]
