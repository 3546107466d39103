"""The figure of the measurement as it went: every turn in the order in which it was taken, and when it was noisy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby

import numpy as np
import plotly.graph_objects as go

from mlbench.records import NoiseMoment, Study, Turn
from mlbench.reporting import drawing as draw
from mlbench.reporting import text

MOST_TURNS = 5_000  # that are drawn; more would make the page too large, and cover each other
_BANDS = {"noisy": "rgba(230, 159, 0, 0.20)", "unusable": "rgba(213, 94, 0, 0.30)"}
_TEMPLATE = (
    "<b>%{meta[0]}</b><br>trial %{customdata[0]}, round %{customdata[1]}, turn %{customdata[2]} of the round"
    "<br>median %{y:.3r} ms<extra></extra>"
)


def timeline(study: Study, turns: Sequence[Turn], noise: Mapping[int, NoiseMoment] | None = None) -> go.Figure:
    """Every turn of the headline condition in the order in which it was taken: shows drift and disturbances.

    Args:
        study: The study.
        turns: All its turns.
        noise: The machine during each trial, by trial from 0; a trial that was not watched is not in it.
    """
    title = "The measurement as it went"
    at = study.plan.latency_at
    whole = _in_time([turn for turn in turns if turn.key == at])
    if not whole:
        return draw.empty(title, "The turns are not stored with this study.")
    chosen = _thinned(whole)
    figure = go.Figure()
    colours = draw.colours(study)
    origin = whole[0].start_ns
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
                meta=[draw.name(name)],  # not in the template: there %{...} has a meaning
                customdata=[[turn.trial + 1, turn.round + 1, turn.position + 1] for turn in mine],
                hovertemplate=_TEMPLATE,
            )
        )
    starts = {trial: next(group) for trial, group in groupby(whole, key=lambda turn: turn.trial)}
    begins = {trial: (turn.start_ns - origin) / 1e9 for trial, turn in starts.items()}
    for begin in begins.values():
        figure.add_vline(x=begin, line={"color": draw.GRID, "width": 1})
    _mark(figure, begins, (whole[-1].end_ns - origin) / 1e9, noise or {})
    sentences = [
        f"Median of every turn at {at.text}; a vertical line begins a trial. Level rows are steady arms.",
        _said(noise or {}, list(begins)),
    ]
    if len(chosen) < len(whole):
        sentences.append(f"Of each arm, one turn in {math.ceil(len(whole) / MOST_TURNS)} is drawn.")
    draw.finish(figure, title, sentences, 440)
    figure.update_xaxes(title_text="seconds since the first turn", showgrid=False)
    figure.update_yaxes(title_text="ms per call", **draw.log_axis(draw.padded(list(medians.values()), log=True)))
    return figure


def _in_time(turns: Sequence[Turn]) -> list[Turn]:
    """Trial after trial as they were taken: one that took the place of another has a number out of turn."""
    begins: dict[int, int] = {}
    for turn in turns:
        begins[turn.trial] = min(turn.start_ns, begins.get(turn.trial, turn.start_ns))
    return sorted(turns, key=lambda turn: (begins[turn.trial], turn.trial, turn.start_ns))


def _thinned(turns: Sequence[Turn]) -> list[Turn]:
    """As many turns as a page can hold, evenly taken from every arm."""
    step = math.ceil(len(turns) / MOST_TURNS)
    names = dict.fromkeys(turn.arm for turn in turns)
    return [turn for name in names for turn in [turn for turn in turns if turn.arm == name][::step]]


def _mark(figure: go.Figure, begins: Mapping[int, float], end: float, noise: Mapping[int, NoiseMoment]) -> None:
    """A band, with its name, over each run of trials in which the machine was not quiet."""
    trials = list(begins)
    ends = [*list(begins.values())[1:], end]
    levels = [noise[trial].level if trial in noise else "quiet" for trial in trials]
    for level, group in groupby(range(len(trials)), key=levels.__getitem__):
        places = list(group)
        if level == "quiet":
            continue
        figure.add_vrect(
            x0=begins[trials[places[0]]],
            x1=ends[places[-1]],
            fillcolor=_BANDS[level],
            line_width=0,
            layer="below",
            annotation={"text": level, "font": {"size": 11}, "yanchor": "bottom"},
            annotation_position="top left",
        )


def _said(noise: Mapping[int, NoiseMoment], trials: Sequence[int]) -> str:
    if not noise:
        return "The machine was not watched."
    loud = sum(noise[trial].level != "quiet" for trial in trials if trial in noise)
    if not loud:
        return "The machine was quiet in every trial that was watched."
    return f"A band marks where the machine was not quiet: {loud} of {len(trials)} trials."


def loud_trials(noise: Mapping[int, NoiseMoment]) -> tuple[str, ...]:
    """One sentence for each trial in which the machine was not quiet, with the evidence."""
    return tuple(
        f"trial {trial + 1}: {moment.level}, {', '.join(text.plain(item) for item in moment.evidence)}"
        for trial, moment in sorted(noise.items())
        if moment.level != "quiet"
    )


__all__ = ["MOST_TURNS", "loud_trials", "timeline"]
