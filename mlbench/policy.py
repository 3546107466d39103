"""The policy: goals held against the evidence, and one decision with a reason for every arm.

Goals are tested by the bounds of intervals, never by point estimates (docs/method.md, "Decision").
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from mlbench._policy_words import (
    RELATIVE,
    absent,
    asked,
    in_brackets,
    label,
    limits,
    not_excluded,
    plain,
    signed,
    times,
)
from mlbench.config import ConstraintConfig, ObjectiveConfig, PolicyConfig
from mlbench.metrics import NAMES, info
from mlbench.records import ArmResult, ConstraintResult, Decision, Estimate, Judgement, Verdict, to_dict
from mlbench.registry import suggest

# ---------------------------------------------------------------------------------------------------------------------
# before anything runs


def unknown_metrics(policy: PolicyConfig, known: Sequence[str] = NAMES) -> list[str]:
    """One sentence per metric name that nobody measures, with the nearest known names.

    Args:
        policy: The user's goals.
        known: Public names; more than the usual ones where a task brings metrics of its own.
    """
    named = {f"policy.constraints[{index}].metric": goal.metric for index, goal in enumerate(policy.constraints)}
    named["policy.objective.metric"] = policy.objective.metric
    return [
        f"{key}: unknown metric '{name}'; {suggest(name, known)}" for key, name in named.items() if name not in known
    ]


def foreign(policy: PolicyConfig, task: str, metrics: Sequence[str]) -> list[str]:
    """One sentence per goal on a quality metric that the workload's task does not give.

    Args:
        policy: The user's goals.
        task: Name of the task.
        metrics: What it gives, without prefix.
    """
    own = [f"quality/{name}" for name in metrics] + [f"vs_baseline/{name}_delta" for name in metrics]
    others = {name for name in NAMES if name.startswith("quality/") or name.endswith("_delta")} - set(own)
    named = {f"policy.constraints[{index}]": goal.metric for index, goal in enumerate(policy.constraints)}
    named["policy.objective"] = policy.objective.metric
    return [
        f"{key}: the task '{task}' gives no {name}; it gives {', '.join(own[: len(metrics)])} (a packaged policy for "
        "each task: mlbench list policies)"
        for key, name in named.items()
        if name in others
    ]


def unanswerable(policy: PolicyConfig) -> list[str]:
    """One sentence per goal that no study could answer, since what it asks for is not compared with the baseline."""
    found = []
    for index, goal in enumerate(policy.constraints):
        key = f"policy.constraints[{index}]"
        row = info(goal.metric)
        if _known(goal.metric) and goal.against == "baseline" and not _compared(goal.metric):
            found.append(
                f"{key}: {goal.metric} is not compared with the baseline; use against: absolute, or one of "
                + ", ".join(name for name in NAMES if _compared(name) and not name.startswith("vs_baseline/"))
            )
        if goal.unit == "points" and row is not None and row.unit != "fraction":
            found.append(f"{key}: unit 'points' is for fractions, and {goal.metric} is none; use percent or units")
        if goal.unit == "percent" and goal.metric.startswith(RELATIVE):
            found.append(f"{key}: {goal.metric} already compares with the baseline; its unit must be units or points")
    objective = policy.objective
    row = info(objective.metric)
    if objective.require_better and _known(objective.metric):
        if not _compared(objective.metric) or objective.metric.startswith(RELATIVE):
            found.append(
                f"policy.objective: {objective.metric} has no verdict against the baseline; with require_better: true "
                "use " + ", ".join(name for name in NAMES if _compared(name) and not name.startswith(RELATIVE))
            )
        elif row is not None and row.direction != {"minimize": "lower", "maximize": "higher"}[objective.goal]:
            found.append(f"policy.objective: {objective.goal} {objective.metric} would look for the worst arm")
    return found


def _known(name: str) -> bool:
    return name in NAMES or name.startswith("quality/")  # a task may bring quality metrics of its own


def _compared(name: str) -> bool:
    row = info(name)
    return name.startswith(("quality/", *RELATIVE)) or (row is not None and (row.verdict or row.exact))


# ---------------------------------------------------------------------------------------------------------------------
# the decision


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A variant under the policy; ``better`` is None where the evidence cannot tell."""

    arm: ArmResult
    constraints: tuple[ConstraintResult, ...]
    better: bool | None
    why: str
    value: float | None

    @property
    def eligible(self) -> bool:
        return self.arm.status == "ok" and all(result.passed is True for result in self.constraints)

    @property
    def could_win(self) -> bool:
        """Whether more evidence could make it the winner."""
        excluded = self.better is False or any(result.passed is False for result in self.constraints)
        return self.arm.status != "failed" and not excluded


def decide(policy: PolicyConfig, arms: Sequence[ArmResult]) -> Decision:
    """What the policy makes of the arms.

    An arm is eligible if it is complete and meets every constraint; the best eligible variant by the objective's
    estimate wins, with ``require_better`` only if its verdict on that metric is ``faster``. Without a winner the
    outcome is ``inconclusive`` if some arm could have won with more evidence, else ``hold``.

    Args:
        policy: The user's goals.
        arms: All arms of the study, exactly one of them the baseline.

    Raises:
        ValueError: There is not exactly one baseline.
    """
    baselines = [arm for arm in arms if arm.role == "baseline"]
    if len(baselines) != 1:
        raise ValueError(f"a decision needs exactly one baseline, not {len(baselines)}")
    baseline = baselines[0]
    candidates = [_candidate(policy, arm, baseline) for arm in arms if arm is not baseline]
    sign = 1 if policy.objective.goal == "minimize" else -1
    able = [(sign * c.value, c) for c in candidates if c.eligible and c.better is True and c.value is not None]
    winner = min(able, key=lambda pair: pair[0])[1] if able else None
    outcome: Literal["promote", "hold", "inconclusive"]
    if winner is not None:
        outcome, sentence = "promote", _ship(policy, winner, baseline)
    elif any(candidate.could_win for candidate in candidates):
        outcome, sentence = "inconclusive", _undecided(candidates)
    else:
        outcome, sentence = "hold", _keep(policy, baseline, candidates)
    by_name = {candidate.arm.name: _judgement(policy, candidate, winner) for candidate in candidates}
    kept = {"promote": "is replaced", "hold": "is kept", "inconclusive": "is kept until there is more evidence"}
    by_name[baseline.name] = Judgement(
        baseline.name, eligible=False, constraints=(), reason=f"the baseline, which {kept[outcome]}"
    )
    return Decision(
        outcome=outcome,
        winner=None if winner is None else winner.arm.name,
        sentence=sentence,
        judgements=tuple(by_name[arm.name] for arm in arms),
        policy=to_dict(policy),
    )


def _candidate(policy: PolicyConfig, arm: ArmResult, baseline: ArmResult) -> _Candidate:
    if arm.status == "failed":
        return _Candidate(arm, (), None, "", None)
    better, why = _better(policy.objective, arm, baseline)
    estimate = arm.metrics.get(policy.objective.metric)
    return _Candidate(
        arm=arm,
        constraints=tuple(_held(goal, arm, baseline) for goal in policy.constraints),
        better=better if estimate is not None else None,
        why=why if estimate is not None else absent(policy.objective.metric, arm),
        value=None if estimate is None else estimate.value,
    )


def _better(objective: ObjectiveConfig, arm: ArmResult, baseline: ArmResult) -> tuple[bool | None, str]:
    """Whether the arm is shown to be better than the baseline on the objective, and what to say about it."""
    metric, name = objective.metric, label(objective.metric)
    if not objective.require_better:
        return True, ""
    if metric in arm.verdicts:
        return _by_verdict(arm.verdicts[metric], name)
    difference, reason = _difference(ConstraintConfig(metric), arm, baseline)
    if difference is None:
        return None, reason
    gain = difference if objective.goal == "maximize" else _negative(difference)
    low, high = _bounds(metric, gain)
    if low is not None and low > 0:
        return True, ""
    told = f"its {name} differs from the baseline's by {signed(difference)}"
    return (None if high is None or high > 0 else False), told


def _by_verdict(verdict: Verdict, name: str) -> tuple[bool | None, str]:
    if verdict.call == "faster":
        return True, verdict.reason
    if verdict.call == "inconclusive":
        return None, f"its {name} is inconclusive: {verdict.reason}"
    said = {"slower": "worse than", "equivalent": "equivalent to"}[verdict.call]
    return False, f"its {name} is {said} the baseline's{in_brackets(verdict.ratio)}"


# ---------------------------------------------------------------------------------------------------------------------
# one constraint


def _held(goal: ConstraintConfig, arm: ArmResult, baseline: ArmResult) -> ConstraintResult:
    """One goal against one arm: met, not met, or (None) not to be told from this evidence."""
    name = asked(goal)
    if goal.against == "absolute" or goal.metric.startswith(RELATIVE):
        estimate, reason = arm.metrics.get(goal.metric), absent(goal.metric, arm)
        if estimate is not None and goal.unit == "points":
            estimate = _scaled(estimate, 100.0, "points")
    else:
        estimate, reason = _difference(goal, arm, baseline)
    if estimate is None:
        return ConstraintResult(name, None, None, reason)
    low, high = _bounds(goal.metric, estimate)
    passed: bool | None = True
    if (goal.min is not None and estimate.value < goal.min) or (goal.max is not None and estimate.value > goal.max):
        passed = False
    elif (goal.min is not None and (low is None or low < goal.min)) or (
        goal.max is not None and (high is None or high > goal.max)
    ):
        passed = None
    relative = goal.against == "baseline" and not goal.metric.startswith(RELATIVE)
    shown = f"{label(goal.metric)} {signed(estimate) if relative else plain(estimate)}"
    if passed is None:
        return ConstraintResult(name, None, estimate, f"{shown}: {not_excluded(goal, low, relative=relative)}")
    return ConstraintResult(name, passed, estimate, f"{shown}, {limits(goal)} asked")


def _difference(goal: ConstraintConfig, arm: ArmResult, baseline: ArmResult) -> tuple[Estimate | None, str]:
    """Arm against baseline in the goal's unit, or why there is none."""
    metric = goal.metric
    prefix, _, name = metric.partition("/")
    row = info(metric)
    reference, mine = baseline.metrics.get(metric), arm.metrics.get(metric)
    if prefix == "quality":
        delta = None if arm.quality is None else arm.quality.deltas.get(name)
        if delta is None:
            return None, absent(metric, arm)
        return _in_unit(goal, delta, None if reference is None else reference.value)
    if metric in arm.verdicts:
        verdict = arm.verdicts[metric]
        if verdict.withheld or verdict.ratio is None:
            return None, f"{label(metric)} cannot be held against the baseline: {verdict.reason}"
        return _from_ratio(goal, verdict.ratio, reference)
    if row is not None and row.exact and reference is not None and mine is not None:
        return _in_unit(goal, replace(mine, value=mine.value - reference.value), reference.value)
    return None, absent(metric, arm) if mine is None else f"{label(metric)} is not compared with the baseline"


def _in_unit(goal: ConstraintConfig, delta: Estimate, reference: float | None) -> tuple[Estimate | None, str]:
    """A plain difference in the goal's unit."""
    if goal.unit == "points":
        return _scaled(delta, 100.0, "points"), ""
    if goal.unit == "percent":
        if not reference:
            return None, f"{label(goal.metric)} of the baseline is 0 or unknown, so there is no change in percent"
        return _scaled(delta, 100.0 / abs(reference), "%"), ""
    return delta, ""


def _from_ratio(goal: ConstraintConfig, ratio: Estimate, reference: Estimate | None) -> tuple[Estimate | None, str]:
    """A paired ratio, variant over baseline, as a change in the goal's unit."""
    change = replace(
        ratio,
        value=ratio.value - 1,
        low=None if ratio.low is None else ratio.low - 1,
        high=None if ratio.high is None else ratio.high - 1,
    )
    if goal.unit == "percent":
        return _scaled(change, 100.0, "%"), ""
    if reference is None:
        return None, f"{label(goal.metric)} of the baseline was not measured"
    return _in_unit(goal, _scaled(change, reference.value, reference.unit), reference.value)


def _scaled(estimate: Estimate, factor: float, unit: str) -> Estimate:
    return replace(
        estimate,
        value=estimate.value * factor,
        low=None if estimate.low is None else estimate.low * factor,
        high=None if estimate.high is None else estimate.high * factor,
        unit=unit,
    )


def _in_points(delta: Estimate) -> Estimate:
    """A difference of shares in points; of anything else as it is."""
    return _scaled(delta, 100.0, "points") if delta.unit in ("", "fraction") else delta


def _negative(estimate: Estimate) -> Estimate:
    turned = _scaled(estimate, -1.0, estimate.unit)
    return replace(turned, low=turned.high, high=turned.low)


def _bounds(metric: str, estimate: Estimate) -> tuple[float | None, float | None]:
    """Bounds of the interval; the value itself where the metric is a plain fact."""
    row = info(metric)
    if row is not None and row.exact and estimate.low is None and estimate.high is None:
        return estimate.value, estimate.value
    return estimate.low, estimate.high


# ---------------------------------------------------------------------------------------------------------------------
# in words


def _judgement(policy: PolicyConfig, candidate: _Candidate, winner: _Candidate | None) -> Judgement:
    arm, name = candidate.arm, label(policy.objective.metric)
    open_goals = [result.reason for result in candidate.constraints if result.passed is not True]
    if arm.status == "failed":
        reason = f"failed: {arm.failure}"
    elif arm.status == "incomplete":
        reason = f"incomplete, so it cannot win: {arm.failure or 'the study ended before its planned end'}"
    elif open_goals:
        reason = "; ".join(open_goals)
    elif candidate.better is not True:
        reason = f"meets every goal, but {candidate.why}"
    elif candidate is winner:
        reason = f"the best {name} of the variants that meet every goal, {_value(policy, candidate)}"
        reason += f"; {candidate.why}" if candidate.why else ""
    else:
        assert winner is not None  # this one could win, so somebody did
        reason = f"meets every goal; its {name} is {_value(policy, candidate)}, "
        reason += f"that of {winner.arm.name} {_value(policy, winner)}"
    return Judgement(arm.name, candidate.eligible, candidate.constraints, reason)


def _ship(policy: PolicyConfig, winner: _Candidate, baseline: ArmResult) -> str:
    arm, metric = winner.arm, policy.objective.metric
    parts = [_gain(metric, arm, baseline)]
    shown = [goal.metric for goal in policy.constraints if goal.metric.startswith("quality/")] or ["quality/accuracy"]
    for quality in dict.fromkeys(shown):
        delta = None if arm.quality is None else arm.quality.deltas.get(quality.partition("/")[2])
        if delta is not None and quality != metric:
            parts.append(f"{label(quality)} {signed(_in_points(delta))}")
    return f"Ship {arm.name}: {', '.join(parts)}."


def _gain(metric: str, arm: ArmResult, baseline: ArmResult) -> str:
    """How much better the arm is, in words."""
    verdict, name = arm.verdicts.get(metric), label(metric)
    if verdict is not None and verdict.ratio is not None:
        ratio = verdict.ratio
        if metric.startswith("latency/"):
            number, interval = times(_inverse(ratio) if ratio.value <= 1 else ratio)
            return f"{number} {'faster' if ratio.value <= 1 else 'slower'} than the baseline at {name}{interval}"
        number, interval = times(ratio)
        return f"{number} the baseline's {name}{interval}"
    if metric.startswith("quality/"):
        delta, _ = _difference(ConstraintConfig(metric), arm, baseline)
        return f"{name} {signed(_in_points(delta))}" if delta is not None else name
    mine, theirs = arm.metrics[metric], baseline.metrics.get(metric)
    return f"{name} {plain(mine)}" + (f" against {plain(theirs)}" if theirs is not None else "")


def _keep(policy: PolicyConfig, baseline: ArmResult, candidates: Sequence[_Candidate]) -> str:
    name = label(policy.objective.metric)
    if not candidates:
        why = "there is no variant to compare it with"
    elif all(candidate.arm.status == "failed" for candidate in candidates):
        why = "every variant failed"
    elif any(candidate.eligible for candidate in candidates):
        why = f"no variant that meets every goal is better at {name}"
    else:
        why = "no variant meets every goal"
    return f"Keep {baseline.name}: {why}."


def _undecided(candidates: Sequence[_Candidate]) -> str:
    undecided = [candidate for candidate in candidates if candidate.could_win]
    *others, last = (candidate.arm.name for candidate in undecided)
    names = f"{', '.join(others)} or {last}" if others else last
    first = undecided[0]
    if first.arm.status == "incomplete":
        why = f"{first.arm.name} is incomplete"
    else:
        unclear = [result.reason for result in first.constraints if result.passed is None]
        why = f"for {first.arm.name}, {[*unclear, first.why][0]}"
    return f"No decision: with more evidence {names} might be the one to ship; {why}."


def _value(policy: PolicyConfig, candidate: _Candidate) -> str:
    return plain(candidate.arm.metrics[policy.objective.metric])


def _inverse(ratio: Estimate) -> Estimate:
    """The speed-up: baseline over variant."""
    low = None if ratio.high is None else 1 / ratio.high
    high = None if ratio.low is None else 1 / ratio.low
    return replace(ratio, value=1 / ratio.value, low=low, high=high)
