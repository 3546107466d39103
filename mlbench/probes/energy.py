"""Energy from real counters only: RAPL packages (powercap) and the GPU's own counter. Nothing is modelled."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench.measurement.clock import Clock, MonotonicClock

IDLE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class _Domain:
    """One RAPL package: its counter in microjoules, which wraps around at ``wrap``."""

    counter: Path
    wrap: int


class EnergyProbe:
    """Joules that the machine took during a turn beyond what it takes when idle.

    Args:
        powercap: The powercap directory.
        nvml: The module ``pynvml``, or something with its functions.
        clock: For idle power.
        sleep: Waits while the idle machine is read.
    """

    name = "energy"
    provides = ("energy/joules_per_sample",)

    def __init__(
        self,
        powercap: Path = Path("/sys/class/powercap"),
        nvml: Any = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._powercap = powercap
        self._nvml = nvml
        self._clock = clock or MonotonicClock()
        self._sleep = sleep
        self._domains: list[_Domain] = []
        self._gpu: Any = None
        self._idle_watts = 0.0
        self._before: tuple[int, list[int], float] = (0, [], 0.0)

    def available(self) -> str | None:
        """None when at least one counter can be read; otherwise why neither RAPL nor NVML has one."""
        rapl = self._find_domains()
        gpu = self._find_gpu()
        if rapl is None or gpu is None:
            return None
        return f"no energy counter: RAPL {rapl}; NVML {gpu}"

    def source(self) -> str:
        """``rapl``, ``nvml`` or ``rapl+nvml``."""
        return "+".join([*(["rapl"] if self._domains else []), *(["nvml"] if self._gpu is not None else [])])

    def lacks(self) -> Mapping[str, str]:
        """Nothing: there is one figure."""
        return {}

    def start(self) -> None:
        """Measure the idle machine for a second: idle power is subtracted from every turn."""
        self.begin()
        self._sleep(IDLE_SECONDS)
        joules, seconds = self._since()
        self._idle_watts = joules / seconds if seconds > 0 else 0.0

    def begin(self) -> None:
        """Read the counters."""
        self._before = (self._clock.now_ns(), [int(d.counter.read_text()) for d in self._domains], self._gpu_joules())

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - the counters are the machine's
        """``energy_j``: joules of this turn above idle; near zero it can be negative, which averages out."""
        joules, seconds = self._since()
        return {"energy_j": joules - self._idle_watts * seconds}

    def stop(self) -> None:
        """Close NVML."""
        if self._gpu is not None and self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._gpu = None

    def _since(self) -> tuple[float, float]:
        at, counters, gpu = self._before
        joules = self._gpu_joules() - gpu
        for domain, before in zip(self._domains, counters, strict=True):
            delta = int(domain.counter.read_text()) - before
            joules += (delta + domain.wrap if delta < 0 else delta) / 1e6
        return joules, (self._clock.now_ns() - at) / 1e9

    def _find_domains(self) -> str | None:
        """Find the package domains; a reason when there is none that can be read."""
        reason = f"is not offered by this kernel or virtual machine ({self._powercap} has no intel-rapl package)"
        self._domains = []
        for directory in sorted(self._powercap.glob("intel-rapl:*")):
            try:
                if (directory / "name").read_text().startswith("package"):
                    wrap = int((directory / "max_energy_range_uj").read_text())
                    int((directory / "energy_uj").read_text())
                    self._domains.append(_Domain(directory / "energy_uj", wrap))
            except PermissionError:
                reason = f"may not be read by this user ({directory / 'energy_uj'})"
            except (OSError, ValueError) as error:
                reason = f"cannot be read ({error})"
        return None if self._domains else reason

    def _find_gpu(self) -> str | None:
        """Open the GPU's counter; a reason when there is none."""
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            self._nvml.nvmlInit()
        except ImportError as error:
            return f"is not installed ({error})"
        except self._nvml.NVMLError as error:
            return f"does not answer ({error})"
        try:
            handle = self._nvml.nvmlDeviceGetHandleByIndex(0)
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(handle)
        except self._nvml.NVMLError as error:
            self._nvml.nvmlShutdown()
            return f"has no energy counter for this GPU ({error})"
        self._gpu = handle
        return None

    def _gpu_joules(self) -> float:
        if self._gpu is None or self._nvml is None:
            return 0.0
        return float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)) / 1e3
