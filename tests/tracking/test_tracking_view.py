import base64
import json
import zlib
from dataclasses import replace

import pytest
from mlflow.exceptions import MlflowException
from tiny_study import make_study

from mlbench.tracking import view
from mlbench.tracking.view import all_studies_key, save_view, supported, view_key

saved_views = pytest.mark.skipif(not supported(), reason="this MLflow knows no saved views")


def state(tracker, key):
    """The saved view as MLflow's page reads it."""
    tags = tracker.client.get_experiment(tracker.experiment_id).tags
    saved = json.loads(tags[f"mlflow.sharedViewState.{key}"])
    method, _, packed = saved["state"].partition(";")
    assert method == "deflate"
    return saved["name"], json.loads(zlib.decompress(base64.b64decode(packed)))


@saved_views
def test_a_published_study_has_a_view(published):
    tracker, run_id = published
    name, saved = state(tracker, view_key(tracker, run_id))
    assert name == "mlbench: tiny-20260101-000000"
    assert saved["searchFilter"] == f"tags.mlflow.parentRunId = '{run_id}' AND tags.mlbench.kind = 'arm'"
    assert saved["orderByKey"] == "metrics.`latency/p50_ms`"
    baseline = next(card for card in saved["compareRunCharts"] if card["type"] == "DIFFERENCE")["baselineColumnUuid"]
    assert tracker.client.get_run(baseline).data.tags["mlbench.role"] == "baseline"
    assert "metrics.`vs_baseline/speedup_p50`" in saved["selectedColumns"]
    assert "metrics.`latency/p95_ms`" not in saved["selectedColumns"]  # no arm has it


@saved_views
def test_every_chart_has_a_section_and_an_id_of_its_own(published):
    tracker, run_id = published
    _, saved = state(tracker, view_key(tracker, run_id))
    sections = {section["uuid"] for section in saved["compareRunSections"]}
    charts = saved["compareRunCharts"]
    assert {chart["metricSectionId"] for chart in charts} == sections
    assert len({chart["uuid"] for chart in charts}) == len(charts)
    assert [chart["type"] for chart in charts] == [
        "SCATTER", "BAR", "BAR", "BAR", "BAR", "LINE", "DIFFERENCE", "PARALLEL",
    ]  # fmt: skip


@saved_views
def test_all_studies_have_one_view(published):
    tracker, _ = published
    name, saved = state(tracker, all_studies_key(tracker))
    assert name == "mlbench: all studies"
    assert saved["searchFilter"] == "tags.mlbench.kind = 'study'"
    assert "tags.`mlbench.decision`" in saved["selectedColumns"]


@saved_views
@pytest.mark.parametrize(("key", "expected"), [("arms", 4), ("winners", 1)])
def test_figures_over_time(published, key, expected):
    """MLflow itself finds the arms, and every chart has the time of the study, which each arm says."""
    tracker, _ = published
    _, saved = state(tracker, view.trend_key(key, "tiny"))
    found = tracker.client.search_runs([tracker.experiment_id], saved["searchFilter"])
    measured = [run for run in found if run.data.metrics]
    assert len(measured) == expected
    assert {run.data.tags["mlbench.kind"] for run in found} == {"arm"}
    for chart in saved["compareRunCharts"]:
        assert (chart["type"], chart["xaxis"]) == ("SCATTER", {"key": "study.created", "type": "PARAM"})
    assert {run.data.params["study.created"] for run in found} == {"2026-01-01 00:00:00"}
    assert "metrics.`quality/accuracy`" in saved["selectedColumns"]


@saved_views
def test_each_workload_has_views_over_time_of_its_own(published, artifacts):
    """Milliseconds of one model beside those of another would look like a trend."""
    tracker, run_id = published
    study, runs = make_study(artifacts), tracker.resume_study(run_id)
    for name in ("it's", "o'\"clock"):
        assert save_view(runs, replace(study, workload=replace(study.workload, name=name)))
    name, saved = state(tracker, view.trend_key("winners", "it's"))
    assert name == "mlbench: it's, winners over time"
    assert saved["searchFilter"].endswith("""AND tags.mlbench.workload = "it's" AND tags.mlbench.ship = 'true'""")
    assert len(tracker.client.search_runs([tracker.experiment_id], saved["searchFilter"])) == 0
    tags = tracker.client.get_experiment(tracker.experiment_id).tags
    trends = ("mlflow.sharedViewState.1mlbencharms", "mlflow.sharedViewState.1mlbenchw")
    kept = [key for key in tags if key.startswith(trends)]
    assert len(kept) == 4  # of the first two; MLflow has no way to search for the third


@saved_views
def test_saving_again_keeps_one_view(published, artifacts):
    tracker, run_id = published
    before = tracker.client.get_experiment(tracker.experiment_id).tags
    assert save_view(tracker.resume_study(run_id), make_study(artifacts))
    assert tracker.client.get_experiment(tracker.experiment_id).tags == before


def test_a_study_without_quality_has_no_scatter(artifacts):
    study = make_study(artifacts)
    arms = tuple(replace(arm, metrics={"latency/p50_ms": arm.metrics["latency/p50_ms"]}) for arm in study.arms[:2])
    charts = view._state(replace(study, arms=arms), "r", "b")["compareRunCharts"]
    assert "SCATTER" not in [chart["type"] for chart in charts]


@pytest.mark.parametrize(
    ("version", "expected"),
    [("3.14.0", False), ("3.15.0", True), ("3.17.2", True), ("3.18.0rc1", True), ("4.0.0", False), ("dev", False)],
)
def test_only_for_versions_that_read_it(version, expected):
    assert supported(version) is expected


class TestFailsSoft:
    @pytest.fixture
    def runs(self, tracker, artifacts):
        runs = tracker.open_study("study", {}, [])
        runs.open_arm("baseline", "baseline")
        return runs

    def test_another_mlflow(self, runs, artifacts, monkeypatch):
        monkeypatch.setattr(view, "supported", lambda: False)
        assert not save_view(runs, make_study(artifacts))
        assert view_key(runs.tracker, runs.run_id) is None
        assert all_studies_key(runs.tracker) is None

    @saved_views
    def test_too_long(self, runs, artifacts, monkeypatch):
        monkeypatch.setattr(view, "_TAG_LIMIT", 100)
        assert not save_view(runs, make_study(artifacts))

    @saved_views
    def test_a_server_that_refuses(self, runs, artifacts, monkeypatch):
        def refuse(*_args):
            raise MlflowException("no")

        monkeypatch.setattr(type(runs.tracker.client), "set_experiment_tag", refuse)
        assert not save_view(runs, make_study(artifacts))
