"""The clock of the CPUs that a worker runs on, where the kernel knows the true one (cpufreq, or APERF/MPERF)."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

_KHZ_PER_MHZ = 1000.0


class FrequencyProbe:
    """Frequency right after a turn, mean over the CPUs that the worker may run on.

    ``/proc/cpuinfo`` shows a frequency on every x86 machine, but without the CPU flag ``aperfmperf`` it is the nominal
    one, a constant (as on most virtual machines): that is not a measurement, and so the figure is absent then.

    Args:
        proc, sys_root: The proc and sys file systems.
        affinity: CPUs that a process may run on.
    """

    name = "frequency"
    provides = ("cpu/frequency_mhz",)

    def __init__(
        self,
        proc: Path = Path("/proc"),
        sys_root: Path = Path("/sys"),
        affinity: Callable[[int], Collection[int]] = os.sched_getaffinity,
    ) -> None:
        self._cpuinfo = proc / "cpuinfo"
        self._cpus = sys_root / "devices" / "system" / "cpu"
        self._affinity = affinity

    def available(self) -> str | None:
        """None where every CPU of this process has a true frequency."""
        cpus = self._affinity(0)
        if self._has_cpufreq():
            reason = "cpufreq has no frequency for some of the CPUs"
        else:
            reason = "the kernel offers no cpufreq and no CPU frequencies in /proc/cpuinfo"
            text = self._text()
            if "cpu MHz" in text and "aperfmperf" not in _flags(text):
                return "this (virtual) machine shows the nominal frequency only: no cpufreq, no APERF/MPERF counters"
        return None if cpus and set(cpus) <= self._read(cpus).keys() else reason

    def source(self) -> str:
        """``cpufreq`` or ``cpuinfo``."""
        return "cpufreq" if self._has_cpufreq() else "cpuinfo"

    def lacks(self) -> Mapping[str, str]:
        """Nothing: there is one figure."""
        return {}

    def start(self) -> None:
        """Nothing is held open."""

    def begin(self) -> None:
        """Nothing is read before a turn: this is a gauge."""

    def end(self, pid: int) -> Mapping[str, float]:
        """``cpu_mhz``; nothing when a CPU has just gone."""
        found = self._read(self._affinity(pid))
        return {"cpu_mhz": sum(found.values()) / len(found)} if found else {}

    def stop(self) -> None:
        """Nothing is held open."""

    def _has_cpufreq(self) -> bool:
        return next(self._cpus.glob("cpu[0-9]*/cpufreq/scaling_cur_freq"), None) is not None

    def _read(self, cpus: Collection[int]) -> dict[int, float]:
        """MHz by CPU, for those that have one."""
        found: dict[int, float] = {}
        for cpu in cpus:
            try:
                text = (self._cpus / f"cpu{cpu}" / "cpufreq" / "scaling_cur_freq").read_text()
                found[cpu] = int(text) / _KHZ_PER_MHZ
            except (OSError, ValueError):
                continue
        if not found:
            found = {cpu: mhz for cpu, mhz in _cpuinfo_mhz(self._text()).items() if cpu in cpus}
        return found

    def _text(self) -> str:
        try:
            return self._cpuinfo.read_text()
        except OSError:
            return ""


def _flags(text: str) -> set[str]:
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return set(line.partition(":")[2].split())


def _cpuinfo_mhz(text: str) -> dict[int, float]:
    """``cpu MHz`` by processor number."""
    found: dict[int, float] = {}
    cpu = -1
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "processor":
            cpu = int(value)
        elif key.strip() == "cpu MHz":
            found[cpu] = float(value)
    return found
