"""The bootstrap over items: what is drawn, and that it is what scipy would give."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from mlbench.statistics import _bootstrap, bootstrap_interval


def mean_of(values: np.ndarray) -> object:
    return lambda weights: (weights @ values / weights.sum(axis=1))[:, np.newaxis]


def drawn(n: int, **options: object) -> np.ndarray:
    """All weights that a bootstrap draws."""
    seen = []

    def spy(weights: np.ndarray) -> np.ndarray:
        seen.append(weights.copy())
        return weights[:, :1]

    bootstrap_interval(spy, n, **options)
    return np.concatenate(seen)


def test_interval_agrees_with_scipy() -> None:
    values = np.random.default_rng(3).exponential(size=200)
    low, high = bootstrap_interval(mean_of(values), 200, seed=1, resamples=20_000)
    oracle = stats.bootstrap((values,), np.mean, n_resamples=20_000, method="percentile", random_state=2)
    width = high[0] - low[0]
    assert low[0] == pytest.approx(oracle.confidence_interval.low, abs=0.02 * width)
    assert high[0] == pytest.approx(oracle.confidence_interval.high, abs=0.02 * width)


def test_the_seed_decides_everything() -> None:
    values = np.random.default_rng(3).normal(size=50)
    one = bootstrap_interval(mean_of(values), 50, seed=1)
    assert one == bootstrap_interval(mean_of(values), 50, seed=1)
    assert one != bootstrap_interval(mean_of(values), 50, seed=2)


def test_every_draw_has_as_many_items_as_the_sample() -> None:
    weights = drawn(30, seed=5, resamples=500)
    assert weights.shape == (500, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean(axis=0) == pytest.approx(np.ones(30), abs=0.2)
    assert weights.var() == pytest.approx(29 / 30, abs=0.05)  # binomial(30, 1/30)


def test_strata_keep_their_size_and_a_rare_class_never_vanishes() -> None:
    strata = np.array(["b", "a", "b", "rare", "a", "b", "b", "a"])
    weights = drawn(8, seed=5, resamples=400, strata=strata)
    for name, size in {"a": 3, "b": 4, "rare": 1}.items():
        assert (weights[:, strata == name].sum(axis=1) == size).all()
    assert (weights[:, 3] == 1).all()
    assert weights[:, strata == "a"].mean(axis=0) == pytest.approx(np.ones(3), abs=0.15)


def test_without_strata_the_same_class_would_vanish() -> None:
    assert (drawn(8, seed=5, resamples=400)[:, 3] == 0).any()


def test_pairing_cancels_what_two_arms_share() -> None:
    random = np.random.default_rng(4)
    base = random.normal(size=300)
    other = base + 0.01 * random.normal(size=300)

    def difference(weights: np.ndarray) -> np.ndarray:
        return ((weights @ other - weights @ base) / 300)[:, np.newaxis]

    low, high = bootstrap_interval(difference, 300, seed=0)
    apart, _ = bootstrap_interval(mean_of(base), 300, seed=0)
    assert high[0] - low[0] < 0.05 * abs(base.mean() - apart[0])
    assert low[0] < (other - base).mean() < high[0]


def test_blocks_give_the_same_kind_of_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_bootstrap, "_BLOCK", 70)
    weights = drawn(30, seed=5, resamples=7)
    assert weights.shape == (7, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert len({row.tobytes() for row in weights}) == 7


def test_several_figures_and_another_level() -> None:
    values = np.random.default_rng(3).normal(size=(100, 3))

    def means(weights: np.ndarray) -> np.ndarray:
        return weights @ values / 100

    low, high = bootstrap_interval(means, 100, seed=1)
    lower, higher = bootstrap_interval(means, 100, seed=1, level=0.99)
    assert low.shape == high.shape == (3,)
    assert (lower < low).all()
    assert (high < higher).all()


@pytest.mark.parametrize(("n", "strata"), [(0, None), (3, [0, 1])])
def test_refuses_nonsense(n: int, strata: list[int] | None) -> None:
    with pytest.raises(ValueError, match="at least one item"):
        bootstrap_interval(mean_of(np.ones(3)), n, seed=0, strata=strata)
