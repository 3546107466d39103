import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.plan import make_plan
from mlbench.measurement.sizing import turns, with_percentiles


@pytest.mark.parametrize(
    ("trials", "calls", "percentiles", "rounds"),
    [
        (10, 10, (), 20),
        (10, 10, ("p99",), 20),  # 2,000 calls are more than the 473 that it takes
        (10, 10, ("p999",), 48),  # 4,742 calls by 100 a round: 47.4, and rounds come in pairs
        (6, 10, ("p90", "p999"), 80),
        (6, 1, ("p99",), 80),
    ],
)
def test_rounds_are_raised_until_the_calls_support_what_is_asked(
    trials: int, calls: int, percentiles: tuple[str, ...], rounds: int
) -> None:
    protocol = ProtocolConfig(trials=trials, calls=calls, percentiles=percentiles)  # type: ignore[arg-type]
    assert with_percentiles(protocol).rounds == rounds


@given(st.integers(1, 30), st.integers(1, 15).map(lambda half: 2 * half), st.integers(1, 20))
def test_no_round_more_than_needed_and_twice_is_once(trials: int, rounds: int, calls: int) -> None:
    made = with_percentiles(ProtocolConfig(trials=trials, rounds=rounds, calls=calls, percentiles=("p999",)))
    assert made.rounds % 2 == 0
    assert made.trials * made.rounds * made.calls >= 4742
    assert made.rounds == rounds or made.trials * (made.rounds - 2) * made.calls < 4742
    assert with_percentiles(made) == made


@pytest.mark.parametrize(
    ("scenario", "protocol"),
    [
        (ScenarioConfig(batch_sizes=(1,)), ProtocolConfig()),
        (ScenarioConfig(batch_sizes=(1, 8, 32), threads=(1, 2)), ProtocolConfig(trials=6, rounds=8, extend=2)),
        (ScenarioConfig(input_lengths=(16, 32)), ProtocolConfig(trials=6, sweep_rounds=6)),
    ],
)
def test_as_many_turns_as_the_plan_then_has(scenario: ScenarioConfig, protocol: ProtocolConfig) -> None:
    plan = make_plan(["a", "b", "c"], "a", scenario, protocol, 0, [0, 1])
    assert turns(3, scenario, protocol) == sum(len(item.order) for item in plan.schedule)
