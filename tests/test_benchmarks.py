"""The scripts under benchmarks/: that they run, on a network of no size, and that they say what was measured."""

from __future__ import annotations

import itertools
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from fakes import make_arm
from measured import measure
from onnx import TensorProto, helper, numpy_helper
from voided import with_void

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.alone import disturbance
from mlbench.measurement.plan import make_plan
from mlbench.records import (
    Arm,
    ArmResult,
    Artifact,
    Estimate,
    Measurement,
    Recipe,
    RuntimeSettings,
    TensorSpec,
    Turn,
    Verdict,
    WorkerReport,
)
from mlbench.registry import entries
from mlbench.runtimes.torch_module import WEIGHTS, save_module
from mlbench.statistics import compare
from mlbench.workloads.nets import digits_cnn

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import figures  # noqa: E402
import kills  # noqa: E402
import long_runs  # noqa: E402
import many_studies  # noqa: E402
import openvino_agreement  # noqa: E402
import overhead  # noqa: E402
import peer  # noqa: E402
import probes  # noqa: E402
import shared  # noqa: E402

IMAGE, LOGITS = TensorSpec("image", "float32", (None, 1, 8, 8)), TensorSpec("logits", "float32", (None, 10))
INPUTS = {"image": np.random.default_rng(0).random((20, 1, 8, 8), dtype=np.float32)}


@pytest.fixture
def module(tmp_path: Path) -> Arm:
    args = {"widths": [8, 8, 8], "hidden": 16}
    factory, out = "mlbench.workloads.nets:digits_cnn", tmp_path / "module"
    out.mkdir()
    meta = save_module(digits_cnn(**args).eval(), out, factory, args)
    artifact = Artifact("0" * 64, "torch_module", str(out), WEIGHTS, (IMAGE,), (LOGITS,), 0, meta=meta)
    return replace(make_arm("baseline", "baseline"), artifact=artifact, settings=RuntimeSettings())


def graph(name: str, path: Path) -> Arm:
    """One linear layer on the flattened image."""
    model = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(np.ones((64, 10), dtype=np.float32), "weight")],
    )
    onnx.save(helper.make_model(model, opset_imports=[helper.make_opsetid("", 20)], ir_version=9), path)
    artifact = Artifact("2" * 64, "onnx", str(path.parent), path.name, (IMAGE,), (LOGITS,), 0)
    return replace(make_arm(name), artifact=artifact, settings=RuntimeSettings())


def workload() -> Any:
    test = SimpleNamespace(inputs=INPUTS)
    return SimpleNamespace(info=SimpleNamespace(name="small"), data=SimpleNamespace(test=test))


# ---------------------------------------------------------------------------------------------------------------------
# shared


def test_a_report_is_kept_between_its_markers_and_nowhere_else(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    readme = tmp_path / "README.md"
    text = "a\n<!-- x: begin -->\nold\n<!-- x: end -->\nb\n<!-- y: begin -->\nkept\n<!-- y: end -->\n"
    readme.write_text(text)
    shared.finish("x", "new\n", write=False, readme=readme)
    assert readme.read_text() == text
    for report in ("first", "new"):
        shared.finish("x", report, write=True, readme=readme)
    assert readme.read_text() == text.replace("old", "\nnew\n")
    assert capsys.readouterr().out == "new\n\nfirst\nnew\n"
    with pytest.raises(ValueError, match="markers of 'z'"):
        shared.finish("z", "new", write=True, readme=readme)


def test_a_trial_that_took_the_place_of_a_lost_one_is_whole_and_one_that_is_missing_is_not() -> None:
    measured = measure(trials=3, rounds=2)[0]
    assert kills.wrong_turns(measured) == 0
    voided = with_void(measured, 1, "slow")
    assert kills.wrong_turns(voided) == 0
    missing = tuple(turn for turn in voided.turns if turn.trial != 3)
    assert kills.wrong_turns(replace(voided, turns=missing)) == len(voided.turns) - len(missing) > 0


def test_every_script_that_reports_is_described_and_has_a_place_for_its_report() -> None:
    reports = {path.stem for path in BENCHMARKS.glob("*.py") if "finish(" in path.read_text()} - {"shared"}
    assert {"overhead", "long_runs", "probes"} <= reports
    text = (BENCHMARKS / "README.md").read_text()
    several = {"figures": [f"figures_{workload}" for workload in figures.WORKLOADS]}
    for name in reports:
        assert f"| `{name}.py` |" in text
        assert re.search(rf'finish\(f?"{name}["_]', (BENCHMARKS / f"{name}.py").read_text())
        for kept in several.get(name, [name]):
            assert text.index(f"<!-- {kept}: begin -->") < text.index(f"<!-- {kept}: end -->")


def test_two_things_that_should_be_the_same_are_told_in_words() -> None:
    spread = np.array([-1, 1, -1, 1, -1, 1]) / 1000
    say = [shared.within(compare(shift + spread, metric="p50", margin=0.02)) for shift in (0.0, 0.1, 0.0195)]
    assert say[0] == "yes, within 2 %"
    assert say[1] == "no, +10.5 %"
    assert say[2].startswith("no, +2.0 %")
    assert shared.within(compare(spread[:3], metric="p50", margin=0.02)).startswith("not shown: 3 trials")


# ---------------------------------------------------------------------------------------------------------------------
# overhead


def test_overhead_runs_and_reports(
    module: Arm, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    seen: list[Measurement] = []
    measure = overhead.against_bare_loop
    monkeypatch.setattr(overhead, "arms", lambda _overrides: (workload(), [module]))
    monkeypatch.setattr(overhead, "against_bare_loop", lambda *args: seen.append(measure(*args)) or seen[0])
    overhead.main(["--trials", "1", "--rounds", "4", "--warmup-seconds", "0", "--no-study"])
    said = capsys.readouterr().out
    assert "harness cost per timed call of an empty model" in said
    assert "not asked: a call takes less than 1 ms" in said  # this network is that small
    (measured,) = seen
    assert disturbance(measured.turns) == ""
    for arm in (overhead.BARE, overhead.HARNESS):
        turns = [turn for turn in measured.turns if turn.arm == arm]
        assert len(turns) == 4
        assert all((len(turn.discarded_ns), len(turn.values_ns())) == (2, 10) for turn in turns)
        assert all(0 < turn.wall_ns <= turn.end_ns - turn.start_ns for turn in turns)
        assert all(turn.cpu_ns > 0 for turn in turns)
    assert len({worker.cpus for worker in measured.workers}) == 1
    assert overhead.coordinator_share(measured) > 0
    (report,) = (worker for worker in measured.workers if worker.arm == overhead.HARNESS)
    assert "torch" in report.modules
    assert not {"mlflow", "hydra", "omegaconf", "pandas", "plotly", "sklearn", "scipy"} & set(report.modules)


def test_optimum_benchmark_is_left_out_plainly(tmp_path: Path) -> None:
    (row,) = overhead.peer_rows(None, 4, ProtocolConfig())
    assert row[1] == "left out: no interpreter was given that has it"
    with pytest.raises(peer.PeerError, match="cannot be run"):
        peer.optimum(str(tmp_path / "none"), tmp_path, 1, 1, 1)
    silent = tmp_path / "python"
    silent.write_text("#!/bin/sh\necho 'ModuleNotFoundError: No module named optimum_benchmark' >&2\nexit 1\n")
    silent.chmod(0o755)
    with pytest.raises(peer.PeerError, match=r"exit code 1 and 0 answers; it last said: .*No module named"):
        peer.optimum(str(silent), tmp_path, 1, 1, 1)
    silent.write_text("""#!/bin/sh\necho a log\necho 'answer: {"version": "0.6.0", "seconds": [0.5]}'\necho more\n""")
    assert peer.optimum(str(silent), tmp_path, 1, 1, 1) == ("0.6.0", [0.5])


def test_the_peer_is_held_against_the_bare_loop_of_the_same_trial() -> None:
    def pair(trial: int) -> Any:
        ns = {overhead.BARE: 2_000_000 + trial, overhead.HARNESS: 2_200_000 + trial}
        turns = [
            Turn(0, 0, place, arm, 1, 0, 1, 8 + place, 9, np.zeros(0, int), np.full(4, ns[arm]))
            for place, arm in enumerate(ns)
        ]
        return SimpleNamespace(turns=turns)

    found = peer.rows(pair, lambda: ("0.6.0", [0.004, 0.004, 0.010]), (overhead.BARE, overhead.HARNESS), 3)
    assert [row[1].partition(" ")[0] for row in found] == ["1.1000", "1.1250", "2.0000", "3.0000"]
    assert "0.6.0" in found[2][0]


def test_the_bare_loop_gets_the_batches_of_a_worker() -> None:
    batches = overhead.pool(np.arange(5), 2)
    assert [batch.tolist() for batch in batches] == [[3, 2], [4, 1], [0, 3], [2, 4], [1, 0], [3, 2], [4, 1], [0, 3]]


def test_shares_of_wall_time_are_added_up_by_hand() -> None:
    second = 1_000_000_000
    plan = make_plan(["a"], "a", ScenarioConfig(batch_sizes=(1,)), ProtocolConfig(trials=2, rounds=2), 0)

    def turn(trial: int, number: int, start: float) -> Turn:
        window = (int(start * second), int((start + 1.5) * second))
        calls = (np.array([second // 2]), np.array([second // 2]))
        return Turn(trial, number, 0, "a", 1, *window, second, second, *calls)

    turns = (turn(0, 0, 10), turn(0, 1, 12), turn(1, 0, 20), turn(1, 1, 22))
    workers = tuple(
        WorkerReport("a", trial, 1, 1.0, 1.0, 1.0, 1.0, {}, np.array([second, second])) for trial in range(2)
    )
    measured = Measurement(plan, turns, workers, ())
    phases = {"Reading": 1.0, "Preparing": 1.0, "Building": 3.0, "Measuring": 20.0, "Deciding": 0.5, "Publishing": 2.0}
    found = {name: 40 * share for name, share in overhead.shares(measured, phases, 40.0).items()}
    assert found == pytest.approx(
        {
            "model calls": 4.0,
            "warm-up": 4.0,
            "passing the turn": 3.0,  # two trials from 10 to 13.5 and from 20 to 23.5, less the calls
            overhead.STARTING: 9.0,
            "reading the data, preparing, artifacts from the cache": 5.0,
            "analysis": 0.5,
            "publishing to MLflow": 2.0,
            "everything else": 12.5,
        }
    )


# ---------------------------------------------------------------------------------------------------------------------
# probes


def test_every_probe_has_a_cost_or_the_reason_why_not(capsys: pytest.CaptureFixture) -> None:
    probes.main(["--repeats", "10"])
    said = capsys.readouterr().out
    for name in entries("probe"):
        (line,) = (line for line in said.splitlines() if line.startswith(f"| probe `{name}` |"))
        assert ("µs" in line) != ("not here: " in line)
    assert "| process table" in said


# ---------------------------------------------------------------------------------------------------------------------
# long runs


def test_long_runs_run_and_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    pair = [graph("a", tmp_path / "a.onnx"), graph("b", tmp_path / "b.onnx")]
    monkeypatch.setattr(long_runs, "arms", lambda _overrides: (workload(), pair))
    small = ["--trials", "1", "--rounds", "2", "--calls", "3", "--threads", "1", "--warmup-seconds", "0"]
    long_runs.main(small)
    said = capsys.readouterr().out
    for way in (long_runs.LONG, long_runs.PLAN, long_runs.ALTERNATION):
        assert f"| {way} |" in said
    assert "1 thread, turns of the plan were measured in one trial only: nothing can be concluded" in said


def test_a_worker_that_is_lent_loads_once_and_outlives_its_borrowers() -> None:
    sent: list[str] = []
    worker = SimpleNamespace(
        pid=1,
        post=lambda command, **_message: sent.append(command),
        answer=lambda _timeout, _call_s: len(sent),
        settle=lambda: "settled",
        stop=lambda: sent.append("stop"),
    )
    lent = long_runs.Lent(worker)
    said = []
    for command in ("import", "load", "turn", "import", "load", "turn"):
        lent.post(command)
        said.append(lent.answer(1))
    lent.stop()
    assert sent == ["import", "load", "turn", "turn"]
    assert said == [1, 2, 3, 1, 2, 4]
    assert lent.settle() == "settled"


class Known(long_runs.Experiment):
    """Measures nothing: an arm takes its factor, and in an alternation the second one a tenth more."""

    def _measure(self, chosen: Sequence[Arm], protocol: ProtocolConfig) -> Sequence[Turn]:
        self.asked = [*getattr(self, "asked", []), (tuple(arm.name for arm in chosen), protocol)]
        alternating = protocol.calls == 1
        turns = []
        for number in range(protocol.rounds):
            for position, arm in enumerate(chosen):
                typical = {"a": 1e6, "b": 2e6}[arm.name] * (1.1 if alternating and arm.name == "b" else 1.0)
                timed = np.full(protocol.calls, int(typical * np.exp(self._random.normal(0, 0.002))))
                wall = int(timed.sum())
                turns.append(Turn(0, number, position, arm.name, 1, 0, wall, wall, wall, np.zeros(0, int), timed))
        return turns


def test_known_ratios_come_out_and_the_conclusion_follows_from_them() -> None:
    pair = [make_arm("a"), make_arm("b")]
    experiment = Known(pair, INPUTS, 1, ProtocolConfig(rounds=10, calls=10))
    found = experiment.run(8)
    assert {way: np.exp(values.mean()) for way, values in found.items()} == pytest.approx(
        {long_runs.LONG: 2.0, long_runs.PLAN: 2.0, long_runs.ALTERNATION: 2.2}, rel=0.01
    )
    said = long_runs.section(2, found, pair)
    assert "At 2 threads, turns of the plan are consistent with long runs" in said
    assert "| no, +1" in said  # the alternation
    swapped = {**found, long_runs.PLAN: found[long_runs.ALTERNATION]}
    assert "NOT consistent with long runs" in long_runs.section(2, swapped, pair)


def test_every_way_makes_the_same_number_of_timed_calls() -> None:
    experiment = Known([make_arm("a"), make_arm("b")], INPUTS, 1, ProtocolConfig(rounds=10, calls=10))
    experiment.run(1)
    assert all(protocol.rounds * protocol.calls == 100 for _, protocol in experiment.asked)
    assert sorted(names for names, _ in experiment.asked) == [("a",), ("a", "b"), ("a", "b"), ("b",)]


# ---------------------------------------------------------------------------------------------------------------------
# figures


def result(name: str, one: float, many: float, delta: float = 0.0, call: str = "faster", **more: Any) -> ArmResult:
    """An arm with speed-ups of 2 % half width, and an accuracy that is known to half a point."""
    metrics = {
        figures.AT_ONE: Estimate(one, one * 0.98, one * 1.02),
        figures.AT_LARGEST: Estimate(many, many * 0.98, many * 1.02),
        figures.ACCURACY: Estimate(delta, delta - 0.005, delta + 0.005),
        "agreement/flip_rate": Estimate(0.0),
    }
    verdicts = {metric: Verdict(metric, call, None) for metric in (figures.P50, figures.THROUGHPUT)}  # type: ignore[arg-type]
    return ArmResult(name, "variant", Recipe(name), metrics=metrics, verdicts=verdicts, **more)


def concluded(*variants: ArmResult) -> Any:
    own = {figures.P50: Estimate(2.0), figures.THROUGHPUT: Estimate(900.0), "quality/accuracy": Estimate(0.95)}
    baseline = ArmResult("baseline", "baseline", Recipe("baseline"), metrics=own)
    return SimpleNamespace(
        arms=(baseline, *variants),
        baseline=baseline,
        arm={item.name: item for item in variants}.get,
        plan=SimpleNamespace(headline=1, largest=32, trials=6),
        noise=SimpleNamespace(level="quiet"),
        workload=SimpleNamespace(data=SimpleNamespace(rows={"test": 719})),
    )


def met(workload: str, *variants: ArmResult, seconds: float = 100.0, peak_mib: float = 2048.0) -> list[bool | None]:
    building = SimpleNamespace(seconds=seconds, peak_mib=peak_mib, anew=True)
    answers = figures.WORKLOADS[workload].ask(concluded(*variants), building)  # type: ignore[arg-type]
    return [answer.met for answer in answers]


def test_the_fastest_arm_counts_only_if_it_keeps_the_accuracy() -> None:
    quick, sound = result("openvino_int8", 8.0, 9.0, delta=-0.02), result("onnx_int8_dynamic", 5.0, 6.5)
    assert met("intent", quick, sound) == [True, True, True, True]
    assert met("intent", quick) == [True, False, True, True]
    assert met("intent", result("a", 5.0, 6.05)) == [True, None, True, True]  # 5.93 to 6.17
    assert met("efficientnet", result("a", 9.0, 12.0, delta=-0.05)) == [True, True]


def test_building_is_held_to_time_and_memory_and_to_all_variants() -> None:
    gone = ArmResult("torch_aot", "variant", Recipe("torch_aot"), status="failed", failure="no compiler")
    assert met("intent", result("a", 7.0, 7.0), gone, seconds=181.0, peak_mib=7000.0) == [False, True, False, False]


def test_pruning_is_held_to_both_batch_sizes_and_zeros_to_no_gain() -> None:
    zeros = result("pruned_unstructured", 1.0, 1.0, call="equivalent")
    assert met("digits", result("pruned", 2.0, 3.0), zeros, result("torch_int8", 1, 2)) == [True, True, True, True]
    assert met("digits", result("pruned", 2.0, 1.2), zeros) == [True, False, True, False]
    assert met("digits", replace(zeros, name="pruned", verdicts={}), replace(zeros, verdicts={}))[1:3] == [None, None]
    unsure = result("pruned", 2.0, 3.0, call="inconclusive")  # as on a machine that is too busy for an answer
    assert met("digits", unsure, zeros)[1] is None
    assert met("digits", result("pruned_unstructured", 2.0, 1.0))[2] is False


def test_a_forest_is_held_to_identical_labels() -> None:
    same = result("sklearn_onnx", 30.0, 5.0)
    one = replace(same, metrics={**same.metrics, "agreement/flip_rate": Estimate(1 / 719)})
    assert (met("tabular", same), met("tabular", one)) == ([True, True, True], [True, True, False])


def test_the_table_has_every_arm_and_why_one_is_missing() -> None:
    gone = ArmResult("torch_aot", "variant", Recipe("torch_aot"), status="failed", failure="no compiler")
    building: Any = SimpleNamespace(seconds=100.0, peak_mib=2048.0, anew=True)
    said = figures.report(figures.WORKLOADS["intent"], concluded(result("a", 7.0, 7.5, -0.001), gone), building)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in said.splitlines() if line.startswith("|")]
    assert {len(row) for row in rows} == {8, 3}
    assert rows[3][:5] == ["a", "7.00 x (6.86 to 7.14)", "faster", "7.50 x (7.35 to 7.65)", "faster"]
    assert rows[3][5:7] == ["-0.10 (-0.60 to +0.40)", "0.00 %"]
    assert rows[4][:2] == ["torch_aot", "failed: no compiler"]
    assert rows[-1][1:] == ["2.0 GiB", "yes"]


def test_overrides_may_come_after_options_and_a_csv_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    asked: list[str] = []

    def measured(overrides: Sequence[str], *_others: Any) -> Any:
        asked.extend(overrides)
        return concluded(result("sklearn_onnx", 7.0, 7.0)), figures.Building()

    monkeypatch.setattr(figures, "measured", measured)
    figures.main(["tabular", "--variants", "sklearn_onnx,twin", "protocol.trials=1"])
    assert asked == ["workload=tabular", "variants=[sklearn_onnx,twin]", "protocol.trials=1"]
    assert "| identical labels | 0 of 719 differ | yes |" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        figures.main(["intent", "protocol.trials=1"])
    assert "needs --data, a CSV with the columns text and intent" in capsys.readouterr().err


def test_building_is_watched_while_it_lasts_and_no_longer() -> None:
    with figures.Building() as building:
        building.phase("Preparing the workload")
        assert building.seconds == 0
        building.phase("Building onnx_fp32 (2 of 2)")
        while not building.peak_mib:  # read every tenth of a second
            building.step("busy")
        building.phase("Measuring")
        seconds = building.seconds
    assert building.seconds == seconds > 0
    assert building.peak_mib > 20


# ---------------------------------------------------------------------------------------------------------------------
# openvino_agreement


def test_openvino_agreement_runs_and_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    openvino = pytest.importorskip("openvino")
    source = graph("openvino_fp32", tmp_path / "linear.onnx")
    openvino.save_model(openvino.Core().read_model(tmp_path / "linear.onnx"), tmp_path / "linear.xml")
    arm = replace(source, artifact=replace(source.artifact, format="openvino", entry="linear.xml"))
    monkeypatch.setattr(openvino_agreement, "arms", lambda _overrides: (workload(), [source, arm]))
    openvino_agreement.main(["--trials", "1", "--rounds", "2", "--calls", "3", "--warmup-seconds", "0"])
    said = capsys.readouterr().out
    assert "static shapes image [20, 1, 8, 8], one stream, one thread, f32" in said  # as many items as there are
    (row,) = (line for line in said.splitlines() if line.startswith("| openvino_fp32 |"))
    assert "| - | not asked: a call takes less than 1 ms" in row
    assert "benchmark_app takes PERFORMANCE_HINT" in said
    assert "NUM_STREAMS not told" not in said


@pytest.mark.parametrize(("theirs", "answer"), [(2.0, "yes, within 5 %"), (2.4, "no, -16.7 %")])
def test_openvino_agreement_is_judged_by_the_interval_over_trials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: float, answer: str
) -> None:
    said = itertools.cycle([theirs * 0.99, theirs, theirs * 1.01])
    monkeypatch.setattr(openvino_agreement, "by_mlbench", lambda *_: 2.0)
    monkeypatch.setattr(openvino_agreement, "by_app", lambda *_: openvino_agreement.Said(next(said), 0.0, {}))
    arm = graph("openvino_fp32", tmp_path / "linear.onnx")
    row = openvino_agreement.agreement(arm, workload().data.test.inputs, ProtocolConfig(trials=6), tmp_path)
    assert row[:3] == ("openvino_fp32", "2.000 ms", f"{theirs:.2f} ms")
    assert row[-1] == answer


def test_what_benchmark_app_has_in_force_is_read_from_its_log() -> None:
    log = "[ INFO ]   NUM_STREAMS: 2\n[ INFO ] Device: CPU\n[ INFO ]   INFERENCE_PRECISION_HINT: <Type: 'bfloat16'>\n"
    found = {"NUM_STREAMS": "2", "INFERENCE_PRECISION_HINT": "<Type: 'bfloat16'>"}
    assert openvino_agreement.in_force(log) == found


# ---------------------------------------------------------------------------------------------------------------------
# many studies


def test_stored_copies_are_studies_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlbench.config import RegistryConfig, TrackingConfig
    from mlbench.tracking import Search, connect, find_studies, load_study, promote

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    tracker = connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"))
    client = tracker.client
    said: list[str] = []
    study = many_studies.make_study()
    run_ids = many_studies.fill(tracker, study, 2, said.append)
    found = find_studies(tracker, Search()).studies
    assert [(item.run_id, item.name) for item in found] == [(run_ids[1], "digits-00001"), (run_ids[0], "digits-00000")]
    assert load_study(tracker, run_ids[0]).study.decision == study.decision
    assert len(load_study(tracker, run_ids[0]).arms) == len(study.arms)
    many_studies.promote_some(tracker, run_ids)
    assert client.get_model_version_by_alias(many_studies.MODEL, "champion").tags["mlbench.run"] == run_ids[0]
    planned = promote(tracker, run_ids[1], RegistryConfig(model_name=many_studies.MODEL), dry_run=True)
    assert planned.writes[-1] == "set the alias 'champion' to the new version (now: version 1)"


def test_times_are_said_with_the_first_one_apart() -> None:
    assert many_studies.row("a page", [3.0, 1.0, 2.0, 1.5]) == ["a page", "3.00 s", "1.50 s", "2.00 s"]
    assert many_studies.row("a page", [3.0]) == ["a page", "3.00 s", "3.00 s", "3.00 s"]
