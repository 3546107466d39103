"""The figures that the pages ask for, as plotly figures and what the browser gets of them."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mlbench.dashboard.axes import Axis, estimate_of
from mlbench.dashboard.trend import Trend
from mlbench.records import ConditionKey, Estimate, Study
from mlbench.reporting import distributions, text
from mlbench.reporting import drawing as draw
from mlbench.reporting.figures import named
from mlbench.reporting.labels import Box, Mark, place

KINDS = {"cumulative": "cumulative", "spread": "spread"}
"""Ways to show a distribution."""
_WIDE = 8.0  # a factor between least and most from which an axis is logarithmic
_SHARES = (0.05, 0.25, 0.5, 0.75, 0.95)
_MARKS = {"better": "triangle-up", "worse": "x", "none": "circle", "": "circle"}


@dataclass(frozen=True, slots=True)
class Place:
    """One arm in the plane of two axes; ``beaten_by`` is an arm at least as good on both and better on one."""

    name: str
    x: Estimate
    y: Estimate
    beaten_by: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a comparison: an arm of a study, its figure, and what its marker looks like."""

    label: str
    arm: str
    study: int
    estimate: Estimate


# ---------------------------------------------------------------------------------------------------------------------
# one figure against another


def places(study: Study, x: Axis, y: Axis, arms: Sequence[str]) -> tuple[Place, ...]:
    """The chosen arms that have both figures, with the arm that dominates each by point estimates, if any."""
    found = []
    for arm in study.arms:
        across, up = estimate_of(arm, x.key), estimate_of(arm, y.key)
        if arm.name in arms and across is not None and up is not None:
            found.append(Place(arm.name, across, up))
    if "none" in (x.direction, y.direction):
        return tuple(found)
    signs = [1.0 if axis.direction == "lower" else -1.0 for axis in (x, y)]
    costs = {place.name: (signs[0] * place.x.value, signs[1] * place.y.value) for place in found}
    return tuple(
        replace(one, beaten_by=min(better, key=costs.__getitem__) if better else None)
        for one in found
        for better in [[name for name, cost in costs.items() if _dominates(cost, costs[one.name])]]
    )


def _dominates(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] <= other[0] and one[1] <= other[1] and one != other


def front_sentences(found: Sequence[Place], x: Axis, y: Axis) -> list[str]:
    """What the plane says, in words."""
    if not found:
        return ["No chosen arm has both figures."]
    if "none" in (x.direction, y.direction):
        return ["There is no front: one of the two figures has no better direction."]
    front = [text.plain(one.name) for one in found if one.beaten_by is None]
    beaten: dict[str, list[str]] = {}
    for one in found:
        if one.beaten_by is not None:
            beaten.setdefault(text.plain(one.beaten_by), []).append(text.plain(one.name))
    return [
        f"On the front: {text.listing(front)}.",
        *(f"Dominated by {winner}: {text.listing(names)}." for winner, names in beaten.items()),
    ]


def plane(study: Study, x: Axis, y: Axis, arms: Sequence[str]) -> go.Figure:
    """Two figures of every chosen arm with their intervals, and the front where both have a better direction."""
    found = places(study, x, y, arms)
    title = f"{html.escape(y.label)} against {html.escape(x.label)}"
    sentences = front_sentences(found, x, y)
    if not found:
        return draw.empty(title, sentences[0])
    figure = go.Figure()
    directed = "none" not in (x.direction, y.direction)
    front = sorted((one for one in found if one.beaten_by is None), key=lambda one: one.x.value)
    if directed and len(front) > 1:
        # a stair through what is attainable: the other way round where more is better
        shape = "hv" if x.direction == "lower" else "vh"
        figure.add_trace(
            go.Scatter(
                x=[x.scale * one.x.value for one in front],
                y=[y.scale * one.y.value for one in front],
                mode="lines",
                line={"shape": shape, "color": draw.GREY, "width": 1.5, "dash": "dot"},
                hoverinfo="skip",
                name="front",
            )
        )
    colours = draw.colours(study)
    numbers = {arm.name: number for number, arm in enumerate(study.arms)}
    for one in found:
        figure.add_trace(_point(one, x, y, colours[one.name], numbers[one.name]))
    x_log, x_range = _range([one.x for one in found], x)
    y_log, y_range = _range([one.y for one in found], y)
    _label(figure, found, colours, ((x, x_log, x_range), (y, y_log, y_range)))
    intervals = "Points are estimates, bars their intervals; a hollow point is dominated."
    draw.finish(figure, title, [*sentences, intervals], draw.HEIGHT)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text=html.escape(x.title), **_scale(x_range, log=x_log))
    figure.update_yaxes(title_text=html.escape(y.title), **_scale(y_range, log=y_log))
    return figure


def _point(one: Place, x: Axis, y: Axis, colour: str, number: int) -> go.Scatter:
    symbol = draw.SYMBOLS[number % len(draw.SYMBOLS)]
    hover = [
        f"<b>{draw.name(one.name)}</b>",
        f"{html.escape(x.label)} {html.escape(x.shown(one.x))}",
        f"{html.escape(y.label)} {html.escape(y.shown(one.y))}",
        *([f"dominated by {draw.name(one.beaten_by)}"] if one.beaten_by is not None else []),
    ]
    return go.Scatter(
        x=[x.scale * one.x.value],
        y=[y.scale * one.y.value],
        error_x=draw.error([one.x], x.scale, colour),
        error_y=draw.error([one.y], y.scale, colour),
        mode="markers",
        marker={
            "color": colour,
            "size": 13,
            "symbol": symbol if one.beaten_by is None else f"{symbol}-open",
            "line": {"width": 2.5, "color": colour},
        },
        name=draw.name(one.name),
        hoverinfo="text",
        hovertext="<br>".join(hover),
    )


def _range(estimates: Sequence[Estimate], axis: Axis) -> tuple[bool, list[float]]:
    """Whether the axis is logarithmic, and its range (exponents where it is)."""
    bounds = [axis.scale * bound for estimate in estimates for bound in draw.bounds(estimate)]
    log = not axis.share and min(bounds) > 0 and max(bounds) / min(bounds) > _WIDE
    return log, draw.padded(bounds, log=log)


def _scale(limits: Sequence[float], *, log: bool) -> dict[str, Any]:
    return draw.log_axis(limits) if log else {"range": list(limits)}


def _label(
    figure: go.Figure,
    found: Sequence[Place],
    colours: Mapping[str, str],
    scales: tuple[tuple[Axis, bool, list[float]], tuple[Axis, bool, list[float]]],
) -> None:
    """One annotation per point, placed so that none covers another."""
    width, height = draw.WIDTH - draw.LEFT - draw.RIGHT, draw.HEIGHT - draw.TOP - draw.BOTTOM

    def along(value: float, which: int) -> float:
        axis, log, (low, high) = scales[which]
        shown = axis.scale * value
        return ((math.log10(shown) if log else shown) - low) / (high - low)

    marks: list[Mark] = []
    for one in found:
        x, y = width * along(one.x.value, 0), height * (1 - along(one.y.value, 1))
        left, right = (width * along(bound, 0) for bound in draw.bounds(one.x))
        low, high = (height * (1 - along(bound, 1)) for bound in draw.bounds(one.y))
        dot = Box(x - 9, y - 9, x + 9, y + 9)
        marks.append((dot, Box(left, y - 3, right, y + 3), Box(x - 3, high, x + 3, low)))
    names = [draw.short(one.name) for one in found]
    sizes = [(draw.CHARACTER * len(name) + 6, draw.LINE) for name in names]
    front = sorted(mark[0].centre for mark, one in zip(marks, found, strict=True) if one.beaten_by is None)
    stairs = [Box(x, y - 2, next_x, y + 2) for (x, y), (next_x, _) in pairwise(front)]
    for one, name, (right, below) in zip(
        found, names, place(marks, sizes, Box(0, 0, width, height), stairs), strict=True
    ):
        x, y = scales[0][0].scale * one.x.value, scales[1][0].scale * one.y.value
        # annotations on a log axis take the exponent
        where = (math.log10(x) if scales[0][1] else x, math.log10(y) if scales[1][1] else y)
        named(figure, name, where, (right, below), colours[one.name], bold=one.beaten_by is None)


# ---------------------------------------------------------------------------------------------------------------------
# single calls


def distribution(study: Study, at: ConditionKey, samples: Mapping[str, np.ndarray], kind: str) -> go.Figure:
    """How long the calls of one condition took, one line or shape per arm.

    Args:
        study: The study.
        at: The condition.
        samples: Nanoseconds of every timed call by arm, shape (calls,); arms may be absent.
        kind: One of :data:`KINDS`.
    """
    chosen = [item for item in study.plan.conditions if item.key == at]
    others = [item for item in study.plan.conditions if item.key != at]
    there = replace(study, plan=replace(study.plan, conditions=(*chosen, *others)))  # its headline is this condition
    if kind == "spread":
        return distributions.latency_violins(there, samples)
    return distributions.latency_ecdf(there, samples)


def quantiles(study: Study, samples: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The same as a table: calls and quantiles by arm."""
    rows = []
    for name in draw.present(study, samples):
        found = draw.quantiles_ms(samples[name], np.array(_SHARES))
        rows.append([text.plain(name), f"{len(samples[name]):,}", *(text.ms(float(value)) for value in found)])
    return {"heads": ["arm", "calls", *(f"{100 * share:g} % within, ms" for share in _SHARES)], "rows": rows}


# ---------------------------------------------------------------------------------------------------------------------
# several studies, and over time


def across(rows: Sequence[Row], axis: Axis, colours: Mapping[str, str], *, side_by_side: bool) -> go.Figure:
    """One figure of arms of several studies, a line each."""
    title = html.escape(axis.label)
    if not rows:
        return draw.empty(title, "No chosen arm has this figure.")
    figure = go.Figure()
    for row in rows:
        colour = colours[row.arm]
        figure.add_trace(
            go.Scatter(
                x=[axis.scale * row.estimate.value],
                y=[draw.row_name(row.label)],
                error_x=draw.error([row.estimate], axis.scale, colour),
                mode="markers",
                marker={"color": colour, "size": 12, "symbol": draw.SYMBOLS[row.study % len(draw.SYMBOLS)]},
                name=draw.name(row.label),
                hoverinfo="text",
                hovertext=f"<b>{draw.name(row.label)}</b><br>{html.escape(axis.shown(row.estimate))}",
            )
        )
    said = (
        "Measured side by side in one study."
        if side_by_side
        else "Not measured side by side: the marker's shape tells the studies apart."
    )
    draw.finish(figure, title, [f"Estimates with their intervals. {said}"], draw.rows_height(len(rows)))
    log, limits = _range([row.estimate for row in rows], axis)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text=html.escape(axis.title), **_scale(limits, log=log))
    draw.categories(figure, [row.label for row in rows])
    return figure


def trend(found: Trend, axis: Axis) -> go.Figure:
    """A figure of every champion in the order of promotion, with what became better or worse."""
    title = f"{html.escape(axis.label)} of each champion"
    if not found.points:
        return draw.empty(title, "No champion has this figure.")
    figure = go.Figure()
    labels = [f"version {point.version}" for point in found.points]
    estimates = [point.estimate for point in found.points]
    colour = "#0072b2"
    figure.add_trace(
        go.Scatter(
            x=labels,
            y=[axis.scale * estimate.value for estimate in estimates],
            error_y=draw.error(estimates, axis.scale, colour),
            mode="lines+markers",
            line={"color": colour, "width": 1.5, "dash": "dot"},
            marker={
                "color": ["#d55e00" if point.mark == "worse" else colour for point in found.points],
                "size": [15 if point.mark == "worse" else 11 for point in found.points],
                "symbol": [_MARKS[point.mark] for point in found.points],
            },
            hoverinfo="text",
            hovertext=[
                f"<b>{label}</b> ({draw.name(point.arm)})<br>{html.escape(axis.shown(point.estimate))}"
                f"<br>{html.escape(point.sentence)}"
                for label, point in zip(labels, found.points, strict=True)
            ],
        )
    )
    for label, point in zip(labels, found.points, strict=True):
        if point.mark == "worse":
            figure.add_annotation(
                x=label, y=axis.scale * point.estimate.value, text="<b>regression</b>", showarrow=False, yshift=20
            )
    draw.finish(figure, title, [found.caution], 380)
    figure.update_layout(showlegend=False)
    figure.update_xaxes(type="category", title_text="in the order of promotion")
    log, limits = _range(estimates, axis)
    figure.update_yaxes(title_text=html.escape(axis.title), **_scale(limits, log=log))
    return figure


# ---------------------------------------------------------------------------------------------------------------------
# what the browser gets


def drawn(figure: go.Figure, table: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A figure as plain values: its title and caption as text, its data and layout, and the same as a table."""
    title = html.unescape(figure.layout.title.text)
    caption = html.unescape((figure.layout.title.subtitle.text or "").replace("<br>", " "))
    moved = figure.layout.margin.t - draw.TOP
    figure = go.Figure(figure)
    figure.update_layout(title=None, margin_t=draw.TOP, height=figure.layout.height - moved, paper_bgcolor=draw.CLEAR)
    parsed: dict[str, Any] = json.loads(figure.to_json())
    return {"title": title, "caption": caption, "data": parsed["data"], "layout": parsed["layout"], "table": table}


__all__ = ["KINDS", "Place", "Row", "across", "distribution", "drawn", "places", "plane", "quantiles", "trend"]
