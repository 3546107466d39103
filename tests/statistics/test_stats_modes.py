"""Two speeds: found where they are, and hardly ever where they are not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from noise_model import FloatArray, simulate
from sklearn.cluster import KMeans

from mlbench.statistics import TwoSpeeds, two_speeds
from mlbench.statistics._modes import _upper

JUMP = 3.35 / 1.95  # seen in mid-run, with a spread of 2 % inside each speed
STUDIES = 500


def each_arm(studies: FloatArray) -> list[TwoSpeeds | None]:
    """What is found of every arm beside the others; studies of shape (studies, arms, trials, rounds)."""
    return [two_speeds(study[arm], np.delete(study, arm, axis=0)) for study in studies for arm in range(len(study))]


def share(found: list[TwoSpeeds | None]) -> float:
    return sum(1 for one in found if one is not None) / len(found)


def jumping(seed: int, trials: int, jumps: int) -> FloatArray:
    """Studies of which the second arm jumps, in so many trials, somewhere before the middle of the trial."""
    studies = simulate(200, seed=seed, trials=trials, rounds=20)
    random = np.random.default_rng(seed)
    for study in studies:
        for trial in random.permutation(trials)[:jumps]:
            study[1, trial, random.integers(5, 11) :] *= JUMP
    return studies


def steady(speeds: FloatArray, spread: float = 0.02) -> FloatArray:
    random = np.random.default_rng(0)
    return speeds * np.exp(random.normal(0, spread, speeds.shape))


def test_the_jump_that_was_seen_by_hand() -> None:
    speeds = np.full((10, 20), 1.95)
    speeds[3, 8:] = speeds[7, 15:] = 3.35
    found = two_speeds(steady(speeds), steady(np.full((1, 10, 20), 1.0)))
    assert found is not None
    np.testing.assert_array_equal(found.slow, speeds > 3)
    assert found.ratio == pytest.approx(JUMP, rel=0.02)
    assert found.separation > 15


def test_ashmans_d_by_hand() -> None:
    # medians 0 and 1 (in logs), median absolute deviations 0.01 and 0.03
    low, high = [-0.02, -0.01, 0.0, 0.01, 0.02] * 4, [0.94, 0.97, 1.0, 1.03, 1.06] * 4
    found = two_speeds(np.exp([low + high, low + high]))
    assert found is not None
    assert found.separation == pytest.approx(math.sqrt(2) / (1.4826 * math.hypot(0.01, 0.03)))
    assert found.ratio == pytest.approx(math.e)


@given(hnp.arrays(np.float64, st.integers(12, 40), elements=st.floats(-1, 1), unique=True))
def test_the_split_is_the_one_with_the_least_squares(values: np.ndarray) -> None:
    upper = _upper(values, 1)

    def within(high: np.ndarray) -> float:
        return sum(float(((part - part.mean()) ** 2).sum()) for part in (values[high], values[~high]))

    ordered = np.sort(values)
    assert within(upper) == pytest.approx(min(within(values >= cut) for cut in ordered[1:]), abs=1e-9)


def test_the_split_agrees_with_k_means() -> None:
    values = np.log(simulate(1, seed=1, rounds=20)[0, 0])
    oracle = KMeans(2, n_init=10, random_state=0).fit(values.reshape(-1, 1))
    slow = oracle.labels_ == int(np.argmax(oracle.cluster_centers_))
    if min(slow.sum(), (~slow).sum()) >= 10:
        np.testing.assert_array_equal(_upper(values, 10).ravel(), slow)


# ---------------------------------------------------------------------------------------------------------------------
# how often it is wrong, and how often it finds the jump that was seen


def test_false_alarms_are_rare_on_a_noisy_machine() -> None:
    assert share(each_arm(simulate(STUDIES, seed=5))) <= 0.005
    assert share(each_arm(simulate(STUDIES, seed=5, process_effect=0.05))) <= 0.01


@pytest.mark.parametrize(("trials", "jumps"), [(10, 1), (10, 4), (6, 1), (6, 3)])
def test_the_jump_is_found_and_put_down_to_the_right_arm(trials: int, jumps: int) -> None:
    found = each_arm(jumping(6, trials, jumps))
    assert share(found[1::2]) >= 0.97
    assert share(found[0::2]) <= 0.01


def test_a_detector_that_ignores_the_spread_fails_the_check_for_false_alarms() -> None:
    """Two parts 20 % apart are found in many noisy studies: it is the separation that tells modes from spread."""
    noisy = simulate(STUDIES, seed=5, process_effect=0.10)
    apart = 0
    for study in noisy:
        values = np.log(study[1]) - np.log(study[0])
        upper = _upper(values, 10)
        apart += bool(np.median(values[upper]) - np.median(values[~upper]) > math.log(1.2))
    assert apart / STUDIES > 0.2
    assert share(each_arm(noisy)) <= 0.03


def test_a_machine_that_slows_every_arm_is_not_the_arms_doing() -> None:
    machine = np.ones((10, 20))
    machine[4:6] = 1.7
    arms = steady(np.broadcast_to(machine, (3, 10, 20)).copy())
    assert [two_speeds(arms[arm], np.delete(arms, arm, axis=0)) for arm in range(3)] == [None] * 3
    assert two_speeds(arms[0]) is not None  # alone it cannot be told


# ---------------------------------------------------------------------------------------------------------------------
# properties


@given(st.floats(1e-3, 1e3))
def test_a_common_factor_changes_nothing(factor: float) -> None:
    speeds = np.full((6, 10), 1.0)
    speeds[2, 4:] = 2.0
    own, other = steady(speeds), steady(np.ones((1, 6, 10)))
    one, scaled = two_speeds(own, other), two_speeds(factor * own, factor * other)
    assert one is not None
    assert scaled is not None
    np.testing.assert_array_equal(one.slow, scaled.slow)
    assert scaled.separation == pytest.approx(one.separation)


def test_the_rarer_speed_may_be_the_fast_one() -> None:
    speeds = np.full((6, 10), 2.0)
    speeds[2, 4:] = 1.0
    found = two_speeds(steady(speeds))
    assert found is not None
    assert int((~found.slow).sum()) == 6


def test_isolated_slow_turns_are_no_mode() -> None:
    speeds = np.ones((10, 20))
    speeds[:, 7] = 2.0
    assert two_speeds(steady(speeds)) is None


def test_identical_turns_have_one_speed_and_two_exact_speeds_are_found() -> None:
    assert two_speeds(np.ones((6, 10))) is None
    exact = np.ones((6, 10))
    exact[0] = 2.0
    found = two_speeds(exact)
    assert found is not None
    assert math.isfinite(found.separation)


def test_too_few_turns_say_nothing() -> None:
    assert two_speeds([[1.0, 1.0, 1.0], [2.0, 2.0, 2.0]]) is None


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match="shape"):
        two_speeds(np.ones(10))
    with pytest.raises(ValueError, match="shape"):
        two_speeds(np.ones((2, 5)), np.ones((1, 2, 4)))
