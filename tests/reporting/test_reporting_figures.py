"""Figures from records."""

from __future__ import annotations

import dataclasses
import html
import json
import math
from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go
import pytest
from reporting_studies import EVIL

from mlbench.records import Estimate, Study, Turn
from mlbench.reporting import course, distributions, drawing, figures
from mlbench.reporting.colours import arm_colours

Samples = Mapping[str, np.ndarray]


def by_name(figure: go.Figure) -> dict[str, object]:
    return {trace.name: trace for trace in figure.data if trace.name != "front"}


def every(study: Study, samples: Samples, turns: Sequence[Turn] = ()) -> dict[str, go.Figure]:
    return {
        "pareto": figures.pareto(study),
        "speedups": figures.speedups(study),
        "ecdf": distributions.latency_ecdf(study, samples),
        "violins": distributions.latency_violins(study, samples),
        "throughput": figures.throughput(study),
        "by_batch": figures.latency_over(study),
        "memory": figures.memory(study),
        "timeline": course.timeline(study, turns),
    }


def test_one_colour_per_arm_in_every_figure(study: Study, samples: Samples, turns: Sequence[Turn]) -> None:
    colours = arm_colours(arm.name for arm in study.arms)
    for key, figure in every(study, samples, turns).items():
        for name, trace in by_name(figure).items():
            own = trace.marker.color or trace.line.color  # type: ignore[attr-defined]
            assert own == colours[name], (key, name)


def test_every_figure_holds_numbers_that_json_can_hold(study: Study, samples: Samples, turns: Sequence[Turn]) -> None:
    for figure in every(study, samples, turns).values():
        json.dumps(json.loads(figure.to_json()), allow_nan=False)
        assert figure.layout.title.text
        assert figure.layout.title.subtitle.text


def test_the_plane_has_points_intervals_front_and_dominators(study: Study) -> None:
    figure = figures.pareto(study)
    front = figure.data[0]
    assert list(front.x) == [0.15, 0.46]
    traces = by_name(figure)
    winner, beaten = traces["pruned_onnx_int8"], traces["onnx_fp32"]
    assert winner.marker.symbol == "circle"  # type: ignore[attr-defined]
    assert beaten.marker.symbol == "circle-open"  # type: ignore[attr-defined]
    assert "dominated by pruned_onnx_int8" in beaten.hovertext  # type: ignore[attr-defined]
    assert "Dominated by pruned_onnx_int8: baseline" in figure.layout.title.subtitle.text
    quality = study.arm("onnx_fp32").quality.metrics["accuracy"]  # type: ignore[union-attr]
    low, high = quality.low, quality.high
    assert beaten.error_y.array[0] == pytest.approx(100 * (high - quality.value))  # type: ignore[attr-defined,operator]
    assert beaten.error_y.arrayminus[0] == pytest.approx(100 * (quality.value - low))  # type: ignore[attr-defined,operator]
    assert {note.text.removeprefix("<b>").removesuffix("</b>") for note in figure.layout.annotations} == set(traces)
    assert figure.layout.xaxis.type == "log"


def test_a_quality_that_is_no_fraction_has_its_own_scale(study: Study) -> None:
    def changed(name: str) -> Study:
        arm = study.arm(name)
        rmse = dataclasses.replace(arm.quality, metrics={"rmse": Estimate(3.5)})  # type: ignore[type-var]
        return dataclasses.replace(study, arms=(dataclasses.replace(arm, quality=rmse),))

    figure = figures.pareto(changed("baseline"))
    assert figure.data[1].y == (3.5,)
    assert figure.layout.yaxis.ticksuffix == ""
    low, high = figure.layout.yaxis.range
    assert low < 3.5 < high


def test_speedups_show_direction_interval_and_zone(study: Study) -> None:
    figure = figures.speedups(study)
    traces = by_name(figure)
    assert list(traces) == [arm.name for arm in study.arms[1:7]]
    faster, slower = traces["pruned_onnx_int8"], traces["onnx_int8_dynamic"]
    assert faster.base[0] + faster.x[0] == pytest.approx(0.88 / 0.15)  # type: ignore[attr-defined]
    assert slower.base[0] + slower.x[0] == pytest.approx(0.88 / 1.33)  # type: ignore[attr-defined]
    labels = [note.text for note in figure.layout.annotations]
    assert labels[-1] == "x5.87 (5.80 to 5.94)  faster"
    zone = figure.layout.shapes[0]
    assert (zone.x0, zone.x1) == (pytest.approx(1 / 1.03), pytest.approx(1.03))
    widest = math.log10(max(t.base[0] + t.x[0] for t in traces.values()))  # type: ignore[attr-defined]
    assert figure.layout.xaxis.range[1] > widest + 0.2  # room for the label


def test_batch_sizes(study: Study) -> None:
    trace = by_name(figures.throughput(study))["baseline"]
    assert tuple(trace.x) == (1, 8, 32)  # type: ignore[attr-defined]
    assert trace.y[2] == pytest.approx(32e3 / 14.8)  # type: ignore[attr-defined]
    assert figures.throughput(study).layout.xaxis.ticktext == ("1", "8", "32")


def test_memory_and_size_have_a_row_per_arm(study: Study) -> None:
    figure = figures.memory(study)
    peak = {trace.name: trace for trace in figure.data if trace.xaxis == "x"}
    size = {trace.name: trace for trace in figure.data if trace.xaxis == "x2"}
    assert list(peak) == [arm.name for arm in study.arms[:7]]  # the one that was not built has neither
    assert list(size) == list(peak)
    estimate = study.arm("pruned").metrics["memory/peak_rss_mib"]
    assert peak["pruned"].x == (estimate.value,)
    assert peak["pruned"].error_x.array[0] == pytest.approx(estimate.high - estimate.value)  # type: ignore[operator]
    assert size["pruned"].error_x.array is None  # the size of a file has no interval
    assert figure.layout.xaxis.domain[1] < figure.layout.xaxis2.domain[0]


def test_nothing_to_draw_is_said(study: Study, single: Study) -> None:
    bare = dataclasses.replace(study, arms=study.arms[-1:])
    empty = {
        "No arm has both a latency and a quality figure.": figures.pareto(bare),
        "No variant could be compared with the baseline.": figures.speedups(single),
        "No batch size was measured to its end.": figures.throughput(bare),
        "Neither memory nor size of any arm is known.": figures.memory(bare),
    }
    for sentence, figure in empty.items():
        assert figure.layout.annotations[0].text == sentence
        assert not figure.data


def test_awkward_studies_still_draw(
    few_trials: Study, single: Study, interrupted: Study, samples: Samples, turns: Sequence[Turn]
) -> None:
    for awkward in (few_trials, single, interrupted):
        for figure in every(awkward, samples, turns).values():
            assert json.loads(figure.to_json())


def test_no_name_reaches_plotly_as_markup(hostile: Study, turns: Sequence[Turn]) -> None:
    samples = {arm.name: np.array([1_000_000, 2_000_000]) for arm in hostile.arms}
    for key, figure in every(hostile, samples, turns).items():
        raw = figure.to_json()
        assert "<script" not in json.dumps(json.loads(raw), ensure_ascii=False), key
        assert "<img" not in raw
    assert html.escape(EVIL) in by_name(figures.pareto(hostile))


def test_names_that_look_like_numbers_stay_names(study: Study) -> None:
    figure = figures.speedups(study)
    assert figure.layout.yaxis.type == "category"


@pytest.mark.parametrize(("low", "high"), [(0.001, 0.0011), (0.1, 0.9), (0.2, 4.0), (0.01, 5000.0)])
def test_every_log_axis_has_a_few_readable_ticks(low: float, high: float) -> None:
    axis = drawing.log_axis(drawing.padded([low, high], log=True))
    bottom, top = axis["range"]
    shown = [tick for tick in axis["tickvals"] if bottom <= math.log10(tick) <= top]
    assert 1 <= len(shown) <= 20


def test_a_range_has_room_even_for_one_value() -> None:
    for value in (0.0, 5.0, -3.0):
        low, high = drawing.padded([value], log=False)
        assert low < value < high


def test_long_names_are_shortened_beside_an_axis() -> None:
    assert drawing.row_name('a "b" <c>') == drawing.name('a "b" <c>') == 'a "b" &lt;c&gt;'  # plotly knows no &quot;
    assert drawing.short("x" * 60) == "x" * 18 + ".." + "x" * 10
