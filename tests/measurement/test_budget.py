"""Plans that fit into the time there is: what a pilot costs, what is given up and in which order, and what is said."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from fakes import FakeClock, FakeHandle, make_arm
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import InputError
from mlbench.measurement import budget
from mlbench.measurement.budget import Costs, RoundCost, costs, fit, half_width, pilot_protocol, sized
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.plan import make_plan
from mlbench.records import Arm, Measurement

ARMS = [make_arm("baseline", "baseline"), make_arm("a"), make_arm("b")]
# a trial of 20 rounds takes 10 s: 2 s to start, 20 rounds of 12 calls at 1/30 s
COSTS = Costs(start=2.0, headline=RoundCost(call=1 / 30, value=1 / 30), round_sd=0.03)
TEN = ProtocolConfig(trials=10, rounds=20, sweep_rounds=4, budget_minutes=1)


class Bench:
    """Workers that take a second to start and 2 ms for a call, all on one fake clock."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.protocols: list[ProtocolConfig] = []
        self.interrupted = False
        self.broken = False

    def now(self) -> float:
        return self.clock.time / 1e9

    def launch(self, arm: Arm) -> FakeHandle:
        self.clock.advance(1_000_000_000)
        handle = FakeHandle(arm, [], self.clock)
        handle.interrupt_on = "turn" if self.interrupted else None
        handle.fail_on = {"load": "the file is corrupt"} if self.broken else {}
        return handle

    def measure(self, protocol: ProtocolConfig) -> Measurement:
        self.protocols.append(protocol)
        scenario = ScenarioConfig(batch_sizes=(1, 4))
        plan = make_plan([arm.name for arm in ARMS], "baseline", scenario, protocol, 0)
        inputs = {"x": np.zeros((4, 2), np.float32)}
        return Coordinator(plan, ARMS, inputs, np.zeros(4, np.int64), launch=self.launch).run()


# ---------------------------------------------------------------------------------------------------------------------
# what a trial costs


def test_costs_of_a_pilot_by_hand() -> None:
    bench = Bench()
    begun = bench.now()
    measured = bench.measure(pilot_protocol(ProtocolConfig()))
    found = costs(measured, bench.now() - begun)
    assert found.start == pytest.approx(3.0)  # three workers
    assert found.headline == RoundCost(call=pytest.approx(0.006), value=pytest.approx(0.006), passing=0.0)
    assert found.sweep == RoundCost(call=pytest.approx(0.006), value=pytest.approx(0.006), passing=0.0)
    assert (found.group, found.round_sd) == (1, 0.0)


def test_what_was_costed_is_what_it_takes() -> None:
    """The costs of a short pilot foretell the time of a whole plan on the same clock."""
    bench = Bench()
    begun = bench.now()
    found = costs(bench.measure(pilot_protocol(TEN)), bench.now() - begun)
    begun = bench.now()
    bench.measure(replace(TEN, trials=7))
    assert bench.now() - begun == pytest.approx(found.seconds(replace(TEN, trials=7)))


def test_all_looks_are_in_the_budget() -> None:
    assert COSTS.seconds(replace(TEN, extend=2)) == pytest.approx(3 * COSTS.seconds(TEN))
    assert COSTS.seconds(TEN) == pytest.approx(100.0)


def test_passing_the_turn_and_grouped_calls_are_in_the_costs() -> None:
    bench = Bench()
    measured = bench.measure(pilot_protocol(ProtocolConfig()))
    late = 0
    turns = []
    for turn in measured.turns:  # 1 ms passes before every turn
        turns.append(replace(turn, start_ns=turn.start_ns + late, end_ns=turn.end_ns + late))
        late += 1_000_000
    found = costs(replace(measured, turns=tuple(turns)), 10.0)
    assert found.headline.passing == pytest.approx(0.003)
    grouped = tuple(replace(turn, group=2) for turn in measured.turns)
    assert costs(replace(measured, turns=grouped), 10.0).headline.value == pytest.approx(0.012)
    assert costs(replace(measured, turns=grouped), 10.0).group == 2


def test_the_spread_between_rounds_is_that_of_the_typical_variant() -> None:
    bench = Bench()
    measured = bench.measure(pilot_protocol(ProtocolConfig()))
    factors = {"baseline": [1, 1, 1, 1], "a": [1.0, 1.1, 1.0, 1.1], "b": [1.0, 1.3, 1.0, 1.3]}
    turns = tuple(
        replace(turn, timed_ns=(turn.timed_ns * factors[turn.arm][turn.round]).astype(np.int64))
        for turn in measured.turns
    )
    spread = np.mean([np.std(np.log(factors[arm]), ddof=1) for arm in ("a", "b")])
    assert costs(replace(measured, turns=turns), 1.0).round_sd == pytest.approx(spread)
    alone = tuple(turn for turn in turns if turn.arm == "baseline")
    assert costs(replace(measured, turns=alone), 1.0).round_sd is None


def test_every_further_condition_is_in_the_sweep() -> None:
    bench = Bench()
    protocol = pilot_protocol(ProtocolConfig())
    scenario = ScenarioConfig(batch_sizes=(1, 4, 8))
    plan = make_plan([arm.name for arm in ARMS], "baseline", scenario, protocol, 0)
    inputs = {"x": np.zeros((8, 2), np.float32)}
    found = costs(Coordinator(plan, ARMS, inputs, np.zeros(8, np.int64), launch=bench.launch).run(), 10.0)
    assert found.headline.call == pytest.approx(0.006)
    assert found.sweep.call == pytest.approx(0.012)


def test_a_pilot_without_turns_says_nothing() -> None:
    measured = Bench().measure(pilot_protocol(ProtocolConfig()))
    with pytest.raises(ValueError, match="pilot"):
        costs(replace(measured, turns=()), 1.0)


# ---------------------------------------------------------------------------------------------------------------------
# what fits


@pytest.mark.parametrize(
    ("seconds", "extend", "expected"),
    [
        (300, 2, (2, 10, 20)),
        (299, 2, (1, 10, 20)),  # further looks go first
        (150, 2, (0, 10, 20)),
        (100, 0, (0, 10, 20)),
        (99, 0, (0, 10, 18)),  # then rounds, down to half
        (60, 0, (0, 10, 10)),
        (59, 0, (0, 9, 10)),  # then trials, down to 6
        (36, 0, (0, 6, 10)),
        (35, 0, (0, 6, 8)),  # then rounds again
        (17, 0, (0, 6, 2)),
    ],
)
def test_what_is_given_up_and_in_which_order(seconds: float, extend: int, expected: tuple[int, int, int]) -> None:
    fitted, notices = fit(COSTS, seconds + 1e-6, replace(TEN, extend=extend))
    assert (fitted.extend, fitted.trials, fitted.rounds) == expected
    assert COSTS.seconds(fitted) <= seconds + 1e-6
    assert bool(notices) == (expected != (extend, 10, 20))


@given(st.floats(1, 400), st.integers(6, 20), st.integers(1, 20).map(lambda half: 2 * half), st.integers(0, 2))
def test_whatever_fits_is_within_the_budget_and_can_give_a_verdict(
    seconds: float, trials: int, rounds: int, extend: int
) -> None:
    asked = replace(TEN, trials=trials, rounds=rounds, extend=extend)
    if COSTS.seconds(replace(asked, trials=6, rounds=2, extend=0)) > seconds:
        with pytest.raises(InputError, match="6 trials of 2 rounds, the fewest that can give a verdict"):
            fit(COSTS, seconds, asked)
        return
    fitted, notices = fit(COSTS, seconds, asked)
    assert COSTS.seconds(fitted) <= seconds
    assert 6 <= fitted.trials <= trials
    assert (fitted.rounds % 2, fitted.sweep_rounds % 2) == (0, 0)
    assert fitted == fit(COSTS, seconds, asked)[0]
    assert (fitted == replace(asked, percentiles=())) == (notices == ())


def test_a_sweep_loses_rounds_in_the_same_proportion() -> None:
    swept = replace(COSTS, sweep=RoundCost(call=0.1, value=0.1))
    fitted, _ = fit(swept, 0.55 * swept.seconds(replace(TEN, sweep_rounds=8)), replace(TEN, sweep_rounds=8))
    assert (fitted.rounds, fitted.sweep_rounds) == (10, 4)
    assert fit(swept, swept.seconds(TEN), replace(TEN, sweep_rounds=2))[0].sweep_rounds == 2


def test_the_message_says_what_was_given_up_and_what_it_costs() -> None:
    _, (notice,) = fit(COSTS, 40.0, replace(TEN, extend=1))
    assert notice.code == "time_budget"
    assert notice.message.startswith(
        "protocol.budget_minutes=1: it holds 0 of 1 further looks, 6 of 10 trials, 10 of 20 rounds, "
        "2 of 4 rounds of a sweep; the interval of a ratio will be ±"
    )
    assert notice.action.startswith("all of it takes about 3 minutes more")  # 160 s, by 0.9


def test_percentiles_that_are_no_longer_supported_are_named() -> None:
    asked = replace(TEN, percentiles=("p999",))  # 48 rounds
    fitted, (notice,) = fit(COSTS, 100.0, asked)
    assert fitted.rounds < 48
    assert notice.message.endswith("too few calls for p999")
    assert make_plan(["baseline"], "baseline", ScenarioConfig(), fitted, 0).conditions[0].rounds == fitted.rounds
    _, (grouped,) = fit(replace(COSTS, group=5), 100.0, asked)  # five calls to a value: still enough
    assert "too few calls" not in grouped.message
    kept, none = fit(COSTS, 1000.0, asked)
    assert (kept.rounds, none) == (48, ())


def test_the_expected_interval_is_that_of_medians_over_rounds() -> None:
    """Against a simulation of the estimate itself: normal rounds, medians within trials, t over trials."""
    protocol = replace(TEN, trials=8, rounds=20)
    rounds = np.random.default_rng(0).normal(0, 0.03, (4000, 8, 20))
    trials = np.median(rounds, axis=2)
    width = stats.t.ppf(0.975, 7) * math.sqrt(trials.var(axis=1, ddof=1).mean()) / math.sqrt(8)
    assert half_width(COSTS, protocol) == pytest.approx(math.expm1(width), rel=0.1)
    assert half_width(replace(COSTS, round_sd=None), protocol) is None
    assert half_width(COSTS, replace(protocol, extend=2)) > half_width(COSTS, protocol)


def test_without_a_variant_nothing_is_said_of_intervals() -> None:
    _, (notice,) = fit(replace(COSTS, round_sd=None), 40.0, TEN)
    assert "interval" not in notice.message


def test_too_little_for_six_trials_is_refused_with_what_it_would_take() -> None:
    with pytest.raises(InputError) as caught:
        fit(COSTS, 10.0, TEN)
    assert str(caught.value) == (
        "protocol.budget_minutes=1: 0.2 minutes are left for measuring, and 6 trials of 2 rounds, the fewest that can "
        "give a verdict, take about 0.3 minutes here: protocol.budget_minutes=1.2 or more, or fewer variants or "
        "conditions"
    )
    with pytest.raises(InputError, match="0 minutes are left"):
        fit(COSTS, -5.0, TEN)


# ---------------------------------------------------------------------------------------------------------------------
# the whole of it, on fake workers


def test_a_pilot_of_one_short_trial_sizes_the_plan() -> None:
    bench = Bench()
    asked = ProtocolConfig(trials=20, extend=1, percentiles=("p999",), budget_minutes=1)
    begun = bench.now() - 10.0  # building took ten seconds
    fitted, notices = sized(asked, bench.measure, begun, bench.now)
    assert [(p.trials, p.extend, p.rounds, p.percentiles) for p in bench.protocols] == [(1, 0, 4, ())]
    assert len(notices) == 1
    assert 6 <= fitted.trials < 20
    bench.measure(fitted)
    assert bench.now() - begun <= 60
    assert bench.now() - begun > 40  # and the time is used


def test_enough_time_changes_nothing_and_says_nothing() -> None:
    bench = Bench()
    asked = ProtocolConfig(budget_minutes=60)
    assert sized(asked, bench.measure, bench.now(), bench.now) == (asked, ())


def test_an_interrupted_pilot_ends_the_study() -> None:
    bench = Bench()
    bench.interrupted = True
    with pytest.raises(KeyboardInterrupt):
        sized(TEN, bench.measure, bench.now(), bench.now)


def test_where_no_arm_can_be_served_the_study_says_why() -> None:
    bench = Bench()
    bench.broken = True
    assert sized(TEN, bench.measure, bench.now(), bench.now) == (TEN, ())


def test_what_is_kept_back_is_a_share_of_what_is_left() -> None:
    bench = Bench()
    found = costs(bench.measure(pilot_protocol(TEN)), 3.0)
    asked = replace(TEN, budget_minutes=found.seconds(TEN) / 60 / (1 - budget.RESERVE) + 3.5 / 60)
    assert sized(asked, bench.measure, bench.now(), bench.now)[0].trials == 10
