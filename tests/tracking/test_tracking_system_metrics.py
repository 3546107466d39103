import math

import numpy as np
import pytest

from mlbench.metrics import SYSTEM
from mlbench.records import Turn
from mlbench.tracking.system_metrics import _SERIES, MOST_NUMBERS, MOST_POINTS, system_points

EPOCH_NS = 1_700_000_000_000_000_000


def turn(number, arm="a", **hardware):
    """A turn of half a second, one every second, in which the CPU worked a quarter of the time."""
    start, calls = number * 1_000_000_000, np.full(4, 100_000_000)
    return Turn(0, number, 0, arm, 1, start, start + 500_000_000, 100, 400, calls[:0], calls, hardware=hardware)


def series(turns, key):
    return [(p.step, p.value, p.time_ms) for p in system_points(turns, "a", EPOCH_NS) if p.key == f"system/{key}"]


def test_gauges_and_rates_at_the_time_of_their_turn():
    turns = [turn(0, rss_mib=100.0, machine_busy_s=0.75, cpu_pressure_s=0.1), turn(2, rss_mib=200.0)]
    assert series(turns, "worker_memory_usage_megabytes") == [
        (0, 104.86, EPOCH_NS // 10**6 + 250),
        (1, 209.72, EPOCH_NS // 10**6 + 2250),
    ]
    assert [value for _, value, _ in series(turns, "worker_cpu_utilization_percentage")] == [25.0, 25.0]
    assert series(turns, "machine_busy_cpus") == [(0, 1.5, EPOCH_NS // 10**6 + 250)]
    assert [value for _, value, _ in series(turns, "cpu_pressure_percentage")] == [20.0]


def test_heat_and_energy_are_rates_over_the_time_between_their_readings():
    figures = {"thermal_throttles": 3.0, "energy_rapl_j": 6.0, "energy_modelled_j": 9.0, "energy_nvml_j": 30.0}
    turns = [turn(0, **figures, machine_window_s=0.6)]
    for key, value in {
        "cpu_thermal_throttles_per_second": 5.0,
        "cpu_power_above_idle_watts": 10.0,
        "cpu_power_modelled_watts": 15.0,
        "gpu_power_above_idle_watts": 50.0,
    }.items():
        assert [seen for _, seen, _ in series(turns, key)] == [value]


def test_the_gpus_memory_clock_and_how_often_it_was_slowed():
    turns = [turn(number, gpu_memory_mhz=5000.0, gpu_throttle_reasons=mask) for number, mask in enumerate((0, 0x40, 1))]
    assert [seen for _, seen, _ in series(turns, "gpu_memory_clock_megahertz")] == [5000.0] * 3
    assert [seen for _, seen, _ in series(turns, "gpu_throttled_percentage")] == [0.0, 100.0, 0.0]  # 1: it was idle


def test_what_was_never_read_has_no_series():
    keys = {point.key for point in system_points([turn(0, gpu_power_w=70.0)], "a", EPOCH_NS)}
    assert keys == {"system/worker_cpu_utilization_percentage", "system/gpu_power_usage_watts"}


def test_points_are_in_order_of_time_where_numbers_of_trials_are_not():
    turns = [turn(number, rss_mib=float(number)) for number in (0, 2, 1)]
    points = [point for point in system_points(turns, "a", 0) if point.key.endswith("worker_memory_usage_megabytes")]
    assert [point.time_ms for point in points] == [250, 1250, 2250]


def test_other_arms_and_no_turns():
    assert system_points([turn(0, arm="b", rss_mib=1.0)], "a", EPOCH_NS) == []
    assert system_points([], "a", EPOCH_NS) == []


@pytest.mark.parametrize("count", [1, MOST_POINTS, MOST_POINTS + 1, 1234])
def test_long_studies_are_averaged_to_a_bounded_number_of_points(count):
    figures = {
        "rss_mib": 10.0,
        "machine_busy_s": 0.5,
        "machine_steal_s": 0.0,
        "cpu_pressure_s": 0.0,
        "io_pressure_s": 0.0,
    }
    figures |= {"memory_pressure_s": 0.0, "cpu_mhz": 3000.0, "cgroup_throttled_s": 0.0, "involuntary_switches": 3.0}
    figures |= {"gpu_utilization_pct": 1.0, "gpu_memory_mib": 1.0, "gpu_power_w": 1.0, "gpu_temperature_c": 1.0}
    points = system_points([turn(number, **figures, gpu_sm_mhz=float(number)) for number in range(count)], "a", 0)
    assert len(points) <= MOST_NUMBERS
    clock = [point for point in points if point.key == "system/gpu_clock_megahertz"]
    assert len(clock) == min(count, MOST_NUMBERS // 15)
    assert [point.step for point in clock] == list(range(len(clock)))
    assert [point.time_ms for point in clock] == sorted({point.time_ms for point in clock})
    values = [point.value for point in clock]
    assert values == sorted(values)
    assert abs(values[0] + values[-1] - (count - 1)) <= count / len(clock)  # both ends are there
    assert all(math.isfinite(point.value) for point in points)


def test_every_series_is_documented():
    assert list(_SERIES) == [row.name for row in SYSTEM]
