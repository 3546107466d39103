"""One champion after another: what is worse, and whether that was measured."""

from __future__ import annotations

import dataclasses

import pytest
from dashboard_parts import axis
from reporting_studies import verdict

from mlbench.dashboard import charts
from mlbench.dashboard.trend import trend
from mlbench.records import Estimate, Study, Versus
from mlbench.tracking import Version

P50, WINNER = "latency/p50_ms", "pruned_onnx_int8"


def version(number: int, run_id: str, replaced: int | None = None) -> Version:
    at = f"2026-01-0{number}T00:00:00+00:00"
    return Version(number, "2026-01-01 00:00", at, replaced, "", "study", run_id, WINNER, {}, ())


def changed(study: Study, key: str, estimate: Estimate, versus: Versus | None = None) -> Study:
    arms = tuple(
        dataclasses.replace(arm, metrics={**arm.metrics, key: estimate}, versus_incumbent=versus)
        if arm.name == WINNER
        else arm
        for arm in study.arms
    )
    return dataclasses.replace(study, arms=arms)


def pair(study: Study, key: str, first: Estimate, second: Estimate, versus: Versus | None = None):
    studies = {"a": changed(study, key, first), "b": changed(study, key, second, versus)}
    return trend([version(1, "a"), version(2, "b", 1)], studies, axis(study, key)).points


@pytest.mark.parametrize(
    ("second", "mark"),
    [
        (Estimate(2.0, 1.9, 2.1, unit="ms"), "worse"),
        (Estimate(0.5, 0.4, 0.6, unit="ms"), "better"),
        (Estimate(1.1, 1.0, 1.2, unit="ms"), "none"),  # the intervals overlap
        (Estimate(2.0, unit="ms"), "none"),  # nothing is called without an interval
    ],
)
def test_what_was_not_measured_side_by_side_is_history(study: Study, second: Estimate, mark: str) -> None:
    first, then = pair(study, P50, Estimate(1.0, 0.9, 1.1, unit="ms"), second)
    assert (first.mark, first.measured) == ("", False)
    assert (then.mark, then.measured) == (mark, False)


def test_where_more_is_better_less_is_a_regression(study: Study) -> None:
    key = "throughput/samples_per_s"
    _, then = pair(study, key, Estimate(100, 90, 110, unit="1/s"), Estimate(50, 40, 60, unit="1/s"))
    assert then.mark == "worse"


def test_plain_facts_need_no_interval(study: Study) -> None:
    _, then = pair(study, "memory/disk_mib", Estimate(1.0, unit="MiB"), Estimate(1.5, unit="MiB"))
    assert then.mark == "worse"


def test_the_verdict_against_the_incumbent_counts_more_than_history(study: Study) -> None:
    beside = Versus({P50: dataclasses.replace(verdict(P50, 0.8), call="faster")})
    _, then = pair(study, P50, Estimate(1.0, 0.9, 1.1, unit="ms"), Estimate(2.0, 1.9, 2.1, unit="ms"), beside)
    assert (then.mark, then.measured) == ("better", True)
    assert "measured side by side with version 1: faster" in then.sentence


@pytest.mark.parametrize(("low", "mark"), [(-0.03, "worse"), (-0.005, "none"), (0.004, "better")])
def test_quality_against_the_incumbent_is_paired(study: Study, low: float, mark: str) -> None:
    beside = Versus(deltas={"accuracy": Estimate(low + 0.01, low, low + 0.02, n=700)})
    key = "quality/accuracy"
    same = Estimate(0.9, 0.89, 0.91, unit="fraction")
    studies = {"a": study, "b": changed(study, key, same, beside)}
    found = trend([version(1, "a"), version(2, "b", 1)], studies, axis(study, key))
    assert (found.points[1].mark, found.points[1].measured) == (mark, True)


def test_an_incumbent_that_is_not_the_champion_before_proves_nothing(study: Study) -> None:
    beside = Versus({P50: verdict(P50, 0.8)})
    studies = {"a": study, "b": changed(study, P50, Estimate(1.0, 0.9, 1.1, unit="ms"), beside)}
    found = trend([version(1, "a"), version(3, "b", 2)], studies, axis(study, P50))
    assert not found.points[1].measured


def test_champions_whose_study_is_gone_are_named_and_regressions_marked(study: Study, later: Study) -> None:
    versions = [version(1, "a"), version(2, "gone", 1), version(3, "b", 2)]
    found = trend(versions, {"a": study, "b": later}, axis(study, P50))
    assert found.missing == (2,)
    assert [point.version for point in found.regressions] == [3]
    figure = charts.drawn(charts.trend(found, axis(study, P50)))
    assert [note["text"] for note in figure["layout"]["annotations"]] == ["<b>regression</b>"]
    assert figure["data"][0]["marker"]["symbol"] == ["circle", "x"]
    assert "history and no verdict" in figure["caption"]
    assert charts.drawn(charts.trend(trend([], {}, axis(study, P50)), axis(study, P50)))["data"] == []
