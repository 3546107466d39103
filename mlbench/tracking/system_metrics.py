"""Hardware figures over time, as series for the System metrics tab of MLflow's run page. No MLflow in here.

MLflow's own monitor would run, and write to its store, beside the calls that are timed. These series are made after the
measurement from what the coordinator read between turns.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from mlbench.hardware import MODELLED
from mlbench.probes.energy import NVML, RAPL
from mlbench.probes.nvml import SLOWDOWNS
from mlbench.records import Turn
from mlbench.tracking.content import rounded

MOST_POINTS = 100  # of one series
MOST_NUMBERS = 1000  # of all series of an arm: what MLflow takes in one batch
_MEGABYTES_PER_MIB = 1.048576

_OF_THE_WORKER = ("involuntary_switches",)

Read = Callable[[Turn], float | None]


@dataclass(frozen=True, slots=True)
class SystemPoint:
    """One point of a series; ``time_ms`` is Unix time."""

    key: str
    value: float
    step: int
    time_ms: int


def system_points(turns: Sequence[Turn], arm: str, epoch_ns: int) -> list[SystemPoint]:
    """Every series of one arm for which there are figures.

    Turns that follow each other are averaged where there are more than :data:`MOST_POINTS`. The step is the number of
    the point, the time is the middle of the turns in it.

    Args:
        turns: Of all arms.
        arm: Whose.
        epoch_ns: Unix time at the zero of the turns' clock.
    """
    mine = sorted((turn for turn in turns if turn.arm == arm), key=lambda turn: turn.start_ns)
    present = {key: read for key, read in _SERIES.items() if any(read(turn) is not None for turn in mine)}
    if not present:
        return []
    count = min(MOST_POINTS, MOST_NUMBERS // len(present), len(mine))
    points = []
    for step, places in enumerate(np.array_split(np.arange(len(mine)), count)):
        group = [mine[place] for place in places]
        middle = (group[0].start_ns + group[-1].end_ns) // 2
        for key, read in present.items():
            values = [value for value in map(read, group) if value is not None]
            if values:
                points.append(SystemPoint(key, rounded(float(np.mean(values))), step, (epoch_ns + middle) // 1_000_000))
    return points


def _gauge(name: str, scale: float = 1.0) -> Read:
    def read(turn: Turn) -> float | None:
        value = turn.hardware.get(name)
        return None if value is None else scale * value

    return read


def _rate(name: str, scale: float = 1.0) -> Read:
    """A counter's increase per second; counters of the machine are read over a window a little longer than the turn."""

    def read(turn: Turn) -> float | None:
        value = turn.hardware.get(name)
        seconds = (turn.end_ns - turn.start_ns) / 1e9
        if name not in _OF_THE_WORKER:
            seconds = turn.hardware.get("machine_window_s", seconds)
        return None if value is None else scale * value / max(seconds, 1e-9)

    return read


def _slowed(turn: Turn) -> float | None:
    mask = turn.hardware.get("gpu_throttle_reasons")
    return None if mask is None else 100.0 * bool(int(mask) & SLOWDOWNS)


def _cpu(turn: Turn) -> float:
    return 100.0 * turn.cpu_ns / max(turn.wall_ns, 1)


_SERIES: dict[str, Read] = {
    "system/worker_cpu_utilization_percentage": _cpu,
    "system/worker_memory_usage_megabytes": _gauge("rss_mib", _MEGABYTES_PER_MIB),
    "system/worker_preemptions_per_second": _rate("involuntary_switches"),
    "system/machine_busy_cpus": _rate("machine_busy_s"),
    "system/machine_steal_percentage": _rate("machine_steal_s", 100.0),
    "system/cpu_pressure_percentage": _rate("cpu_pressure_s", 100.0),
    "system/memory_pressure_percentage": _rate("memory_pressure_s", 100.0),
    "system/io_pressure_percentage": _rate("io_pressure_s", 100.0),
    "system/cpu_limit_throttled_percentage": _rate("cgroup_throttled_s", 100.0),
    "system/cpu_frequency_megahertz": _gauge("cpu_mhz"),
    "system/cpu_thermal_throttles_per_second": _rate("thermal_throttles"),
    "system/cpu_power_above_idle_watts": _rate(RAPL),
    "system/cpu_power_modelled_watts": _rate(MODELLED),
    "system/gpu_utilization_percentage": _gauge("gpu_utilization_pct"),
    "system/gpu_memory_usage_megabytes": _gauge("gpu_memory_mib", _MEGABYTES_PER_MIB),
    "system/gpu_power_usage_watts": _gauge("gpu_power_w"),
    "system/gpu_temperature_celsius": _gauge("gpu_temperature_c"),
    "system/gpu_clock_megahertz": _gauge("gpu_sm_mhz"),
    "system/gpu_memory_clock_megahertz": _gauge("gpu_memory_mhz"),
    "system/gpu_throttled_percentage": _slowed,
    "system/gpu_power_above_idle_watts": _rate(NVML),
}
