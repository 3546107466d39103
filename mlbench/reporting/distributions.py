"""Figures of how long single calls take: cumulative, and as a shape for each arm.

Both are drawn from quantiles, so that a page has the same size however many calls were timed.
"""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from mlbench.records import Study
from mlbench.reporting import drawing as draw
from mlbench.reporting import text

ECDF_POINTS = 200
_SHAPE = np.linspace(0.005, 0.995, 120)  # shares of calls whose times a shape is drawn from
_NOTHING = "No samples are stored with this study."


def latency_ecdf(study: Study, samples: draw.Samples) -> go.Figure:
    """Share of calls that took at most so long, one line per arm."""
    title = "How long calls take: cumulative"
    figure = go.Figure()
    colours = draw.colours(study)
    present = draw.present(study, samples)
    if not present:
        return draw.empty(title, _NOTHING)
    shares = np.unique(np.concatenate([np.linspace(0, 0.98, ECDF_POINTS - 60), np.linspace(0.98, 1.0, 60)]))
    spread = []
    for number, name in enumerate(present):
        calls = samples[name]
        values = draw.quantiles_ms(calls, shares)
        spread += [float(end) for end in draw.quantiles_ms(calls, np.array([0.0, 0.99]))]
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
                meta=[draw.name(name)],  # not in the template: there %{...} has a meaning
                hovertemplate="%{meta[0]}<br>%{y:.1f} % of calls within %{x:.3r} ms<extra></extra>",
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


def latency_violins(study: Study, samples: draw.Samples) -> go.Figure:
    """The shape of all calls of each arm, and in it the median, the middle half and the tails.

    Plotly smooths shapes on a linear axis only, so this one holds exponents of ten, and its ticks say the times.
    """
    title = "How long calls take: shape"
    present = draw.present(study, samples)
    if not present:
        return draw.empty(title, _NOTHING)
    figure = go.Figure()
    colours = draw.colours(study)
    spread: list[float] = []
    for name in present:
        calls = samples[name]
        shape = draw.quantiles_ms(calls, _SHAPE)
        inner = draw.quantiles_ms(calls, np.array([0.05, 0.25, 0.5, 0.75, 0.95]))
        spread += [float(shape[0]), float(inner[-1])]
        for trace in (_shape(name, shape, colours[name]), *_inside(name, inner, colours[name])):
            figure.add_trace(trace)
    sentence = (
        f"Every timed call at {study.plan.latency_at.text}, without the fastest and the slowest 0.5 %; a shape is wide "
        "where many calls are. In it: the median, the middle half of the calls (box), and from 5 % to 95 % (whiskers)."
    )
    draw.finish(figure, title, [sentence], draw.rows_height(len(present), each=56))
    figure.update_layout(showlegend=False, violingap=0.05, violinmode="overlay")
    figure.update_xaxes(title_text="ms per call (log scale)", **draw.exponent_axis(draw.padded(spread, log=True)))
    draw.categories(figure, present)
    return figure


def _shape(name: str, values: np.ndarray, colour: str) -> go.Violin:
    return go.Violin(
        x=draw.rounded(np.log10(values)),
        y0=draw.row_name(name),
        orientation="h",
        side="both",
        spanmode="hard",
        scalemode="width",
        width=0.95,
        points=False,
        line={"color": colour, "width": 1},
        fillcolor=draw.faint(colour),
        name=draw.name(name),
        hoverinfo="skip",
    )


def _inside(name: str, quantiles: np.ndarray, colour: str) -> tuple[go.Box, go.Scatter]:
    """The box and, since a box cannot say times where its axis has exponents, a point at the median that does."""
    low, first, middle, third, high = np.log10(quantiles)
    box = go.Box(
        y=[draw.row_name(name)],
        lowerfence=[low],
        q1=[first],
        median=[middle],
        q3=[third],
        upperfence=[high],
        orientation="h",
        line={"color": colour, "width": 2},
        fillcolor=draw.CLEAR,
        name=draw.name(name),
        hoverinfo="skip",
        width=0.2,
    )
    shown = [text.ms(float(value)) for value in quantiles]
    median = go.Scatter(
        x=[middle],
        y=[draw.row_name(name)],
        mode="markers",
        marker={"color": colour, "size": 8, "symbol": "diamond"},
        name=draw.name(name),
        hoverinfo="text",
        hovertext=(
            f"<b>{draw.name(name)}</b><br>median {shown[2]} ms<br>middle half {shown[1]} to {shown[3]} ms"
            f"<br>5 % to 95 % {shown[0]} to {shown[4]} ms"
        ),
    )
    return box, median


__all__ = ["latency_ecdf", "latency_violins"]
