"""Plotly figures from records. Every name that appears in a figure is escaped, since plotly reads markup in text.

Each function returns a complete figure for a light background, whose title says what it shows and whose subtitle says
how to read it; the page takes both over as the caption and adapts the colours to the reader's scheme.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go

from mlbench.metrics import SWEEPS, Sweep
from mlbench.records import ArmResult, SeriesPoint, Study, Turn
from mlbench.reporting import drawing as draw
from mlbench.reporting import text, view
from mlbench.reporting.labels import Box, place
from mlbench.reporting.plane import Point, plane, plane_sentences

ECDF_POINTS = 320


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
            "on the front" if on_front else f"dominated by {draw.name(point.beaten_by or '')}",
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
        escaped = html.escape(name)
        figure.add_annotation(
            x=math.log10(point.latency.value),  # annotations on a log axis take the exponent
            y=scale * point.quality.value,
            ax=right,
            ay=below,
            text=f"<b>{escaped}</b>" if point.beaten_by is None else escaped,
            font={"size": 12},
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            standoff=9,
            arrowcolor=colours[point.name],
        )


def latency_ecdf(study: Study, samples: draw.Samples) -> go.Figure:
    """Share of calls that took at most so long, one line per arm."""
    title = "How long calls take: cumulative"
    figure = go.Figure()
    colours = draw.colours(study)
    present = draw.present(study, samples)
    if not present:
        return draw.empty(title, "No samples are stored with this study.")
    shares = np.unique(np.concatenate([np.linspace(0, 0.98, ECDF_POINTS - 60), np.linspace(0.98, 1.0, 60)]))
    spread = []
    for number, name in enumerate(present):
        values = draw.quantiles_ms(samples[name], shares)
        spread += [float(end) for end in draw.quantiles_ms(samples[name], np.array([0.0, 0.99]))]
        figure.add_trace(
            go.Scatter(
                x=draw.rounded(values),
                y=draw.rounded(100 * shares),
                mode="lines",
                line={
                    "color": colours[name],
                    "width": 2,
                    "shape": "hv",
                    "dash": draw.DASHES[number % len(draw.DASHES)],
                },
                name=draw.name(name),
                hoverinfo="text",
                hovertext=[
                    f"{draw.name(name)}<br>{share:.1f} % of calls within {text.ms(float(value))} ms"
                    for value, share in zip(values, 100 * shares, strict=True)
                ],
            )
        )
    sentence = f"Every timed call at {study.plan.latency_at.text}; further left is faster, steeper is steadier."
    x_range = draw.padded(
        spread, log=True
    )  # to the slowest arm's 99th percentile: one stray call would squeeze the rest
    draw.finish(figure, title, [sentence], 440)
    for share in (50, 95):
        figure.add_hline(y=share, line={"color": draw.GRID, "width": 1, "dash": "dot"})
    figure.update_xaxes(title_text="ms per call", **draw.log_axis(x_range))
    figure.update_yaxes(title_text="calls, %", range=[0, 101], tickvals=[0, 25, 50, 75, 95])
    return figure


def latency_boxes(study: Study, samples: draw.Samples) -> go.Figure:
    """The middle and the tails of all calls, one box per arm."""
    title = "How long calls take: spread"
    present = draw.present(study, samples)
    if not present:
        return draw.empty(title, "No samples are stored with this study.")
    figure = go.Figure()
    colours = draw.colours(study)
    spread = []
    for name in present:
        low, first, middle, third, high = draw.quantiles_ms(samples[name], np.array([0.05, 0.25, 0.5, 0.75, 0.95]))
        spread += [float(low), float(high)]
        figure.add_trace(
            go.Box(
                y=[draw.row_name(name)],
                lowerfence=[low],
                q1=[first],
                median=[middle],
                q3=[third],
                upperfence=[high],
                orientation="h",
                line={"color": colours[name]},
                name=draw.name(name),
                hoverinfo="x",
                width=0.6,
            )
        )
    sentence = (
        f"Every timed call at {study.plan.latency_at.text}. Box: the middle half, with the median; whiskers: from "
        "5 % to 95 % of calls."
    )
    draw.finish(figure, title, [sentence], draw.rows_height(len(present)))
    figure.update_layout(showlegend=False)
    figure.update_xaxes(title_text="ms per call", **draw.log_axis(draw.padded(spread, log=True)))
    draw.categories(figure, present)
    return figure


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
        label = f"{text.times(gain)}  {call}"
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


def timeline(study: Study, turns: Sequence[Turn]) -> go.Figure:
    """Every turn of the headline condition in the order in which it was taken: shows drift and disturbances."""
    title = "The measurement as it went"
    at = study.plan.latency_at
    chosen = sorted((turn for turn in turns if turn.key == at), key=lambda turn: (turn.trial, turn.start_ns))
    if not chosen:
        return draw.empty(title, "The turns are not stored with this study.")
    figure = go.Figure()
    colours = draw.colours(study)
    origin = chosen[0].start_ns
    medians = {id(turn): float(np.median(turn.values_ns())) / 1e6 for turn in chosen}
    for number, name in enumerate(colours):
        mine = [turn for turn in chosen if turn.arm == name]
        if not mine:
            continue
        figure.add_trace(
            go.Scatter(
                x=draw.rounded(np.array([(turn.start_ns - origin) / 1e9 for turn in mine])),
                y=draw.rounded(np.array([medians[id(turn)] for turn in mine])),
                mode="markers",
                marker={"color": colours[name], "size": 5, "symbol": draw.SYMBOLS[number % len(draw.SYMBOLS)]},
                name=draw.name(name),
                hoverinfo="text",
                hovertext=[
                    f"<b>{draw.name(name)}</b><br>trial {turn.trial + 1}, round {turn.round + 1}, turn "
                    f"{turn.position + 1} of the round<br>median {text.ms(medians[id(turn)])} ms"
                    for turn in mine
                ],
            )
        )
    trials = sorted({turn.trial for turn in chosen})
    starts = {trial: min(turn.start_ns for turn in chosen if turn.trial == trial) for trial in trials}
    for trial in trials:
        figure.add_vline(x=(starts[trial] - origin) / 1e9, line={"color": draw.GRID, "width": 1})
    sentence = f"Median of every turn at {at.text}; a vertical line begins a trial. Level rows are steady arms."
    draw.finish(figure, title, [sentence], 440)
    figure.update_xaxes(title_text="seconds since the first turn", showgrid=False)
    figure.update_yaxes(title_text="ms per call", **draw.log_axis(draw.padded(list(medians.values()), log=True)))
    return figure


__all__ = [
    "latency_boxes",
    "latency_ecdf",
    "latency_over",
    "pareto",
    "speedups",
    "throughput",
    "timeline",
]
