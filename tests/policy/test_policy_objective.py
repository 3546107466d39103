"""Confidence levels, and objectives of several metrics: in turn, and weighted."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from policy_arms import DISK, MEMORY, P50, SHAPE, baseline, near, reasons, variant

from mlbench.compose import compose
from mlbench.config import ConstraintConfig, ObjectiveConfig, PolicyConfig, TermConfig
from mlbench.policy import decide
from mlbench.policy._evidence import with_baseline
from mlbench.policy._objective import weighted_gain
from mlbench.records import ArmResult, ConstraintResult, Estimate
from mlbench.statistics import compare, withhold


def sized(name: str, disk: float, ratio: float = 0.5, **changes: object) -> ArmResult:
    arm = variant(name, ratio, **changes)
    arm.metrics[DISK] = Estimate(disk, n=1, unit="MiB")
    return arm


def held(goal: ConstraintConfig, arm: ArmResult, share: float = 1.0) -> ConstraintResult:
    return decide(PolicyConfig("p", (goal,)), [baseline(), arm], share).judgements[1].constraints[0]


# ---------------------------------------------------------------------------------------------------------------------
# confidence


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_a_change_is_read_at_the_confidence_that_is_asked(confidence: float) -> None:
    result = held(ConstraintConfig(P50, unit="percent", max=0, confidence=confidence), variant("v", 0.5))
    oracle = compare(math.log(0.5) + SHAPE, metric=P50, margin=0.03, alpha=1 - confidence).ratio
    assert result.estimate.level == pytest.approx(confidence)
    assert (result.estimate.low, result.estimate.high) == pytest.approx(
        (100 * (oracle.low - 1), 100 * (oracle.high - 1))
    )
    assert ("% confidence)" in result.constraint) == (confidence != 0.95)


def test_more_confidence_can_take_a_goal_away() -> None:
    arm = variant("v", 1.0)  # 1 % either way at 95 %
    assert held(ConstraintConfig(P50, unit="percent", max=1.2), arm).passed is True
    surer = held(ConstraintConfig(P50, unit="percent", max=1.2, confidence=0.999), arm)
    assert surer.passed is None
    assert surer.constraint.endswith("at most 1.2 % (99.9 % confidence)")


def test_several_looks_share_the_error() -> None:
    once = compare(math.log(0.5) + SHAPE, metric=P50, margin=0.03)
    looked = compare(math.log(0.5) + SHAPE, metric=P50, margin=0.03, alpha=0.05 / 3)
    goal = ConstraintConfig(P50, unit="percent", max=0)
    for verdict in (once, looked):  # whatever level the verdict has, the goal's own is read
        result = held(goal, variant("v", verdict=verdict), share=1 / 3)
        assert result.estimate.low == pytest.approx(100 * (looked.ratio.low - 1))


def test_a_speedup_of_a_withheld_verdict_meets_no_goal() -> None:
    arm = variant("v", verdict=withhold(compare(SHAPE, metric=P50, margin=0.03), "the machine was unusable"))
    arm.metrics["vs_baseline/speedup_p50"] = near(2.0, 0.1, "ratio")
    result = held(ConstraintConfig("vs_baseline/speedup_p50", min=1.5), arm)
    assert (result.passed, "the machine was unusable" in result.reason) == (None, True)


# ---------------------------------------------------------------------------------------------------------------------
# in turn


FAST_THEN_SMALL = PolicyConfig("p", (), ObjectiveConfig(P50, then=(TermConfig(DISK),)))


def test_the_next_metric_decides_between_arms_that_do_not_differ() -> None:
    arms = [baseline(), sized("big", 0.9, 0.500), sized("small", 0.2, 0.505), sized("slow", 0.1, 0.8)]
    decision = decide(FAST_THEN_SMALL, arms)
    assert decision.winner == "small"
    told = reasons(decision)
    assert told["small"] == "the best file size of big and small, which p50 does not tell apart, 0.2 MiB"
    assert told["big"] == "meets every goal; its file size is 0.9 MiB, that of small 0.2 MiB"
    assert told["slow"].startswith("meets every goal; its p50 is 1.6 ms")
    assert "file size 0.2 MiB against 1 MiB" in decision.sentence


def test_a_metric_that_tells_arms_apart_leaves_the_next_one_no_say() -> None:
    decision = decide(FAST_THEN_SMALL, [baseline(), sized("big", 0.9, 0.4), sized("small", 0.2, 0.5)])
    assert decision.winner == "big"
    assert reasons(decision)["big"].startswith("the best p50 of the variants that meet every goal")


def test_a_difference_below_the_margin_is_none() -> None:
    """Intervals apart, estimates 1 % apart: less than the margin of 3 %."""
    arms = [sized("big", 0.9, 0.500, spread=0.1), sized("small", 0.2, 0.505, spread=0.1)]
    assert decide(FAST_THEN_SMALL, [baseline(), *arms]).winner == "small"


def test_better_on_the_first_metric_that_is_not_equivalent() -> None:
    small = decide(FAST_THEN_SMALL, [baseline(), sized("small", 0.2, 1.0)])
    assert small.winner == "small"
    large = decide(FAST_THEN_SMALL, [baseline(), sized("large", 2.0, 1.0)])
    assert (large.outcome, large.winner) == ("hold", None)
    same = decide(FAST_THEN_SMALL, [baseline(), sized("same", 1.0, 1.0)])
    assert same.outcome == "hold"
    assert "its p50 is equivalent to the baseline's" in reasons(same)["same"]
    slow = decide(FAST_THEN_SMALL, [baseline(), sized("slow", 0.2, 1.5)])
    assert (slow.outcome, "its p50 is worse than" in reasons(slow)["slow"]) == ("hold", True)


def test_quality_in_turn_is_parted_by_its_intervals() -> None:
    policy = PolicyConfig(
        "p", (), ObjectiveConfig("quality/accuracy", "maximize", then=(TermConfig(P50),), require_better=False)
    )
    near_best = variant("near", 0.3, (-0.002, -0.008, 0.004))
    best, far = variant("best", 0.6, (0.001, -0.005, 0.007)), variant("far", 0.1, (-0.05, -0.06, -0.04))
    assert decide(policy, [baseline(), best, near_best, far]).winner == "near"


def test_what_was_not_measured_cannot_break_a_tie() -> None:
    blank = variant("blank", 0.5)
    del blank.metrics[DISK]
    decision = decide(FAST_THEN_SMALL, [baseline(), blank, sized("known", 0.9, 0.505)])
    assert decision.winner == "known"
    assert "its file size is not known (file size was not measured)" in reasons(decision)["blank"]


@given(st.permutations(["a", "b", "c", "d"]))
def test_the_order_of_arms_does_not_matter_in_turn(order: list[str]) -> None:
    arms = {
        "a": sized("a", 0.4, 0.5),
        "b": sized("b", 0.3, 0.502),
        "c": sized("c", 0.2, 0.9),
        "d": sized("d", 0.9, 0.498),
    }
    assert decide(FAST_THEN_SMALL, [baseline(), *(arms[name] for name in order)]).winner == "b"


# ---------------------------------------------------------------------------------------------------------------------
# weighted


WEIGHTED = ObjectiveConfig(P50, weight=3.0, then=(TermConfig(MEMORY),), combine="weighted")


def test_the_weighted_gain_is_the_weighted_mean_of_log_ratios() -> None:
    decision = decide(PolicyConfig("p", (), WEIGHTED), [baseline(), variant("v", 0.5)])
    # p50 0.5 counts three times, peak memory 0.4 once; the shape's mean is 0
    gain = 100 * (0.5**-0.75 * 0.4**-0.25 - 1)
    half = np.log(compare(SHAPE, metric=P50, margin=0.03, alpha=0.025).ratio.high)
    low, high = (100 * (0.5**-0.75 * 0.4**-0.25 * np.exp(sign * half) - 1) for sign in (-1, 1))
    assert f"weighted gain +{gain:.1f} % (+{low:.1f} to +{high:.1f})" in decision.sentence
    assert reasons(decision)["v"].startswith(
        f"the best weighted gain of the variants that meet every goal, +{gain:.1f} %"
    )


def test_the_weighted_gain_holds_the_truth_whatever_the_metrics_have_to_do_with_one_another() -> None:
    """Of 200 studies whose metrics share half, all or none of their noise, at most 3 % may miss (Bonferroni: 5 %)."""
    random, misses = np.random.default_rng(5), 0
    truth = 100 * (0.8**-0.75 * 1.1**-0.25 - 1)
    for study in range(200):
        shared, own = random.normal(0, 0.02, (2, 10))
        other = (own, shared, -shared, (own + shared) / 2)[study % 4]
        arm = variant("v", verdict=compare(math.log(0.8) + shared, metric=P50, margin=0.03))
        arm.verdicts[MEMORY] = compare(math.log(1.1) + other, metric=MEMORY, margin=0.05)
        gain, _ = weighted_gain(WEIGHTED, with_baseline(arm, baseline(), 1.0))
        assert gain is not None
        assert gain.level == pytest.approx(0.95)
        misses += not gain.low <= truth <= gain.high
    assert misses <= 6


def test_weights_decide() -> None:
    lean = variant("lean", 0.9)
    lean.verdicts[MEMORY] = compare(math.log(0.1) + SHAPE, metric=MEMORY, margin=0.05)
    arms = [baseline(), variant("quick", 0.5), lean]
    assert decide(PolicyConfig("p", (), WEIGHTED), arms).winner == "quick"
    by_memory = ObjectiveConfig(P50, then=(TermConfig(MEMORY, weight=3.0),), combine="weighted")
    decision = decide(PolicyConfig("p", (), by_memory), arms)
    assert decision.winner == "lean"
    assert "its weighted gain is" in reasons(decision)["quick"]


def test_a_loss_takes_a_gain_back() -> None:
    even = ObjectiveConfig(P50, then=(TermConfig(DISK),), combine="weighted")
    decision = decide(PolicyConfig("p", (), even), [baseline(), sized("half", 2.0, 0.5)])
    assert decision.outcome == "inconclusive"  # half the time, twice the size: a gain of 0 give or take 1 %
    assert "its weighted gain over the baseline is +0.0 %" in reasons(decision)["half"]
    worse = decide(PolicyConfig("p", (), even), [baseline(), sized("worse", 3.0, 0.5)])
    assert (worse.outcome, worse.sentence) == (
        "hold",
        "Keep baseline: no variant that meets every goal is better by the weighted sum.",
    )


def test_quality_is_weighted_by_its_ratio_to_the_baseline() -> None:
    objective = ObjectiveConfig(
        P50, then=(TermConfig("quality/accuracy", "maximize"), TermConfig(DISK)), combine="weighted"
    )
    arm = sized("v", 1.0, 1.0, delta=(0.0098, 0.0049, 0.0147))  # 1 % of 0.98
    told = reasons(decide(PolicyConfig("p", (), objective), [baseline(), arm]))["v"]
    assert f"its weighted gain over the baseline is +{100 * (1.01 ** (1 / 3) - 1):.1f} % (-" in told
    blank = variant("blank", 0.5, quality=None)
    del blank.metrics["quality/accuracy"]
    decision = decide(PolicyConfig("p", (), objective), [baseline(), blank])
    assert (decision.outcome, "accuracy was not measured" in reasons(decision)["blank"]) == ("inconclusive", True)
    zero = baseline(**{"quality/accuracy": near(0.0)})
    unknown = decide(PolicyConfig("p", (), objective), [zero, arm])
    assert "accuracy of the baseline is not above 0, so there is no ratio to it" in reasons(unknown)["v"]


# ---------------------------------------------------------------------------------------------------------------------
# the packaged policies


@pytest.mark.parametrize("name", ["no_regression", "error_throughput_memory", "latency_budget", "smallest", "balanced"])
def test_the_packaged_policies_are_fine_with_the_default_study(name: str) -> None:
    assert compose([f"policy={name}"]).config.policy.name == name


def packaged(name: str) -> PolicyConfig:
    return compose([f"policy={name}"]).config.policy


def test_the_smallest_that_is_not_worse() -> None:
    arms = [sized("small", 0.2, 1.0), sized("tiny_but_slow", 0.1, 1.2), sized("large", 0.9, 0.5)]
    decision = decide(packaged("smallest"), [baseline(), *arms])
    assert decision.winner == "small"
    assert "p50 +20.0 %" in reasons(decision)["tiny_but_slow"]


def test_a_latency_budget_takes_the_most_accurate_and_then_the_fastest() -> None:
    policy = packaged("latency_budget")
    slow, good = variant("slow", 8.0, (0.01, 0.004, 0.016)), variant("good", 0.6, (-0.002, -0.008, 0.004))
    decision = decide(policy, [baseline(), slow, good, variant("poor", 0.2, (-0.05, -0.06, -0.04))])
    assert decision.winner == "good"
    assert "at most 10 ms asked" in reasons(decision)["slow"]
    assert "at least 0.95 asked" in reasons(decision)["poor"] or "below 0.95" in reasons(decision)["poor"]
