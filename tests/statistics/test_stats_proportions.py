"""Shares against statsmodels, Tango's interval against published values and exact coverage."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.proportion import proportion_confint

from mlbench.statistics import _proportions, bootstrap_interval, mcnemar_exact, tango, wilson

counts = st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n)))
pairs = st.integers(1, 300).flatmap(
    lambda n: st.integers(0, n).flatmap(lambda b: st.tuples(st.just(b), st.integers(0, n - b), st.just(n)))
)


@given(counts, st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_wilson_agrees_with_statsmodels(count: tuple[int, int], level: float) -> None:
    k, n = count
    estimate = wilson(k, n, level)
    low, high = proportion_confint(k, n, alpha=1 - level, method="wilson")
    assert (estimate.value, estimate.low, estimate.high) == pytest.approx((k / n, low, high), abs=1e-12)
    assert estimate.low <= estimate.value <= estimate.high
    assert (estimate.n, estimate.level) == (n, level)


@pytest.mark.parametrize(("k", "n"), [(-1, 5), (6, 5), (0, 0)])
def test_wilson_refuses_nonsense(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="a share needs"):
        wilson(k, n)


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_levels_lie_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="confidence level"):
        wilson(1, 2, level)


# ---------------------------------------------------------------------------------------------------------------------
# Tango


@pytest.mark.parametrize(
    ("b", "c", "n", "level", "low", "high", "digits"),
    [
        (9, 3, 32, 0.95, -0.027, 0.390, 3),  # Tango (1998), section 6.2
        (0, 1, 44, 0.90, -0.096, None, 3),  # Tango (1998), section 6.1, lower limit
        (1, 7, 21, 0.95, -0.517, -0.026, 3),  # Fagerland, Lydersen and Laake (2014), table V
        (28, 25, 618, 0.90, -0.0148, 0.0247, 4),  # R's PropCIs, scoreci.mp(25, 28, 618, 0.9)
    ],
)
def test_tango_gives_the_published_intervals(
    b: int, c: int, n: int, level: float, low: float, high: float | None, digits: int
) -> None:
    estimate = tango(b, c, n, level)
    assert estimate.value == pytest.approx((b - c) / n)
    assert round(estimate.low, digits) == low
    assert high is None or round(estimate.high, digits) == high


def score(b: int, c: int, n: int, delta: float) -> float:
    """The score statistic with the restricted estimate found by maximising the likelihood numerically."""

    def minus_log_likelihood(p21: float) -> float:
        p12 = p21 + delta
        rest = max(1 - p12 - p21, 1e-300)
        terms = [(b, p12), (c, p21), (n - b - c, rest)]
        return -sum(k * math.log(max(p, 1e-300)) for k, p in terms if k)

    least, most = max(0.0, -delta), (1 - delta) / 2
    p21 = optimize.minimize_scalar(
        minus_log_likelihood, bounds=(least, most), method="bounded", options={"xatol": 1e-12}
    ).x
    return (b - c - n * delta) / math.sqrt(n * (2 * p21 + delta - delta**2))


@pytest.mark.parametrize(("b", "c", "n"), [(9, 3, 32), (1, 7, 21), (40, 20, 160), (3, 2, 719), (12, 12, 50)])
def test_tango_inverts_the_score_test(b: int, c: int, n: int) -> None:
    estimate = tango(b, c, n)
    assert score(b, c, n, estimate.low) == pytest.approx(1.959964, abs=1e-3)
    assert score(b, c, n, estimate.high) == pytest.approx(-1.959964, abs=1e-3)


def test_no_change_at_all_still_leaves_half_a_point_open() -> None:
    estimate = tango(0, 0, 719)
    z2 = 1.959963984540054**2
    assert (estimate.low, estimate.high) == pytest.approx((-z2 / (719 + z2), z2 / (719 + z2)))
    assert estimate.high == pytest.approx(0.0053, abs=5e-5)
    # what a bootstrap of the same data would say
    low, high = bootstrap_interval(lambda weights: weights @ np.zeros((719, 1)), 719, seed=0)
    assert (low[0], high[0]) == (0.0, 0.0)


@given(pairs)
def test_tango_mirrors_contains_its_point_and_stays_in_range(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    there, back = tango(b, c, n), tango(c, b, n)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low), abs=1e-9)
    assert -1 <= there.low <= there.value <= there.high <= 1
    assert there.high - there.low > 0


@given(pairs)
def test_tango_agrees_with_the_uncorrected_mcnemar_statistic(counts: tuple[int, int, int]) -> None:
    b, c, n = counts
    z = (b - c) / math.sqrt(b + c) if b + c else 0.0
    if abs(abs(z) - 1.959964) < 1e-6:
        return
    estimate = tango(b, c, n)
    assert (estimate.low > 0 or estimate.high < 0) == (abs(z) > 1.959964)


def coverage(n: int, p12: float, p21: float, interval: Callable[[int, int, int], tuple[float, float]]) -> float:
    """The exact chance that an interval holds the true difference, summed over all likely samples."""
    counts = np.array([(b, c) for b in range(min(n, 45)) for c in range(min(n, 45)) if b + c <= n])
    rest = n - counts.sum(axis=1)
    chances = stats.multinomial.pmf(np.column_stack([counts, rest]), n, [p12, p21, 1 - p12 - p21])
    likely = chances > 1e-8
    assert chances[likely].sum() > 0.9999
    bounds = [interval(int(b), int(c), n) for b, c in counts[likely]]
    holds = np.array([low <= p12 - p21 <= high for low, high in bounds])
    return float(chances[likely][holds].sum())


def tango_bounds(b: int, c: int, n: int) -> tuple[float, float]:
    estimate = tango(b, c, n)
    return estimate.low, estimate.high


def wald_bounds(b: int, c: int, n: int) -> tuple[float, float]:
    """The textbook interval, which collapses where nothing changed."""
    difference = (b - c) / n
    half = 1.959964 * math.sqrt((b + c) / n - difference**2) / math.sqrt(n)
    return difference - half, difference + half


@pytest.mark.repeats
@pytest.mark.parametrize(
    ("n", "p12", "p21", "least"),
    [
        (719, 0.004, 0.004, 0.95),
        (719, 0.002, 0.012, 0.945),
        (719, 0.0005, 0.0005, 0.95),
        (719, 0.0, 0.002, 0.94),
        (500, 0.02, 0.01, 0.945),
        (100, 0.05, 0.02, 0.93),  # the worst of these: small samples cost it a little more than a point
    ],
)
def test_tango_covers_the_truth_about_as_often_as_stated(n: int, p12: float, p21: float, least: float) -> None:
    assert coverage(n, p12, p21, tango_bounds) >= least


def test_the_textbook_interval_fails_the_same_check() -> None:
    assert coverage(719, 0.0, 0.002, wald_bounds) < 0.80
    assert coverage(719, 0.0005, 0.003, wald_bounds) < 0.90


def test_the_score_is_defined_where_its_variance_is_zero() -> None:
    assert _proportions._tango_score(0, 0, 5, 0.0) == 0.0
    assert _proportions._tango_score(3, 0, 5, 1.0) == -math.inf


@pytest.mark.parametrize(("b", "c", "n"), [(-1, 0, 5), (0, -1, 5), (3, 3, 5), (0, 0, 0)])
def test_tango_refuses_nonsense(b: int, c: int, n: int) -> None:
    with pytest.raises(ValueError, match="paired counts"):
        tango(b, c, n)


# ---------------------------------------------------------------------------------------------------------------------
# McNemar


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_agrees_with_statsmodels(b: int, c: int) -> None:
    expected = mcnemar([[10, b], [c, 10]], exact=True).pvalue if b + c else 1.0
    assert mcnemar_exact(b, c) == pytest.approx(expected)


def test_mcnemar_refuses_nonsense() -> None:
    with pytest.raises(ValueError, match="negative"):
        mcnemar_exact(-1, 2)
