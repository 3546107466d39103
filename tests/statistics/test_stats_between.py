from math import comb

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from mlbench.statistics import between_processes, clopper_pearson, most_expected


@pytest.mark.parametrize(("process", "rounds"), [(0.01, 0.02), (0.0, 0.02), (0.03, 0.01)])
def test_finds_the_spreads_that_were_put_in(process: float, rounds: float) -> None:
    random = np.random.default_rng(0)
    values = random.normal(0, process, (4000, 1)) + random.normal(0, rounds, (4000, 10))
    found = between_processes(values)
    assert found.process_sd == pytest.approx(process, abs=0.0015)
    assert found.round_sd == pytest.approx(rounds, rel=0.02)
    assert found.share == pytest.approx(process**2 / (process**2 + rounds**2 / 10), abs=0.05)
    assert found.trials == 4000


def test_identical_data_has_no_spread_and_is_no_division_by_zero() -> None:
    found = between_processes(np.zeros((6, 4)))
    assert (found.share, found.process_sd, found.round_sd) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shape", [(2, 10), (6, 1), (6,)])
def test_too_few_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="at least 3 trials"):
        between_processes(np.zeros(shape))


def test_infinite_values_are_refused() -> None:
    with pytest.raises(ValueError, match="finite"):
        between_processes(np.full((6, 4), np.inf))


@pytest.mark.parametrize(("k", "n"), [(0, 40), (4, 40), (40, 40), (1, 1)])
def test_clopper_pearson_agrees_with_statsmodels(k: int, n: int) -> None:
    estimate = clopper_pearson(k, n)
    assert (estimate.low, estimate.high) == pytest.approx(proportion_confint(k, n, method="beta"))
    assert estimate.value == k / n


@pytest.mark.parametrize(("k", "n"), [(-1, 3), (4, 3), (0, 0)])
def test_clopper_pearson_refuses_what_is_no_share(k: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no share"):
        clopper_pearson(k, n)


@pytest.mark.parametrize(("n", "rate", "expected"), [(40, 0.05, 4), (10, 0.05, 2), (2, 0.05, 1), (40, 0.01, 2)])
def test_most_that_a_rate_explains_by_adding_up_the_binomial(n: int, rate: float, expected: int) -> None:
    def more_than(k: int) -> float:
        return sum(comb(n, j) * rate**j * (1 - rate) ** (n - j) for j in range(k + 1, n + 1))

    assert most_expected(n, rate) == expected
    assert more_than(expected) <= 0.05 < more_than(expected - 1)
