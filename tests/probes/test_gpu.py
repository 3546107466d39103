import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_nvml import FakeNvml

from mlbench.probes.gpu import GpuProbe


def figures(nvml: FakeNvml, pid: int = 7, environ: dict[str, str] | None = None) -> tuple[dict[str, float], GpuProbe]:
    probe = GpuProbe(nvml, environ or {})
    probe.start()
    probe.begin()
    found = dict(probe.end(pid))
    probe.stop()
    probe.stop()  # stopping twice is harmless
    assert nvml.open == 0
    return found, probe


def test_reads_units_as_named() -> None:
    found, probe = figures(FakeNvml(reasons=0x44))
    assert found == {
        "gpu_utilization_pct": 83.0,
        "gpu_power_w": 71.5,
        "gpu_temperature_c": 61.0,
        "gpu_sm_mhz": 1410.0,
        "gpu_memory_mhz": 1215.0,
        "gpu_throttle_reasons": 0x44,
        "gpu_memory_mib": 512.0,
    }
    assert probe.lacks() == {}


@pytest.mark.parametrize(
    ("broken", "gone", "metric"),
    [
        (("utilization",), "gpu_utilization_pct", "gpu/utilization_pct"),
        (("power",), "gpu_power_w", "gpu/power_w"),
        (("temperature",), "gpu_temperature_c", "gpu/temperature_c"),
        (("event reasons", "throttle reasons"), "gpu_throttle_reasons", "gpu/throttled_pct"),
        (("processes",), "gpu_memory_mib", "memory/gpu_peak_mib"),
    ],
)
def test_a_missing_counter_is_absent_with_nvmls_reason_and_the_others_stay(
    broken: tuple[str, ...], gone: str, metric: str
) -> None:
    found, probe = figures(FakeNvml(broken=broken, error="Insufficient Permissions"))
    assert gone not in found
    assert len(found) == 6
    assert probe.lacks() == {metric: "NVML: Insufficient Permissions"}


def test_older_drivers_call_the_reasons_by_another_name() -> None:
    found, probe = figures(FakeNvml(broken=("event reasons",), error="Function Not Found", reasons=8))
    assert found["gpu_throttle_reasons"] == 8
    assert probe.lacks() == {}


def test_a_counter_that_fails_later_is_absent_for_that_turn() -> None:
    nvml = FakeNvml()
    probe = GpuProbe(nvml, {})
    probe.start()
    nvml.broken = ("power",)
    assert "gpu_power_w" not in probe.end(7)
    nvml.broken = ()
    assert probe.end(7)["gpu_power_w"] == 71.5
    probe.stop()


def test_memory_is_of_the_worker_only() -> None:
    assert "gpu_memory_mib" not in figures(FakeNvml(), pid=8)[0]
    hidden = FakeNvml(processes=[SimpleNamespace(pid=7, usedGpuMemory=None)])  # seen in containers
    assert "gpu_memory_mib" not in figures(hidden)[0]


def test_a_mig_instance_has_the_sensors_of_its_gpu_but_not_its_power() -> None:
    nvml = FakeNvml(mig=(2,))
    found, probe = figures(nvml)
    assert set(found) == {
        "gpu_temperature_c",
        "gpu_sm_mhz",
        "gpu_memory_mhz",
        "gpu_throttle_reasons",
        "gpu_memory_mib",
    }
    assert set(probe.lacks()) == {"gpu/utilization_pct", "gpu/power_w"}
    assert "neighbours" in probe.lacks()["gpu/power_w"]
    assert ("processes", "gpu0/2") in nvml.asked
    assert ("temperature", "gpu0") in nvml.asked


def test_the_device_is_the_one_that_cuda_takes() -> None:
    nvml = FakeNvml(count=3)
    figures(nvml, environ={"CUDA_VISIBLE_DEVICES": "2,0"})
    assert {handle for call, handle in nvml.asked if call in ("power", "processes")} == {"gpu2"}


def test_available_says_why_not() -> None:
    assert GpuProbe(FakeNvml(), {}).available() is None
    assert "no NVIDIA GPU" in str(GpuProbe(FakeNvml(broken=("init",)), {}).available())
    assert "hides every GPU" in str(GpuProbe(FakeNvml(), {"CUDA_VISIBLE_DEVICES": ""}).available())
    denied = FakeNvml(broken=("handle",), error="Insufficient Permissions")
    assert "cannot be asked (Insufficient Permissions)" in str(GpuProbe(denied, {}).available())
    assert denied.open == 0


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
