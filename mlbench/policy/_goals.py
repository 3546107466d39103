"""One constraint held against one arm."""

from __future__ import annotations

from mlbench._policy_words import RELATIVE, asked, label, limits, not_excluded, plain, signed
from mlbench.config import ConstraintConfig
from mlbench.policy._evidence import Pair, bounds, difference, read, scaled
from mlbench.records import ConstraintResult


def held(goal: ConstraintConfig, pair: Pair) -> ConstraintResult:
    """Met, not met, or (None) not to be told from this evidence."""
    name = asked(goal)
    relative = goal.against != "absolute" and not goal.metric.startswith(RELATIVE)
    if relative:
        estimate, reason = difference(pair, goal.metric, goal.unit, goal.confidence)
    else:
        estimate, reason = read(pair, goal.metric, goal.confidence)
        if estimate is not None and goal.unit == "points":
            estimate = scaled(estimate, 100.0, "points")
    if estimate is None:
        return ConstraintResult(name, None, None, reason)
    low, high = bounds(goal.metric, estimate)
    passed: bool | None = True
    if (goal.min is not None and estimate.value < goal.min) or (goal.max is not None and estimate.value > goal.max):
        passed = False
    elif (goal.min is not None and (low is None or low < goal.min)) or (
        goal.max is not None and (high is None or high > goal.max)
    ):
        passed = None
    shown = f"{label(goal.metric)} {signed(estimate) if relative else plain(estimate)}"
    if passed is None:
        return ConstraintResult(name, None, estimate, f"{shown}: {not_excluded(goal, low, relative=relative)}")
    return ConstraintResult(name, passed, estimate, f"{shown}, {limits(goal)} asked")
