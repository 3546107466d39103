import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.config import ProtocolConfig
from mlbench.measurement.sizing import with_percentiles


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
