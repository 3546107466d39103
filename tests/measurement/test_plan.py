from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.plan import make_plan
from mlbench.records import ConditionKey, Plan, from_json, to_json

ARMS = ("baseline", "a", "b", "c")


def plan(seed: int = 0, **protocol: int) -> Plan:
    settings = {"trials": 3, "rounds": 4, "sweep_rounds": 2, **protocol}
    return make_plan(ARMS, "baseline", ScenarioConfig(batch_sizes=(1, 8)), ProtocolConfig(**settings), seed)


def test_every_arm_takes_one_turn_in_every_round() -> None:
    for planned in plan().schedule:
        assert Counter(planned.order) == Counter(ARMS)


def test_trials_and_conditions_come_in_order_with_their_own_numbers_of_rounds() -> None:
    keys = [(planned.trial, planned.batch_size, planned.round) for planned in plan().schedule]
    assert keys == [
        (trial, size, number) for trial in range(3) for size, rounds in ((1, 4), (8, 2)) for number in range(rounds)
    ]


def test_second_round_of_a_pair_is_the_reverse_of_the_first() -> None:
    for first, second in pairwise(plan().schedule):
        if second.round % 2:
            assert second.order == first.order[::-1]


@given(st.integers(min_value=0, max_value=2**32), st.integers(min_value=1, max_value=5).map(lambda half: 2 * half))
def test_each_arm_precedes_each_other_equally_often(seed: int, rounds: int) -> None:
    made = plan(seed, rounds=rounds)
    before = Counter(
        (first, second)
        for planned in made.schedule
        for index, first in enumerate(planned.order)
        for second in planned.order[index + 1 :]
    )
    assert set(before.values()) == {len(made.schedule) // 2}


def test_same_seed_same_plan_other_seed_other_plan() -> None:
    assert plan(seed=1) == plan(seed=1)
    assert plan(seed=1).schedule != plan(seed=2).schedule


def test_orders_really_vary() -> None:
    assert len({planned.order for planned in plan(trials=10).schedule}) > 10


def test_headline_is_the_first_batch_size_and_largest_is_the_largest() -> None:
    made = make_plan(ARMS, "baseline", ScenarioConfig(batch_sizes=(4, 32, 8)), ProtocolConfig(), 0)
    assert (made.headline, made.largest, made.batch_sizes) == (4, 32, (4, 32, 8))


def test_rounds_are_raised_for_a_percentile_that_was_asked_for() -> None:
    made = make_plan(ARMS, "baseline", ScenarioConfig(), ProtocolConfig(percentiles=("p999",)), 0)
    assert made.conditions[0].rounds == 48
    assert sum(1 for planned in made.schedule if planned.batch_size == 1) == 480


def test_all_looks_are_planned_from_the_start() -> None:
    made = plan(trials=6, extend=2)
    assert (made.trials, made.looks, made.look) == (18, (6, 12, 18), 0)
    assert {planned.trial for planned in made.schedule} == set(range(18))
    alone = plan(trials=6)
    assert (alone.trials, alone.looks) == (6, ())
    assert made.schedule[: len(alone.schedule)] == alone.schedule
    ended = made.ended_at(2)
    assert (ended.trials, ended.look, ended.schedule) == (12, 2, made.schedule)
    assert from_json(Plan, to_json(ended)) == ended


def test_a_sweep_changes_one_thing_at_a_time() -> None:
    scenario = ScenarioConfig(batch_sizes=(1, 32, 8), input_lengths=(64, 16), threads=(2, 1))
    made = make_plan(ARMS, "baseline", scenario, ProtocolConfig(), 0)
    assert [tuple(condition.key) for condition in made.conditions] == [
        (1, 64, 2),
        (32, 64, 2),
        (8, 64, 2),
        (1, 16, 2),
        (1, 64, 1),
    ]
    assert made.thread_counts == (2, 1)
    assert made.throughput_at == (32, 64, 2)
    assert made.first_of(1) == (1, 64, 1)
    assert [key.batch_size for key in made.sweep("batch_size")] == [1, 8, 32]
    assert [key.input_length for key in made.sweep("input_length")] == [16, 64]
    assert [key.threads for key in made.sweep("threads")] == [1, 2]
    assert from_json(Plan, to_json(made)) == made


def test_what_is_not_swept_has_no_series() -> None:
    made = make_plan(ARMS, "baseline", ScenarioConfig(), ProtocolConfig(), 0)
    assert (made.sweep("input_length"), made.sweep("threads")) == ((), ())


@pytest.mark.parametrize(
    ("key", "text", "short"),
    [
        (ConditionKey(1), "batch size 1", "1"),
        (ConditionKey(8, 64), "batch size 8, input length 64", "8;length=64"),
        (ConditionKey(8, None, 1), "batch size 8, 1 thread", "8;threads=1"),
        (ConditionKey(8, 64, 2), "batch size 8, input length 64, 2 threads", "8;length=64;threads=2"),
    ],
)
def test_a_condition_in_words_and_as_a_key(key: ConditionKey, text: str, short: str) -> None:
    assert (key.text, key.short) == (text, short)


def test_plan_survives_json() -> None:
    made = make_plan(ARMS, "baseline", ScenarioConfig(), ProtocolConfig(), 0, cpus=(0, 2))
    assert from_json(Plan, to_json(made)) == made


@pytest.mark.parametrize(("pinned", "cpus"), [(True, (3, 5)), (False, ())])
def test_cpus_are_used_where_the_protocol_says_so(pinned: bool, cpus: tuple[int, ...]) -> None:
    made = make_plan(ARMS, "baseline", ScenarioConfig(), ProtocolConfig(pin_cpus=pinned), 0, cpus=(3, 5))
    assert made.cpus == cpus


@pytest.mark.parametrize(("arms", "baseline"), [(("a", "b"), "c"), (("a", "a"), "a")])
def test_unknown_baseline_and_repeated_arms_are_refused(arms: tuple[str, ...], baseline: str) -> None:
    with pytest.raises(ValueError, match="must be one of the arms"):
        make_plan(arms, baseline, ScenarioConfig(), ProtocolConfig(), 0)
