from mlbench.measurement.cgroup import Throttling
from mlbench.probes.cgroup import CgroupProbe


class Group:
    """A control group with a limit of one CPU."""

    def __init__(self, *readings: Throttling, limit: float | None = 1.0) -> None:
        self.readings, self.limit = list(readings), limit

    def cpus(self) -> float | None:
        return self.limit

    def throttled(self) -> Throttling:
        if not self.readings:
            raise FileNotFoundError("no cpu.stat")
        return self.readings.pop(0)


def probe(group: Group) -> CgroupProbe:
    return CgroupProbe(group)  # type: ignore[arg-type]


def test_a_turn_has_what_was_added_since_it_began() -> None:
    watched = probe(Group(Throttling(5, 1.0), Throttling(5, 1.0), Throttling(8, 1.25)))
    assert watched.available() is None
    watched.start()
    watched.begin()
    assert watched.end(1) == {"cgroup_throttled_s": 0.25, "cgroup_throttled_periods": 3.0}
    watched.stop()
    assert watched.source() == "cgroup"


def test_without_a_limit_nothing_can_be_throttled() -> None:
    assert "no CPU limit" in str(probe(Group(limit=None)).available())


def test_statistics_that_cannot_be_read_are_named() -> None:
    assert "cpu.stat cannot be read (no cpu.stat)" in str(probe(Group()).available())
