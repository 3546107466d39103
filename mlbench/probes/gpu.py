"""NVIDIA GPUs through NVML (nvidia-ml-py). Where a counter is missing its figure is absent, never zero."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_MIB = 1 << 20


class GpuProbe:
    """Utilisation, memory and power of one GPU, read at the end of each turn.

    Args:
        nvml: The module ``pynvml``, or something with its functions; imported when first needed otherwise.
        index: Which device.
    """

    name = "gpu"
    provides = ("gpu/utilization_pct", "gpu/power_w", "memory/gpu_peak_mib")

    def __init__(self, nvml: Any = None, index: int = 0) -> None:
        self._nvml = nvml
        self._index = index
        self._handle: Any = None

    def available(self) -> str | None:
        """None when NVML answers and the device exists; otherwise NVML's own words."""
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
            count = self._nvml.nvmlDeviceGetCount()
            self._nvml.nvmlShutdown()
        except ImportError as error:
            return f"nvidia-ml-py is not installed ({error})"
        except self._nvml.NVMLError as error:
            return f"no NVIDIA GPU can be asked ({error})"
        if count <= self._index:
            return f"NVML sees {count} GPUs, there is no number {self._index}"
        return None

    def source(self) -> str:
        """NVML."""
        return "nvml"

    def lacks(self) -> Mapping[str, str]:
        """Nothing so far."""
        return {}

    def start(self) -> None:
        """Open the device."""
        assert self._nvml is not None
        self._nvml.nvmlInit()
        self._handle = self._nvml.nvmlDeviceGetHandleByIndex(self._index)

    def begin(self) -> None:
        """Nothing is read before a turn: these are gauges, not counters."""

    def end(self, pid: int) -> Mapping[str, float]:
        """``gpu_utilization_pct``, ``gpu_power_w``, ``gpu_memory_mib`` (of the worker), ``gpu_temperature_c``."""
        nvml, handle = self._nvml, self._handle
        assert nvml is not None
        figures: dict[str, float] = {}

        def ask(name: str, read: Callable[[], float | None]) -> None:
            try:
                value = read()
            except nvml.NVMLError:
                return  # this device lacks the counter, or this user may not read it
            if value is not None:
                figures[name] = float(value)

        ask("gpu_utilization_pct", lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
        ask("gpu_power_w", lambda: nvml.nvmlDeviceGetPowerUsage(handle) / 1e3)
        ask("gpu_temperature_c", lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        ask("gpu_memory_mib", lambda: _memory_of(pid, nvml.nvmlDeviceGetComputeRunningProcesses(handle)))
        return figures

    def stop(self) -> None:
        """Close NVML."""
        if self._handle is not None and self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._handle = None


def _memory_of(pid: int, processes: list[Any]) -> float | None:
    for process in processes:
        # inside some containers NVML knows the process but not its memory
        if process.pid == pid and process.usedGpuMemory is not None:
            return float(process.usedGpuMemory) / _MIB
    return None
