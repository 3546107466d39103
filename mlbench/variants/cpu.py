"""Which integer instructions this CPU has, in the names of Optimum's presets."""

from __future__ import annotations

import platform
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def instruction_set(machine: str | None = None, flags: frozenset[str] | None = None) -> str | None:
    """``avx512_vnni``, ``avx512``, ``avx2``, ``arm64`` or ``ppc64le``; None where Optimum has no preset.

    A CPU with AVX-VNNI but without AVX-512 counts as ``avx512_vnni``: it multiplies int8 without saturation, which is
    what the preset relies on.

    Args:
        machine: As ``platform.machine()``; None reads it.
        flags: CPU feature flags; None reads ``/proc/cpuinfo``.
    """
    machine = (platform.machine() if machine is None else machine).lower()
    if machine in ("aarch64", "arm64"):
        return "arm64"
    if machine == "ppc64le":
        return "ppc64le"
    if machine not in ("x86_64", "amd64"):
        return None
    flags = cpu_flags() if flags is None else flags
    if flags & {"avx512_vnni", "avx_vnni"}:
        return "avx512_vnni"
    if "avx512f" in flags:
        return "avx512"
    return "avx2" if "avx2" in flags else None


def cpu_flags(cpuinfo: Path = _CPUINFO) -> frozenset[str]:
    """Feature flags of the first CPU; empty where the system does not list them."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return frozenset()
    return next((frozenset(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), frozenset())
