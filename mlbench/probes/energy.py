"""Energy from counters: RAPL packages (powercap) and the GPU's own."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench.measurement.clock import Clock, MonotonicClock
from mlbench.probes.nvml import NoDeviceError, find_device, library

IDLE_SECONDS = 1.0
RAPL, NVML = "energy_rapl_j", "energy_nvml_j"


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
        environ: Says which GPU CUDA takes.
    """

    name = "energy"
    provides = ("energy/joules_per_sample",)

    def __init__(
        self,
        powercap: Path = Path("/sys/class/powercap"),
        nvml: Any = None,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
        environ: Mapping[str, str] = os.environ,
    ) -> None:
        self._powercap = powercap
        self._nvml = nvml
        self._clock = clock or MonotonicClock()
        self._sleep = sleep
        self._environ = environ
        self._domains: list[_Domain] = []
        self._gpu: Any = None
        self._idle_watts: dict[str, float] = {}
        self._before: tuple[int, dict[str, float]] = (0, {})

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
        self._idle_watts = {figure: value / seconds for figure, value in joules.items()}

    def begin(self) -> None:
        """Read the counters."""
        self._before = (self._clock.now_ns(), self._read())

    def end(self, pid: int) -> Mapping[str, float]:  # noqa: ARG002 - the counters are the machine's
        """``energy_rapl_j`` and ``energy_nvml_j``, where read: joules of this turn above idle.

        Near zero they can be negative, which averages out.
        """
        joules, seconds = self._since()
        return {figure: value - self._idle_watts[figure] * seconds for figure, value in joules.items()}

    def stop(self) -> None:
        """Close NVML."""
        if self._gpu is not None and self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._gpu = None

    def _read(self) -> dict[str, float]:
        """The counters as they are now: by RAPL domain in microjoules, and the GPU's in joules."""
        found = {str(domain.counter): float(domain.counter.read_text()) for domain in self._domains}
        if self._gpu is not None:
            found[NVML] = float(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._gpu)) / 1e3
        return found

    def _since(self) -> tuple[dict[str, float], float]:
        """Joules by figure, and seconds, since the counters were read."""
        at, before = self._before
        after = self._read()
        joules: dict[str, float] = {}
        for domain in self._domains:
            delta = after[str(domain.counter)] - before[str(domain.counter)]
            joules[RAPL] = joules.get(RAPL, 0.0) + (delta + domain.wrap if delta < 0 else delta) / 1e6
        if NVML in after:
            joules[NVML] = after[NVML] - before[NVML]
        return joules, max(self._clock.now_ns() - at, 1) / 1e9

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
            self._nvml = self._nvml or library()
            self._nvml.nvmlInit()
        except NoDeviceError as error:
            return f"cannot be asked ({error})"
        except self._nvml.NVMLError as error:
            return f"does not answer ({error})"
        reason = self._take_counter()
        if reason is not None:
            self._nvml.nvmlShutdown()
        return reason

    def _take_counter(self) -> str | None:
        try:
            device = find_device(self._nvml, self._environ)
            if device.mig:
                return "counts the whole GPU, of which this is one MIG instance"
            self._nvml.nvmlDeviceGetTotalEnergyConsumption(device.board)
        except NoDeviceError as error:
            return f"finds no device ({error})"
        except self._nvml.NVMLError as error:
            return f"has no energy counter for this GPU ({error})"
        self._gpu = device.board
        return None
