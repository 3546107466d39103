"""NVML as recorded from real drivers: value shapes, units and the errors that it raises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


class FakeNvml:
    """One GPU; a name in ``broken`` makes that call raise, as on devices that lack the counter."""

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, count: int = 1, broken: tuple[str, ...] = (), processes: list[Any] | None = None) -> None:
        self.count, self.broken = count, broken
        self.processes = [SimpleNamespace(pid=7, usedGpuMemory=512 << 20)] if processes is None else processes
        self.energy_mj = 5_000_000
        self.open = 0

    def _ask(self, name: str, value: Any) -> Any:
        if name in self.broken:
            raise NVMLError("Not Supported")
        return value

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names
        self._ask("init", None)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        self._ask("handle", None)
        return f"gpu{index}"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        return self._ask("utilization", SimpleNamespace(gpu=83, memory=41))

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return self._ask("power", 71_500)  # milliwatts

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return self._ask("temperature", 61)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return self._ask("processes", self.processes)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return self._ask("energy", self.energy_mj)
