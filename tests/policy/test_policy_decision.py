"""The decision: what passes, what wins, and what is said about it."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from policy_arms import ACCURACY, DEFAULT, DISK, MEMORY, P50, SHAPE, baseline, near, reasons, variant

from mlbench.config import ConstraintConfig, ObjectiveConfig, PolicyConfig
from mlbench.policy import decide
from mlbench.records import ArmResult, Decision, Estimate, Recipe, Verdict, from_json, to_json
from mlbench.statistics import compare, withhold


def one(goal: ConstraintConfig, arm: ArmResult | None = None, base: ArmResult | None = None) -> object:
    """The result of a single constraint on a single variant."""
    decision = decide(PolicyConfig("p", (goal,)), [base or baseline(), arm or variant("v")])
    return decision.judgements[1].constraints[0]


# ---------------------------------------------------------------------------------------------------------------------
# outcomes


def test_the_fastest_that_keeps_its_accuracy_is_shipped() -> None:
    lossy = variant("lossy", 0.1, (-0.03, -0.05, -0.02))
    decision = decide(DEFAULT, [baseline(), variant("slowish", 0.6), variant("best", 0.25), lossy])
    assert (decision.outcome, decision.winner) == ("promote", "best")
    assert decision.sentence == (
        "Ship best: 4.00x faster than the baseline at p50 (95 % interval 3.96 to 4.04), "
        "accuracy -0.1 points (-0.6 to +0.3)."
    )
    told = reasons(decision)
    assert list(told) == ["baseline", "slowish", "best", "lossy"]
    assert told["baseline"] == "the baseline, which is replaced"
    assert told["best"] == "the best p50 of the variants that meet every goal, 0.5 ms (0.49 to 0.51)"
    assert told["slowish"].startswith("meets every goal; its p50 is 1.2 ms")
    assert "that of best 0.5 ms" in told["slowish"]
    assert told["lossy"] == "accuracy -3.0 points (-5.0 to -2.0), at least -1 points asked"
    assert {j.arm: j.eligible for j in decision.judgements} == {
        "baseline": False,
        "slowish": True,
        "best": True,
        "lossy": False,
    }


def test_the_order_of_arms_does_not_matter() -> None:
    arms = [baseline(), variant("a", 0.5), variant("b", 0.3), variant("c", 0.9)]
    assert {decide(DEFAULT, order).winner for order in itertools.permutations(arms)} == {"b"}


def test_an_interval_that_straddles_the_goal_is_not_enough() -> None:
    """The estimate meets the goal and the interval does not: the data cannot tell, so the arm is not eligible."""
    unsure = variant("unsure", 0.25, (-0.004, -0.013, 0.004))
    decision = decide(DEFAULT, [baseline(), unsure])
    assert (decision.outcome, decision.winner) == ("inconclusive", None)
    result = decision.judgements[1].constraints[0]
    assert result.passed is None
    assert result.constraint == "quality/accuracy against the baseline: at least -1 points"
    expected = "accuracy -0.4 points (-1.3 to +0.4): it cannot be excluded that it loses more than 1 point"
    assert reasons(decision)["unsure"] == expected
    assert (
        decision.sentence == f"No decision: with more evidence unsure might be the one to ship; for unsure, {expected}."
    )
    assert reasons(decision)["baseline"] == "the baseline, which is kept until there is more evidence"


def test_a_winner_is_shipped_although_another_arm_is_open() -> None:
    unsure = variant("unsure", 0.25, (-0.004, -0.013, 0.004))
    assert decide(DEFAULT, [baseline(), unsure, variant("sure", 0.5)]).winner == "sure"


@pytest.mark.parametrize(
    ("ratio", "words"),
    [
        (1.0, "meets every goal, but its p50 is equivalent to the baseline's"),
        (1.5, "its p50 is worse than the baseline's"),
    ],
)
def test_what_is_not_better_is_not_shipped(ratio: float, words: str) -> None:
    decision = decide(DEFAULT, [baseline(), variant("v", ratio)])
    assert (decision.outcome, decision.winner) == ("hold", None)
    assert decision.sentence == "Keep baseline: no variant that meets every goal is better at p50."
    assert words in reasons(decision)["v"]
    assert reasons(decision)["baseline"] == "the baseline, which is kept"


def test_an_inconclusive_verdict_leaves_the_decision_open() -> None:
    decision = decide(DEFAULT, [baseline(), variant("v", 0.97, spread=10)])
    assert decision.outcome == "inconclusive"
    assert "its p50 is inconclusive: the 95 % interval" in reasons(decision)["v"]
    assert "trials would settle it" in decision.sentence


def test_an_inconclusive_verdict_does_not_save_an_arm_that_misses_a_goal() -> None:
    decision = decide(DEFAULT, [baseline(), variant("v", 0.97, (-0.03, -0.05, -0.02), spread=10)])
    assert decision.outcome == "hold"
    assert decision.sentence == "Keep baseline: no variant meets every goal."


def test_open_goals_do_not_save_an_arm_that_is_slower() -> None:
    assert decide(DEFAULT, [baseline(), variant("v", 1.5, (-0.004, -0.013, 0.004))]).outcome == "hold"


def test_failed_arms_never_win() -> None:
    failed = ArmResult("f", "variant", Recipe("f"), status="failed", failure="step 'export_onnx': no")
    decision = decide(DEFAULT, [baseline(), failed])
    assert (decision.outcome, decision.sentence) == ("hold", "Keep baseline: every variant failed.")
    assert reasons(decision)["f"] == "failed: step 'export_onnx': no"
    assert decide(DEFAULT, [baseline(), failed, variant("v")]).winner == "v"


def test_incomplete_arms_never_win_but_leave_the_decision_open() -> None:
    lost = variant("v", 0.25, status="incomplete", failure="2 of 10 trials were lost")
    decision = decide(DEFAULT, [baseline(), lost])
    assert decision.outcome == "inconclusive"
    assert reasons(decision)["v"] == "incomplete, so it cannot win: 2 of 10 trials were lost"
    assert not decision.judgements[1].eligible
    assert decision.sentence.endswith("v is incomplete.")
    assert decide(DEFAULT, [baseline(), lost, variant("w", 0.9)]).winner == "w"
    lossy = variant("v", 0.25, (-0.03, -0.05, -0.02), status="incomplete")
    assert decide(DEFAULT, [baseline(), lossy]).outcome == "hold"
    assert "before its planned end" in reasons(decide(DEFAULT, [baseline(), lossy]))["v"]


def test_without_variants_the_baseline_is_kept() -> None:
    decision = decide(DEFAULT, [baseline()])
    assert (decision.outcome, decision.sentence) == ("hold", "Keep baseline: there is no variant to compare it with.")


def test_there_is_exactly_one_baseline() -> None:
    with pytest.raises(ValueError, match="exactly one baseline, not 0"):
        decide(DEFAULT, [variant("v")])
    with pytest.raises(ValueError, match="exactly one baseline, not 2"):
        decide(DEFAULT, [baseline(), baseline()])


def test_a_decision_survives_json() -> None:
    decision = decide(DEFAULT, [baseline(), variant("a"), variant("b", 1.0)])
    assert from_json(Decision, to_json(decision)) == decision
    assert decision.policy["constraints"][0]["metric"] == "quality/accuracy"


# ---------------------------------------------------------------------------------------------------------------------
# objectives


def test_the_objective_can_be_another_metric() -> None:
    policy = PolicyConfig("small", (), ObjectiveConfig(MEMORY))
    decision = decide(policy, [baseline(), variant("v", 3.0)])
    assert decision.sentence.startswith("Ship v: 0.400x the baseline's peak memory (95 % interval 0.396 to 0.404)")


def test_throughput_is_maximized() -> None:
    name = "throughput/samples_per_s"
    found = {
        arm: compare(math.log(ratio) + SHAPE, metric=name, margin=0.03, lower_is_better=False)
        for arm, ratio in {"a": 2.0, "b": 3.0}.items()
    }
    arms = [variant(arm, verdicts={name: verdict}) for arm, verdict in found.items()]
    for arm, rate in zip(arms, (200, 300), strict=True):
        arm.metrics[name] = near(rate, 1, "1/s")
    decision = decide(PolicyConfig("fast", (), ObjectiveConfig(name, "maximize")), [baseline(), *arms])
    assert decision.winner == "b"
    assert "3.00x the baseline's throughput" in decision.sentence


def test_quality_as_the_objective_needs_a_difference_that_is_shown() -> None:
    policy = PolicyConfig("best", (), ObjectiveConfig("quality/accuracy", "maximize"))
    better = variant("better", delta=(0.02, 0.005, 0.035))
    decision = decide(policy, [baseline(), better])
    assert decision.sentence == "Ship better: accuracy +2.0 points (+0.5 to +3.5)."
    unsure = decide(policy, [baseline(), variant("unsure", delta=(0.02, -0.005, 0.045))])
    assert unsure.outcome == "inconclusive"
    assert "its accuracy differs from the baseline's by +0.02 (-0.005 to +0.045)" in reasons(unsure)["unsure"]
    assert decide(policy, [baseline(), variant("worse", delta=(-0.02, -0.03, -0.01))]).outcome == "hold"
    unknown = decide(policy, [baseline(), variant("v", quality=None)])
    assert unknown.outcome == "inconclusive"


def test_a_plain_fact_as_the_objective_needs_no_interval() -> None:
    policy = PolicyConfig("small", (), ObjectiveConfig(DISK))
    decision = decide(policy, [baseline(), variant("v")])
    assert decision.sentence.startswith("Ship v: file size 0.25 MiB against 1 MiB, accuracy -0.1 points")
    same = variant("same")
    same.metrics[DISK] = Estimate(1.0, unit="MiB")
    assert decide(policy, [baseline(), same]).outcome == "hold"


def test_without_require_better_the_best_eligible_variant_wins_anyway() -> None:
    policy = PolicyConfig("p", (ACCURACY,), ObjectiveConfig(P50, require_better=False))
    decision = decide(policy, [baseline(), variant("a", 1.5), variant("b", 1.2)])
    assert decision.winner == "b"
    assert decision.sentence.startswith("Ship b: 1.20x slower than the baseline at p50")


def test_single_trials_are_told_without_intervals() -> None:
    policy = PolicyConfig("p", (), ObjectiveConfig(P50, require_better=False))
    sentence = decide(policy, [baseline(), variant("v", verdict=compare([-0.5], metric=P50, margin=0.03))]).sentence
    assert sentence.startswith("Ship v: 1.65x faster than the baseline at p50, accuracy")
    unknown = Verdict(P50, "slower", None)
    assert reasons(decide(DEFAULT, [baseline(), variant("v", verdict=unknown)]))["v"].endswith(
        "worse than the baseline's"
    )


def test_an_objective_that_was_not_measured_leaves_the_decision_open() -> None:
    policy = PolicyConfig("p", (), ObjectiveConfig("energy/joules_per_sample", require_better=False))
    arm = variant("v", absent={"energy/joules_per_sample": "no energy counter"})
    decision = decide(policy, [baseline(), arm])
    assert decision.outcome == "inconclusive"
    assert "joules per sample was not measured: no energy counter" in decision.sentence
    strict = PolicyConfig("p", (), ObjectiveConfig("latency/mean_ms"))
    arm.metrics["latency/mean_ms"] = near(1.0, 0.1, "ms")
    assert "mean is not compared with the baseline" in decide(strict, [baseline(), arm]).sentence


def test_a_marked_verdict_says_so() -> None:
    marked = compare(-math.log(4.1) + SHAPE / 10, metric=P50, margin=0.03, cpu_log_ratios=-math.log(3.9) + SHAPE / 10)
    assert marked.call == "faster"
    told = reasons(decide(DEFAULT, [baseline(), variant("v", 0.25, verdict=marked)]))["v"]
    assert "the size is in doubt" in told


# ---------------------------------------------------------------------------------------------------------------------
# constraints


@pytest.mark.parametrize(
    ("delta", "passed"),
    [
        ((-0.001, -0.0099, 0.01), True),
        ((-0.005, -0.01, 0.0), True),  # the bound itself is met
        ((-0.005, -0.0101, 0.0), None),
        ((-0.01, -0.02, 0.0), None),
        ((-0.011, -0.02, 0.05), False),
    ],
)
def test_min_is_tested_by_the_low_bound(delta: tuple[float, float, float], passed: bool | None) -> None:
    assert one(ACCURACY, variant("v", delta=delta)).passed is passed


@pytest.mark.parametrize(("limit", "passed"), [(-59.0, True), (-59.9, None), (-61.0, False)])
def test_max_in_percent_is_tested_by_the_high_bound_of_the_ratio(limit: float, passed: bool | None) -> None:
    # peak memory is 0.4 of the baseline's, give or take 1 %: -60 % (-60.4 to -59.6)
    result = one(ConstraintConfig(MEMORY, "baseline", "percent", max=limit))
    assert result.passed is passed
    assert result.estimate.value == pytest.approx(-60.0)
    assert result.estimate.unit == "%"
    if passed is None:
        assert result.reason.endswith("it cannot be excluded that it is above -59.9 %")


def test_units_against_the_baseline_are_the_plain_difference() -> None:
    result = one(ConstraintConfig(P50, "baseline", "units", max=-0.9))
    assert result.passed is True
    assert result.estimate.value == pytest.approx(-1.0)  # half of 2 ms
    assert result.reason.startswith("p50 -1 ms (")
    assert result.reason.endswith("at most -0.9 ms asked")
    exact = one(ConstraintConfig(DISK, "baseline", "units", max=-0.75))
    assert (exact.passed, exact.estimate.value) == (True, -0.75)
    percent = one(ConstraintConfig(DISK, "baseline", "percent", max=-80))
    assert (percent.passed, percent.estimate.value) == (False, -75.0)


def test_quality_in_percent_is_relative_to_the_baseline() -> None:
    result = one(ConstraintConfig("quality/accuracy", "baseline", "percent", min=-1))
    assert result.estimate.value == pytest.approx(-100 * 0.001 / 0.98)
    nothing = one(
        ConstraintConfig("quality/accuracy", "baseline", "percent", min=-1),
        base=baseline(**{"quality/accuracy": near(0.0)}),
    )
    assert nothing.passed is None
    assert "no change in percent" in nothing.reason


def test_absolute_goals_read_the_metric_itself() -> None:
    goal = ConstraintConfig(P50, "absolute", "units", max=1.02)
    assert one(goal).passed is True  # 1 ms (0.99 to 1.01)
    assert one(goal).constraint == "latency/p50_ms: at most 1.02 ms"
    assert one(ConstraintConfig(P50, "absolute", "units", max=1.005)).passed is None
    assert one(ConstraintConfig(P50, "absolute", "units", max=0.9)).passed is False
    low = one(ConstraintConfig("quality/accuracy", "absolute", "units", min=0.975))
    assert low.reason == "accuracy 0.979 (0.969 to 0.989): it cannot be excluded that it is below 0.975"


def test_both_bounds_at_once() -> None:
    goal = ConstraintConfig(P50, "absolute", "units", min=0.5, max=1.5)
    assert one(goal).passed is True
    assert one(goal).reason == "p50 1 ms (0.99 to 1.01), at least 0.5 ms and at most 1.5 ms asked"
    assert "above 1.005 ms" in one(ConstraintConfig(P50, "absolute", "units", min=0.5, max=1.005)).reason


def test_agreement_and_ratios_are_comparisons_already() -> None:
    flips = ConstraintConfig("agreement/flip_rate", "baseline", "points", max=2.0)
    assert one(flips).passed is True
    assert one(flips).constraint == "agreement/flip_rate: at most 2 points"
    arm = variant("v")
    arm.metrics["vs_baseline/speedup_p50"] = near(2.0, 0.1, "ratio")
    assert one(ConstraintConfig("vs_baseline/speedup_p50", min=1.9), arm).passed is True
    assert one(ConstraintConfig("vs_baseline/speedup_p50", min=1.95), arm).passed is None


def test_an_estimate_without_an_interval_cannot_meet_a_goal_unless_it_is_exact() -> None:
    arm = variant("v")
    arm.metrics[P50] = Estimate(1.0, n=1, unit="ms")
    result = one(ConstraintConfig(P50, "absolute", "units", max=5), arm)
    assert result.passed is None
    assert "without an interval it cannot be told whether it is at most 5 ms" in result.reason
    assert one(ConstraintConfig(P50, "absolute", "units", max=0.5), arm).passed is False
    assert one(ConstraintConfig(DISK, "absolute", "units", max=0.3)).passed is True


@pytest.mark.parametrize(
    "verdict",
    [
        compare([0.0, 0.01, 0.0], metric=P50, margin=0.03),
        withhold(compare(SHAPE, metric=P50, margin=0.03), "the machine was unusable"),
        compare([], metric=P50, margin=0.03),
    ],
)
def test_a_withheld_verdict_meets_no_goal(verdict: Verdict) -> None:
    result = one(ConstraintConfig(P50, "baseline", "percent", max=50), variant("v", verdict=verdict))
    assert result.passed is None
    assert verdict.reason in result.reason


def test_an_inconclusive_verdict_has_an_interval_that_can_meet_a_goal() -> None:
    unsure = variant("v", 0.97, spread=10)
    assert unsure.verdicts[P50].call == "inconclusive"
    assert one(ConstraintConfig(P50, "baseline", "percent", max=20), unsure).passed is True


@pytest.mark.parametrize(
    ("goal", "changes", "words"),
    [
        (ACCURACY, {"quality": None}, "accuracy was not measured"),
        (
            ConstraintConfig("gpu/power_w", "absolute", max=1),
            {"absent": {"gpu/power_w": "no GPU"}},
            "power was not measured: no GPU",
        ),
        (ConstraintConfig("latency/load_ms", max=1), {}, "load was not measured"),
        (ConstraintConfig("quality/accuracy", max=1), {"metrics": {}, "quality": None}, "accuracy was not measured"),
    ],
)
def test_what_was_not_measured_cannot_be_told(goal: ConstraintConfig, changes: dict[str, object], words: str) -> None:
    result = one(goal, variant("v", **changes))
    assert (result.passed, result.estimate) == (None, None)
    assert words in result.reason


def test_a_difference_needs_the_baselines_figure() -> None:
    base = baseline()
    del base.metrics[P50]
    result = one(ConstraintConfig(P50, "baseline", "units", max=1), base=base)
    assert (result.passed, result.reason) == (None, "p50 of the baseline was not measured")


def test_an_arm_that_misses_a_goal_of_quality_names_the_classes_it_loses_most_in() -> None:
    lossy = variant("lossy", 0.1, (-0.03, -0.05, -0.02))
    assert lossy.quality is not None
    lost = {"8": Estimate(-0.2, n=70), "3": Estimate(-0.05, n=72), "1": Estimate(0.1, n=71)}
    named = replace(lossy, quality=replace(lossy.quality, class_deltas=lost))
    assert reasons(decide(DEFAULT, [baseline(), named]))["lossy"] == (
        "accuracy -3.0 points (-5.0 to -2.0), at least -1 points asked; most lost in '8' (-20.0 points of recall, "
        "70 items), '3' (-5.0 points of recall, 72 items)"
    )
    small = replace(named, metrics={**named.metrics, DISK: Estimate(9.0, unit="MiB")})
    size = PolicyConfig("small", (ConstraintConfig(DISK, "absolute", "units", max=1.0),))
    assert "most lost" not in reasons(decide(size, [baseline(), small]))["lossy"]
