"""Estimates over trials."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mlbench.records import Estimate
from mlbench.statistics import at_level, compare, trial_estimate, wilson


def test_positive_values_by_hand() -> None:
    estimate = trial_estimate([1.0, 4.0, 2.0], "ms")
    # logs 0, 2 ln 2, ln 2: mean ln 2, sd ln 2, t(2, 0.975) = 4.3026527
    half = 4.3026527 / np.sqrt(3)
    assert estimate.value == pytest.approx(2.0)
    assert estimate.low == pytest.approx(2.0 ** (1 - half), rel=1e-6)
    assert estimate.high == pytest.approx(2.0 ** (1 + half), rel=1e-6)
    assert (estimate.n, estimate.unit, estimate.level) == (3, "ms", 0.95)
    assert "geometric" in estimate.method


@given(st.lists(st.floats(0.01, 1e6), min_size=2, max_size=20), st.sampled_from([0.5, 0.9, 0.95, 0.99]))
def test_positive_values_agree_with_scipy(values: list[float], level: float) -> None:
    logs = np.log(values)
    if np.std(logs) < 1e-6:
        return
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(level)
    estimate = trial_estimate(values, "ms", level)
    assert np.log([estimate.value, estimate.low, estimate.high]) == pytest.approx([logs.mean(), low, high], abs=1e-8)
    assert estimate.value == pytest.approx(stats.gmean(values))


def test_values_that_can_be_zero_or_negative_have_the_plain_mean() -> None:
    values = [0.0, 1.0, 2.0, -0.5]
    estimate = trial_estimate(values, "J")
    low, high = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((0.625, low, high))
    assert estimate.method.startswith("mean over trials")
    tiny = trial_estimate([-1e-15, 2e-15, 3e-15], "J")  # small numbers of a small unit are not rounding
    assert tiny.value == pytest.approx(4e-15 / 3)
    assert trial_estimate([0.0, 0.0], "%").high == 0.0


def test_one_trial_has_no_interval() -> None:
    estimate = trial_estimate([3.0], "MiB")
    assert estimate.value == pytest.approx(3.0)
    assert (estimate.low, estimate.high, estimate.n) == (None, None, 1)


@given(st.floats(0.01, 1e6), st.integers(2, 10))
def test_equal_values_give_a_point(value: float, n: int) -> None:
    estimate = trial_estimate([value] * n, "ms")
    assert estimate.value == pytest.approx(value)
    assert estimate.low == pytest.approx(estimate.high)


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [np.inf], [[1.0], [2.0]]])
def test_refuses_nonsense(values: object) -> None:
    with pytest.raises(ValueError, match="one finite value per trial"):
        trial_estimate(values, "ms")


@given(
    st.lists(st.floats(-5, 1e4), min_size=2, max_size=20).filter(lambda values: min(values) <= 0)
    | st.lists(st.floats(0.5, 2), min_size=2, max_size=20),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
    st.sampled_from([0.5, 0.9, 0.95, 0.999]),
)
def test_an_interval_at_another_level_is_the_one_made_there(values: list[float], first: float, level: float) -> None:
    there = trial_estimate(values, "ms", level)
    moved = at_level(trial_estimate(values, "ms", first), level)
    assert moved.level == pytest.approx(level)
    assert [moved.low, moved.value, moved.high] == pytest.approx([there.low, there.value, there.high], rel=1e-9)


def test_a_bound_beyond_all_numbers_is_none() -> None:
    wide = trial_estimate([1e-200, 1e200], "ms")
    assert (wide.low, wide.value, wide.high) == (0.0, pytest.approx(1.0), None)
    narrow = trial_estimate([1.0, 5.0], "ms")
    assert narrow.high is not None
    wider = at_level(narrow, 1 - 1e-9)
    assert (wider.low, wider.high, wider.level) == (0.0, None, 1 - 1e-9)
    ratio = compare([-1.0, 1.0], metric="m", margin=0.03, alpha=1e-9).ratio
    assert (ratio.low, ratio.value, ratio.high) == (0.0, 1.0, None)


def test_a_ratio_at_another_level() -> None:
    logs = [0.1, 0.12, 0.08, 0.11, 0.1, 0.09]
    there = compare(logs, metric="m", margin=0.03, alpha=0.01).ratio
    moved = at_level(compare(logs, metric="m", margin=0.03).ratio, 0.99)
    assert [moved.low, moved.high] == pytest.approx([there.low, there.high])


def test_only_students_interval_is_known_at_other_levels() -> None:
    share = wilson(3, 10)
    assert at_level(share, 0.95) == share
    with pytest.raises(ValueError, match=r"'Wilson score interval' is not known at the level 0\.99"):
        at_level(share, 0.99)
    assert at_level(Estimate(1.0, n=1), 0.99) == Estimate(1.0, level=0.99, n=1)
