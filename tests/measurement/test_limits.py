import pytest

from mlbench.measurement.limits import Limits


@pytest.mark.parametrize(
    ("count", "slowest_s", "seconds"),
    [(12, 0.002, 30.0), (12, 0.125, 30.0), (12, 0.25, 60.0), (1000, 0.0, 30.0)],
)
def test_calls_may_take_twenty_times_as_long_as_the_slowest_and_never_less_than_the_floor(
    count: int, slowest_s: float, seconds: float
) -> None:
    assert Limits().calls(count, slowest_s) == seconds


@pytest.mark.parametrize(("count", "call_s", "seconds"), [(30, 0.1, 300.0), (30, 1.0, 600.0)])
def test_what_is_not_known_well_has_more_time(count: int, call_s: float, seconds: float) -> None:
    assert Limits().unsure(count, call_s) == seconds
