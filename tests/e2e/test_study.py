"""Whole studies through the real command, on the real default workload, into a real MLflow store."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from mlbench.config import TrackingConfig
from mlbench.metrics import METRICS, SERIES
from mlbench.records import Study
from mlbench.tracking import Tracker, connect, load_measurement, load_study

pytestmark = pytest.mark.e2e

TWIN = "+variants.twin={steps: []}"
SLOW = "+variants.slow={steps: [{name: delay, percent: 10}]}"
BROKEN = "+variants.broken={steps: [{name: export_onnx, tolerance: 1.0e-12}]}"


# light workers and short trials, for tests that are about something else than the figures
LIGHT = ("protocol=quick", "baseline.steps=[{name: export_onnx}]", "variants=[onnx_int8_static]")
SHORT = (
    *LIGHT,
    "protocol.rounds=2",
    "protocol.sweep_rounds=2",
    "protocol.warmup_seconds=0",
    "tracking.log_models=false",
)


@dataclass
class Desk:
    """A user's working directory with a store of its own."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "MLFLOW_TRACKING_URI": self.uri, "MLBENCH_CACHE_DIR": str(self.folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=280)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def tracker(self) -> Tracker:
        return connect(TrackingConfig(uri=self.uri), create=False)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def finished(desk: Desk) -> subprocess.CompletedProcess[str]:
    """One study of four good arms and one that cannot be built."""
    return desk.run("run", "name=whole", "protocol=quick", "variants=[onnx_int8_static]", TWIN, SLOW, BROKEN)


@pytest.fixture(scope="module")
def study(desk: Desk, finished: subprocess.CompletedProcess[str]) -> Study:
    assert finished.returncode == 0, finished.stderr
    return load_study(desk.tracker(), "whole").study


def _needs_a_usable_machine(study: Study) -> None:
    """Where other programs take every CPU mlbench withholds its verdicts, and there is no winner to look at."""
    if study.noise.level == "unusable":
        pytest.skip(f"this machine was unusable for measuring: {'; '.join(study.noise.evidence)}")


def test_last_line_names_the_run(desk: Desk, finished: subprocess.CompletedProcess[str]) -> None:
    word, run_id = finished.stdout.strip().splitlines()[-1].split()
    assert word == "study"
    assert load_study(desk.tracker(), run_id).study.name == "whole"


def test_terminal_shows_every_arm_and_the_decision(study: Study, finished: subprocess.CompletedProcess[str]) -> None:
    for arm in study.arms:
        assert arm.name in finished.stdout
    assert " ".join(study.decision.sentence.split()) in " ".join(finished.stdout.split())
    assert "trial 6 of 6" in finished.stderr
    assert "\x1b" not in finished.stdout  # no colours without a terminal


def test_baseline_is_as_good_as_promised(study: Study) -> None:
    assert study.baseline.metrics["quality/accuracy"].value >= 0.98


def test_identical_arms_are_not_called_different(study: Study) -> None:
    assert study.arm("twin").verdicts["latency/p50_ms"].call in ("equivalent", "inconclusive")
    assert study.arm("twin").metrics["agreement/flip_rate"].value == 0


def test_ten_per_cent_more_work_is_slower(study: Study) -> None:
    verdict = study.arm("slow").verdicts["latency/p50_ms"]
    assert verdict.call in ("slower", "inconclusive")
    if study.noise.level == "quiet":  # on a loaded machine it may not be able to tell, but never says faster
        assert verdict.call == "slower"


def test_a_broken_recipe_fails_alone_with_the_tools_words(desk: Desk, study: Study) -> None:
    broken = study.arm("broken")
    assert broken.status == "failed"
    assert "export_onnx" in broken.failure
    loaded = load_study(desk.tracker(), "whole")
    assert desk.tracker().client.get_run(loaded.arms["broken"]).info.status == "FAILED"
    assert desk.tracker().client.get_run(loaded.run_id).info.status == "FINISHED"


def test_metrics_are_the_documented_ones(desk: Desk, study: Study) -> None:
    known = {metric.name for metric in (*METRICS, *SERIES)}
    for arm in study.arms:
        assert set(arm.metrics) | set(arm.absent) | set(arm.series) <= known, arm.name
    expected = {"latency/p50_ms", "latency/p95_ms", "latency/p99_ms", "throughput/samples_per_s", "quality/f1_macro"}
    expected |= {"memory/peak_rss_mib", "memory/disk_mib", "cpu/utilization_pct", "vs_baseline/speedup_p50"}
    assert expected <= set(study.arm("onnx_int8_static").metrics)
    stored = desk.tracker().client.get_run(load_study(desk.tracker(), "whole").arms["onnx_int8_static"]).data.metrics
    assert expected <= set(stored)


def test_energy_is_measured_or_absent_with_a_reason(study: Study) -> None:
    for arm in study.arms:
        if arm.status == "ok":
            assert ("energy/joules_per_sample" in arm.metrics) != ("energy/joules_per_sample" in arm.absent)


def test_workers_were_alone_and_light(desk: Desk, study: Study) -> None:
    tracker = desk.tracker()
    measurement = load_measurement(tracker, load_study(tracker, "whole"))
    turns = sorted(measurement.turns, key=lambda turn: turn.start_ns)
    assert len(turns) == sum(len(planned.order) for planned in study.plan.schedule)
    assert all(one.end_ns <= other.start_ns for one, other in itertools.pairwise(turns))
    forbidden = {"mlflow", "hydra", "omegaconf", "pandas", "plotly", "pyarrow", "sklearn", "pydantic"}
    for worker in measurement.workers:
        assert not set(worker.modules) & forbidden, worker.arm
        if worker.arm == "onnx_int8_static":
            assert "torch" not in worker.modules
            assert "onnx" not in worker.modules


def test_artifacts_are_where_scripts_expect_them(desk: Desk, study: Study) -> None:
    tracker = desk.tracker()
    loaded = load_study(tracker, "whole")

    def files(run_id: str, path: str = "") -> set[str]:
        return {item.path for item in tracker.client.list_artifacts(run_id, path)}

    assert {"study.json", "comparison.json", "config.yaml", "plan.json", "environment.json"} <= files(loaded.run_id)
    assert {"report/report.html", "report/report.md"} <= files(loaded.run_id, "report")
    arm = loaded.arms["twin"]
    assert {"samples.parquet", "predictions.parquet", "hardware.parquet", "recipe.json"} <= files(arm)
    tags = tracker.client.get_run(arm).data.tags
    assert tags["mlbench.kind"] == "arm"
    assert (tags["mlbench.arm"], tags["mlbench.role"]) == ("twin", "variant")
    assert tags["mlbench.verdict"] == study.arm("twin").verdicts["latency/p50_ms"].call


def test_the_winner_is_the_champion(desk: Desk, study: Study) -> None:
    _needs_a_usable_machine(study)
    tracker = desk.tracker()
    assert study.decision.outcome == "promote"
    assert study.decision.winner == "onnx_int8_static"
    champion = tracker.client.get_model_version_by_alias("mlbench-digits", "champion")
    assert champion.tags["mlbench.arm"] == "onnx_int8_static"


def test_show_prints_the_same_table_again(desk: Desk, finished: subprocess.CompletedProcess[str]) -> None:
    shown = desk.run("show", "whole")
    assert shown.returncode == 0, shown.stderr
    table = [line for line in finished.stdout.splitlines() if "onnx_int8_static" in line]
    assert table[0] in shown.stdout.splitlines()


def test_promote_again_changes_nothing(desk: Desk, study: Study) -> None:
    _needs_a_usable_machine(study)
    again = desk.run("promote", "whole", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["changed"] is False


def test_few_trials_are_allowed_and_said_to_give_no_verdict(desk: Desk, study: Study) -> None:
    ran = desk.run("run", "--json", "name=few", *SHORT, "protocol.trials=1")
    assert ran.returncode == 0, ran.stderr
    assert "fewer than 6 trials" in ran.stderr
    decision = json.loads(ran.stdout)
    assert decision["outcome"] == "inconclusive"
    enforced = desk.run("run", "name=few2", *SHORT, "protocol.trials=1", "policy.enforce=true")
    assert enforced.returncode == 4


def test_wrong_data_is_told_before_anything_is_left_behind(tmp_path: Path) -> None:
    ran = Desk(tmp_path).run("run", *SHORT, "workload.data.rows=5000")
    assert ran.returncode == 2
    assert "1797" in ran.stderr.replace(",", "")
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_is_not_met_is_exit_code_3_when_enforced(desk: Desk, study: Study) -> None:
    impossible = "policy.constraints=[{metric: quality/accuracy, against: absolute, min: 1.01}]"
    ran = desk.run("run", "name=no", *SHORT, "protocol.trials=1", impossible, "policy.enforce=true")
    assert ran.returncode == 3, ran.stdout + ran.stderr


# ---------------------------------------------------------------------------------------------------------------------
# interruptions


def _until(lines: Iterator[str], wanted: str) -> None:
    for line in lines:
        if wanted in line:
            return
    pytest.fail(f"the program ended without saying {wanted!r}")


def _wait_gone(processes: list[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_measuring_keeps_what_was_measured(desk: Desk, study: Study, how: signal.Signals) -> None:
    name = f"interrupted-{how.name.lower()}"
    process = desk.start("run", f"name={name}", *LIGHT)
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "trial 2 of 6")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert not _wait_gone(workers)
    assert "Traceback" not in err
    assert "interrupted" in out.lower()
    tracker = desk.tracker()
    loaded = load_study(tracker, name)
    assert loaded.status == "KILLED"
    assert loaded.study.status == "interrupted"
    assert loaded.study.decision.outcome != "promote"
    assert {tracker.client.get_run(run).info.status for run in loaded.arms.values()} == {"KILLED"}
    assert len(load_measurement(tracker, loaded).turns) > 0


def test_an_interruption_while_building_closes_the_runs(desk: Desk, study: Study) -> None:
    process = desk.start("run", "name=early", *SHORT, "workload.model.train.seed=5")
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "epoch 1")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    runs = desk.tracker().client.search_runs([desk.tracker().experiment_id], "attributes.run_name = 'early'")
    assert [run.info.status for run in runs] == ["KILLED"]


def test_no_worker_outlives_a_killed_coordinator(desk: Desk, study: Study) -> None:
    process = desk.start("run", "name=killed", *LIGHT)
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "trial 1 of 6")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.kill()
    process.communicate(timeout=60)
    assert not _wait_gone(workers)


def test_a_killed_worker_is_said_and_gives_no_verdict(desk: Desk, study: Study) -> None:
    process = desk.start("run", "name=wounded", *LIGHT)
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "trial 2 of 6")
    deadline = time.monotonic() + 60
    victims: list[Any] = []
    while not victims and time.monotonic() < deadline:
        victims = psutil.Process(process.pid).children()
    os.kill(victims[-1].pid, signal.SIGKILL)  # the last one started: the variant
    _, err = process.communicate(timeout=200)
    assert process.returncode == 0, err
    assert "SIGKILL" in err
    arm = load_study(desk.tracker(), "wounded").study.arm("onnx_int8_static")
    assert arm.status == "incomplete"
    assert arm.verdicts["latency/p50_ms"].call == "inconclusive"
    assert "SIGKILL" in arm.verdicts["latency/p50_ms"].reason
