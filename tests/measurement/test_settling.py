import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from mlbench.measurement.settling import Settled, asleep, process_cpu_ns, settle

SPINS = """
import sys, threading
rest = threading.Event()
def spin():
    while not rest.is_set():
        pass
    threading.Event().wait()
threading.Thread(target=spin, daemon=True).start()
print("spins", flush=True)
sys.stdin.readline()
rest.set()
print("rests", flush=True)
sys.stdin.readline()
"""


class FakeTime:
    def __init__(self) -> None:
        self.ns = 0
        self.pauses: list[float] = []

    def now_ns(self) -> int:
        return self.ns

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.ns += round(seconds * 1e9)


def settled_after(looks: int, limit_s: float = 1.0) -> tuple[Settled, FakeTime]:
    """With a process that is at rest at the given look (0 is the first)."""
    time = FakeTime()
    answers = iter([False] * looks + [True])
    return settle(lambda: next(answers), limit_s, time.now_ns, time.sleep), time


def test_a_process_at_rest_costs_one_look_and_no_sleep() -> None:
    settled, time = settled_after(0)
    assert settled == Settled(0.0, asleep=True)
    assert time.pauses == []


def test_between_looks_it_sleeps_ever_longer() -> None:
    settled, time = settled_after(7)
    assert time.pauses == pytest.approx([0.0002, 0.0004, 0.0008, 0.0016, 0.0032, 0.005, 0.005])
    assert settled.ms == pytest.approx(1000 * sum(time.pauses))
    assert settled.asleep


def test_the_wait_is_bounded_and_its_end_is_told() -> None:
    settled, time = settled_after(10_000, limit_s=0.1)
    assert not settled.asleep
    assert 100 <= settled.ms <= 105
    assert len(time.pauses) < 30


def task(proc: Path, thread: int, state: str, name: str = "python") -> None:
    (proc / "7" / "task" / str(thread)).mkdir(parents=True)
    (proc / "7" / "task" / str(thread) / "stat").write_text(f"{thread} ({name}) {state} 1 7 7 0 -1")


@pytest.mark.parametrize(("state", "sleeps"), [("S", True), ("I", True), ("Z", True), ("R", False), ("D", False)])
def test_every_thread_must_sleep(tmp_path: Path, state: str, sleeps: bool) -> None:
    task(tmp_path, 7, "S")
    task(tmp_path, 8, state, name="a ) R b")
    assert asleep(7, tmp_path, cpu_ns=lambda _pid: 5) is sleeps


def test_the_cpu_clock_must_stand_still(tmp_path: Path) -> None:
    task(tmp_path, 7, "S")
    clock = iter([5, 6])
    assert not asleep(7, tmp_path, cpu_ns=lambda _pid: next(clock))


def test_a_thread_that_ends_meanwhile_is_no_reason_to_wait(tmp_path: Path) -> None:
    task(tmp_path, 7, "S")
    (tmp_path / "7" / "task" / "9").mkdir()
    assert asleep(7, tmp_path, cpu_ns=lambda _pid: 5)


def test_a_process_that_is_gone_runs_nothing() -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert asleep(gone.pid)


def test_a_real_spinning_thread_is_seen_until_it_rests() -> None:
    with subprocess.Popen([sys.executable, "-c", SPINS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        used = process_cpu_ns(process.pid)
        awake = settle(partial(asleep, process.pid), limit_s=0.05)
        assert not awake.asleep
        assert awake.ms >= 50
        assert process_cpu_ns(process.pid) > used
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        assert settle(partial(asleep, process.pid), limit_s=30).asleep
        process.stdin.close()
