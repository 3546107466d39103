"""Holm's method against statsmodels, and how calls change."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from statsmodels.stats.multitest import multipletests

from mlbench.records import Verdict
from mlbench.statistics import adjusted, compare, holm

SHAPE = np.array([-1.5, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.5])
SHAPE /= SHAPE.std(ddof=1)


def verdict(mean: float, sd: float, *, trials: int = 8, lower_is_better: bool = True) -> Verdict:
    """A verdict on 8 (or fewer) trials with exactly this mean, and this spread for 8."""
    return compare(mean + sd * SHAPE[:trials], metric="m", margin=0.03, lower_is_better=lower_is_better)


@pytest.fixture(scope="module")
def quick_collections() -> Iterator[None]:
    """statsmodels collects garbage in every call, and everything that was imported would be looked through again."""
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("quick_collections")
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_adjusted_agrees_with_statsmodels(p_values: list[float]) -> None:
    assert adjusted(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_adjusted_of_nothing_is_nothing() -> None:
    assert adjusted([]) == []
    assert holm({}) == {}


def test_one_variant_keeps_its_verdict() -> None:
    alone = verdict(0.1, 0.05)
    after = holm({"a": alone})["a"]
    assert (after.call, after.p_adjusted, after.reason) == ("slower", alone.p_value, "")


def test_a_weak_call_falls_among_several_and_says_so() -> None:
    weak = verdict(0.10, 0.11)
    assert weak.call == "slower"
    assert 0.0125 < weak.p_value < 0.05
    after = holm({"weak": weak, "b": verdict(0.0, 0.2), "c": verdict(0.01, 0.2), "d": verdict(0.02, 0.2)})["weak"]
    assert after.call == "inconclusive"
    assert after.p_adjusted == pytest.approx(4 * weak.p_value)
    assert "alone it would be slower; among 4 variants (Holm) it is inconclusive" in after.reason
    assert after.trials_needed > 8
    assert f"about {after.trials_needed} trials" in after.reason
    assert not after.withheld
    assert after.ratio == weak.ratio  # intervals stay as they were


def test_trials_needed_after_holm_are_those_of_the_hardest_step() -> None:
    weak = verdict(0.10, 0.11)
    after = holm(dict.fromkeys("abcd", weak))["a"]
    alone = compare(0.10 + 0.11 * SHAPE, metric="m", margin=0.03, alpha=0.05 / 4)
    assert alone.call == "inconclusive"
    assert after.trials_needed == alone.trials_needed


def test_a_weak_equivalence_falls_too() -> None:
    weak = verdict(0.005, 0.031)
    assert weak.call == "equivalent"
    after = holm({"weak": weak, "b": verdict(0.5, 0.4), "c": verdict(0.5, 0.4), "d": verdict(0.5, 0.4)})["weak"]
    assert after.call == "inconclusive"
    assert "alone it would be equivalent" in after.reason


@pytest.mark.parametrize(
    ("mean", "lower_is_better", "call"),
    [(0.02, True, "slower"), (-0.02, True, "faster"), (0.02, False, "faster"), (-0.02, False, "slower")],
)
def test_equivalence_lost_to_holm_can_leave_a_shown_difference(mean: float, lower_is_better: bool, call: str) -> None:
    # about 2 % away with a spread that shows it, and only just equivalent within 3 %
    small = verdict(mean, 0.0130, lower_is_better=lower_is_better)
    assert small.call == "equivalent"
    others = {name: verdict(0.5, 0.1) for name in "bcd"}
    after = holm({"small": small, **others})["small"]
    assert after.call == call
    assert after.reason == f"alone it would be equivalent; among 4 variants (Holm) it is {call}"


def test_strong_calls_stay() -> None:
    verdicts = {"a": verdict(0.3, 0.01), "b": verdict(-0.3, 0.01), "c": verdict(0.0, 0.001)}
    after = holm(verdicts)
    assert {name: v.call for name, v in after.items()} == {"a": "slower", "b": "faster", "c": "equivalent"}
    assert all(v.reason == "" for v in after.values())


def test_too_few_trials_are_no_test_and_do_not_count() -> None:
    few = verdict(0.3, 0.01, trials=5)
    after = holm({"few": few, "a": verdict(0.1, 0.05)})
    assert after["few"] is few
    assert after["a"].p_adjusted == pytest.approx(after["a"].p_value)


def test_what_was_withheld_counts_and_stays_withheld() -> None:
    values = -1.0 + 0.01 * SHAPE
    withheld = compare(values, metric="m", margin=0.03, cpu_log_ratios=values + 1.0)
    after = holm({"a": withheld, "b": verdict(0.1, 0.05)})
    assert (after["a"].call, after["a"].withheld, after["a"].reason) == ("inconclusive", True, withheld.reason)
    assert after["b"].p_adjusted == pytest.approx(after["b"].p_value)  # the larger of two p values: times 1


@given(st.lists(st.tuples(st.floats(-0.1, 0.1), st.floats(0.001, 0.1)), min_size=1, max_size=6))
def test_holm_only_weakens_and_twice_is_once(cells: list[tuple[float, float]]) -> None:
    before = {str(index): verdict(*cell) for index, cell in enumerate(cells)}
    after = holm(before)
    assert holm(after) == after
    for name, old in before.items():
        if old.call == "inconclusive":
            assert after[name].call == "inconclusive"
        if after[name].call == "equivalent":
            assert old.call == "equivalent"
        assert after[name].p_adjusted >= old.p_value
