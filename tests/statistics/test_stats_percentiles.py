"""Percentiles: how many samples they take, and how often their interval holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from mlbench.statistics import min_samples, percentile, supported


@pytest.mark.parametrize(("q", "n"), [(0.5, 8), (0.9, 46), (0.95, 93), (0.99, 473), (0.999, 4742)])
def test_min_samples(q: float, n: int) -> None:
    assert min_samples(q) == n
    assert not supported(n - 1, q)
    assert supported(n, q)


@given(st.floats(0.01, 0.99), st.sampled_from([0.5, 0.8, 0.95, 0.99]))
def test_min_samples_is_the_first_that_satisfies_the_definition(q: float, level: float) -> None:
    def bound_holds(n: int) -> bool:
        tail = min(q, 1 - q)
        return (1 - tail) ** n + n * tail * (1 - tail) ** (n - 1) <= 1 - level  # at most one observation beyond

    n = min_samples(q, level)
    assert bound_holds(n)
    assert n == 2 or not bound_holds(n - 1)
    assert n == min_samples(1 - q, level)


@pytest.mark.parametrize(("q", "level"), [(0.0, 0.95), (1.0, 0.95), (0.9, 0.0), (0.9, 1.0)])
def test_refuses_nonsense(q: float, level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        min_samples(q, level)


def test_refuses_samples_that_are_not_finite() -> None:
    with pytest.raises(ValueError, match="finite"):
        percentile([1.0, math.nan] * 50, 0.5)


def test_unsupported_is_none() -> None:
    assert percentile(np.arange(45.0), 0.9) is None
    assert percentile([], 0.5) is None
    assert percentile(np.arange(46.0), 0.9) is not None


def test_interval_by_hand() -> None:
    # n = 20, median: P(B <= 5) = 0.0207 and P(B <= 6) = 0.0577, so the 6th and the 15th observation
    estimate = percentile(np.arange(1.0, 21.0), 0.5, unit="ms")
    assert (estimate.low, estimate.high, estimate.value) == (6.0, 15.0, 10.5)
    assert (estimate.n, estimate.unit) == (20, "ms")


@given(hnp.arrays(np.float64, st.integers(46, 300), elements=st.floats(0, 1e6)), st.sampled_from([0.5, 0.9]))
def test_point_is_numpys_and_lies_in_the_interval(samples: np.ndarray, q: float) -> None:
    estimate = percentile(samples, q)
    assert estimate.value == np.quantile(samples, q)
    assert estimate.low <= estimate.value <= estimate.high


@given(st.sampled_from([0.1, 0.5, 0.9, 0.95, 0.99]), st.integers(500, 3000))
def test_ranks_have_at_most_the_stated_chance_to_miss(q: float, n: int) -> None:
    estimate = percentile(np.arange(1.0, n + 1), q)
    lower, upper = int(estimate.low), int(estimate.high)
    # both ends are the innermost ones that keep to 2.5 %
    assert stats.binom.cdf(lower - 1, n, q) <= 0.025 < stats.binom.cdf(lower, n, q)
    assert stats.binom.sf(upper - 1, n, q) <= 0.025 < stats.binom.sf(upper - 2, n, q)


@pytest.mark.parametrize(("q", "n"), [(0.5, 100), (0.9, 46), (0.95, 93), (0.95, 1000), (0.99, 473), (0.99, 2000)])
def test_coverage_on_a_skewed_distribution(q: float, n: int) -> None:
    """At least 95 %, as the interval is conservative; 2,000 seeded samples have a standard error of 0.5 points."""
    random = np.random.default_rng(20)
    truth = math.exp(stats.norm.ppf(q))
    hits = 0
    for _ in range(2000):
        estimate = percentile(np.exp(random.normal(size=n)), q)
        hits += estimate.low <= truth <= estimate.high
    assert hits >= 0.94 * 2000
    assert hits < 2000  # wide enough to hold always would be no interval
