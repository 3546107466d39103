import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_nvml import FakeNvml

from mlbench.probes.gpu import GpuProbe


def figures(nvml: FakeNvml, pid: int = 7) -> dict[str, float]:
    probe = GpuProbe(nvml)
    probe.start()
    probe.begin()
    found = dict(probe.end(pid))
    probe.stop()
    probe.stop()  # stopping twice is harmless
    assert nvml.open == 0
    return found


def test_reads_units_as_named() -> None:
    assert figures(FakeNvml()) == {
        "gpu_utilization_pct": 83.0,
        "gpu_power_w": 71.5,
        "gpu_temperature_c": 61.0,
        "gpu_memory_mib": 512.0,
    }


@pytest.mark.parametrize(
    ("broken", "gone"),
    [
        ("utilization", "gpu_utilization_pct"),  # MIG instances have no utilisation
        ("power", "gpu_power_w"),
        ("temperature", "gpu_temperature_c"),
        ("processes", "gpu_memory_mib"),  # permission denied
    ],
)
def test_a_missing_counter_is_absent_and_the_others_stay(broken: str, gone: str) -> None:
    found = figures(FakeNvml(broken=(broken,)))
    assert gone not in found
    assert len(found) == 3


def test_memory_is_of_the_worker_only() -> None:
    assert "gpu_memory_mib" not in figures(FakeNvml(), pid=8)
    hidden = FakeNvml(processes=[SimpleNamespace(pid=7, usedGpuMemory=None)])  # seen in containers
    assert "gpu_memory_mib" not in figures(hidden)


def test_available_says_why_not() -> None:
    assert GpuProbe(FakeNvml()).available() is None
    assert "no NVIDIA GPU" in str(GpuProbe(FakeNvml(broken=("init",))).available())
    assert "there is no number 2" in str(GpuProbe(FakeNvml(count=2), index=2).available())


def test_real_nvml_answers_with_a_reason_or_a_device() -> None:
    probe = GpuProbe()
    reason = probe.available()
    assert probe.source() == "nvml"
    if reason is None:
        pytest.skip("this machine has an NVIDIA GPU")
    assert "no NVIDIA GPU" in reason


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py is not installed" in str(GpuProbe().available())
