"""The report page: one file that needs nothing else, opens offline and asks no other host for anything.

plotly.js is part of the page once. A content security policy allows exactly the page's own two scripts, by hash, and
no network at all; every value of the study passes through Jinja's autoescape, and the figures through
:func:`script_json`.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from mlbench.metrics import SWEEPS
from mlbench.records import NoiseMoment, Study, Turn
from mlbench.reporting import classes, course, distributions, drawing, figures, in_force, page, text, view, why
from mlbench.reporting.colours import arm_colours
from mlbench.reporting.templating import asset, template


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure of the page: where it goes, its caption as markup that is already escaped, and the figure."""

    key: str
    title: Markup
    caption: Markup
    figure: go.Figure


def render_html(
    study: Study,
    samples: Mapping[str, np.ndarray],
    turns: Sequence[Turn] = (),
    noise: Mapping[int, NoiseMoment] | None = None,
) -> str:
    """The report page of a study.

    Args:
        study: The study.
        samples: Per arm, nanoseconds of every timed call at the headline batch size, shape (calls,). Arms may be
            absent.
        turns: The turns, for the figure of the measurement as it went; that figure is left out without them.
        noise: The machine during each trial, by trial from 0, for the same figure; a trial that was not watched is left
            out.
    """
    noise = noise or {}
    charts = _charts(study, samples, turns, noise)
    script = asset("report.js")
    plotly = get_plotlyjs()
    assert "</script" not in plotly.lower()  # else the page would end inside it
    return template("report.html.j2").render(
        study=study,
        view=view,
        text=text,
        page=page,
        classes=classes,
        in_force=in_force,
        loud=course.loud_trials(noise),
        why=why,
        charts={chart.key: chart for chart in charts},
        figures_json=script_json({chart.key: _figure_json(chart.figure) for chart in charts}),
        colours=arm_colours(arm.name for arm in study.arms),
        css=Markup(asset("report.css")),  # noqa: S704  the page's own file, no value of the study
        script=Markup(script),  # noqa: S704  the page's own file
        plotly=Markup(plotly),  # noqa: S704  plotly's own file
        script_sources=Markup(" ".join(map(_source, (plotly, script)))),  # noqa: S704  base64 text
    )


def script_json(value: object) -> Markup:
    """JSON for a ``<script type="application/json">`` element, which nothing inside it can end or comment out."""
    raw = json.dumps(value, separators=(",", ":"), allow_nan=False, ensure_ascii=True)
    escaped = raw.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return Markup(escaped)  # noqa: S704  escaped just above


def _charts(
    study: Study, samples: Mapping[str, np.ndarray], turns: Sequence[Turn], noise: Mapping[int, NoiseMoment]
) -> list[Chart]:
    made = {
        "pareto": figures.pareto(study),
        "speedups": figures.speedups(study),
        "ecdf": distributions.latency_ecdf(study, samples),
        "violins": distributions.latency_violins(study, samples),
    }
    for sweep in SWEEPS:
        if len(study.plan.sweep(sweep.axis)) > 1:
            made[f"throughput-{sweep.prefix}"] = figures.throughput(study, sweep)
            made[f"latency-{sweep.prefix}"] = figures.latency_over(study, sweep)
    made["memory"] = figures.memory(study)
    if turns:
        made["timeline"] = course.timeline(study, turns, noise)
    return [_chart(key, figure) for key, figure in made.items() if len(figure.data)]


def _chart(key: str, figure: go.Figure) -> Chart:
    """Title and subtitle become the caption, where they can be read, copied and translated."""
    title = figure.layout.title
    subtitle = (title.subtitle.text or "").replace("<br>", " ")
    moved = figure.layout.margin.t - drawing.TOP
    figure = go.Figure(figure)
    figure.update_layout(
        title=None,
        margin_t=drawing.TOP,
        height=figure.layout.height - moved,
        paper_bgcolor="rgba(0, 0, 0, 0)",
    )
    return Chart(key, Markup(title.text), Markup(subtitle), figure)  # noqa: S704  figures.py escapes every name


def _figure_json(figure: go.Figure) -> dict[str, object]:
    parsed: dict[str, object] = json.loads(figure.to_json())
    return parsed


def _source(script: str) -> str:
    """The CSP source expression that allows exactly this script."""
    digest = hashlib.sha256(script.encode("utf-8")).digest()
    return f"'sha256-{base64.b64encode(digest).decode('ascii')}'"


__all__ = ["Chart", "render_html", "script_json"]
