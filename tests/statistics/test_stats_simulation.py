"""The rule errs as often as it says, on simulated studies of a noisy machine; and the checks have teeth.

33 to 69 of 1,000 is the 99 % binomial band around 5 %; at most 38 misses show a power of at least 95 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest
from noise_model import FloatArray, simulate, simulate_tails

from mlbench.records import Verdict
from mlbench.statistics import compare, holm, paired_log_ratios

pytestmark = pytest.mark.repeats

STUDIES = 1000
MARGIN = 0.03
FEWEST, MOST = 33, 69


def verdicts(medians: FloatArray, variant: int = 1) -> list[Verdict]:
    """One verdict per study from turn medians of shape (studies, arms, trials, rounds)."""
    return [
        compare(paired_log_ratios(study[0], study[variant]), metric="latency/p50_ms", margin=MARGIN)
        for study in medians
    ]


def excludes_one(found: list[Verdict]) -> int:
    """How many intervals say that the arms differ."""
    return sum(1 for verdict in found if not verdict.ratio.low <= 1 <= verdict.ratio.high)


def count(found: list[Verdict], *calls: str) -> int:
    return sum(1 for verdict in found if verdict.call in calls)


def keeps_its_error_rate(found: list[Verdict]) -> bool:
    return FEWEST <= excludes_one(found) <= MOST


@pytest.fixture(scope="module")
def identical() -> list[Verdict]:
    return verdicts(simulate(STUDIES, seed=1))


def test_identical_arms_are_told_apart_as_rarely_as_stated(identical: list[Verdict]) -> None:
    assert keeps_its_error_rate(identical), excludes_one(identical)
    assert count(identical, "faster", "slower") <= MOST


def test_identical_arms_are_mostly_found_equivalent(identical: list[Verdict]) -> None:
    assert count(identical, "equivalent") >= 0.95 * STUDIES


def test_a_true_slowdown_of_5_percent_is_found() -> None:
    found = verdicts(simulate(STUDIES, seed=2, effects=(0.0, math.log(1.05))))
    assert STUDIES - count(found, "slower") <= 38
    assert count(found, "faster", "equivalent") == 0


@pytest.mark.parametrize("sign", [1, -1])
def test_equivalence_at_exactly_the_margin_is_claimed_as_rarely_as_stated(sign: int) -> None:
    found = verdicts(simulate(STUDIES, seed=3, effects=(0.0, sign * math.log1p(MARGIN))))
    assert count(found, "equivalent") <= MOST
    assert count(found, "faster" if sign > 0 else "slower") == 0


def with_holm(effects: tuple[float, ...], seed: int, studies: int = STUDIES) -> list[dict[str, Verdict]]:
    """Per study, the verdicts of every variant (``effects`` starts with the baseline's), before Holm and after."""
    medians = simulate(studies, seed=seed, effects=effects)
    alone = [verdicts(medians, variant) for variant in range(1, len(effects))]
    return [holm({str(arm): found[study] for arm, found in enumerate(alone)}) for study in range(studies)]


def test_four_identical_variants_with_holm() -> None:
    studies = [list(study.values()) for study in with_holm((0.0,) * 5, seed=4)]
    assert sum(1 for study in studies if count(study, "faster", "slower")) <= MOST
    assert FEWEST <= sum(1 for study in studies if min(verdict.p_adjusted for verdict in study) < 0.05) <= MOST
    # the plain intervals of the same studies go wrong more often than that, so the adjustment matters
    assert sum(1 for study in studies if excludes_one(study)) > 2 * MOST


def test_four_variants_at_exactly_the_margin_with_holm() -> None:
    at_margin = (0.0, *(sign * math.log1p(MARGIN) for sign in (1, -1, 1, -1)))
    studies = [list(study.values()) for study in with_holm(at_margin, seed=9)]
    assert sum(1 for study in studies if count(study, "equivalent")) <= MOST
    assert sum(1 for study in studies if min(verdict.equivalence_p for verdict in study) < 0.05) > MOST


def test_with_holm_a_true_slowdown_among_identical_variants_is_still_found() -> None:
    studies = with_holm((0.0, 0.0, 0.0, 0.0, math.log(1.05)), seed=5, studies=200)
    assert sum(1 for study in studies if study["3"].call == "slower") >= 190


# ---------------------------------------------------------------------------------------------------------------------
# tails: one 95th percentile per trial, with the tail's own margin

TAIL_MARGIN = 0.20


def tail_verdicts(tails: FloatArray) -> list[Verdict]:
    return [compare(np.log(study[1] / study[0]), metric="latency/p95_ms", margin=TAIL_MARGIN) for study in tails]


def test_tails_of_identical_arms_are_told_apart_as_rarely_as_stated() -> None:
    found = tail_verdicts(simulate_tails(STUDIES, 12, 0.95))
    assert excludes_one(found) <= MOST
    assert count(found, "faster", "slower") <= MOST


def test_a_tail_at_exactly_the_margin_is_called_equivalent_as_rarely_as_stated() -> None:
    found = tail_verdicts(simulate_tails(STUDIES, 13, 0.95, effects=(0.0, math.log1p(TAIL_MARGIN))))
    assert count(found, "equivalent") <= MOST
    assert count(found, "faster") == 0


def test_a_tail_well_beyond_the_margin_is_found() -> None:
    found = tail_verdicts(simulate_tails(200, 14, 0.95, effects=(0.0, math.log(1.4))))
    assert count(found, "slower") >= 190


# ---------------------------------------------------------------------------------------------------------------------
# planned extension: looks after 8, 16 and 24 trials

LOOKS = (8, 16, 24)


def at_looks(medians: FloatArray, alpha: float) -> list[list[Verdict]]:
    """Per study, what each look sees, whether or not an earlier one has settled it."""
    return [
        [
            compare(paired_log_ratios(study[0, :look], study[1, :look]), metric="m", margin=MARGIN, alpha=alpha)
            for look in LOOKS
        ]
        for study in medians
    ]


def ended(looks: list[Verdict]) -> Verdict:
    """The verdict of the first look that settles it, or of the last."""
    return next((verdict for verdict in looks if verdict.call != "inconclusive"), looks[-1])


@pytest.fixture(scope="module")
def three_looks() -> FloatArray:
    return simulate(STUDIES, seed=10, trials=LOOKS[-1], rounds=6, calls=6)


def any_look_differs(studies: list[list[Verdict]]) -> int:
    return sum(1 for looks in studies if excludes_one(looks))


def test_any_of_three_looks_at_a_third_errs_as_rarely_as_stated(three_looks: FloatArray) -> None:
    studies = at_looks(three_looks, 0.05 / 3)
    assert any_look_differs(studies) <= MOST
    assert count([ended(looks) for looks in studies], "faster", "slower") <= MOST


def test_looking_three_times_at_the_whole_error_rate_fails_that_check(three_looks: FloatArray) -> None:
    assert any_look_differs(at_looks(three_looks, 0.05)) > MOST


def test_equivalence_at_exactly_the_margin_with_three_looks() -> None:
    medians = simulate(STUDIES, seed=11, effects=(0.0, math.log1p(MARGIN)), trials=LOOKS[-1], rounds=4, calls=4)
    studies = at_looks(medians, 0.05 / 3)
    assert count([ended(looks) for looks in studies], "equivalent") <= MOST
    assert sum(1 for looks in studies if count(looks, "equivalent")) <= MOST


# ---------------------------------------------------------------------------------------------------------------------
# negative controls: a plan or an analysis that is known to be wrong must fail the checks above


def test_a_fixed_order_fails_the_check() -> None:
    fixed = verdicts(simulate(STUDIES, seed=6, order="fixed", order_effect=0.02))
    assert not keeps_its_error_rate(fixed)
    assert excludes_one(fixed) > 0.8 * STUDIES
    balanced = verdicts(simulate(STUDIES, seed=6, order="balanced", order_effect=0.02))
    assert keeps_its_error_rate(balanced), excludes_one(balanced)


def test_analysis_by_round_fails_the_check() -> None:
    medians = simulate(STUDIES, seed=7)
    by_round = [
        compare(np.log(study[1]).ravel() - np.log(study[0]).ravel(), metric="latency/p50_ms", margin=MARGIN)
        for study in medians
    ]
    assert excludes_one(by_round) > 2 * MOST
    assert keeps_its_error_rate(verdicts(medians))


def test_one_arm_after_the_other_fails_the_check() -> None:
    """All trials of the baseline, then all of the variant: the habit that interleaving replaces."""
    runs = simulate(STUDIES, seed=8, effects=(0.0,), trials=20)[:, 0]
    sequential = [
        compare(
            np.median(np.log(run[10:]), axis=1) - np.median(np.log(run[:10]), axis=1),
            metric="latency/p50_ms",
            margin=MARGIN,
        )
        for run in runs
    ]
    assert excludes_one(sequential) > 4 * MOST
