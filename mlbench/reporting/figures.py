"""Plotly figures from records. Every name that appears in a figure is escaped, since plotly reads markup in text.

Each function returns a complete figure for a light background, whose title says what it shows and whose subtitle says
how to read it; the page takes both over as the caption and adapts the colours to the reader's scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import plotly.graph_objects as go

from mlbench.metrics import SWEEPS, Sweep
from mlbench.records import ArmResult, Estimate, SeriesPoint, Study
from mlbench.reporting import drawing as draw
from mlbench.reporting import text, view
from mlbench.reporting.labels import Box, place
from mlbench.reporting.plane import Point, plane, plane_sentences


def pareto(study: Study) -> go.Figure:
    """Speed against quality: p50 latency and the headline quality metric, each with its interval, and the front."""
    points = plane(study)
    name = view.quality_metric(study).replace("_", " ")
    title = f"Speed against {html.escape(text.plain(name))}"
    if not points:
        return draw.empty(title, "No arm has both a latency and a quality figure.")
    figure = go.Figure()
    colours = draw.colours(study)
    share = all(point.quality.unit == "fraction" for point in points)
    scale = 100.0 if share else 1.0
    front = sorted((point for point in points if point.beaten_by is None), key=lambda point: point.latency.value)
    figure.add_trace(
        go.Scatter(
            x=[point.latency.value for point in front],
            y=[scale * point.quality.value for point in front],
            mode="lines",
            line={"shape": "hv", "color": draw.GREY, "width": 1.5, "dash": "dot"},
            hoverinfo="skip",
            name="front",
        )
    )
    for point in points:
        on_front = point.beaten_by is None
        hover = [
            f"<b>{draw.name(point.name)}</b>",
            f"p50 {text.interval(point.latency)} ms",
            f"{html.escape(text.plain(name))} {view.quality_text(point.quality, with_interval=True)}",
            draw.name(point.standing),
        ]
        figure.add_trace(
            go.Scatter(
                x=[point.latency.value],
                y=[scale * point.quality.value],
                error_x=draw.error([point.latency], 1.0, colours[point.name]),
                error_y=draw.error([point.quality], scale, colours[point.name]),
                mode="markers",
                marker={
                    "color": colours[point.name],
                    "size": 13,
                    "symbol": "circle" if on_front else "circle-open",
                    "line": {"width": 2.5, "color": colours[point.name]},
                },
                name=draw.name(point.name),
                hoverinfo="text",
                hovertext="<br>".join(hover),
            )
        )
    x_range = draw.padded([bound for point in points for bound in draw.bounds(point.latency)], log=True)
    y_range = draw.padded([scale * bound for point in points for bound in draw.bounds(point.quality)], log=False)
    _label(figure, points, colours, scale, x_range, y_range)
    draw.finish(
        figure, title, [*plane_sentences(study), "Points are estimates, bars their 95 % intervals."], draw.HEIGHT
    )
    figure.update_layout(showlegend=False)
    figure.update_xaxes(
        title_text=f"p50 latency at {study.plan.latency_at.text}, ms (less is better)", **draw.log_axis(x_range)
    )
    figure.update_yaxes(
        title_text=f"{html.escape(text.plain(name))} (more is better)", range=y_range, ticksuffix=" %" if share else ""
    )
    return figure


def _label(
    figure: go.Figure,
    points: Sequence[Point],
    colours: Mapping[str, str],
    scale: float,
    x_range: list[float],
    y_range: list[float],
) -> None:
    """One annotation per point, placed so that none covers another."""
    width, height = draw.WIDTH - draw.LEFT - draw.RIGHT, draw.HEIGHT - draw.TOP - draw.BOTTOM

    def across(value: float) -> float:
        return (math.log10(value) - x_range[0]) / (x_range[1] - x_range[0]) * width

    def down(value: float) -> float:
        return (y_range[1] - scale * value) / (y_range[1] - y_range[0]) * height

    marks = []
    for point in points:
        x, y = across(point.latency.value), down(point.quality.value)
        (left, right), (low, high) = draw.bounds(point.latency), draw.bounds(point.quality)
        dot = Box(x - 9, y - 9, x + 9, y + 9)
        marks.append((dot, Box(across(left), y - 3, across(right), y + 3), Box(x - 3, down(high), x + 3, down(low))))
    names = [draw.short(point.name) for point in points]
    sizes = [(draw.CHARACTER * len(name) + 6, draw.LINE) for name in names]
    front = sorted(
        (across(point.latency.value), down(point.quality.value)) for point in points if point.beaten_by is None
    )
    stairs = [
        part
        for (x, y), (next_x, next_y) in pairwise(front)
        for part in (Box(x, y - 2, next_x, y + 2), Box(next_x - 2, min(y, next_y), next_x + 2, max(y, next_y)))
    ]
    offsets = place(marks, sizes, Box(0, 0, width, height), stairs)
    for point, name, (right, below) in zip(points, names, offsets, strict=True):
        where = (math.log10(point.latency.value), scale * point.quality.value)  # on a log axis it is the exponent
        named(figure, name, where, (right, below), colours[point.name], bold=point.beaten_by is None)


def named(
    figure: go.Figure, name: str, place: tuple[float, float], offset: tuple[float, float], colour: str, *, bold: bool
) -> None:
    """Write a name beside its point, with a line to it; bold is on the front."""
    text = html.escape(name)
    figure.add_annotation(
        x=place[0],
        y=place[1],
        ax=offset[0],
        ay=offset[1],
        text=f"<b>{text}</b>" if bold else text,
        font={"size": 12},
        showarrow=True,
        arrowhead=0,
        arrowwidth=1,
        standoff=9,
        arrowcolor=colour,
    )


def speedups(study: Study) -> go.Figure:
    """Times faster than the baseline at p50, with the interval and the zone of equivalence."""
    baseline = text.plain(study.baseline.name)
    title = f"Speed-up against {html.escape(baseline)}"
    found = [
        (arm, gain)
        for arm in study.arms
        if view.HEADLINE in arm.verdicts
        for gain in [text.improvement(arm.verdicts[view.HEADLINE])]
        if gain is not None
    ]
    if not found:
        return draw.empty(title, "No variant could be compared with the baseline.")
    figure = go.Figure()
    colours = draw.colours(study)
    margin = found[0][0].verdicts[view.HEADLINE].margin
    figure.add_vrect(x0=1 / (1 + margin), x1=1 + margin, fillcolor=draw.MARGIN_FILL, line_width=0, layer="below")
    figure.add_vline(x=1, line={"color": draw.GREY, "width": 1})
    for arm, gain in found:
        call = text.call_name(arm.verdicts[view.HEADLINE].call)
        label = f"{view.speedup(arm, arm.verdicts[view.HEADLINE])}  {call}"
        figure.add_trace(
            go.Bar(
                y=[draw.row_name(arm.name)],
                base=[1.0],
                x=[gain.value - 1],
                error_x=draw.error([gain], 1.0, draw.GREY),
                orientation="h",
                marker={"color": colours[arm.name]},
                width=0.62,
                name=draw.name(arm.name),
                hoverinfo="text",
                hovertext=f"<b>{draw.name(arm.name)}</b><br>{label}",
            )
        )
        figure.add_annotation(
            x=math.log10(max(1 + margin, *draw.bounds(gain))),
            y=draw.row_name(arm.name),
            text=label,
            xanchor="left",
            xshift=8,
            showarrow=False,
            font={"size": 12},
        )
    bounds = [bound for _, gain in found for bound in draw.bounds(gain)]
    low, high = math.log10(min(0.9, *bounds)), math.log10(max(1.1, *bounds))
    span = high - low
    x_range = [low - 0.06 * span, high + 0.5 * span]  # room for the label of the longest bar
    sentence = (
        f"p50 at {study.plan.latency_at.text}, with the {100 * view.level(study):g} % interval; right of the line "
        f"is faster. The grey zone ({100 * margin:g} %) is too small a difference to matter."
    )
    draw.finish(figure, title, [sentence], draw.rows_height(len(found)))
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="times faster (log scale)", **draw.log_axis(x_range), tickprefix="x")
    draw.categories(figure, [arm.name for arm, _ in found])
    return figure


def throughput(study: Study, sweep: Sweep = SWEEPS[0]) -> go.Figure:
    """Samples per second over a swept property, one line per arm."""
    return _over(study, sweep, "samples_per_s", "Throughput", "samples per second (more is better)")


def latency_over(study: Study, sweep: Sweep = SWEEPS[0]) -> go.Figure:
    """p50 latency over a swept property, one line per arm."""
    return _over(study, sweep, "p50_ms", "p50 latency", "ms per call (less is better)")


def _over(study: Study, sweep: Sweep, metric: str, what: str, axis: str) -> go.Figure:
    series, title = f"{sweep.prefix}/{metric}", f"{what} by {sweep.label}"
    found = [(number, arm, arm.series[series]) for number, arm in enumerate(study.arms) if arm.series.get(series)]
    if not found:
        return draw.empty(title, f"No {sweep.label} was measured to its end.")
    figure = go.Figure()
    colours = draw.colours(study)
    for number, arm, points in found:
        figure.add_trace(_line(arm, points, number, colours[arm.name], sweep.label))
    steps = sorted({point.step for _, _, points in found for point in points})
    values = [point.estimate.value for _, _, points in found for point in points]
    draw.finish(figure, title, ["Medians over trials with their 95 % intervals; both axes are logarithmic."], 440)
    figure.update_xaxes(
        title_text=sweep.label,
        type="log",
        tickvals=steps,
        ticktext=[f"{step:,}" for step in steps],
        minor={"ticks": ""},
    )
    figure.update_yaxes(title_text=axis, **draw.log_axis(draw.padded(values, log=True)))
    return figure


def _line(arm: ArmResult, points: Sequence[SeriesPoint], number: int, colour: str, label: str) -> go.Scatter:
    estimates = [point.estimate for point in points]
    return go.Scatter(
        x=[point.step for point in points],
        y=[estimate.value for estimate in estimates],
        error_y=draw.error(estimates, 1.0, colour),
        mode="lines+markers",
        line={"color": colour, "width": 2},
        marker={"symbol": draw.SYMBOLS[number % len(draw.SYMBOLS)], "size": 9},
        name=draw.name(arm.name),
        hoverinfo="text",
        hovertext=[
            f"<b>{draw.name(arm.name)}</b><br>{label} {point.step:,}: {text.interval(point.estimate)}"
            for point in points
        ],
    )


def memory(study: Study) -> go.Figure:
    """Peak memory and size on disk, one row per arm."""
    title = "Peak memory and size on disk"
    panels = [("x", "peak memory, MiB", {arm.name: arm.metrics.get("memory/peak_rss_mib") for arm in study.arms})]
    sizes = {arm.name: arm.metrics.get("memory/disk_mib") or view.disk_mib(arm) for arm in study.arms}
    panels.append(("x2", "size of the files, MiB", sizes))
    shown = [arm.name for arm in study.arms if any(found[arm.name] is not None for _, _, found in panels)]
    if not shown:
        return draw.empty(title, "Neither memory nor size of any arm is known.")
    figure = go.Figure()
    colours = draw.colours(study)
    for axis, _, found in panels:
        for name in shown:
            estimate = found[name]
            if estimate is not None:
                figure.add_trace(_bar(name, estimate, axis, colours[name]))
    sentence = "Less is better. Peak memory is that of each arm's own process, with its 95 % interval over trials."
    draw.finish(figure, title, [sentence], draw.rows_height(len(shown)))
    figure.update_layout(showlegend=False, xaxis2={"anchor": "y"})
    figure.update_xaxes(**draw.AXIS)
    for (axis, label, found), domain in zip(panels, ([0, 0.47], [0.53, 1]), strict=True):
        highest = max((draw.bounds(estimate)[1] for estimate in found.values() if estimate is not None), default=1.0)
        room = [0, 1.3 * highest]  # for the label of the longest bar
        figure.update_layout({f"xaxis{axis[1:]}": {"domain": domain, "title": {"text": label}, "range": room}})
    draw.categories(figure, shown)
    return figure


def _bar(name: str, estimate: Estimate, axis: str, colour: str) -> go.Bar:
    bars = {"error_x": draw.error([estimate], 1.0, draw.GREY)} if estimate.low is not None else {}
    return go.Bar(
        y=[draw.row_name(name)],
        x=[estimate.value],
        xaxis=axis,
        orientation="h",
        marker={"color": colour},
        width=0.62,
        text=[f"  {text.mib(estimate)}"],
        textposition="outside",
        name=draw.name(name),
        hoverinfo="text",
        hovertext=f"<b>{draw.name(name)}</b><br>{text.interval(estimate)} MiB",
        **bars,
    )


__all__ = [
    "latency_over",
    "memory",
    "pareto",
    "speedups",
    "throughput",
]
