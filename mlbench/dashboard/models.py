"""Registered models, and the history of one: what was champion when, what it was measured at, and what became worse."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from mlbench.dashboard import charts
from mlbench.dashboard.axes import axes, choose
from mlbench.dashboard.templating import render
from mlbench.dashboard.trend import trend
from mlbench.dashboard.web import Answer, Request, data, page
from mlbench.errors import InputError
from mlbench.records import RecordError, Study
from mlbench.reporting import view
from mlbench.tracking import Tracker, Version, load_study, model_history, registered_models

MOST = 20  # champions whose studies are read for one figure


def models_page(request: Request, tracker: Tracker) -> Answer:
    """Registered models."""
    found, following = registered_models(tracker, request.value("page"))
    return page(
        render(
            "models.html.j2",
            request.root,
            models=[(model, address(request, model.name)) for model in found],
            older=f"{request.root}/models?page={quote(following, safe='')}" if following else "",
        )
    )


def address(request: Request, name: str) -> str:
    """The page of a registered model."""
    return f"{request.root}/models/{quote(name, safe='')}"


def model_page(request: Request, tracker: Tracker, name: str) -> Answer:
    """The history of a registered model."""
    history = model_history(tracker, name, request.value("page"))
    champions = history.champions[-MOST:]
    studies = studies_of(tracker, champions[-1:])
    known = axes(studies.values())
    here = address(request, name)
    return page(
        render(
            "model.html.j2",
            request.root,
            history=history,
            champions=len(champions),
            known=known,
            axis=choose(known, request.value("metric"), (view.HEADLINE,)),
            here=here,
            older=f"{here}?page={quote(history.following, safe='')}" if history.following else "",
            token=request.value("page"),
        )
    )


def trend_figure(request: Request, tracker: Tracker, name: str) -> Answer:
    """A figure of every champion, with what became worse, as a picture and as a table."""
    champions = model_history(tracker, name, request.value("page")).champions[-MOST:]
    studies = studies_of(tracker, champions)
    axis = choose(axes(studies.values()), request.value("metric"), (view.HEADLINE,))
    if axis is None:
        raise InputError("no study of a champion can be read any more")
    found = trend(champions, studies, axis)
    words = {"": "-", "none": "no difference shown", "better": "better", "worse": "worse: regression"}
    rows = [
        [f"version {point.version}", point.arm, axis.shown(point.estimate), words[point.mark], point.sentence]
        for point in reversed(found.points)
    ]
    table = {"heads": ["champion", "arm", axis.label, "against the one before", "how that is known"], "rows": rows}
    return data(charts.drawn(charts.trend(found, axis), table))


def studies_of(tracker: Tracker, versions: Sequence[Version]) -> dict[str, Study]:
    """The studies that these versions come from, by run id; those that are gone are left out."""
    found = {}
    for version in versions:
        try:
            found[version.run_id] = load_study(tracker, version.run_id).study
        except (InputError, RecordError):  # deleted since, or written by a newer mlbench
            continue
    return found


__all__ = ["address", "model_page", "models_page", "studies_of", "trend_figure"]
