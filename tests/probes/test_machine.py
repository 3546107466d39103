from pathlib import Path

import pytest

from mlbench.probes.machine import MachineProbe


def write(proc: Path, stat: str, pressure: str | None = None) -> None:
    (proc / "stat").write_text(stat)
    if pressure is not None:
        (proc / "pressure").mkdir(exist_ok=True)
        (proc / "pressure" / "cpu").write_text(pressure)


#        user nice system idle iowait irq softirq steal guest guest_nice
BEFORE = "cpu  100 0 50 1000 10 0 0 5 0 0\ncpu0 1 1 1 1 1 1 1 1 1 1\n"
AFTER = "cpu  150 2 60 1100 20 1 2 8 40 0\n"


def test_busy_and_stolen_seconds_of_a_turn(tmp_path: Path) -> None:
    write(tmp_path, BEFORE, "some avg10=1.00 avg60=2.00 avg300=3.00 total=1000000\nfull avg10=0 total=0\n")
    probe = MachineProbe(tmp_path, ticks_per_second=100)
    assert probe.available() is None
    probe.start()
    probe.begin()
    write(tmp_path, AFTER, "some avg10=1.00 avg60=2.00 avg300=3.00 total=1250000\n")
    figures = probe.end(1)
    probe.stop()
    # busy: user 50 + nice 2 + system 10 + irq 1 + softirq 2; guest time is part of user and not counted twice
    assert figures == pytest.approx({"machine_busy_s": 0.65, "machine_steal_s": 0.03, "cpu_pressure_s": 0.25})


def test_pressure_is_absent_where_the_kernel_has_none(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    probe = MachineProbe(tmp_path, ticks_per_second=100)
    probe.start()
    probe.begin()
    assert set(probe.end(1)) == {"machine_busy_s", "machine_steal_s"}


@pytest.mark.parametrize(("text", "reason"), [(None, "No such file"), ("cpu 1 2 3\n", "3 figures"), ("cpu a b\n", "")])
def test_says_why_it_is_not_available(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        write(tmp_path, text)
    said = MachineProbe(tmp_path, ticks_per_second=100).available()
    assert said is not None
    assert reason in said


def test_reads_this_machine() -> None:
    probe = MachineProbe()
    assert probe.available() is None
    assert probe.source() == "procfs"
    probe.start()
    probe.begin()
    sum(range(3_000_000))
    figures = probe.end(1)
    assert figures["machine_busy_s"] >= 0
    assert probe.read()["machine_busy_s"] > 0
