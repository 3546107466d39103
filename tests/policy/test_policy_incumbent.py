"""The champion as an arm: what beats it, what does not, and what is said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from policy_arms import ACCURACY, DEFAULT, DISK, P50, SHAPE, baseline, reasons, variant

from mlbench.config import ConstraintConfig, ObjectiveConfig, PolicyConfig
from mlbench.policy import decide, unanswerable
from mlbench.records import ArmResult, Estimate, Recipe, Versus, from_json, to_json
from mlbench.statistics import compare


def incumbent(ratio: float = 0.5, **changes: object) -> ArmResult:
    return replace(variant("incumbent", ratio, **changes), role="incumbent")


def challenger(name: str, ratio: float, of_incumbent: float, *, spread: float = 1.0, **changes: object) -> ArmResult:
    """A variant whose p50 is ``ratio`` of the baseline's and ``of_incumbent`` of the incumbent's."""
    p50 = compare(math.log(of_incumbent) + spread * SHAPE, metric=P50, margin=0.03)
    return variant(
        name, ratio, versus_incumbent=Versus({P50: p50}, {"accuracy": Estimate(0.0, -0.004, 0.004)}), **changes
    )


def test_what_beats_the_incumbent_is_shipped() -> None:
    decision = decide(DEFAULT, [baseline(), challenger("new", 0.25, 0.5), incumbent()])
    assert (decision.outcome, decision.winner) == ("promote", "new")
    assert "2.00x faster than the incumbent at p50" in decision.sentence
    told = reasons(decision)
    assert told["incumbent"] == "the incumbent, which is replaced"
    assert told["baseline"] == "the baseline"


@pytest.mark.parametrize(
    ("of_incumbent", "spread", "outcome", "words"),
    [
        (1.0, 1.0, "hold", "its p50 is equivalent to the incumbent's"),
        (1.5, 1.0, "hold", "its p50 is worse than the incumbent's"),
        (0.97, 10.0, "inconclusive", "its p50 is inconclusive"),
    ],
)
def test_better_than_the_baseline_is_not_enough(of_incumbent: float, spread: float, outcome: str, words: str) -> None:
    arms = [baseline(), challenger("new", 0.25, of_incumbent, spread=spread), incumbent()]
    decision = decide(DEFAULT, arms)
    assert (decision.outcome, decision.winner) == (outcome, None)
    assert words in reasons(decision)["new"]
    kept = "is kept" if outcome == "hold" else "is kept until there is more evidence"
    assert reasons(decision)["incumbent"] == f"the incumbent, which {kept}"
    if outcome == "hold":
        assert decision.sentence == "Keep incumbent: no variant that meets every goal is better at p50."


def test_the_incumbent_must_be_beaten_even_where_the_baseline_need_not_be() -> None:
    policy = PolicyConfig("p", (), ObjectiveConfig(P50, require_better=False))
    assert decide(policy, [baseline(), challenger("new", 1.5, 1.0), incumbent(1.5)]).outcome == "hold"
    assert decide(policy, [baseline(), challenger("new", 1.5, 0.5), incumbent(3.0)]).winner == "new"


def test_the_incumbent_never_wins_itself() -> None:
    decision = decide(DEFAULT, [baseline(), incumbent(0.1)])
    assert (decision.outcome, decision.winner) == ("hold", None)
    assert decision.sentence == "Keep incumbent: there is no variant to compare it with."


def test_an_incumbent_that_misses_a_goal_need_not_be_beaten() -> None:
    lossy = incumbent(0.1, delta=(-0.05, -0.06, -0.04))
    decision = decide(DEFAULT, [baseline(), challenger("new", 0.5, 5.0), lossy])
    assert decision.winner == "new"
    assert reasons(decision)["incumbent"] == (
        "the incumbent, which is replaced; accuracy -5.0 points (-6.0 to -4.0), at least -1 points asked"
    )
    unsure = incumbent(0.1, delta=(-0.005, -0.02, 0.01))
    assert decide(DEFAULT, [baseline(), challenger("new", 0.5, 5.0), unsure]).outcome == "hold"


def test_an_incumbent_that_failed_is_not_beaten() -> None:
    failed = ArmResult("incumbent", "incumbent", Recipe("incumbent"), status="failed", failure="it cannot be loaded")
    decision = decide(DEFAULT, [baseline(), variant("new", 0.5), failed])
    assert decision.outcome == "inconclusive"
    assert "nothing shows that it is beaten: it cannot be loaded" in reasons(decision)["new"]
    assert reasons(decision)["incumbent"].endswith("; failed: it cannot be loaded")
    goal = ConstraintConfig(P50, "incumbent", "percent", max=5.0)
    result = decide(PolicyConfig("p", (goal,)), [baseline(), variant("new"), failed]).judgements[1].constraints[0]
    assert (result.passed, result.reason) == (None, "the incumbent failed: it cannot be loaded")


# ---------------------------------------------------------------------------------------------------------------------
# goals against it


def test_a_goal_against_the_incumbent_reads_the_paired_comparison() -> None:
    goal = ConstraintConfig(P50, "incumbent", "percent", max=-45.0)
    decision = decide(PolicyConfig("p", (goal,)), [baseline(), challenger("new", 0.25, 0.5), incumbent()])
    result = decision.judgements[1].constraints[0]
    assert result.passed is True
    assert result.constraint == "latency/p50_ms against the incumbent: at most -45 %"
    assert result.estimate.value == pytest.approx(-50.0)
    assert decision.judgements[2].constraints == ()  # it is not held against itself


def test_quality_and_size_against_the_incumbent() -> None:
    accuracy = replace(ACCURACY, against="incumbent", min=-0.5)
    size = ConstraintConfig(DISK, "incumbent", "percent", max=0.0)
    arms = [baseline(), challenger("new", 0.25, 0.5), incumbent()]
    quality, disk = decide(PolicyConfig("p", (accuracy, size)), arms).judgements[1].constraints
    assert (quality.passed, quality.estimate.low) == (True, pytest.approx(-0.4))
    assert (disk.passed, disk.estimate.value) == (True, 0.0)


def test_without_a_champion_there_is_nothing_to_hold_it_against() -> None:
    goal = ConstraintConfig(P50, "incumbent", "percent", max=5.0)
    decision = decide(PolicyConfig("p", (goal,)), [baseline(), variant("new", 0.5)])
    assert decision.winner == "new"
    result = decision.judgements[1].constraints[0]
    assert (result.passed, result.reason) == (True, "there is no champion yet, so there is none to hold it against")


def test_a_comparison_with_the_baseline_is_none_with_the_incumbent() -> None:
    policy = PolicyConfig("p", (ConstraintConfig("agreement/flip_rate", "incumbent", "points", max=1.0),))
    assert unanswerable(policy) == [
        "policy.constraints[0]: agreement/flip_rate compares with the baseline by what it is, not with the incumbent"
    ]
    unknown = PolicyConfig("p", (ConstraintConfig("latency/load_ms", "incumbent", max=1.0),))
    assert "latency/load_ms is not compared with the incumbent" in unanswerable(unknown)[0]


def test_a_comparison_with_the_incumbent_survives_json() -> None:
    arm = challenger("new", 0.25, 0.5)
    assert from_json(ArmResult, to_json(arm)) == arm
