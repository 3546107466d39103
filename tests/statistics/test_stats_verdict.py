"""The rule on fixed arrays, against scipy, and its properties."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats

from mlbench.records import Verdict
from mlbench.statistics import MIN_TRIALS, compare, paired_log_ratios, withhold

METRIC = "latency/p50_ms"
MIRROR = {"faster": "slower", "slower": "faster", "equivalent": "equivalent", "inconclusive": "inconclusive"}

log_ratios = hnp.arrays(
    np.float64,
    st.integers(MIN_TRIALS, 20),
    elements=st.floats(-2, 2).map(lambda x: round(x, 6)),
)
medians = hnp.arrays(np.float64, st.tuples(st.integers(6, 10), st.integers(2, 6)), elements=st.floats(0.1, 100))


def judge(values: object, **options: object) -> Verdict:
    return compare(values, **{"metric": METRIC, "margin": 0.03, **options})


# ---------------------------------------------------------------------------------------------------------------------
# paired_log_ratios


def test_pairs_rounds_and_takes_the_median_by_hand() -> None:
    baseline = [[1.0, 2.0, 4.0], [1.0, 1.0, 1.0]]
    variant = [[2.0, 2.0, 4.0 * math.e], [math.e, math.e**2, math.e**5]]
    # trial 0: log 2, 0, 1 -> log 2; trial 1: 1, 2, 5 -> 2
    assert paired_log_ratios(baseline, variant) == pytest.approx([math.log(2), 2.0])


def test_a_drift_that_both_arms_share_drops_out() -> None:
    drift = np.exp(np.linspace(0, 1, 60)).reshape(6, 10)
    assert paired_log_ratios(drift, 1.5 * drift) == pytest.approx(np.full(6, math.log(1.5)))


@pytest.mark.parametrize(
    ("baseline", "variant", "message"),
    [
        (np.ones((6, 10)), np.ones((6, 9)), "paired"),
        (np.ones((6, 10)), np.ones((5, 10)), "paired"),
        (np.ones(6), np.ones(6), r"\(trials, rounds\)"),
        (np.ones((6, 0)), np.ones((6, 0)), r"\(trials, rounds\)"),
        (np.ones((1, 2)), [[1.0, 0.0]], "variant must be positive"),
        ([[1.0, np.nan]], np.ones((1, 2)), "baseline must be positive"),
    ],
)
def test_refuses_what_cannot_be_paired(baseline: object, variant: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        paired_log_ratios(baseline, variant)


shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@given(shapes, shapes)
def test_unequal_counts_always_raise(one: tuple[int, int], other: tuple[int, int]) -> None:
    if one != other:
        with pytest.raises(ValueError, match="cannot be paired"):
            paired_log_ratios(np.ones(one), np.ones(other))


@given(medians, st.randoms())
def test_swapping_the_arms_turns_the_sign_and_the_order_of_rounds_is_nothing(
    values: np.ndarray, random: object
) -> None:
    baseline, variant = values, values[::-1]
    expected = paired_log_ratios(baseline, variant)
    assert paired_log_ratios(variant, baseline) == pytest.approx(-expected, abs=1e-12)
    rounds = list(range(values.shape[1]))
    random.shuffle(rounds)
    assert paired_log_ratios(baseline[:, rounds], variant[:, rounds]) == pytest.approx(expected, abs=1e-12)


@given(medians, st.floats(1e-3, 1e3))
def test_a_common_factor_changes_nothing(values: np.ndarray, factor: float) -> None:
    baseline, variant = values, values[::-1]
    expected = paired_log_ratios(baseline, variant)
    assert paired_log_ratios(factor * baseline, factor * variant) == pytest.approx(expected, abs=1e-9)


@given(medians, st.floats(-3, 3))
def test_a_factor_on_the_variant_adds_its_logarithm(values: np.ndarray, shift: float) -> None:
    baseline, variant = values, values[::-1]
    expected = paired_log_ratios(baseline, variant) + shift
    assert paired_log_ratios(baseline, variant * math.exp(shift)) == pytest.approx(expected, abs=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# the rule


def test_interval_by_hand() -> None:
    verdict = judge([0.1, 0.2, 0.3, 0.1, 0.2, 0.3])
    # mean 0.2, sd sqrt(0.04 / 5) = 0.0894427, t(5, 0.975) = 2.5705818: half-width 0.0938644
    assert math.log(verdict.ratio.value) == pytest.approx(0.2)
    assert math.log(verdict.ratio.low) == pytest.approx(0.2 - 0.0938644, abs=1e-6)
    assert math.log(verdict.ratio.high) == pytest.approx(0.2 + 0.0938644, abs=1e-6)
    # t(5, 0.95) = 2.0150484: half-width 0.0735792
    assert math.log(verdict.equivalence.high) == pytest.approx(0.2 + 0.0735792, abs=1e-6)
    assert (verdict.ratio.level, verdict.equivalence.level, verdict.trials) == (0.95, 0.90, 6)
    assert verdict.call == "slower"


@given(log_ratios)
def test_agrees_with_scipys_t_test(values: np.ndarray) -> None:
    if np.std(values) < 1e-4:
        return
    verdict = judge(values)
    oracle = stats.ttest_1samp(values, 0.0)
    low, high = oracle.confidence_interval(0.95)
    assert math.log(verdict.ratio.low) == pytest.approx(low, abs=1e-9)
    assert math.log(verdict.ratio.high) == pytest.approx(high, abs=1e-9)
    assert verdict.p_value == pytest.approx(oracle.pvalue, abs=1e-9)
    bound = math.log(1.03)
    above = stats.ttest_1samp(values, -bound, alternative="greater").pvalue
    below = stats.ttest_1samp(values, bound, alternative="less").pvalue
    assert verdict.equivalence_p == pytest.approx(max(above, below), abs=1e-9)


@given(log_ratios)
def test_the_call_follows_from_the_intervals_in_the_stated_order(values: np.ndarray) -> None:
    verdict = judge(values)
    if verdict.equivalence.low > 1 / 1.03 and verdict.equivalence.high < 1.03:
        expected = "equivalent"
    elif verdict.ratio.low > 1:
        expected = "slower"
    elif verdict.ratio.high < 1:
        expected = "faster"
    else:
        expected = "inconclusive"
    assert verdict.call == expected


@pytest.mark.parametrize(
    ("values", "call"),
    [
        ([0.30, 0.31, 0.29, 0.30, 0.32, 0.28], "slower"),
        ([-0.30, -0.31, -0.29, -0.30, -0.32, -0.28], "faster"),
        ([0.001, -0.001, 0.002, -0.002, 0.0, 0.0], "equivalent"),
        ([0.010, 0.011, 0.009, 0.010, 0.012, 0.008], "equivalent"),  # real, but within the margin
        ([0.1, -0.1, 0.2, -0.2, 0.0, 0.05], "inconclusive"),
    ],
)
def test_each_call(values: list[float], call: str) -> None:
    assert judge(values).call == call


def test_more_is_better_turns_the_words_and_nothing_else() -> None:
    values = [0.30, 0.31, 0.29, 0.30, 0.32, 0.28]
    times, throughput = judge(values), judge(values, lower_is_better=False)
    assert (times.call, throughput.call) == ("slower", "faster")
    assert throughput == dataclasses.replace(times, call="faster", lower_is_better=False)


@given(log_ratios)
def test_swapping_the_arms_mirrors_the_verdict(values: np.ndarray) -> None:
    there, back = judge(values), judge(-values)
    assert back.call == MIRROR[there.call]
    assert back.ratio.value == pytest.approx(1 / there.ratio.value)
    assert back.ratio.low == pytest.approx(1 / there.ratio.high)
    assert back.p_value == pytest.approx(there.p_value, abs=1e-12)
    assert back.trials_needed == there.trials_needed


@given(log_ratios, st.randoms())
def test_the_order_of_trials_does_not_matter(values: np.ndarray, random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    one, other = judge(values), judge(shuffled)
    assert one.call == other.call
    assert one.ratio.value == pytest.approx(other.ratio.value)


@given(log_ratios, st.floats(-2, 2))
def test_a_shift_moves_the_estimate_by_as_much(values: np.ndarray, shift: float) -> None:
    moved = math.log(judge(values + shift).ratio.value)
    assert moved == pytest.approx(math.log(judge(values).ratio.value) + shift, abs=1e-9)


@given(log_ratios, st.floats(0, 1))
def test_more_of_the_same_shift_never_turns_slower_into_anything_else(values: np.ndarray, shift: float) -> None:
    if judge(values).call == "slower":
        assert judge(values + shift).call == "slower"


@given(medians)
def test_identical_data_are_equivalent_and_never_nan(values: np.ndarray) -> None:
    verdict = judge(paired_log_ratios(values, values))
    assert verdict.call == "equivalent"
    numbers = [verdict.ratio.value, verdict.ratio.low, verdict.ratio.high, verdict.p_value, verdict.equivalence_p]
    assert numbers == [1.0, 1.0, 1.0, 1.0, 0.0]
    assert verdict.rank_p is None


@given(medians, st.floats(1e-3, 1e3))
def test_rounding_errors_are_not_a_difference(values: np.ndarray, factor: float) -> None:
    # the same data in another unit: logarithms differ in the last bits only
    shifted = paired_log_ratios(values * factor, values) - math.log(1 / factor)
    verdict = judge(shifted)
    assert (verdict.call, verdict.p_value) == ("equivalent", 1.0)


def test_without_any_spread_the_rule_still_reads_the_ratio() -> None:
    verdict = judge(np.full(8, math.log(2)))
    assert (verdict.call, verdict.p_value, verdict.equivalence_p) == ("slower", 0.0, 1.0)
    assert (verdict.ratio.low, verdict.ratio.high) == pytest.approx((2.0, 2.0))
    assert judge(np.full(8, 0.01)).call == "equivalent"


@given(hnp.arrays(np.float64, st.integers(0, MIN_TRIALS - 1), elements=st.floats(-1, 1)))
def test_under_six_trials_there_is_no_verdict(values: np.ndarray) -> None:
    verdict = judge(values)
    assert verdict.call == "inconclusive"
    assert verdict.withheld
    assert f"no verdict with fewer than {MIN_TRIALS}" in verdict.reason
    assert verdict.trials == len(values)


def test_few_trials_still_give_what_they_can() -> None:
    assert judge([]).ratio is None
    one = judge([0.2])
    assert one.ratio.value == pytest.approx(math.exp(0.2))
    assert (one.ratio.low, one.ratio.high, one.p_value, one.equivalence_p, one.trials_needed) == (None,) * 5
    assert one.reason.startswith("1 trial:")
    three = judge([0.19, 0.20, 0.21])
    assert three.ratio.low > 1
    assert (three.trials_needed, three.withheld) == (6, True)


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ([[0.1, 0.2]], {}, "one value per trial"),
        ([0.1, np.nan], {}, "finite"),
        ([0.1, np.inf], {}, "finite"),
        ([0.1], {"margin": 0.0}, "margin"),
        ([0.1], {"alpha": 0.0}, "alpha"),
        ([0.1], {"alpha": 0.6}, "alpha"),
        ([0.1] * 6, {"cpu_log_ratios": [0.1] * 5}, "CPU time"),
    ],
)
def test_refuses_nonsense(values: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        judge(values, **options)


@given(hnp.arrays(np.float64, st.integers(6, 30), elements=st.floats(-2, 2), unique=True))
def test_rank_p_agrees_with_scipys_exact_test(values: np.ndarray) -> None:
    sizes = np.abs(values)
    if len(set(sizes)) < len(sizes) or sizes.min() < 1e-9:
        return  # scipy's exact test takes neither ties nor zeros
    assert judge(values).rank_p == pytest.approx(stats.wilcoxon(values, method="exact").pvalue)


@pytest.mark.parametrize("values", [[1, 1, 1, 2, -1, 2, 0], [1, 1, 1, 1, 1, 1], [0.5, -0.5, 0.5, -0.5, 2, 0, 0]])
def test_rank_p_with_ties_agrees_with_all_sign_changes(values: list[float]) -> None:
    nonzero = np.array([value for value in values if value])
    oracle = stats.wilcoxon(nonzero, method=stats.PermutationMethod(n_resamples=10_000))
    assert judge(values).rank_p == pytest.approx(oracle.pvalue)


# ---------------------------------------------------------------------------------------------------------------------
# trials needed


def settled(mean: float, sd: float, trials: int, margin: float = 0.03, alpha: float = 0.05) -> bool:
    """The definition, with scipy's t: this mean and spread at so many trials would be called."""
    error = sd / math.sqrt(trials)
    different = stats.t.ppf(1 - alpha / 2, trials - 1) * error < abs(mean)
    equivalent = abs(mean) + stats.t.ppf(1 - alpha, trials - 1) * error < math.log1p(margin)
    return bool(different or equivalent)


@given(log_ratios)
def test_trials_needed_is_the_first_number_that_settles_it(values: np.ndarray) -> None:
    verdict = judge(values)
    if verdict.call != "inconclusive" or verdict.trials_needed is None:
        return
    mean, sd = float(np.mean(values)), float(np.std(values, ddof=1))
    assert verdict.trials_needed > len(values)
    assert settled(mean, sd, verdict.trials_needed)
    assert not settled(mean, sd, verdict.trials_needed - 1)
    assert f"about {verdict.trials_needed} trials would settle it" in verdict.reason


def test_trials_needed_is_absent_when_no_practical_number_would_do() -> None:
    # the mean sits at the margin's edge in the middle of a huge spread
    verdict = judge([9.0, -9.0, 9.0, -9.0, 9.0, -8.99])
    assert (verdict.call, verdict.trials_needed) == ("inconclusive", None)
    assert "trials would settle" not in verdict.reason


# ---------------------------------------------------------------------------------------------------------------------
# wall time and CPU time

NOISE = np.array([0.004, -0.003, 0.002, -0.004, 0.001, 0.003, -0.002, -0.001])


def test_cpu_time_that_agrees_leaves_the_verdict_alone() -> None:
    alone = judge(-1.0 + NOISE)
    beside = judge(-1.0 + NOISE, cpu_log_ratios=-1.01 - NOISE)
    assert beside.cpu_ratio.value == pytest.approx(math.exp(-1.01))
    assert dataclasses.replace(beside, cpu_ratio=None) == alone


def test_a_ratio_that_only_wall_time_shows_is_withheld() -> None:
    """Two busy neighbours: wall time said 3.8 where CPU time, and the truth, said 2.1."""
    verdict = judge(-math.log(3.8) + NOISE, cpu_log_ratios=-math.log(2.1) + NOISE)
    assert (verdict.call, verdict.withheld, verdict.trials_needed) == ("inconclusive", True, None)
    assert "wall time gives a ratio of 0.263" in verdict.reason
    assert "process CPU time 0.476" in verdict.reason


@pytest.mark.parametrize(
    ("wall", "cpu"),
    [(-0.20, 0.20), (-0.20, 0.0), (0.10, 0.0), (0.0, 0.10), (0.06, 0.02)],
)
def test_cpu_time_that_leads_to_another_call_withholds_the_verdict(wall: float, cpu: float) -> None:
    assert judge(wall + NOISE).call != "inconclusive"
    assert judge(wall + NOISE, cpu_log_ratios=cpu + NOISE).withheld


def test_the_same_call_with_a_slightly_different_size_is_marked() -> None:
    verdict = judge(-math.log(4.1) + NOISE, cpu_log_ratios=-math.log(3.9) + NOISE)
    assert (verdict.call, verdict.withheld) == ("faster", False)
    assert "the size is in doubt" in verdict.reason


def test_differences_within_the_margin_do_not_count() -> None:
    verdict = judge(-0.100 + NOISE / 10, cpu_log_ratios=-0.075 + NOISE / 10)
    assert (verdict.call, verdict.reason) == ("faster", "")


def test_overlapping_intervals_do_not_disagree() -> None:
    verdict = judge(-0.20 + NOISE, cpu_log_ratios=0.20 + 200 * NOISE)
    assert (verdict.call, verdict.reason) == ("faster", "")


def test_what_is_inconclusive_stays_so_with_its_own_reason() -> None:
    wide = 0.02 + 50 * NOISE
    assert judge(wide, cpu_log_ratios=1.0 + NOISE).reason == judge(wide).reason
    assert judge([0.1], cpu_log_ratios=[0.5]).cpu_ratio.low is None


def test_withhold_keeps_the_evidence_and_says_why() -> None:
    verdict = withhold(judge(-1.0 + NOISE), "the machine was unusable")
    assert (verdict.call, verdict.withheld, verdict.reason) == ("inconclusive", True, "the machine was unusable")
    assert verdict.ratio.value == pytest.approx(math.exp(-1.0))
    assert withhold(judge([0.1]), "x").reason.endswith("; x")
