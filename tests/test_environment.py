import getpass
import socket
from importlib.metadata import version
from pathlib import Path

from fake_nvml import FakeNvml

from mlbench.environment import environment


def test_says_what_matters_for_speed() -> None:
    facts = environment()
    assert facts["version.torch"] == version("torch")
    assert int(facts["cpu.usable"]) >= 1
    assert facts["cpu.model"]
    assert all(isinstance(value, str) and value for name, value in facts.items() if name != "cpu.instructions")


def test_says_nothing_private() -> None:
    text = " ".join(environment().values())
    assert socket.gethostname() not in text.split()
    assert getpass.getuser() not in text.split()
    assert str(Path.home()) not in text


def test_unreadable_files_leave_their_facts_out(tmp_path: Path) -> None:
    facts = environment(tmp_path, tmp_path)
    assert not {"cpu.model", "cpu.governor", "cgroup.cpu_max"} & set(facts)


def test_reads_an_arm_cpu_too(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nFeatures\t: fp asimd sve i8mm\n")
    assert environment(tmp_path, tmp_path)["cpu.instructions"] == "asimd sve i8mm"


def test_limits_of_a_container_are_facts_and_bound_what_is_usable(tmp_path: Path) -> None:
    group = tmp_path / "fs" / "cgroup"
    group.mkdir(parents=True)
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text("0::/\n")
    (group / "cpu.max").write_text("50000 100000\n")
    (group / "memory.max").write_text(f"{768 << 20}\n")
    facts = environment(tmp_path, tmp_path)
    assert (facts["cgroup.cpu_max"], facts["cgroup.memory_max"], facts["cpu.usable"]) == ("0.5 CPUs", "768 MiB", "1")


def test_gpus_by_their_models() -> None:
    two = FakeNvml(2, names=("A100", "L4"))
    assert environment(nvml=two)["gpu.models"] == "A100, L4"
    for none in (FakeNvml(0), FakeNvml(broken=("init",)), FakeNvml(broken=("handle",))):
        assert "gpu.models" not in environment(nvml=none)
        assert none.open == 0
    assert two.open == 0
