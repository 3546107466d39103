"""Whole studies that end with another code than 0, or with no verdict at all."""

import json
from pathlib import Path

import pytest
from desk import MISREAD, SHORT, Desk
from mlflow.entities import ViewType

from mlbench.tracking import load_measurement, load_study

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def test_few_trials_are_allowed_and_said_to_give_no_verdict(desk: Desk) -> None:
    ran = desk.run("run", "--json", "name=few", *SHORT, "protocol.trials=1")
    assert ran.returncode == 0, ran.stderr
    assert "fewer than 6 trials" in ran.stderr
    decision = json.loads(ran.stdout)
    assert decision["outcome"] == "inconclusive"
    assert "exit code 0, because policy.enforce=false; with policy.enforce=true it would be 4" in ran.stderr


def test_a_sweep_leaves_its_series_in_mlflow_and_no_verdict_is_exit_code_4_when_enforced(desk: Desk) -> None:
    sweep = ("scenario=sweep", "scenario.batch_sizes=[1,4]", "scenario.threads=[2,1]", "protocol.budget_minutes=60")
    enforced = desk.run("run", "name=few2", *SHORT, *sweep, "protocol.trials=1", "policy.enforce=true")
    assert enforced.returncode == 4, enforced.stderr
    assert "Sizing the plan to the time budget" in enforced.stderr  # by a pilot of all conditions; all of it fits
    loaded = load_study(desk.tracker(), "few2")
    assert loaded.study.baseline.effective["threads"] == 2
    client, run_id = desk.tracker().client, loaded.arms["onnx_int8_static"]
    assert [point.step for point in client.get_metric_history(run_id, "by_threads/p50_ms")] == [1, 2]
    assert [point.step for point in client.get_metric_history(run_id, "by_batch/speedup_p50")] == [1, 4]
    measured = load_measurement(desk.tracker(), loaded)
    arms = ("baseline", "onnx_int8_static")
    assert {(w.arm, w.threads) for w in measured.workers} == {(arm, threads) for arm in arms for threads in (1, 2)}
    assert {turn.key.short for turn in measured.turns} == {"1;threads=2", "4;threads=2", "1;threads=1"}


@pytest.mark.parametrize(
    ("override", "words"),
    [("workload.data.rows=5000", "1797"), ("scenario.input_lengths=[8]", "no input of the data is a sequence (image)")],
)
def test_wrong_data_is_told_before_anything_is_left_behind(tmp_path: Path, override: str, words: str) -> None:
    ran = Desk(tmp_path).run("run", *SHORT, override)
    assert ran.returncode == 2
    assert words in " ".join(ran.stderr.replace(",", "").split())
    assert [path.name for path in tmp_path.iterdir()] == ["cache"]  # made by the desk, and nothing is in it of ours
    assert [path.name for path in (tmp_path / "cache").iterdir()] == ["artifacts"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("workload.model.weights=broken.pt", "workload.model.train=null"), "workload.model.weights"),
        (("protocol.budget_minutes=0.01",), "protocol.budget_minutes"),
        (("workload=mlflow_model", "model.uri=models:/none@x"), "there is no MLflow store"),
    ],
)
def test_wrong_input_that_shows_late_leaves_no_run(tmp_path: Path, overrides: tuple[str, ...], words: str) -> None:
    (tmp_path / "broken.pt").write_text("no weights")
    desk = Desk(tmp_path)
    ran = desk.run("run", *SHORT, *overrides)
    assert ran.returncode == 2, ran.stderr
    assert words in " ".join(ran.stderr.split())
    if (tmp_path / "mlflow.db").exists():
        tracker = desk.tracker()
        assert tracker.client.search_runs([tracker.experiment_id]) == []
        assert tracker.client.search_runs([tracker.experiment_id], run_view_type=ViewType.DELETED_ONLY)
        assert list((tmp_path / "cache" / "studies").iterdir()) == []
    else:
        assert words == "there is no MLflow store"


def test_a_policy_that_is_not_met_is_exit_code_3_when_enforced_also_where_an_arm_has_failed(desk: Desk) -> None:
    desk.bring_misread()
    impossible = "policy.constraints=[{metric: quality/accuracy, against: absolute, min: 1.01}]"
    ran = desk.run("run", "name=no", *SHORT, MISREAD, "protocol.trials=1", impossible, "policy.enforce=true")
    assert ran.returncode == 3, ran.stdout + ran.stderr
    study = load_study(desk.tracker(), "no").study
    assert {arm.name: arm.status for arm in study.arms} == {
        "baseline": "ok",
        "onnx_int8_static": "ok",
        "broken": "failed",
    }
    assert study.decision.outcome == "hold"
