from pathlib import Path

import pytest
from fakes import FakeClock

from mlbench.probes.machine import MachineProbe


def machine(proc: Path, *cpus: int) -> MachineProbe:
    return MachineProbe(proc, 100, lambda _pid: cpus, FakeClock())


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
    probe = machine(tmp_path)
    assert probe.available() is None
    probe.start()
    probe.begin()
    write(tmp_path, AFTER, "some avg10=1.00 avg60=2.00 avg300=3.00 total=1250000\n")
    figures = probe.end(1)
    probe.stop()
    # busy: user 50 + nice 2 + system 10 + irq 1 + softirq 2; guest time is part of user and not counted twice
    assert figures == pytest.approx(
        {"machine_busy_s": 0.65, "machine_steal_s": 0.03, "cpu_pressure_s": 0.25, "machine_window_s": 0.0}
    )


def test_only_the_cpus_of_this_process_count_where_the_kernel_lists_them(tmp_path: Path) -> None:
    idle, busy = "0 0 0 9 9 0 0 0 0 0", "30 0 10 9 9 0 0 20 0 0"
    write(tmp_path, f"cpu {idle}\ncpu0 {idle}\ncpu1 {idle}\ncpu2 {idle}\nintr 1 2\n")
    mine, renumbered = machine(tmp_path, 0, 2), machine(tmp_path, 0, 64)
    for probe in (mine, renumbered):
        probe.start()
        probe.begin()
    write(tmp_path, f"cpu 99 0 0 9 9 0 0 0 0 0\ncpu0 {idle}\ncpu1 {busy}\ncpu2 {busy}\n")
    figures = mine.end(1)
    assert (figures["machine_busy_s"], figures["machine_steal_s"]) == pytest.approx((0.4, 0.2))
    assert renumbered.end(1)["machine_busy_s"] == pytest.approx(0.99)  # all CPUs: ours cannot be told


def test_memory_and_io_pressure_are_read_where_offered(tmp_path: Path) -> None:
    write(tmp_path, BEFORE, "some avg10=0 total=0\n")
    for name, total in (("memory", 10_000), ("io", 20_000)):
        (tmp_path / "pressure" / name).write_text(f"some avg10=0 avg60=0 avg300=0 total={total}\nfull total=0\n")
    probe = machine(tmp_path)
    probe.start()
    probe.begin()
    (tmp_path / "pressure" / "io").write_text("some avg10=0 avg60=0 avg300=0 total=520000\n")
    figures = probe.end(1)
    assert (figures["memory_pressure_s"], figures["io_pressure_s"]) == pytest.approx((0.0, 0.5))


def test_pressure_is_absent_where_the_kernel_has_none(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    probe = machine(tmp_path)
    probe.start()
    probe.begin()
    assert set(probe.end(1)) == {"machine_busy_s", "machine_steal_s", "machine_window_s"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [(None, "No such file"), ("cpu 1 2 3\n", "3 figures"), ("intr 1\n", "no line on CPUs"), ("cpu a b\n", "")],
)
def test_says_why_it_is_not_available(tmp_path: Path, text: str | None, reason: str) -> None:
    if text is not None:
        write(tmp_path, text)
    said = machine(tmp_path).available()
    assert said is not None
    assert reason in said


def test_the_time_between_the_readings_is_kept(tmp_path: Path) -> None:
    write(tmp_path, BEFORE)
    clock = FakeClock()
    probe = MachineProbe(tmp_path, 100, lambda _pid: (), clock)
    probe.begin()
    clock.advance(250_000_000)
    assert probe.end(1)["machine_window_s"] == 0.25


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
