"""The plan: the whole order of work, fixed from a seed before the first call."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.sizing import with_percentiles
from mlbench.records import Condition, ConditionKey, Plan, Round


def make_plan(
    arms: Sequence[str],
    baseline: str,
    scenario: ScenarioConfig,
    protocol: ProtocolConfig,
    seed: int,
    cpus: Sequence[int] = (),
) -> Plan:
    """The plan of a study.

    Within a trial the conditions follow one another; within a condition rounds come in pairs, a random permutation of
    the arms and then its reverse, so that every arm is before every other one equally often (docs/method.md, "Order").
    A sweep changes one thing at a time: each further value of an axis is a condition that is otherwise the headline's.

    Args:
        arms: Their names.
        baseline: Name of one of them.
        scenario: Batch sizes, input lengths and threads.
        protocol: Trials (of every look), rounds, calls; ``pin_cpus`` says whether ``cpus`` are used. Rounds are raised
            to what ``percentiles`` needs.
        seed: Of the random order.
        cpus: CPUs that this process may use.

    Raises:
        ValueError: ``baseline`` is not among ``arms``, or arm names repeat.
    """
    if baseline not in arms or len(set(arms)) != len(arms):
        raise ValueError(f"the baseline {baseline!r} must be one of the arms, each named once: {list(arms)}")
    protocol = with_percentiles(protocol)
    conditions = tuple(_condition(key, protocol, headline=not index) for index, key in enumerate(_keys(scenario)))
    random = np.random.default_rng(seed)
    schedule: list[Round] = []
    looks = tuple(protocol.trials * (look + 1) for look in range(protocol.extend + 1))
    for trial in range(looks[-1]):
        for condition in conditions:
            order: tuple[str, ...] = ()
            for number in range(condition.rounds):
                order = order[::-1] if number % 2 else tuple(arms[index] for index in random.permutation(len(arms)))
                schedule.append(
                    Round(trial, condition.batch_size, number, order, condition.input_length, condition.threads)
                )
    return Plan(
        seed=seed,
        arms=tuple(arms),
        baseline=baseline,
        conditions=conditions,
        trials=looks[-1],
        warmup_calls=protocol.warmup_calls,
        warmup_seconds=protocol.warmup_seconds,
        min_value_ns=round(protocol.min_value_ms * 1e6),
        schedule=tuple(schedule),
        cpus=tuple(cpus) if protocol.pin_cpus else (),
        looks=looks if protocol.extend else (),
    )


def _keys(scenario: ScenarioConfig) -> list[ConditionKey]:
    """The headline first, then each further value of each axis; conditions of one number of threads together."""
    lengths: tuple[int | None, ...] = scenario.input_lengths or (None,)
    threads: tuple[int | None, ...] = scenario.threads or (None,)
    first = ConditionKey(scenario.batch_sizes[0], lengths[0], threads[0])
    keys = [first]
    keys += [first._replace(batch_size=size) for size in scenario.batch_sizes[1:]]
    keys += [first._replace(input_length=length) for length in lengths[1:]]
    keys += [first._replace(threads=count) for count in threads[1:]]
    return keys


def _condition(key: ConditionKey, protocol: ProtocolConfig, *, headline: bool) -> Condition:
    if headline:
        rounds, discard, calls = protocol.rounds, protocol.discard, protocol.calls
    else:
        rounds, discard, calls = protocol.sweep_rounds, protocol.sweep_discard, protocol.sweep_calls
    return Condition(key.batch_size, rounds, discard, calls, key.input_length, key.threads)
