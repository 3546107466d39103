"""NVIDIA GPUs through NVML (nvidia-ml-py). Where a counter is missing its figure is absent, never zero."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from mlbench.probes.nvml import Device, NoDeviceError, find_device, library

_MIB = 1 << 20
_OF_THE_BOARD = "a MIG instance has none of its own, and that of the whole GPU counts its neighbours too"
_METRICS = {
    "gpu_utilization_pct": "gpu/utilization_pct",
    "gpu_power_w": "gpu/power_w",
    "gpu_temperature_c": "gpu/temperature_c",
    "gpu_sm_mhz": "gpu/sm_clock_mhz",
    "gpu_memory_mhz": "gpu/memory_clock_mhz",
    "gpu_throttle_reasons": "gpu/throttled_pct",
    "gpu_memory_mib": "memory/gpu_peak_mib",
}

Reading = Callable[[int], float | None]
"""Reads one gauge, for the worker of that process number."""


class GpuProbe:
    """The gauges of one GPU, read at the end of each turn.

    Args:
        nvml: The module ``pynvml``, or something with its functions; imported when first needed otherwise.
        environ: Says which device CUDA takes.
    """

    name = "gpu"
    provides = tuple(_METRICS.values())

    def __init__(self, nvml: Any = None, environ: Mapping[str, str] = os.environ) -> None:
        self._nvml = nvml
        self._environ = environ
        self._readings: dict[str, Reading] = {}
        self._lacks: dict[str, str] = {}
        self._open = False

    def available(self) -> str | None:
        """None when NVML answers and the device exists; otherwise NVML's own words."""
        try:
            self._nvml = self._nvml or library()
            self._nvml.nvmlInit()
        except NoDeviceError as error:
            return str(error)
        except self._nvml.NVMLError as error:
            return f"no NVIDIA GPU can be asked ({error})"
        try:
            find_device(self._nvml, self._environ)
        except NoDeviceError as error:
            return str(error)
        except self._nvml.NVMLError as error:
            return f"the GPU cannot be asked ({error})"
        finally:
            self._nvml.nvmlShutdown()
        return None

    def source(self) -> str:
        """NVML."""
        return "nvml"

    def lacks(self) -> Mapping[str, str]:
        """What this device does not tell, or not to this user, in NVML's own words."""
        return self._lacks

    def start(self) -> None:
        """Open the device and try every gauge once."""
        self._nvml.nvmlInit()
        self._open = True
        device = find_device(self._nvml, self._environ)
        self._readings = self._gauges(device)
        self._lacks = {}
        for figure, read in list(self._readings.items()):
            if device.mig and figure == "gpu_power_w":
                self._drop(figure, _OF_THE_BOARD)
                continue
            try:
                read(0)
            except self._nvml.NVMLError as error:
                self._drop(figure, f"NVML: {error}")

    def begin(self) -> None:
        """Nothing is read before a turn: these are gauges, not counters."""

    def end(self, pid: int) -> Mapping[str, float]:
        """One figure per gauge: ``gpu_utilization_pct``, ``gpu_power_w``, ``gpu_memory_mib`` (of the worker) ..."""
        figures: dict[str, float] = {}
        for figure, read in self._readings.items():
            try:
                value = read(pid)
            except self._nvml.NVMLError:
                continue  # it answered before: this turn lacks the figure
            if value is not None:
                figures[figure] = float(value)
        return figures

    def stop(self) -> None:
        """Close NVML."""
        if self._open:
            self._nvml.nvmlShutdown()
            self._open = False

    def _drop(self, figure: str, reason: str) -> None:
        del self._readings[figure]
        self._lacks[_METRICS[figure]] = reason

    def _gauges(self, device: Device) -> dict[str, Reading]:
        nvml, handle, board = self._nvml, device.handle, device.board
        return {
            "gpu_utilization_pct": lambda _pid: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
            "gpu_power_w": lambda _pid: nvml.nvmlDeviceGetPowerUsage(board) / 1e3,
            "gpu_temperature_c": lambda _pid: nvml.nvmlDeviceGetTemperature(board, nvml.NVML_TEMPERATURE_GPU),
            "gpu_sm_mhz": lambda _pid: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_SM),
            "gpu_memory_mhz": lambda _pid: nvml.nvmlDeviceGetClockInfo(board, nvml.NVML_CLOCK_MEM),
            "gpu_throttle_reasons": lambda _pid: _reasons(nvml, board),
            "gpu_memory_mib": lambda pid: _memory_of(pid, nvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        }


def _reasons(nvml: Any, board: Any) -> int:
    """The bitmask of reasons, under the name that NVML had for it before 2023 where the new one is not known."""
    try:
        return int(nvml.nvmlDeviceGetCurrentClocksEventReasons(board))
    except (AttributeError, nvml.NVMLError):
        return int(nvml.nvmlDeviceGetCurrentClocksThrottleReasons(board))


def _memory_of(pid: int, processes: list[Any]) -> float | None:
    for process in processes:
        # inside some containers NVML knows the process but not its memory
        if process.pid == pid and process.usedGpuMemory is not None:
            return float(process.usedGpuMemory) / _MIB
    return None
