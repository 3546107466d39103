"""What the measurement ran on, for the record. Nothing secret: no host name, user, path or environment variable."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import psutil

from mlbench.measurement.cgroup import Cgroup, cpu_budget
from mlbench.measurement.cpus import cpu_fields
from mlbench.probes.nvml import NoDeviceError, library

DISTRIBUTIONS = (
    "mlflow-mlbench",
    "mlflow",
    "torch",
    "onnx",
    "onnxruntime",
    "optimum",
    "optimum-onnx",
    "scikit-learn",
    "numpy",
    "scipy",
    "torch-pruning",
)
_FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16", "asimd", "sve", "i8mm")
_GIB = 1 << 30


def environment(proc: Path = Path("/proc"), sys_root: Path = Path("/sys"), nvml: Any = None) -> dict[str, str]:
    """Facts of this machine and its software by name; what cannot be read is left out.

    Args:
        proc: Where the kernel shows processes and processors.
        sys_root: Where it shows devices and limits.
        nvml: The module ``pynvml``, or something with its functions; imported otherwise.
    """
    group = Cgroup(proc, sys_root / "fs" / "cgroup")
    facts = {
        "python": platform.python_version(),
        "implementation": sys.implementation.name,
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "cpu.logical": str(psutil.cpu_count()),
        "cpu.usable": str(cpu_budget(group)),
        "memory.total_gib": f"{psutil.virtual_memory().total / _GIB:.1f}",
    }
    physical = psutil.cpu_count(logical=False)
    if physical is not None:
        facts["cpu.physical"] = str(physical)
    facts.update(_cpu(proc / "cpuinfo"))
    facts.update(_gpus(nvml))
    for name, limit, unit in (("cpu", group.cpus(), "CPUs"), ("memory", group.memory_mib(), "MiB")):
        if limit is not None:
            facts[f"cgroup.{name}_max"] = f"{limit:g} {unit}"
    governor = sys_root / "devices/system/cpu/cpu0/cpufreq/scaling_governor"
    if governor.is_file():
        facts["cpu.governor"] = governor.read_text().strip()
    facts.update(_versions())
    return facts


def _versions() -> dict[str, str]:
    facts = {}
    for name in DISTRIBUTIONS:
        try:
            facts[f"version.{name}"] = version(name)
        except PackageNotFoundError:
            continue  # not installed
    return facts


def _cpu(cpuinfo: Path) -> dict[str, str]:
    fields = cpu_fields(cpuinfo)
    if not fields:
        return {}
    flags = set((fields.get("flags") or fields.get("Features") or "").split())
    facts = {"cpu.instructions": " ".join(flag for flag in _FLAGS if flag in flags)}
    for name, key in {"cpu.model": "model name", "cpu.vendor": "vendor_id"}.items():
        if key in fields:
            facts[name] = fields[key]
    return facts


def _gpus(nvml: Any) -> dict[str, str]:
    """The models of all NVIDIA GPUs; nothing where there is none, or no driver that answers."""
    try:
        nvml = nvml or library()
    except NoDeviceError:
        return {}
    try:
        nvml.nvmlInit()
    except nvml.NVMLError:
        return {}
    try:
        handles = [nvml.nvmlDeviceGetHandleByIndex(place) for place in range(nvml.nvmlDeviceGetCount())]
        names = [nvml.nvmlDeviceGetName(handle) for handle in handles]
    except nvml.NVMLError:
        return {}
    finally:
        nvml.nvmlShutdown()
    # bytes in older versions
    shown = [name.decode(errors="replace") if isinstance(name, bytes) else str(name) for name in names]
    return {"gpu.models": ", ".join(shown)} if shown else {}
