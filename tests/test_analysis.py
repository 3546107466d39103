from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from measured import ARMS, measure
from voided import with_void

from mlbench.analysis import analyse
from mlbench.comparison import undecided
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.records import ArmResult, Estimate, LostTrial, Measurement, Noise, Quality, Refusal, StepSpec, Turn

QUIET = Noise("quiet")


def results(measurement: Measurement, protocol: ProtocolConfig, noise: Noise = QUIET) -> dict[str, ArmResult]:
    return {arm.name: arm for arm in analyse(measurement, ARMS, {}, protocol, noise)}


@pytest.fixture(scope="module")
def found() -> dict[str, ArmResult]:
    return results(*measure())


def test_verdicts_find_what_was_put_in(found: dict[str, ArmResult]) -> None:
    calls = {name: {metric: v.call for metric, v in arm.verdicts.items()} for name, arm in found.items()}
    assert calls["baseline"] == {}
    assert calls["twice"] == dict.fromkeys(
        ["latency/p50_ms", "latency/p95_ms", "throughput/samples_per_s", "memory/peak_rss_mib"], "faster"
    )
    assert set(calls["same"].values()) == {"equivalent"}
    assert calls["slow"]["latency/p50_ms"] == "slower"
    assert calls["slow"]["throughput/samples_per_s"] == "slower"


def test_latency_is_of_the_first_batch_size_and_throughput_of_the_largest(found: dict[str, ArmResult]) -> None:
    metrics = found["twice"].metrics
    assert metrics["latency/p50_ms"].value == pytest.approx(1.0, rel=0.01)
    assert metrics["latency/p50_ms"].n == 8
    assert metrics["throughput/samples_per_s"].value == pytest.approx(1000, rel=0.01)
    assert metrics["latency/p95_ms"].value == pytest.approx(np.exp(1.645 * 0.02), rel=0.01)


def test_discarded_calls_and_warm_up_never_count(found: dict[str, ArmResult]) -> None:
    assert found["baseline"].metrics["latency/mean_ms"].value == pytest.approx(2.0, rel=0.01)


def test_a_percentile_that_was_asked_for_is_there() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), percentiles=("p99",))
    arm = results(measurement, protocol)["baseline"]
    assert arm.metrics["latency/p99_ms"].value == pytest.approx(2 * np.exp(2.326 * 0.02), rel=0.01)


def test_speedup_is_the_inverse_of_the_ratio_with_its_bounds(found: dict[str, ArmResult]) -> None:
    speedup = found["twice"].metrics["vs_baseline/speedup_p50"]
    ratio = found["twice"].verdicts["latency/p50_ms"].ratio
    assert ratio is not None
    assert speedup.value == pytest.approx(1 / ratio.value)
    assert speedup.low is not None
    assert speedup.high is not None
    assert speedup.low == pytest.approx(1 / ratio.high)  # type: ignore[operator]
    assert speedup.low < 2.0 < speedup.high


def test_compile_time_is_there_only_for_arms_that_compile() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,))
    workers = tuple(
        replace(worker, compile_ms=9.0) if worker.arm == "twice" else worker for worker in measurement.workers
    )
    found = results(replace(measurement, workers=workers), protocol)
    assert found["twice"].metrics["latency/compile_ms"].value == pytest.approx(9.0)
    assert "latency/compile_ms" not in found["baseline"].metrics


def test_cpu_time_has_an_estimate_of_its_own_beside_wall_time() -> None:
    arm = results(*measure(cpu=0.9))["twice"]
    ratio = arm.metrics["vs_baseline/cpu_ratio_p50"]
    assert ratio == arm.verdicts["latency/p50_ms"].cpu_ratio
    assert ratio.value == pytest.approx(0.45, rel=0.01)
    assert arm.metrics["vs_baseline/speedup_p50"].value == pytest.approx(2.0, rel=0.01)
    assert arm.metrics["cpu/time_per_call_ms"].value == pytest.approx(0.9, rel=0.01)


def test_series_go_over_the_batch_sizes(found: dict[str, ArmResult]) -> None:
    series = found["slow"].series
    assert [point.step for point in series["by_batch/p50_ms"]] == [1, 8]
    assert series["by_batch/p50_ms"][1].estimate.value == pytest.approx(17.6, rel=0.01)
    assert series["by_batch/speedup_p50"][1].estimate.value == pytest.approx(1 / 1.1, rel=0.01)
    assert series["by_batch/peak_rss_mib"][1].estimate.value == pytest.approx(108.0)


SWEEP = ScenarioConfig(batch_sizes=(1, 8), input_lengths=(16, 64), threads=(1, 2))


def test_each_swept_property_has_its_own_series() -> None:
    series = results(*measure(rounds=4, scenario=SWEEP))["twice"].series
    assert {name for name in series if name.endswith("/p50_ms")} == {
        "by_batch/p50_ms",
        "by_length/p50_ms",
        "by_threads/p50_ms",
    }
    assert [point.step for point in series["by_length/p50_ms"]] == [16, 64]
    assert [point.step for point in series["by_threads/speedup_p50"]] == [1, 2]
    assert series["by_threads/p50_ms"][1].estimate.value == pytest.approx(0.5, rel=0.01)
    assert series["by_threads/samples_per_s"][1].estimate.value == pytest.approx(2000, rel=0.01)


def test_a_trial_is_whole_when_all_its_workers_came_to_their_end() -> None:
    measurement, protocol = measure(rounds=4, scenario=SWEEP)
    workers = tuple(w for w in measurement.workers if (w.arm, w.trial, w.threads) != ("twice", 3, 2))
    found = results(replace(measurement, workers=workers), protocol)
    assert found["twice"].metrics["latency/p50_ms"].n == 7
    assert found["same"].metrics["latency/p50_ms"].n == 8


def test_a_refused_condition_is_absent_with_its_reason_and_the_others_stay() -> None:
    measurement, protocol = measure(rounds=4)
    refusal = Refusal("twice", 8, "out of memory")
    turns = tuple(turn for turn in measurement.turns if (turn.arm, turn.batch_size) != ("twice", 8))
    workers = tuple(replace(w, peak_mib={"1": 51.0}) if w.arm == "twice" else w for w in measurement.workers)
    found = results(replace(measurement, turns=turns, workers=workers, refused=(refusal,)), protocol)
    twice = found["twice"]
    assert twice.status == "ok"
    assert twice.absent["throughput/samples_per_s"] == "batch size 8: out of memory"
    assert twice.absent["by_batch/p50_ms"] == "batch size 8: out of memory"
    assert [point.step for point in twice.series["by_batch/p50_ms"]] == [1]
    assert [point.step for point in twice.series["by_batch/speedup_p50"]] == [1]
    assert "throughput/samples_per_s" not in twice.verdicts
    assert twice.verdicts["latency/p50_ms"].call == "faster"
    assert [point.step for point in found["same"].series["by_batch/speedup_p50"]] == [1, 8]


def test_memory_is_the_peak_over_all_batch_sizes(found: dict[str, ArmResult]) -> None:
    assert found["baseline"].metrics["memory/peak_rss_mib"].value == pytest.approx(108.0)
    assert found["baseline"].metrics["memory/disk_mib"].value == 1.0


def test_unsupported_percentiles_are_absent_with_the_reason() -> None:
    arm = results(*measure(trials=6, rounds=2))["twice"]  # 120 calls
    assert "latency/p95_ms" in arm.metrics
    assert "latency/p99_ms" not in arm.metrics
    assert "120 calls" in arm.absent["latency/p99_ms"]
    assert "473" in arm.absent["latency/p99_ms"]
    assert "4742" in arm.absent["latency/p999_ms"]
    assert "protocol.percentiles=[p999]" in arm.absent["latency/p999_ms"]
    assert "latency/p95_ms" not in arm.verdicts  # 20 calls a trial do not support one


def test_the_baseline_comes_first() -> None:
    measurement, protocol = measure()
    assert analyse(measurement, ARMS[::-1], {}, protocol, QUIET)[0].name == "baseline"


def test_few_trials_give_no_verdict() -> None:
    arm = results(*measure(trials=3))["twice"]
    assert {verdict.call for verdict in arm.verdicts.values()} == {"inconclusive"}
    assert arm.metrics["vs_baseline/speedup_p50"].value == pytest.approx(2.0, rel=0.02)


def test_single_trial_has_estimates_without_intervals() -> None:
    arm = results(*measure(trials=1))["twice"]
    assert arm.metrics["latency/p50_ms"].low is None
    assert arm.metrics["vs_baseline/speedup_p50"].value == pytest.approx(2.0, rel=0.02)


def test_wall_and_cpu_time_that_disagree_withhold_the_verdict() -> None:
    arm = results(*measure(cpu=1.6))["twice"]  # the wall clock says half, CPU time says 0.8
    for metric, wall, cpu in (("latency/p50_ms", 0.5, 0.8), ("throughput/samples_per_s", 2.0, 1.25)):
        verdict = arm.verdicts[metric]
        assert (verdict.call, verdict.withheld) == ("inconclusive", True)
        assert "CPU" in verdict.reason
        assert verdict.ratio is not None
        assert verdict.cpu_ratio is not None
        assert verdict.ratio.value == pytest.approx(wall, rel=0.01)
        assert verdict.cpu_ratio.value == pytest.approx(cpu, rel=0.01)


def test_throughput_is_held_against_the_cpu_time_at_its_own_batch_size() -> None:
    measurement, protocol = measure()
    turns = tuple(
        replace(turn, cpu_ns=int(1.6 * turn.cpu_ns)) if (turn.arm, turn.batch_size) == ("twice", 8) else turn
        for turn in measurement.turns
    )
    calls = {
        metric: v.call for metric, v in results(replace(measurement, turns=turns), protocol)["twice"].verdicts.items()
    }
    assert (calls["latency/p50_ms"], calls["throughput/samples_per_s"]) == ("faster", "inconclusive")


def test_lost_trials_withhold_the_verdict_and_name_the_cause() -> None:
    measurement, protocol = measure()
    measurement = replace(
        measurement,
        workers=tuple(w for w in measurement.workers if (w.arm, w.trial) != ("twice", 3)),
        lost=(LostTrial("twice", 3, "the worker was ended by signal SIGKILL"),),
    )
    found = results(measurement, protocol)
    assert found["twice"].status == "incomplete"
    assert "SIGKILL" in found["twice"].failure
    assert {verdict.call for verdict in found["twice"].verdicts.values()} == {"inconclusive"}
    assert found["twice"].metrics["latency/p50_ms"].n == 7
    assert found["slow"].verdicts["latency/p50_ms"].call == "slower"


@pytest.mark.parametrize("lost", ["twice", "baseline"])
def test_a_trial_that_does_not_count_changes_no_figure_and_withholds_nothing(lost: str) -> None:
    measurement, protocol = measure(hardware={"energy_rapl_j": 0.5, "machine_busy_s": 0.1})
    measurement = replace(measurement, energy_source="rapl")
    voided = with_void(measurement, 3, lost)
    found = results(voided, protocol)
    assert found == results(replace(voided, void=(), void_workers=()), protocol)
    expected = results(measurement, protocol)
    for name, arm in found.items():
        assert (arm.status, arm.failure, arm.metrics["latency/p50_ms"].n) == ("ok", "", 8)
        values = {metric: estimate.value for metric, estimate in arm.metrics.items()}
        assert values == pytest.approx({metric: each.value for metric, each in expected[name].metrics.items()})
    assert undecided(voided, protocol) == undecided(measurement, protocol)
    assert found["twice"].verdicts["latency/p50_ms"].call == "faster"


def test_a_trial_that_was_measured_again_under_its_own_number_withholds_nothing() -> None:
    measurement, protocol = measure()
    lost = LostTrial("twice", 3, "the worker was ended by signal SIGKILL", "SIGKILL", 80.0, repeated_as=3)
    found = results(replace(measurement, lost=(lost,)), protocol)["twice"]
    assert (found.status, found.failure, found.verdicts["latency/p50_ms"].call) == ("ok", "", "faster")


def test_an_arm_that_never_ran_is_failed_with_the_reason() -> None:
    measurement, protocol = measure()
    measurement = replace(
        measurement,
        workers=tuple(w for w in measurement.workers if w.arm != "twice"),
        lost=(LostTrial("twice", 0, "the file is corrupt"),),
    )
    arm = results(measurement, protocol)["twice"]
    assert (arm.status, arm.failure, arm.metrics, arm.verdicts) == ("failed", "the file is corrupt", {}, {})


def test_a_lost_baseline_trial_withholds_every_verdict() -> None:
    measurement, protocol = measure()
    measurement = replace(
        measurement,
        workers=tuple(w for w in measurement.workers if (w.arm, w.trial) != ("baseline", 0)),
        lost=(LostTrial("baseline", 0, "gone"),),
    )
    found = results(measurement, protocol)
    assert all("baseline were lost" in verdict.reason for verdict in found["slow"].verdicts.values())


def test_interruption_and_an_unusable_machine_withhold_verdicts() -> None:
    measurement, protocol = measure()
    interrupted = results(replace(measurement, complete=False), protocol)["twice"]
    assert (interrupted.status, interrupted.verdicts["latency/p50_ms"].call) == ("incomplete", "inconclusive")
    noisy = results(measurement, protocol, Noise("unusable", ("others used 3 CPUs",)))["twice"]
    assert noisy.verdicts["latency/p50_ms"].call == "inconclusive"
    assert "others used 3 CPUs" in noisy.verdicts["latency/p50_ms"].reason
    assert results(measurement, protocol, Noise("noisy"))["twice"].verdicts["latency/p50_ms"].call == "faster"


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda turn: replace(turn, start_ns=turn.start_ns - 1), "began before the turn of"),
        (lambda turn: replace(turn, hardware={"awake": 1.0}), "threads still ran when the next turn began"),
    ],
)
def test_arms_that_did_not_run_alone_withhold_every_verdict(spoil: Callable[[Turn], Turn], reason: str) -> None:
    measurement, protocol = measure()
    found = results(replace(measurement, turns=tuple(spoil(turn) for turn in measurement.turns)), protocol)
    for name in ("twice", "same", "slow"):
        for verdict in found[name].verdicts.values():
            assert (verdict.call, verdict.withheld) == ("inconclusive", True)
            assert reason in verdict.reason


def test_absent_probes_leave_their_reason() -> None:
    measurement, protocol = measure()
    measurement = replace(measurement, absent={"energy/joules_per_sample": "no counter"})
    assert results(measurement, protocol)["same"].absent["energy/joules_per_sample"] == "no counter"


def test_quality_becomes_metrics() -> None:
    measurement, protocol = measure()
    quality = Quality(
        metrics={"accuracy": Estimate(0.9)},
        deltas={"accuracy": Estimate(-0.01)},
        agreement={"flip_rate": Estimate(0.02)},
    )
    arm = {a.name: a for a in analyse(measurement, ARMS, {"twice": quality}, protocol, QUIET)}["twice"]
    assert arm.metrics["quality/accuracy"].value == 0.9
    assert arm.metrics["agreement/flip_rate"].value == 0.02
    assert arm.metrics["vs_baseline/accuracy_delta"].value == -0.01


def test_variants_are_compared_with_the_incumbent_too() -> None:
    measurement, protocol = measure()
    arms = [replace(arm, role="incumbent") if arm.name == "twice" else arm for arm in ARMS]
    deltas = {"slow": {"accuracy": Estimate(0.01)}}
    found = {arm.name: arm for arm in analyse(measurement, arms, {}, protocol, QUIET, deltas)}
    versus = found["same"].versus_incumbent
    assert versus is not None
    assert versus.verdicts["latency/p50_ms"].call == "slower"
    assert versus.verdicts["latency/p50_ms"].ratio.value == pytest.approx(2.0, rel=0.02)  # type: ignore[union-attr]
    assert versus.deltas == {}
    assert found["slow"].versus_incumbent.deltas == deltas["slow"]  # type: ignore[union-attr]
    assert found["twice"].verdicts["latency/p50_ms"].call == "faster"
    assert (found["twice"].versus_incumbent, found["baseline"].versus_incumbent) == (None, None)
    noisy = {arm.name: arm for arm in analyse(measurement, arms, {}, protocol, Noise("unusable", ("busy",)))}
    assert noisy["same"].versus_incumbent.verdicts["latency/p50_ms"].withheld  # type: ignore[union-attr]


def test_without_an_incumbent_there_is_no_comparison_with_one(found: dict[str, ArmResult]) -> None:
    assert all(arm.versus_incumbent is None for arm in found.values())


def test_arms_that_are_not_shown_to_be_faster_than_their_parent_are_to_be_explained(
    found: dict[str, ArmResult],
) -> None:
    wanted = {name: arm.why and (arm.why.parent, arm.why.verdict.call) for name, arm in found.items()}
    assert wanted == {
        "baseline": None,
        "twice": None,
        "same": ("baseline", "equivalent"),
        "slow": ("baseline", "slower"),
    }


def test_an_arm_is_held_against_the_recipe_that_it_extends() -> None:
    """``slow`` extends ``twice``: half the baseline's time is what it has to beat."""
    measurement, protocol = measure()
    steps = {"twice": (StepSpec("export"),), "slow": (StepSpec("export"), StepSpec("quantize"))}
    arms = [replace(arm, recipe=replace(arm.recipe, steps=steps.get(arm.name, ()))) for arm in ARMS]
    why = {arm.name: arm.why for arm in analyse(measurement, arms, {}, protocol, QUIET)}["slow"]
    assert why is not None
    assert (why.parent, why.verdict.call) == ("twice", "slower")
    assert why.verdict.ratio is not None
    assert why.verdict.ratio.value == pytest.approx(1.1 / 0.5, rel=0.01)


def test_what_is_withheld_is_not_explained() -> None:
    assert all(arm.why is None for arm in results(*measure(trials=3)).values())
    assert all(arm.why is None for arm in results(*measure(), noise=Noise("unusable", ("busy",))).values())
