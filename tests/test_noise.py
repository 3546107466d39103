import numpy as np
import pytest

from mlbench.noise import judge, notice
from mlbench.records import Noise, Turn


def turn(busy: float, steal: float = 0.0, pressure: float | None = 0.0, seconds: float = 1.0) -> Turn:
    nanoseconds = round(seconds * 1e9)
    hardware = {"machine_busy_s": busy, "machine_steal_s": steal}
    if pressure is not None:
        hardware["cpu_pressure_s"] = pressure
    empty = np.zeros(0, dtype=np.int64)
    return Turn(0, 0, 0, "a", 1, 0, nanoseconds, nanoseconds, nanoseconds, empty, empty, hardware=hardware)


@pytest.mark.parametrize(
    ("turns", "cpus", "level"),
    [
        ([turn(1.0)], 2, "quiet"),  # the worker itself, nobody else
        ([turn(1.2)], 2, "quiet"),
        ([turn(1.3)], 2, "noisy"),
        ([turn(2.9)], 2, "unusable"),  # the other CPUs are full
        ([turn(2.9)], 8, "noisy"),
        ([turn(1.0, steal=0.03)], 2, "noisy"),
        ([turn(1.0, pressure=0.06)], 2, "noisy"),
        ([turn(1.0, pressure=0.6)], 2, "unusable"),
        ([turn(1.0, pressure=None)], 2, "quiet"),
        ([turn(1.0), turn(1.0), turn(2.0)], 2, "noisy"),
    ],
)
def test_level(turns: list[Turn], cpus: int, level: str) -> None:
    noise = judge(turns, cpus)
    assert noise.level == level
    assert noise.evidence


def test_without_the_probe_it_says_that_nobody_watched() -> None:
    noise = judge([], 2)
    assert noise.level == "quiet"
    assert "not watched" in noise.evidence[0]


def test_a_quiet_machine_needs_no_notice_and_a_loud_one_says_what_to_do() -> None:
    assert notice(Noise("quiet")) is None
    said = notice(Noise("unusable", ("evidence",)))
    assert said is not None
    assert said.code == "unusable_machine"
    assert "evidence" in said.message
    assert "again" in said.action
