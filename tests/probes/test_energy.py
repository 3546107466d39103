import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from fake_nvml import FakeNvml
from fakes import FakeClock

from mlbench.probes.energy import EnergyProbe

NO_GPU = FakeNvml(broken=("init",))


def package(powercap: Path, number: int, energy_uj: int, wrap: int = 1_000_000_000, name: str = "package-0") -> Path:
    domain = powercap / f"intel-rapl:{number}"
    domain.mkdir(parents=True, exist_ok=True)
    (domain / "name").write_text(f"{name}\n")
    (domain / "max_energy_range_uj").write_text(f"{wrap}\n")
    (domain / "energy_uj").write_text(f"{energy_uj}\n")
    return domain / "energy_uj"


class Machine:
    """A powercap tree whose counters run on the fake clock."""

    def __init__(self, powercap: Path, watts: float, start_uj: int = 500, wrap: int = 1_000_000_000) -> None:
        self.clock = FakeClock()
        self.watts, self.energy, self.wrap = watts, float(start_uj), wrap
        self.counter = package(powercap, 0, start_uj, wrap)

    def run(self, seconds: float, extra_watts: float = 0.0) -> None:
        self.clock.advance(round(seconds * 1e9))
        self.energy += (self.watts + extra_watts) * seconds * 1e6
        self.counter.write_text(str(round(self.energy) % self.wrap))


@pytest.mark.parametrize("wrap", [1_000_000_000, 25_000_000])
def test_joules_above_idle_also_when_the_counter_wraps(tmp_path: Path, wrap: int) -> None:
    machine = Machine(tmp_path, watts=10.0, wrap=wrap)
    probe = EnergyProbe(tmp_path, NO_GPU, machine.clock, machine.run)
    assert probe.available() is None
    assert probe.source() == "rapl"
    probe.start()
    for _ in range(4):
        probe.begin()
        machine.run(0.5, extra_watts=7.0)
        assert probe.end(1)["energy_rapl_j"] == pytest.approx(3.5, abs=1e-5)
    probe.stop()


def test_an_idle_turn_takes_nothing(tmp_path: Path) -> None:
    machine = Machine(tmp_path, watts=10.0)
    probe = EnergyProbe(tmp_path, NO_GPU, machine.clock, machine.run)
    probe.available()
    probe.start()
    probe.begin()
    machine.run(0.3)
    assert probe.end(1)["energy_rapl_j"] == pytest.approx(0.0, abs=1e-5)


def test_packages_add_up_and_their_parts_do_not_count_twice(tmp_path: Path) -> None:
    first, second = package(tmp_path, 0, 0), package(tmp_path, 1, 0, name="package-1")
    package(tmp_path, 2, 0, name="core")
    clock = FakeClock()
    probe = EnergyProbe(tmp_path, NO_GPU, clock, lambda seconds: clock.advance(round(seconds * 1e9)))
    probe.available()
    probe.start()
    probe.begin()
    first.write_text("1000000")
    second.write_text("2000000")
    assert probe.end(1)["energy_rapl_j"] == pytest.approx(3.0)


def test_gpu_counter_in_millijoules(tmp_path: Path) -> None:
    nvml, clock = FakeNvml(), FakeClock()
    probe = EnergyProbe(tmp_path, nvml, clock, lambda seconds: clock.advance(round(seconds * 1e9)), {})
    assert probe.available() is None
    assert probe.source() == "nvml"
    probe.start()
    probe.begin()
    nvml.energy_mj += 2_500
    assert probe.end(1) == pytest.approx({"energy_nvml_j": 2.5})
    probe.stop()
    assert nvml.open == 0


def test_processor_and_gpu_are_kept_apart(tmp_path: Path) -> None:
    machine, nvml = Machine(tmp_path, watts=10.0), FakeNvml()

    def idle(seconds: float) -> None:
        machine.run(seconds)
        nvml.energy_mj += round(50_000 * seconds)  # 50 W

    probe = EnergyProbe(tmp_path, nvml, machine.clock, idle, {})
    assert probe.available() is None
    assert probe.source() == "rapl+nvml"
    probe.start()
    probe.begin()
    idle(2.0)
    nvml.energy_mj += 7_000
    assert probe.end(1) == pytest.approx({"energy_rapl_j": 0.0, "energy_nvml_j": 7.0}, abs=1e-5)
    probe.stop()


@pytest.mark.parametrize(
    ("nvml", "environ", "reason"),
    [
        (FakeNvml(mig=(0,)), {}, "one MIG instance"),
        (FakeNvml(), {"CUDA_VISIBLE_DEVICES": "-1"}, "hides every GPU"),
        (FakeNvml(broken=("handle",), error="Insufficient Permissions"), {}, "Insufficient Permissions"),
    ],
)
def test_a_gpu_whose_counter_says_nothing_about_this_work(
    tmp_path: Path, nvml: FakeNvml, environ: dict[str, str], reason: str
) -> None:
    assert reason in str(EnergyProbe(tmp_path, nvml, environ=environ).available())
    assert nvml.open == 0


def test_no_counter_gives_both_reasons(tmp_path: Path) -> None:
    reason = str(EnergyProbe(tmp_path, NO_GPU).available())
    assert "RAPL is not offered" in reason
    assert "NVML does not answer" in reason


def test_gpu_without_a_counter_is_named_and_closed(tmp_path: Path) -> None:
    nvml = FakeNvml(broken=("energy",))
    assert "has no energy counter for this GPU" in str(EnergyProbe(tmp_path, nvml, environ={}).available())
    assert nvml.open == 0


def test_unreadable_counters_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = package(tmp_path, 0, 5)
    counter.write_text("garbage")
    assert "RAPL cannot be read" in str(EnergyProbe(tmp_path, NO_GPU).available())
    real = Path.read_text

    def denied(path: Path, *args: object) -> str:
        if path == counter:
            raise PermissionError
        return real(path)

    monkeypatch.setattr(Path, "read_text", denied)  # root may read everything, so the refusal is made here
    assert "may not be read by this user" in str(EnergyProbe(tmp_path, NO_GPU).available())


def test_missing_nvml_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "NVML cannot be asked (nvidia-ml-py is not installed" in str(EnergyProbe(tmp_path).available())
