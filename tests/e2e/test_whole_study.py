"""Whole studies through the real command, on the real default workload, into a real MLflow store."""

import itertools
import json
import subprocess

import pytest
from desk import MISREAD, Desk

from mlbench.metrics import METRICS, SERIES, SYSTEM
from mlbench.records import Study
from mlbench.tracking import load_measurement, load_study

pytestmark = [pytest.mark.e2e, pytest.mark.quiet]

# in ONNX Runtime, whose workers start in a moment; one arm is the model as it is, in PyTorch
BASELINE = "baseline.steps=[{name: export_onnx}]"
TWIN = "+variants.twin={steps: [{name: export_onnx}]}"
SLOW = "+variants.slow={steps: [{name: export_onnx}, {name: delay, percent: 10}]}"
PLAIN = "+variants.plain={steps: []}"


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module")
def finished(desk: Desk) -> subprocess.CompletedProcess[str]:
    """One study of five good arms and one that cannot be built."""
    desk.bring_misread()
    shorter = ("protocol=quick", "protocol.rounds=10", "protocol.warmup_seconds=0.2")
    return desk.run("run", "name=whole", *shorter, BASELINE, "variants=[onnx_int8_static]", TWIN, SLOW, PLAIN, MISREAD)


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


def test_a_broken_recipe_fails_alone_with_the_tools_words(
    desk: Desk, study: Study, finished: subprocess.CompletedProcess[str]
) -> None:
    broken = study.arm("broken")
    assert broken.status == "failed"
    assert broken.failure.startswith("step 'misread': ")
    for words in ("InvalidProtobuf", "[ONNXRuntimeError] : 7 : INVALID_PROTOBUF", "Protobuf parsing failed"):
        assert words.lower() in broken.failure.lower()
    assert f"broken failed: {broken.failure}" in finished.stderr
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


def test_hardware_over_time_is_in_every_arms_run(desk: Desk, study: Study) -> None:
    client, loaded = desk.tracker().client, load_study(desk.tracker(), "whole")
    for name, run_id in loaded.arms.items():
        if study.arm(name).status == "ok":
            run = client.get_run(run_id)
            points = client.get_metric_history(run_id, "system/worker_memory_usage_megabytes")
            assert [point.step for point in points] == list(range(len(points)))
            assert run.info.start_time <= points[0].timestamp <= points[-1].timestamp <= run.info.end_time
            assert {metric.name for metric in SYSTEM} >= {key for key in run.data.metrics if key.startswith("system/")}
    assert [moment.moment for moment in study.noise.moments] == ["before", "during", "after"]


def test_energy_is_measured_or_absent_with_a_reason(study: Study) -> None:
    for arm in study.arms:
        if arm.status == "ok":
            assert ("energy/joules_per_sample" in arm.metrics) != ("energy/joules_per_sample" in arm.absent)


def test_every_figure_of_a_gpu_that_is_not_there_is_absent_with_a_reason(desk: Desk, study: Study) -> None:
    if any(arm.metrics.keys() & {"gpu/utilization_pct", "gpu/power_w"} for arm in study.arms):
        pytest.skip("this machine has a GPU")
    wanted = {metric.name for metric in METRICS if metric.name.startswith("gpu/")}
    for name, run_id in load_study(desk.tracker(), "whole").arms.items():
        if study.arm(name).status == "ok":
            absent = json.loads(desk.tracker().client.get_run(run_id).data.tags["mlbench.absent"])
            assert wanted <= {key for key, reason in absent.items() if reason}, name


def test_workers_were_alone_and_light(desk: Desk, study: Study) -> None:
    tracker = desk.tracker()
    measurement = load_measurement(tracker, load_study(tracker, "whole"))
    turns = sorted(measurement.turns, key=lambda turn: turn.start_ns)
    assert len(turns) == sum(len(planned.order) for planned in study.plan.schedule)
    assert all(one.end_ns <= other.start_ns for one, other in itertools.pairwise(turns))
    forbidden = {"mlflow", "hydra", "omegaconf", "pandas", "plotly", "pyarrow", "sklearn", "pydantic"}
    for worker in measurement.workers:
        assert not set(worker.modules) & forbidden, worker.arm
        assert ("torch" in worker.modules) == (worker.arm == "plain"), worker.arm
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


def test_an_arm_that_is_no_faster_says_why(desk: Desk, study: Study) -> None:
    slow = study.arm("slow")
    if slow.verdicts["latency/p50_ms"].withheld:
        pytest.skip("this machine gave no verdict to explain")
    assert slow.why is not None
    assert (slow.why.parent, slow.why.unseen) == ("twin", ())  # whose recipe its own goes on from
    assert slow.why.reasons[0] == "its recipe makes every call 10 % longer (delay)"
    for arm in (slow, study.baseline):
        assert [profile.batch_size for profile in arm.profiles] == [1, 32]
        assert all("conv" in profile.operators[0].operator.lower() for profile in arm.profiles)
    run_id = load_study(desk.tracker(), "whole").arms["slow"]
    assert "profile.json" in {item.path for item in desk.tracker().client.list_artifacts(run_id)}
