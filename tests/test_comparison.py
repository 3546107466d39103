"""Each kind of metric has a verdict of its own, with its own margin."""

from dataclasses import replace

import numpy as np
import pytest
from measured import ARMS, measure

from mlbench.comparison import P50, P95, PEAK_MEMORY, THROUGHPUT, p50_verdict, undecided, verdicts
from mlbench.config import ProtocolConfig
from mlbench.figures import Figures
from mlbench.records import LostTrial, Measurement, Verdict

VARIANTS = [arm.name for arm in ARMS[1:]]


@pytest.fixture(scope="module")
def measured() -> tuple[Measurement, ProtocolConfig]:
    return measure(cpu=0.95)


def found(measurement: Measurement, protocol: ProtocolConfig) -> dict[str, dict[str, Verdict]]:
    return verdicts(Figures(measurement), "baseline", VARIANTS, protocol)


def test_each_kind_of_metric_has_its_own_margin(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    protocol = replace(protocol, margin=0.01, tail_margin=0.3, memory_margin=0.5)
    margins = {
        metric: {verdict.margin for verdict in of.values()} for metric, of in found(measurement, protocol).items()
    }
    assert margins == {P50: {0.01}, THROUGHPUT: {0.01}, P95: {0.3}, PEAK_MEMORY: {0.5}}


def test_a_margin_decides_its_own_kind_alone(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    usual = found(measurement, protocol)
    assert usual[P95]["slow"].call == "equivalent"  # 10 % is within the tail's margin of 20 %
    strict = found(measurement, replace(protocol, tail_margin=0.03, memory_margin=0.9))
    assert strict[P95]["slow"].call == "slower"
    assert strict[PEAK_MEMORY]["twice"].call == "equivalent"
    assert {name: verdict.call for name, verdict in strict[P50].items()} == {
        name: verdict.call for name, verdict in usual[P50].items()
    }


def test_the_tail_is_compared_by_the_trials_own_percentiles(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    figures = Figures(measurement)
    per_trial = []
    for trial in range(8):
        mine, theirs = (
            np.concatenate([t.timed_ns for t in measurement.turns if (t.arm, t.trial, t.batch_size) == (arm, trial, 1)])
            for arm in ("slow", "baseline")
        )
        per_trial.append(np.log(np.quantile(mine, 0.95) / np.quantile(theirs, 0.95)))
    verdict = verdicts(figures, "baseline", VARIANTS, protocol)[P95]["slow"]
    assert verdict.ratio is not None
    assert verdict.ratio.value == pytest.approx(np.exp(np.mean(per_trial)))


def test_holm_is_over_the_variants_of_each_metric(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    figures = Figures(measurement)
    alone = {name: p50_verdict(figures, "baseline", name, protocol) for name in VARIANTS}
    together = found(measurement, protocol)[P50]
    assert all(together[name].p_adjusted >= (alone[name].p_value or 0) for name in VARIANTS)  # type: ignore[operator]
    assert together["same"].p_adjusted == pytest.approx(alone["same"].p_value)  # the largest p: times 1


def test_an_arm_without_a_trial_has_no_verdict(measured: tuple[Measurement, ProtocolConfig]) -> None:
    measurement, protocol = measured
    gone = replace(measurement, workers=tuple(w for w in measurement.workers if w.arm != "twice"))
    assert all("twice" not in of for of in found(gone, protocol).values())


def test_each_look_has_a_third_of_the_error_rate_and_the_intervals_say_so() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.1)
    strict = found(measurement, protocol)
    for of in strict.values():
        for verdict in of.values():
            assert verdict.ratio is not None
            assert verdict.equivalence is not None
            assert verdict.ratio.level == pytest.approx(1 - 0.05 / 3)
            assert verdict.equivalence.level == pytest.approx(1 - 2 * 0.05 / 3)
    same = found(replace(measurement, plan=replace(measurement.plan, looks=())), replace(protocol, alpha=0.05 / 3))
    assert same == strict


def test_an_open_verdict_names_the_level_of_its_interval() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.5)
    verdict = p50_verdict(Figures(measurement), "baseline", "same", protocol)
    assert verdict.reason.startswith("the 98.3 % interval of the ratio")


def test_what_is_undecided_is_what_more_trials_might_settle() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.1)
    calls = {name: verdict.call for name, verdict in found(measurement, protocol)[P50].items()}
    assert calls["twice"] == "faster"
    assert "inconclusive" in calls.values()
    assert undecided(measurement, protocol) == [name for name, call in calls.items() if call == "inconclusive"]
    quiet, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.002)
    assert undecided(quiet, protocol) == []


def test_nobody_waits_for_an_arm_that_lost_a_trial_or_whose_clocks_disagree() -> None:
    measurement, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.1)
    still = undecided(measurement, protocol)
    lost = replace(measurement, lost=(LostTrial(still[0], 0, "gone"),))
    assert undecided(lost, protocol) == still[1:]
    assert undecided(replace(measurement, lost=(LostTrial("baseline", 0, "gone"),)), protocol) == []
    at_odds, protocol = measure(trials=6, rounds=2, batch_sizes=(1,), extend=2, noise=0.002, cpu=1.9)
    assert found(at_odds, protocol)[P50]["twice"].withheld
    assert "twice" not in undecided(at_odds, protocol)


def test_too_few_trials_leave_everything_open() -> None:
    measurement, protocol = measure(trials=3, rounds=2, batch_sizes=(1,))
    assert undecided(measurement, protocol) == VARIANTS


def test_the_share_of_the_processes_is_found_by_split_halves() -> None:
    measurement, protocol = measure(trials=8, rounds=20, batch_sizes=(1,))
    random = np.random.default_rng(0)
    luck = {(arm.name, trial): float(np.exp(random.normal(0, 0.05))) for arm in ARMS for trial in range(8)}
    turns = tuple(
        replace(turn, timed_ns=(turn.timed_ns * luck[turn.arm, turn.trial]).astype(np.int64))
        for turn in measurement.turns
    )
    alike = p50_verdict(Figures(measurement), "baseline", "same", protocol).process_share
    lucky = p50_verdict(Figures(replace(measurement, turns=turns)), "baseline", "same", protocol).process_share
    assert alike is not None
    assert lucky is not None
    assert alike < 0.5
    assert lucky > 0.95
    few, protocol = measure(trials=2, rounds=2, batch_sizes=(1,))
    assert p50_verdict(Figures(few), "baseline", "same", protocol).process_share is None
