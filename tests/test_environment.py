import getpass
import socket
from importlib.metadata import version
from pathlib import Path

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
