from dataclasses import replace

import numpy as np
import pytest

from mlbench.noise import by_trial, early, judge, notices
from mlbench.records import MachineLook, Neighbour, Noise, Turn


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
    noise = judge([replace(turn(1.0), hardware={})], 2)
    assert noise.level == "quiet"
    assert "not watched" in noise.evidence[0]
    (said,) = notices(noise)
    assert said.code == "machine-not-watched"
    assert "the probe 'machine' is off or not available" in said.message
    assert "probes.names" in said.action


def test_without_any_turn_the_probe_is_not_to_blame() -> None:
    noise = judge([], 2)
    assert noise.evidence == ("there was no turn to watch",)
    assert notices(noise) == []


def test_trials_that_do_not_count_are_not_judged() -> None:
    """Their turns are not given, but the machine was looked at in them as well."""
    loud = look("during", 9.0, 7, Neighbour("loud", 5.0))
    assert judge([turn(2.0)], 2, [loud]) == judge([turn(2.0)], 2)
    assert judge([turn(2.0)], 2, [replace(loud, trial=0)]) != judge([turn(2.0)], 2)


def test_a_machine_that_was_loud_before_and_not_watched_later_gets_both_notices() -> None:
    noise = judge([replace(turn(1.0), hardware={})], 2, [look("before", 1.0)])
    assert [said.code for said in notices(noise)] == ["machine-not-watched", "noisy_machine"]


def test_a_quiet_machine_needs_no_notice_and_a_loud_one_says_what_to_do() -> None:
    assert notices(judge([turn(1.0)], 2)) == []
    (said,) = notices(Noise("unusable", ("evidence",)))
    assert said.code == "unusable_machine"
    assert "evidence" in said.message
    assert "again" in said.action


def look(moment: str, busy: float, trial: int | None = None, *others: Neighbour, **more: float) -> MachineLook:
    figures = {"busy_cpus": busy, "steal_cpus": 0.0, "load_1m": 0.5, **more}
    return MachineLook(moment, trial, 1.0, figures, others)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("figures", "level"),
    [
        ({"cgroup_throttled_s": 0.01}, "quiet"),
        ({"cgroup_throttled_s": 0.03}, "noisy"),
        ({"cgroup_throttled_s": 0.6}, "unusable"),
        ({"gpu_throttle_reasons": 0x04}, "quiet"),  # a power cap is how large GPUs always run
        ({"gpu_throttle_reasons": 0x40}, "noisy"),
        ({"thermal_throttles": 0.0}, "quiet"),
        ({"thermal_throttles": 1.0}, "noisy"),
        ({"involuntary_switches": 900.0}, "quiet"),  # evidence, but an arm with several threads does that to itself
    ],
)
def test_limits_and_heat_are_noise(figures: dict[str, float], level: str) -> None:
    noise = judge([replace(turn(1.0), hardware={**turn(1.0).hardware, **figures})], 2)
    assert noise.level == level
    if level != "quiet" or "cgroup_throttled_s" in figures:
        assert any("CPU limit" in text or "heat" in text for text in noise.evidence)


@pytest.mark.parametrize(
    ("before", "during", "after", "level"),
    [
        (0.0, 1.0, 0.0, "quiet"),
        (0.5, 1.0, 0.0, "noisy"),
        (0.0, 1.0, 1.9, "noisy"),  # unusable afterwards, but what was measured was not touched
        (0.0, 2.9, 0.0, "unusable"),
        (0.0, 1.5, 1.9, "noisy"),
    ],
)
def test_before_and_after_make_it_noisy_and_never_unusable(
    before: float, during: float, after: float, level: str
) -> None:
    noise = judge([turn(during)], 2, (look("before", before), look("after", after)))
    assert noise.level == level
    assert [moment.moment for moment in noise.moments] == ["before", "during", "after"]
    assert ("before the first turn it was noisy" in " ".join(noise.evidence)) == (before > 0.25)
    assert ("after the last turn it was unusable" in " ".join(noise.evidence)) == (after > 1.8)


def test_a_busy_machine_is_told_before_the_first_turn() -> None:
    assert early((look("before", 0.1),), 2) == ""
    said = early((look("before", 1.9, None, Neighbour("python", 1.9)),), 2)
    assert said.startswith("the machine is unusable before the first turn (other processes used 1.90 CPUs")
    assert "python 1.90 CPUs" in said


def test_pressure_on_the_idle_machine_counts() -> None:
    noise = judge([turn(1.0)], 2, (look("before", 0.0, cpu_waiting=0.2),))
    assert [(moment.moment, moment.level) for moment in noise.moments] == [("before", "noisy"), ("during", "quiet")]


def test_the_busiest_others_are_named_over_all_trials() -> None:
    looks = (
        look("during", 2.0, 0, Neighbour("python", 1.0), Neighbour("cron", 0.1)),
        look("during", 2.0, 1, Neighbour("browser", 0.4)),
    )
    evidence = judge([turn(2.0), replace(turn(2.0), trial=1)], 2, looks).evidence
    assert evidence[-1] == "busiest others: python 0.50 CPUs, browser 0.20 CPUs, cron 0.05 CPUs"


def test_counters_belong_to_the_time_between_their_readings() -> None:
    wide = {**turn(1.0, pressure=0.06).hardware, "machine_busy_s": 1.25, "machine_window_s": 1.25}
    noise = judge([replace(turn(1.0), hardware=wide)], 2)
    assert noise.level == "quiet"  # 0.2 CPUs and 4.8 % of the time, not 0.25 and 6 %


def test_every_trial_that_was_watched_has_a_verdict_of_its_own() -> None:
    def at(trial: int, busy: float) -> Turn:
        return replace(turn(busy), trial=trial)

    unwatched = replace(turn(1.0), trial=3, hardware={})
    turns = [at(0, 1.0), at(1, 1.2), at(1, 2.2), at(2, 3.0), unwatched]
    looks = (look("during", 2.0, 1, Neighbour("browser", 0.7)), look("before", 0.0))
    found = by_trial(turns, 2, looks)
    assert {trial: moment.level for trial, moment in found.items()} == {0: "quiet", 1: "noisy", 2: "unusable"}
    assert found[1].evidence[-1] == "busiest others: browser 0.70 CPUs"
    assert "other processes used 0.70 CPUs during the turns" in found[1].evidence
