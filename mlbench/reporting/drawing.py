"""What all figures share: sizes, axes, captions, and the escaping of names."""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go

from mlbench.records import Estimate, Study
from mlbench.reporting import text
from mlbench.reporting.colours import arm_colours

WIDTH, HEIGHT = 920, 460  # pixels that labels are placed for; wider is fine
TOP = 20  # of the margin, without the title
LEFT, RIGHT, BOTTOM = 70, 24, 60
CHARACTER, LINE = 7.0, 17.0  # pixels of 12 px text
SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star", "hexagon", "triangle-down", "bowtie")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
GREY = "rgba(128, 128, 128, 0.9)"
MARGIN_FILL = "rgba(128, 128, 128, 0.18)"
GRID = "rgba(128, 128, 128, 0.25)"
CLEAR = "rgba(0, 0, 0, 0)"
AXIS: Mapping[str, Any] = {
    "gridcolor": GRID,
    "zeroline": False,
    "automargin": True,
    "title": {"standoff": 8, "font": {"size": 13}},
}

Samples = Mapping[str, np.ndarray]


def colours(study: Study) -> dict[str, str]:
    """The colour of every arm of the study."""
    return arm_colours(arm.name for arm in study.arms)


def name(raw: str) -> str:
    """A name as plotly must get it: plotly reads markup in every text, but no ``&quot;``."""
    return html.escape(text.plain(raw), quote=False)


def short(raw: str) -> str:
    """A name that fits beside an axis; not escaped."""
    line = text.plain(raw)
    return line if len(line) <= 30 else f"{line[:18]}..{line[-10:]}"


def row_name(raw: str) -> str:
    """A name that fits beside an axis, escaped."""
    return html.escape(short(raw), quote=False)


def present(study: Study, samples: Samples) -> list[str]:
    """Arms that have samples, in the study's order."""
    return [arm.name for arm in study.arms if arm.name in samples and len(samples[arm.name])]


def bounds(estimate: Estimate) -> tuple[float, float]:
    """The interval, or the point twice where there is none."""
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    return low, high


def error(estimates: Sequence[Estimate], scale: float, colour: str) -> dict[str, Any]:
    """Interval bars."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (bounds(estimate)[1] - estimate.value) for estimate in estimates],
        "arrayminus": [scale * (estimate.value - bounds(estimate)[0]) for estimate in estimates],
        "color": colour,
        "thickness": 1.5,
        "width": 4,
    }


def quantiles_ms(samples: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Quantiles of nanosecond samples in milliseconds, as values that were observed (no interpolation)."""
    values: np.ndarray = np.quantile(samples.astype(np.float64), at, method="inverted_cdf") / 1e6
    return values


def rounded(values: np.ndarray | Sequence[float]) -> list[float]:
    """Six significant digits: what can be seen, at a third of the size."""
    return [float(f"{value:.6g}") for value in values]


def padded(values: Sequence[float], *, log: bool) -> list[float]:
    """An axis range around the values with room at both ends, as exponents of ten for a log axis."""
    convert: Callable[[float], float] = math.log10 if log else float
    ends = [convert(value) for value in values if not log or value > 0]
    low, high = min(ends), max(ends)
    room = 0.14 * (high - low) or (0.2 if log else max(abs(high), 1.0) * 0.02)
    return [low - room, high + room]


def log_axis(exponents: Sequence[float]) -> dict[str, Any]:
    """A log axis with ticks at 1, 2 and 5 of every decade; fewer where much is shown, more where little is."""
    low, high = exponents[0], exponents[-1]
    digits: tuple[float, ...] = (1, 2, 5) if high - low < 4 else (1,)
    if high - low < 1.5:
        digits = (1, 1.5, 2, 3, 4, 5, 7) if high - low > 0.5 else (1, 1.2, 1.5, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9)
    ticks = [digit * 10.0**power for power in range(math.floor(low), math.ceil(high) + 1) for digit in digits]
    return {
        "type": "log",
        "range": list(exponents),
        "tickvals": ticks,
        "ticktext": [f"{tick:,.6g}" for tick in ticks],
    }


def exponent_axis(exponents: Sequence[float]) -> dict[str, Any]:
    """A linear axis of exponents of ten that reads like :func:`log_axis`."""
    axis = log_axis(exponents)
    return {**axis, "type": "linear", "tickvals": [math.log10(tick) for tick in axis["tickvals"]]}


def faint(colour: str) -> str:
    """A colour (``#rrggbb``) that what is behind it shows through.

    >>> faint("#0072b2")
    'rgba(0, 114, 178, 0.25)'
    """
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    return f"rgba({red}, {green}, {blue}, 0.25)"


def rows_height(rows: int, each: int = 38) -> int:
    """Height of a figure with one row per arm, of so many pixels."""
    return TOP + BOTTOM + 40 + each * rows


def categories(figure: go.Figure, names: Sequence[str]) -> None:
    """One row per arm from the top, also where names look like numbers."""
    order = [row_name(raw) for raw in names]
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=order,
        autorange="reversed",
        showgrid=False,
        title_text=None,
    )


def finish(figure: go.Figure, title: str, sentences: Sequence[str], height: int) -> None:
    """Title, subtitle and looks.

    Args:
        figure: Is changed.
        title: Markup, with every name in it escaped.
        sentences: Plain text.
        height: Pixels without title and subtitle.
    """
    lines = [line for sentence in sentences for line in textwrap.wrap(sentence, 112)]
    subtitle = "<br>".join(html.escape(line) for line in lines)
    heading = 60 + 17 * len(lines)
    figure.update_layout(
        template="none",
        title={"text": title, "subtitle": {"text": subtitle}, "x": 0, "xref": "paper", "xanchor": "left"},
        font={"family": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif", "size": 13},
        height=height + heading,
        margin={"l": LEFT, "r": RIGHT, "t": TOP + heading, "b": BOTTOM},
        paper_bgcolor="white",
        plot_bgcolor=CLEAR,
        legend={"orientation": "h", "x": 0, "y": -0.2, "yanchor": "top"},
        hovermode="closest",
        bargap=0.3,
    )
    figure.update_xaxes(**AXIS)
    figure.update_yaxes(**AXIS)


def empty(title: str, sentence: str) -> go.Figure:
    """A figure without data that says why there is nothing to draw."""
    figure = go.Figure()
    finish(figure, title, [], 160)
    figure.add_annotation(text=sentence, showarrow=False, x=0.5, y=0.5, xref="paper", yref="paper")
    figure.update_xaxes(visible=False)
    figure.update_yaxes(visible=False)
    return figure
