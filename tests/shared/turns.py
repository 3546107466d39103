"""Turns as tests compare them."""

from __future__ import annotations

from collections.abc import Iterable

from mlbench.records import Plan, Turn

Place = tuple[int, str, int, str]


def with_calls(turns: Iterable[Turn]) -> list[tuple[Turn, list[int], list[int]]]:
    """Turns with every one of their calls, which ``==`` of turns leaves out."""
    return [(turn, turn.discarded_ns.tolist(), turn.timed_ns.tolist()) for turn in turns]


def planned(plan: Plan, trials: Iterable[int] | None = None) -> list[Place]:
    """Every turn of a plan, or of some of its trials: trial, condition, round and arm, sorted."""
    wanted = range(plan.trials) if trials is None else set(trials)
    return sorted(
        (round_.trial, round_.key.short, round_.round, arm)
        for round_ in plan.schedule
        if round_.trial in wanted
        for arm in round_.order
    )


def places(turns: Iterable[Turn]) -> list[Place]:
    """The same of turns that were measured."""
    return sorted((turn.trial, turn.key.short, turn.round, turn.arm) for turn in turns)
