"""The gate: is a candidate acceptable next to the reference it was measured with? Records in, records out.

The policy decides what to ship; the gate asks less, namely whether each constraint holds, and is careful with both
answers: ``ok`` and ``broken`` are what the interval shows, everything else is ``unknown`` (docs/gate.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlbench._policy_words import asked
from mlbench.config import ConstraintConfig, PolicyConfig
from mlbench.errors import ExitCode, InputError
from mlbench.metrics import info
from mlbench.records import ArmResult, ConstraintResult, Estimate, Study, from_dict
from mlbench.registry import suggest
from mlbench.statistics import MIN_TRIALS

Answer = Literal["ok", "broken", "unknown", "failed"]
"""``failed``: the arm could not be built or served, so that there is nothing to judge."""

_WORST_FIRST: tuple[Answer, ...] = ("broken", "failed", "unknown", "ok")
_EXIT_CODES = {
    "ok": ExitCode.DONE,
    "broken": ExitCode.POLICY_NOT_MET,
    "unknown": ExitCode.INCONCLUSIVE,
    "failed": ExitCode.FAILURE,
}


@dataclass(frozen=True, slots=True)
class GateCheck:
    """One constraint held against one candidate.

    Attributes:
        constraint: The constraint as the policy states it.
        estimate: What was held against it, in the constraint's unit; None where there is nothing.
        reason: What was found, in a sentence.
    """

    constraint: str
    answer: Answer
    estimate: Estimate | None
    reason: str


@dataclass(frozen=True, slots=True)
class GateArm:
    """One candidate: the worst of its checks is its answer."""

    name: str
    answer: Answer
    checks: tuple[GateCheck, ...]


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate's answer.

    Attributes:
        answer: The worst answer of any candidate; ``failed`` also where the reference could not be served.
        sentence: The answer in one sentence.
        policy: Name of the policy.
        reference: Name of the arm that the candidates are held against.
        arms: The candidates, in the study's order.
    """

    answer: Answer
    sentence: str
    policy: str
    reference: str
    arms: tuple[GateArm, ...]


def check_request(policy: PolicyConfig, variants: Sequence[str], candidate: str | None) -> tuple[str, ...]:
    """Names of the arms to judge: the candidate, or every variant where none is named.

    Raises:
        InputError: There is nothing to judge, or nothing to judge it by: the gate would be open for anything.
    """
    problems = []
    if not variants:
        problems.append("gate needs a candidate, and no variant is selected: variants=[onnx_fp32] selects one")
    elif candidate is not None and candidate not in variants:
        problems.append(f"--candidate {candidate}: the study has no such variant; {suggest(candidate, variants)}")
    if not policy.constraints:
        problems.append(
            f"policy.constraints: the policy '{policy.name}' has none, so anything would pass; policy=no_regression has"
        )
    if problems:
        raise InputError(problems)
    return tuple(variants) if candidate is None else (candidate,)


def judge(study: Study, candidates: Sequence[str]) -> Gate:
    """Hold the candidates against every constraint of the study's policy.

    A constraint is ``ok`` if the whole interval meets it, ``broken`` if the whole interval misses it, else
    ``unknown``. What is measured in time or memory is ``unknown`` altogether where the measurement is not fit for a
    verdict: too few trials, lost trials, an interrupted study or an unusable machine.

    Args:
        study: The study, in which candidates and reference were measured side by side.
        candidates: Names of the arms to judge; at least one.

    Raises:
        ValueError: There is no candidate, or one of them is the reference.
        KeyError: The study has no arm of that name.
    """
    reference = study.baseline
    if not candidates or reference.name in candidates:
        raise ValueError("the gate needs candidates, and the reference is none")
    policy = from_dict(PolicyConfig, study.decision.policy)
    names = [study.arm(name).name for name in dict.fromkeys(candidates)]
    arms = tuple(_arm(study, arm, policy) for arm in study.arms if arm.name in names)
    answer = "failed" if reference.status == "failed" else _worst([arm.answer for arm in arms])
    return Gate(answer, _sentence(answer, arms, reference, policy.name), policy.name, reference.name, arms)


def exit_code(gate: Gate) -> ExitCode:
    """0 every constraint is met, 3 one is broken, 4 it cannot be told, 1 an arm could not be built or served."""
    return _EXIT_CODES[gate.answer]


def _arm(study: Study, arm: ArmResult, policy: PolicyConfig) -> GateArm:
    if arm.status == "failed":
        checks = tuple(GateCheck(asked(goal), "failed", None, f"failed: {arm.failure}") for goal in policy.constraints)
    else:
        results = next(item.constraints for item in study.decision.judgements if item.arm == arm.name)
        checks = tuple(
            _check(study, arm, goal, result) for goal, result in zip(policy.constraints, results, strict=True)
        )
    return GateArm(arm.name, _worst([check.answer for check in checks]), checks)


def _check(study: Study, arm: ArmResult, goal: ConstraintConfig, result: ConstraintResult) -> GateCheck:
    def unknown(reason: str) -> GateCheck:
        return GateCheck(result.constraint, "unknown", result.estimate, reason)

    unfit = _unfit(study, arm)
    if unfit and (_is_measured(goal.metric) or (arm.status == "incomplete" and result.passed)):
        return unknown(unfit)
    if result.passed is None:
        return unknown(result.reason)
    if not result.passed and not _misses_altogether(goal, result.estimate):
        return unknown(f"{result.reason}: missed by the estimate, but the interval does not exclude that it is met")
    return GateCheck(result.constraint, "ok" if result.passed else "broken", result.estimate, result.reason)


def _unfit(study: Study, arm: ArmResult) -> str:
    """Why nothing that was measured in time or memory can be relied on, or nothing."""
    if study.status == "interrupted":
        return "the study was interrupted before its planned end"
    for one in (arm, study.baseline):
        if one.status != "ok":
            return f"{one.name} is {one.status}: {one.failure}"
    if study.plan.trials < MIN_TRIALS:
        return f"{study.plan.trials} trials are too few, {MIN_TRIALS} or more are needed"
    if study.noise.level == "unusable":
        return f"the machine was unusable for measuring: {'; '.join(study.noise.evidence)}"
    return ""


def _is_measured(metric: str) -> bool:
    """Whether trials and the machine's noise have a part in it; predictions and files are the same on every machine."""
    row = info(metric)
    counted = metric.startswith(("quality/", "agreement/")) or metric.endswith("_delta")
    return not counted and not (row is not None and row.exact)


def _misses_altogether(goal: ConstraintConfig, estimate: Estimate | None) -> bool:
    """Whether the whole interval is outside of the goal; without an interval only a plain fact can be."""
    if estimate is None:
        return False
    low, high = estimate.low, estimate.high
    row = info(goal.metric)
    if low is None and high is None and row is not None and row.exact:
        low = high = estimate.value
    above = goal.max is not None and low is not None and low > goal.max
    below = goal.min is not None and high is not None and high < goal.min
    return above or below


def _worst(answers: Sequence[Answer]) -> Answer:
    return min(answers, key=_WORST_FIRST.index)


def _sentence(answer: Answer, arms: Sequence[GateArm], reference: ArmResult, policy: str) -> str:
    if answer == "ok":
        *others, last = (arm.name for arm in arms)
        names, meet = (f"{', '.join(others)} and {last}", "meet") if others else (last, "meets")
        return f"Accepted: {names} {meet} every constraint of {policy} against {reference.name}."
    if reference.status == "failed":
        return f"Not judged: the reference {reference.name} failed: {reference.failure}."
    arm, check = next((arm, check) for arm in arms for check in arm.checks if check.answer == answer)
    more = sum(check.answer == answer for arm in arms for check in arm.checks) - 1
    rest = f" ({more} more)" if more and answer != "failed" else ""
    opening = {
        "broken": f"Not accepted: {arm.name} breaks {check.constraint}",
        "unknown": f"Cannot be told: whether {arm.name} meets {check.constraint}",
        "failed": f"Not judged: {arm.name}",
    }[answer]
    return f"{opening}{' ' if answer == 'failed' else '; '}{check.reason}{rest}."


__all__ = ["Answer", "Gate", "GateArm", "GateCheck", "check_request", "exit_code", "judge"]
