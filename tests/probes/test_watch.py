from pathlib import Path

import pytest
from fakes import FakeClock

from mlbench.probes.machine import MachineProbe
from mlbench.probes.neighbours import Neighbours
from mlbench.probes.watch import LOOK_SECONDS, MachineWatch
from mlbench.records import Neighbour


class Machine:
    """A fake /proc in which ``busy`` CPUs of a program named hog run on the fake clock."""

    def __init__(self, proc: Path) -> None:
        self.proc, self.clock, self.busy, self.ticks = proc, FakeClock(), 0.5, 0.0
        (proc / "pressure").mkdir()
        (proc / "9").mkdir()
        self.run(0)

    def run(self, seconds: float) -> None:
        self.clock.advance(round(seconds * 1e9))
        self.ticks += 100 * self.busy * seconds
        (self.proc / "stat").write_text(f"cpu {self.ticks:.0f} 0 0 0 0 0 0 0 0 0\n")
        (self.proc / "pressure" / "cpu").write_text(f"some avg10=0 total={self.ticks * 1000:.0f}\n")
        rest = f"S 1 0 0 0 0 0 0 0 0 0 {self.ticks:.0f} 0 7 7 20 0 1 0 5 0 0"
        (self.proc / "9" / "stat").write_text(f"9 (hog) {rest}\n")

    def watch(self) -> MachineWatch:
        probe = MachineProbe(self.proc, 100, lambda _pid: (0, 1))
        probe.start()
        neighbours = Neighbours(self.proc, 100, own=77)
        return MachineWatch(probe, neighbours, self.clock, self.run, lambda: (1.5, 1.0, 0.5))


def test_looks_before_during_and_after(tmp_path: Path) -> None:
    machine = Machine(tmp_path)
    watch = machine.watch()
    watch.before()
    machine.busy = 2.0
    machine.run(10.0)
    watch.trial_over(0)
    machine.run(5.0)
    watch.trial_over(1)
    machine.busy = 0.0
    assert watch.after()
    assert [(look.moment, look.trial, look.seconds) for look in watch.looks] == [
        ("before", None, LOOK_SECONDS),
        ("during", 0, 10.0),
        ("during", 1, 5.0),
        ("after", None, LOOK_SECONDS),
    ]
    assert [look.others for look in watch.looks] == [
        (Neighbour("hog", 0.5),),
        (Neighbour("hog", 2.0),),
        (Neighbour("hog", 2.0),),
        (),
    ]
    first = watch.looks[0].figures
    assert first == pytest.approx({"busy_cpus": 0.5, "steal_cpus": 0.0, "cpu_waiting": 0.05, "load_1m": 1.5}, abs=0.02)
    assert watch.looks[-1].figures["busy_cpus"] == 0.0


def test_an_interruption_after_the_last_turn_costs_nothing(tmp_path: Path) -> None:
    watch = Machine(tmp_path).watch()

    def interrupt(_seconds: float) -> None:
        raise KeyboardInterrupt

    watch._sleep = interrupt
    assert not watch.after()
    with pytest.raises(KeyboardInterrupt):
        watch.before()  # nothing was measured yet: there is nothing to keep


def test_without_the_probe_nothing_is_looked_at() -> None:
    watch = MachineWatch(None)
    watch.before()
    watch.trial_over(0)
    assert watch.after()
    assert watch.looks == ()
