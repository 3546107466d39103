import json
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import pytest
from fakes import make_arm

from mlbench.cli.selfcheck import text
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import MlbenchError
from mlbench.measurement.plan import make_plan
from mlbench.records import LostTrial, Measurement, Noise, Turn, WorkerReport
from mlbench.selfcheck import BASELINE, SLOW, TWIN, SelfCheck, arms, check

PROTOCOL = ProtocolConfig(trials=6, rounds=4)
QUIET = Noise("quiet")


def study(seed: int, twin: float = 1.0, slow: float = 1.1, process: float = 0.0, rounds: float = 0.01) -> Measurement:
    """Calls of 1 ms with the given factors and spreads."""
    plan = make_plan([BASELINE, TWIN, SLOW], BASELINE, ScenarioConfig(batch_sizes=(1,)), PROTOCOL, seed)
    random = np.random.default_rng(seed)
    factor = {BASELINE: 1.0, TWIN: twin, SLOW: slow}
    luck = {(arm, trial): np.exp(random.normal(0, process)) for arm in plan.arms for trial in range(plan.trials)}
    turns: list[Turn] = []
    for planned in plan.schedule:
        for position, arm in enumerate(planned.order):
            typical = 1e6 * factor[arm] * luck[arm, planned.trial] * np.exp(random.normal(0, rounds))
            timed = np.full(10, int(typical))
            wall = int(timed.sum())
            start = turns[-1].end_ns if turns else 0
            window = (start, start + wall)
            turns.append(
                Turn(planned.trial, planned.round, position, arm, 1, *window, wall, wall, np.zeros(0, np.int64), timed)
            )
    workers = tuple(
        WorkerReport(arm, trial, 1, 1.0, 1.0, 1.0, 1.0, {"1": 1.0}, np.zeros(0, np.int64))
        for arm in plan.arms
        for trial in range(plan.trials)
    )
    return Measurement(plan, tuple(turns), workers, ())


Make = Callable[[int], tuple[Measurement, Noise]]


def run(studies: int, make: Make, percent: float = 10.0, **options: Any) -> SelfCheck:
    return check(studies, percent, 100, PROTOCOL, make, **options)


def test_a_good_machine_is_sound() -> None:
    checked = run(20, lambda seed: (study(seed), QUIET))
    assert checked.studies == 20
    assert checked.detected.value == 1.0
    assert checked.wrong_sign.value == 0.0
    assert checked.sound
    assert "sound here" in text(checked)
    assert "20 of 20" in text(checked)


def test_each_study_has_a_seed_of_its_own() -> None:
    seeds: list[int] = []

    def make(seed: int) -> tuple[Measurement, Noise]:
        seeds.append(seed)
        return study(seed), QUIET

    run(3, make)
    assert seeds == [100, 101, 102]


def test_a_machine_that_tells_twins_apart_is_not_sound() -> None:
    checked = run(20, lambda seed: (study(seed, twin=1.06), QUIET))
    assert checked.false_calls.value == 1.0
    assert not checked.sound
    assert "do not trust" in checked.advice[0]
    assert "NOT sound" in text(checked)


def test_a_wrong_sign_is_never_sound() -> None:
    checked = run(20, lambda seed: (study(seed, slow=0.9), QUIET))
    assert checked.wrong_sign.value == 1.0
    assert not checked.sound


def test_weak_detection_asks_for_more_trials() -> None:
    checked = run(10, lambda seed: (study(seed, slow=1.02, process=0.05), QUIET), percent=2)
    assert checked.detected.value < 0.8
    assert any("raise protocol.trials" in advice for advice in checked.advice)


def test_says_where_the_spread_comes_from() -> None:
    processes = run(10, lambda seed: (study(seed, process=0.03, rounds=0.001), QUIET))
    assert processes.between.share > 0.9
    assert any("more trials help" in advice for advice in processes.advice)
    rounds = run(10, lambda seed: (study(seed), QUIET))
    assert rounds.between.share < 0.5


def test_lost_and_unusable_studies_do_not_count_and_are_told() -> None:
    def make(seed: int) -> tuple[Measurement, Noise]:
        made = study(seed)
        if seed == 101:
            made = replace(made, lost=(LostTrial(TWIN, 0, "gone"),))
        return made, Noise("unusable") if seed == 102 else Noise("noisy")

    checked = run(5, make)
    assert (checked.studies, checked.lost, checked.noisy) == (3, 2, 1.0)
    assert any("2 studies do not count" in advice for advice in checked.advice)
    assert any("noisy in 100 %" in advice for advice in checked.advice)


def stopping(at: int, *, inside: bool) -> Make:
    """Studies until an interruption, inside of a measurement or outside."""

    def make(seed: int) -> tuple[Measurement, Noise]:
        if seed >= at and not inside:
            raise KeyboardInterrupt
        return replace(study(seed), complete=seed < at), QUIET

    return make


@pytest.mark.parametrize("inside", [True, False])
def test_an_interruption_reports_the_counts_so_far(inside: bool) -> None:
    checked = run(5, stopping(102, inside=inside))
    assert (checked.asked, checked.studies, checked.interrupted, checked.sound) == (5, 2, True, True)
    assert checked.detected.n == 2
    assert "stopped after 2 of 5 studies: fewer can tell less" in checked.advice
    assert "as far as 2 of 5 studies can tell" in text(checked)


@pytest.mark.parametrize("inside", [True, False])
def test_an_interruption_before_anything_was_counted_is_just_that(inside: bool) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(5, stopping(100, inside=inside))


def test_each_study_is_told_with_the_count_so_far() -> None:
    told: list[str] = []
    run(2, lambda seed: (study(seed), Noise("unusable", ("busy",)) if seed == 101 else QUIET), tell=told.append)
    assert told == [
        "study 1 of 2: identical arms equivalent, 10 % more work slower; so far 0 called different and 1 found of 1",
        "study 2 of 2 does not count: the machine was unusable (busy)",
    ]


@pytest.mark.parametrize(("wrong", "sound"), [(4, True), (5, False)])
def test_at_most_4_of_40_false_calls_are_sound(wrong: int, sound: bool) -> None:
    checked = run(40, lambda seed: (study(seed, twin=1.06 if seed < 100 + wrong else 1.0, rounds=0.002), QUIET))
    assert checked.false_calls.value == pytest.approx(wrong / 40)
    assert (checked.allowed, checked.sound) == (4, sound)
    assert "at most 4 expected" in text(checked)


def test_more_threads_are_named_as_a_cause() -> None:
    def twins_apart(seed: int) -> tuple[Measurement, Noise]:
        return study(seed, twin=1.06), QUIET

    assert any("try threads=1" in advice for advice in run(10, twins_apart, threads=2).advice)
    assert not any("threads" in advice for advice in run(10, twins_apart).advice)
    assert not any("threads" in advice for advice in run(10, lambda seed: (study(seed), QUIET), threads=2).advice)


def test_the_result_is_plain_json() -> None:
    checked = json.loads(json.dumps(asdict(run(2, lambda seed: (study(seed), QUIET)))))
    assert checked["studies"] == 2
    assert set(checked["false_calls"]) >= {"value", "low", "high", "n", "method"}
    assert set(checked["between"]) == {"share", "process_sd", "round_sd", "trials"}


def test_nothing_usable_is_an_error() -> None:
    with pytest.raises(MlbenchError, match="none of 2 studies"):
        run(2, lambda seed: (study(seed), Noise("unusable")))


def test_the_three_arms_are_one_artifact() -> None:
    baseline = make_arm("x", "baseline")
    three = arms(baseline, replace(make_arm("y"), artifact=baseline.artifact))
    assert [(arm.name, arm.role) for arm in three] == [
        (BASELINE, "baseline"),
        (TWIN, "variant"),
        (SLOW, "variant"),
    ]
    assert three[0].artifact == three[1].artifact == baseline.artifact
