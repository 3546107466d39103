"""NVML as recorded from real drivers: value shapes, units and the errors that it raises."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any


class NVMLError(Exception):
    pass


class FakeNvml:
    """GPUs as NVML shows them.

    Args:
        count: How many; number ``i`` has the handle ``gpu<i>`` and the UUID ``GPU-<i>aaa-...``.
        broken: Calls that raise, as on devices that lack the counter, or for users who may not read it.
        error: What they say.
        processes: What runs on each GPU.
        names: Models of the GPUs; all the same unless given.
        mig: Places of the first GPU that hold a MIG instance; None is a GPU that cannot be partitioned.
        reasons: Bitmask of clock event reasons.
    """

    NVMLError = NVMLError
    NVML_TEMPERATURE_GPU = 0
    NVML_CLOCK_SM, NVML_CLOCK_MEM = 1, 2
    NVML_DEVICE_MIG_ENABLE = 1

    def __init__(
        self,
        count: int = 1,
        broken: tuple[str, ...] = (),
        error: str = "Not Supported",
        processes: list[Any] | None = None,
        names: tuple[str, ...] = (),
        mig: tuple[int, ...] | None = None,
        reasons: int = 0,
    ) -> None:
        self.count, self.broken, self.error, self.mig, self.reasons = count, broken, error, mig, reasons
        self.names = names or ("NVIDIA A100-SXM4-40GB",) * count
        self.processes = [SimpleNamespace(pid=7, usedGpuMemory=512 << 20)] if processes is None else processes
        self.energy_mj = 5_000_000
        self.open = 0
        self.asked: list[tuple[str, str]] = []  # call and handle

    def _ask(self, name: str, value: Any, handle: str = "") -> Any:
        self.asked.append((name, handle))
        if name in self.broken:
            raise NVMLError(self.error)
        return value

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's own names
        self._ask("init", None)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return self.count

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:  # noqa: N802
        return str(self._ask("handle", f"gpu{index}"))

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:  # noqa: N802
        return str(self._ask("handle", f"instance {uuid}"))

    def nvmlDeviceGetUUID(self, handle: str) -> str:  # noqa: N802
        return f"GPU-{handle[3:]}aaa-bbbb"

    def nvmlDeviceGetName(self, handle: str) -> bytes:  # noqa: N802 - bytes in older versions
        return self.names[int(handle[3:])].encode()

    def nvmlDeviceGetMigMode(self, handle: str) -> list[int]:  # noqa: N802
        if self.mig is None:
            raise NVMLError("Not Supported")
        return [1, 1] if handle == "gpu0" else [0, 0]

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, place: int) -> str:  # noqa: N802
        if place not in (self.mig or ()):
            raise NVMLError("Not Found")
        return f"{handle}/{place}"

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, handle: str) -> str:  # noqa: N802
        return "gpu0"

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:  # noqa: N802
        if "/" in handle or handle.startswith("instance"):
            raise NVMLError("Not Supported")  # MIG instances have no utilisation
        return self._ask("utilization", SimpleNamespace(gpu=83, memory=41), handle)

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:  # noqa: N802
        return int(self._ask("power", 71_500, handle))  # milliwatts

    def nvmlDeviceGetTemperature(self, handle: str, sensor: int) -> int:  # noqa: N802
        return int(self._ask("temperature", 61, handle))

    def nvmlDeviceGetClockInfo(self, handle: str, kind: int) -> int:  # noqa: N802
        return int(self._ask("clock", {1: 1410, 2: 1215}[kind], handle))

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:  # noqa: N802
        return int(self._ask("event reasons", self.reasons, handle))

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, handle: str) -> int:  # noqa: N802
        return int(self._ask("throttle reasons", self.reasons, handle))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[Any]:  # noqa: N802
        return list(self._ask("processes", self.processes, handle))

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:  # noqa: N802
        return int(self._ask("energy", self.energy_mj, handle))
