"""Figures: which arms, which axes, and what they say in words."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pytest
from dashboard_parts import axis
from reporting_studies import EVIL, make_samples

from mlbench.dashboard import charts
from mlbench.dashboard.axes import axes, choose, estimate_of
from mlbench.records import Estimate, Study

P50, ACCURACY = "latency/p50_ms", "quality/accuracy"


def names(study: Study) -> tuple[str, ...]:
    return tuple(arm.name for arm in study.arms)


def test_axes_are_all_figures_with_unit_and_direction(study: Study) -> None:
    known = {item.key: item for item in axes([study])}
    assert known[P50].title == "p50 latency, ms (less is better)"
    assert known[ACCURACY].title == "accuracy, % (more is better)"
    assert known["memory/disk_mib"].exact
    assert not known[P50].exact
    assert "energy/joules_per_sample" not in known  # absent
    assert choose(known.values(), "nothing", (ACCURACY,)) is known[ACCURACY]
    assert choose((), P50, (ACCURACY,)) is None


def test_figures_that_are_no_numbers_are_no_axis(study: Study) -> None:
    broken = dataclasses.replace(study.arms[0], metrics={P50: Estimate(float("nan"))}, quality=None)
    assert estimate_of(broken, P50) is None
    assert axes([dataclasses.replace(study, arms=(broken,))]) == ()


def test_the_front_is_what_nothing_dominates(study: Study) -> None:
    x, y = axis(study, P50), axis(study, ACCURACY)
    found = {place.name: place for place in charts.places(study, x, y, names(study))}
    assert len(found) == 7  # the failed arm has no figures
    for one in found.values():
        better = [
            other.name
            for other in found.values()
            if other.x.value <= one.x.value
            and other.y.value >= one.y.value
            and (other.x.value, other.y.value) != (one.x.value, one.y.value)
        ]
        assert (one.beaten_by is None) == (not better)
        assert one.beaten_by is None or one.beaten_by in better
    assert found["pruned_onnx_int8"].beaten_by is None


def test_arms_that_are_not_chosen_dominate_nobody(study: Study) -> None:
    x, y = axis(study, P50), axis(study, ACCURACY)
    (only,) = charts.places(study, x, y, ("baseline",))
    assert only.beaten_by is None
    assert charts.drawn(charts.plane(study, x, y, ()))["data"] == []


def test_where_nothing_is_better_there_is_no_front(study: Study) -> None:
    x, y = axis(study, P50), axis(study, "cpu/utilization_pct")
    assert y.direction == "none"
    figure = charts.drawn(charts.plane(study, x, y, names(study)))
    assert "There is no front" in figure["caption"]
    assert all(trace["name"] != "front" for trace in figure["data"])


def test_arms_differ_in_more_than_colour(study: Study) -> None:
    figure = charts.drawn(charts.plane(study, axis(study, P50), axis(study, ACCURACY), names(study)))
    symbols = [trace["marker"]["symbol"].removesuffix("-open") for trace in figure["data"] if "marker" in trace]
    assert len(set(symbols)) == len(symbols) == 7
    assert {re.sub("<.*?>", "", note["text"]) for note in figure["layout"]["annotations"]} >= {"baseline", "pruned"}
    assert "On the front: " in figure["caption"]


def test_a_wide_axis_is_logarithmic_and_shares_never_are(study: Study) -> None:
    figure = charts.drawn(charts.plane(study, axis(study, P50), axis(study, ACCURACY), names(study)))
    assert figure["layout"]["xaxis"]["type"] == "log"
    assert "type" not in figure["layout"]["yaxis"]


def test_names_are_escaped_where_plotly_reads_markup(hostile: Study) -> None:
    figure = charts.drawn(charts.plane(hostile, axis(hostile, P50), axis(hostile, ACCURACY), names(hostile)))
    inside = json.dumps([figure["data"], figure["layout"]])
    assert "<script" not in inside
    assert "<img" not in inside
    assert EVIL in figure["caption"]  # text, never markup


@pytest.mark.parametrize("kind", charts.KINDS)
def test_distributions_are_of_the_chosen_condition(study: Study, kind: str) -> None:
    samples = make_samples(study)
    at = study.plan.conditions[-1].key
    figure = charts.drawn(charts.distribution(study, at, {"pruned": samples["pruned"]}, kind), {"rows": []})
    assert "batch size 32" in figure["caption"]
    assert {trace["name"] for trace in figure["data"] if trace.get("name")} == {"pruned"}
    assert figure["table"] == {"rows": []}


def test_quantiles_are_counted_by_hand(study: Study) -> None:
    table = charts.quantiles(study, {"pruned": np.arange(1, 101) * 1_000_000})
    assert table["heads"][:2] == ["arm", "calls"]
    assert table["rows"] == [["pruned", "100", "5.00", "25.0", "50.0", "75.0", "95.0"]]


def test_a_comparison_says_whether_it_is_one(study: Study) -> None:
    rows = [charts.Row("[1] a", "a", 0, Estimate(1.0, 0.9, 1.1)), charts.Row("[2] a", "a", 1, Estimate(2.0, 1.9, 2.1))]
    figure = charts.drawn(charts.across(rows, axis(study, P50), {"a": "#0072b2"}, side_by_side=False))
    assert "Not measured side by side" in figure["caption"]
    assert figure["data"][0]["marker"]["color"] == figure["data"][1]["marker"]["color"]  # the same arm
    assert figure["data"][0]["marker"]["symbol"] != figure["data"][1]["marker"]["symbol"]  # another study
    assert charts.drawn(charts.across([], axis(study, P50), {}, side_by_side=True))["data"] == []
