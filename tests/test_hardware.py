"""Hardware figures of one arm, on turns of which the truth is known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fakes import make_arm

from mlbench.hardware import Found, hardware
from mlbench.records import Arm, Estimate, RuntimeSettings, Turn, WorkerReport

ARM = make_arm("a")
ON_GPU = replace(ARM, settings=RuntimeSettings(device="cuda"))
FIGURES = {
    "rss_mib": 50.0,
    "voluntary_switches": 1.0,
    "involuntary_switches": 4.0,
    "cpu_mhz": 3000.0,
    "cgroup_throttled_s": 0.02,
    "thermal_throttles": 1.0,
    "energy_rapl_j": 0.6,
}


def turn(trial: int = 0, figures: dict[str, float] | None = None, **changes: Any) -> Turn:
    """Ten timed and two discarded calls in 0.2 s, of which the CPU worked half."""
    calls = np.full(10, 10_000_000)
    values = {"cpu_ns": 50_000_000, "wall_ns": 100_000_000, "discarded_ns": calls[:2], "timed_ns": calls, **changes}
    return Turn(trial, 0, 0, "a", 4, 0, 200_000_000, hardware=figures or FIGURES, **values)


def worker(trial: int, **changes: Any) -> WorkerReport:
    report = WorkerReport("a", trial, 1, 10.0, 5.0, 20.0, 30.0, {"4": 60.0, "8": 70.0}, np.zeros(3, np.int64))
    return replace(report, **changes)


def found(
    *trials: list[Turn], arm: Arm = ARM, reasons: dict[str, str] | None = None, **changes: Any
) -> tuple[dict[str, Estimate], dict[str, str]]:
    result = everything(*trials, arm=arm, reasons=reasons, **changes)
    return result.metrics, result.absent


def everything(*trials: list[Turn], arm: Arm = ARM, reasons: dict[str, str] | None = None, **changes: Any) -> Found:
    shown = trials or ([turn(), turn()], [turn(1), turn(1)])
    return hardware(arm, shown, shown, [worker(trial, **changes) for trial in range(len(shown))], reasons or {})


def test_processor_figures_in_their_units() -> None:
    metrics, _ = found()
    values = {name: round(estimate.value, 6) for name, estimate in metrics.items() if name.startswith("cpu/")}
    assert values == {
        "cpu/utilization_pct": 50.0,
        "cpu/time_per_call_ms": 5.0,
        "cpu/frequency_mhz": 3000.0,
        "cpu/voluntary_switches_per_s": 5.0,
        "cpu/involuntary_switches_per_s": 20.0,
        "cpu/throttled_pct": 10.0,
        "cpu/thermal_throttles": 2.0,  # over the trial's two turns
    }


def test_memory_is_the_peak_over_all_batch_sizes_and_disk_is_exact() -> None:
    metrics, _ = found()
    assert metrics["memory/peak_rss_mib"].value == pytest.approx(70.0)
    assert metrics["memory/rss_mib"].value == pytest.approx(50.0)
    assert metrics["memory/disk_mib"] == Estimate(1.0, n=1, unit="MiB", method="bytes of the files")


def test_an_interval_over_trials() -> None:
    trials = [[turn(trial, FIGURES | {"cpu_mhz": mhz})] for trial, mhz in enumerate((2900.0, 3000.0, 3100.0))]
    clock = found(*trials)[0]["cpu/frequency_mhz"]
    assert clock.n == 3
    assert clock.low is not None
    assert clock.high is not None
    assert clock.low < 3000 < clock.high


def test_nothing_happened_is_zero_and_not_absent() -> None:
    metrics, _ = found([turn(0, FIGURES | {"thermal_throttles": 0.0, "cgroup_throttled_s": 0.0})])
    assert (metrics["cpu/thermal_throttles"].value, metrics["cpu/throttled_pct"].value) == (0.0, 0.0)


def test_what_the_probes_cannot_read_is_absent_with_their_reason() -> None:
    bare = {"rss_mib": 50.0}
    reasons = {"cpu/frequency_mhz": "nominal only", "gpu/power_w": "no GPU", "energy/joules_per_sample": "no counter"}
    metrics, absent = found([turn(0, bare)], [turn(1, bare)], reasons=reasons)
    assert absent["cpu/frequency_mhz"] == "nominal only"
    assert absent["gpu/power_w"] == "no GPU"
    assert absent["energy/joules_per_sample"] == "no counter"
    assert "every trial" in absent["cpu/thermal_throttles"]
    assert not set(absent) & set(metrics)


def test_a_figure_that_one_turn_lacks_is_absent() -> None:
    broken = {name: value for name, value in FIGURES.items() if name != "cpu_mhz"}
    metrics, absent = found([turn(), turn()], [turn(1), turn(1, broken)])
    assert "cpu/frequency_mhz" not in metrics
    assert "every trial" in absent["cpu/frequency_mhz"]


def test_energy_counts_discarded_calls_and_may_be_negative() -> None:
    assert found()[0]["energy/joules_per_sample"].value == pytest.approx(0.6 / 48)  # 12 calls of 4 items
    below = found([turn(0, FIGURES | {"energy_rapl_j": -0.6})])[0]["energy/joules_per_sample"]
    assert below.value == pytest.approx(-0.6 / 48)


def test_gpu_figures_are_averaged_and_memory_is_the_peak() -> None:
    first = {"gpu_power_w": 60.0, "gpu_memory_mib": 300.0, "gpu_allocated_peak_mib": 90.0, "gpu_call_ms": 2.0}
    second = {"gpu_power_w": 80.0, "gpu_memory_mib": 200.0, "gpu_allocated_peak_mib": 95.0, "gpu_call_ms": 4.0}
    metrics, absent = found([turn(0, FIGURES | first), turn(0, FIGURES | second)], arm=ON_GPU)
    values = {name: metrics[name].value for name in metrics if "gpu" in name}
    assert values == pytest.approx(
        {
            "gpu/power_w": 70.0,
            "memory/gpu_peak_mib": 300.0,
            "memory/gpu_allocated_peak_mib": 95.0,
            "gpu/call_ms": 3.0,
        }
    )
    assert {"gpu/utilization_pct", "gpu/throttled_pct", "gpu/temperature_c"} <= set(absent)


def test_what_a_gpu_arm_lacks_has_a_reason_of_its_own() -> None:
    _, absent = found([turn()], arm=ON_GPU)
    assert "container" in absent["memory/gpu_peak_mib"]
    assert absent["gpu/call_ms"] == absent["memory/gpu_allocated_peak_mib"] == "only torch on a GPU tells it"


def test_slow_downs_of_the_gpu_are_a_share_of_turns_and_a_tag_in_words() -> None:
    capped, idle = FIGURES | {"gpu_throttle_reasons": 0x04}, FIGURES | {"gpu_throttle_reasons": 0x01}
    hot = FIGURES | {"gpu_throttle_reasons": 0x40}
    result = everything([turn(0, capped), turn(0, idle)], [turn(1, hot), turn(1, idle)], arm=ON_GPU)
    assert result.metrics["gpu/throttled_pct"].value == pytest.approx(50.0)
    assert result.tags["mlbench.gpu.throttle"] == "power cap, heat (hardware)"
    assert "mlbench.gpu.throttle" not in everything([turn(0, idle)], arm=ON_GPU).tags


def test_an_arm_on_the_cpu_has_no_figures_of_the_gpu_beside_it() -> None:
    metrics, absent = found([turn(0, FIGURES | {"gpu_power_w": 60.0, "gpu_memory_mib": 300.0})])
    assert not [name for name in metrics if "gpu" in name]
    assert absent["gpu/power_w"] == absent["memory/gpu_peak_mib"] == "this arm runs on the CPU"


@pytest.mark.parametrize(
    ("arm", "figures", "joules", "source"),
    [
        (ARM, {"energy_rapl_j": 0.6, "energy_nvml_j": 5.0}, 0.6, "rapl"),  # the GPU idles beside it
        (ON_GPU, {"energy_rapl_j": 0.6, "energy_nvml_j": 5.0}, 5.6, "rapl+nvml"),
        (ON_GPU, {"energy_nvml_j": 5.0}, 5.0, "nvml"),
        (ON_GPU, {"energy_nvml_j": 5.2, "gpu_call_ms": 1.0}, 5.2 * 12 / 13, "nvml"),  # one more call took energy
        (ARM, {"energy_nvml_j": 5.0}, None, "absent"),
        (ON_GPU, {"energy_rapl_j": 0.6}, None, "absent"),
        (ARM, {"energy_modelled_j": 0.3}, 0.3, "modelled"),
        (ON_GPU, {"energy_modelled_j": 0.3}, None, "absent"),  # the model knows CPU time only
    ],
)
def test_energy_is_of_what_the_arm_runs_on(
    arm: Arm, figures: dict[str, float], joules: float | None, source: str
) -> None:
    result = everything([turn(0, figures)], [turn(1, figures)], arm=arm)
    assert result.tags["mlbench.energy.source"] == source
    if joules is None:
        assert "no counter covers" in result.absent["energy/joules_per_sample"]
    else:
        estimate = result.metrics["energy/joules_per_sample"]
        assert estimate.value == pytest.approx(joules / 48)
        assert estimate.n == 2
        assert estimate.low is not None
        assert estimate.method.startswith(source)


def test_loading_has_resident_and_unshared_memory() -> None:
    metrics, _ = found(load_rss_mib=40.0, load_uss_mib=25.0)
    assert metrics["memory/load_rss_mib"].value == pytest.approx(40.0)
    assert metrics["memory/load_uss_mib"].value == pytest.approx(25.0)
    _, absent = found(load_rss_mib=40.0)
    assert "smaps_rollup" in absent["memory/load_uss_mib"]


def test_weights_are_exact_or_absent_with_the_artifacts_own_reason() -> None:
    dense = replace(ARM, artifact=replace(ARM.artifact, parameters=400, nonzero=100))
    metrics, _ = found(arm=dense)
    assert (metrics["model/parameters"].value, metrics["model/nonzero_pct"].value) == (400, 25.0)
    hidden = replace(ARM, artifact=replace(ARM.artifact, uncounted="compiled"))
    metrics, absent = found(arm=hidden)
    assert "model/parameters" not in metrics
    assert absent["model/nonzero_pct"] == "compiled"
