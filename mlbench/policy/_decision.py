"""From goals and evidence to one decision, with a reason for every arm."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from mlbench._policy_words import absent, asked, label, plain, signed, times
from mlbench.config import ConstraintConfig, ObjectiveConfig, PolicyConfig
from mlbench.policy._evidence import Pair, difference, in_points, inverse, with_baseline, with_incumbent
from mlbench.policy._goals import held
from mlbench.policy._objective import Ranked, better, missing, rank, weighted_gain
from mlbench.quality.losses import lost_in
from mlbench.records import ArmResult, ConstraintResult, Decision, Judgement, to_dict


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A variant under the policy; ``better`` is None where the evidence cannot tell.

    Attributes:
        pair: The variant beside the baseline.
        rival: The variant beside the incumbent; None where there is none.
    """

    pair: Pair
    rival: Pair | None
    constraints: tuple[ConstraintResult, ...]
    better: bool | None
    why: str

    @property
    def arm(self) -> ArmResult:
        return self.pair.arm

    @property
    def eligible(self) -> bool:
        return self.arm.status == "ok" and all(result.passed is True for result in self.constraints)

    @property
    def could_win(self) -> bool:
        """Whether more evidence could make it the winner."""
        excluded = self.better is False or any(result.passed is False for result in self.constraints)
        return self.arm.status != "failed" and not excluded


def decide(policy: PolicyConfig, arms: Sequence[ArmResult], share: float = 1.0) -> Decision:
    """What the policy makes of the arms.

    An arm is eligible if it is complete and meets every constraint; the best eligible variant by the objective wins,
    with ``require_better`` only if it is shown to be better than the baseline, and beside an incumbent only if it is
    shown to be better than that, unless the incumbent itself is shown to miss a goal. Without a winner the outcome is
    ``inconclusive`` if some arm could have won with more evidence, else ``hold``.

    Args:
        policy: The user's goals.
        arms: All arms of the study, exactly one of them the baseline and at most one the incumbent.
        share: Share of the error rate that each look at the verdicts may spend; 1 where there is one.

    Raises:
        ValueError: There is not exactly one baseline.
    """
    baselines = [arm for arm in arms if arm.role == "baseline"]
    if len(baselines) != 1:
        raise ValueError(f"a decision needs exactly one baseline, not {len(baselines)}")
    baseline = baselines[0]
    incumbent = next((arm for arm in arms if arm.role == "incumbent"), None)
    reigning = None if incumbent is None else _reigning(policy, incumbent, baseline, share)
    candidates = [
        _candidate(policy, arm, baseline, reigning, share)
        for arm in arms
        if arm is not baseline and arm is not incumbent
    ]
    able = [candidate for candidate in candidates if candidate.eligible and candidate.better is True]
    ranked = rank(policy.objective, [candidate.pair for candidate in able]) if able else None
    winner = able[ranked.best] if ranked is not None else None
    outcome: Literal["promote", "hold", "inconclusive"]
    if winner is not None:
        outcome, sentence = "promote", _ship(policy, winner)
    elif any(candidate.could_win for candidate in candidates):
        outcome, sentence = "inconclusive", _undecided(candidates)
    else:
        outcome, sentence = "hold", _keep(policy, incumbent or baseline, candidates)
    by_name = {candidate.arm.name: _judgement(policy.objective, candidate, able, ranked) for candidate in candidates}
    kept = {"promote": "is replaced", "hold": "is kept", "inconclusive": "is kept until there is more evidence"}
    by_name[baseline.name] = Judgement(
        baseline.name,
        eligible=False,
        constraints=(),
        reason=f"the baseline, which {kept[outcome]}" if incumbent is None else "the baseline",
    )
    if incumbent is not None and reigning is not None:
        missed = [result.reason for result in reigning.constraints if result.passed is False]
        about = f"failed: {incumbent.failure}" if incumbent.status == "failed" else "; ".join(missed)
        reason = f"the incumbent, which {kept[outcome]}" + (f"; {about}" if about else "")
        by_name[incumbent.name] = Judgement(
            incumbent.name, eligible=False, constraints=reigning.constraints, reason=reason
        )
    return Decision(
        outcome=outcome,
        winner=None if winner is None else winner.arm.name,
        sentence=sentence,
        judgements=tuple(by_name[arm.name] for arm in arms),
        policy=to_dict(policy),
    )


@dataclass(frozen=True, slots=True)
class _Reigning:
    """The incumbent with the goals that do not compare with itself; one that misses a goal need not be beaten."""

    arm: ArmResult
    constraints: tuple[ConstraintResult, ...]

    @property
    def must_be_beaten(self) -> bool:
        return all(result.passed is not False for result in self.constraints)


def _reigning(policy: PolicyConfig, incumbent: ArmResult, baseline: ArmResult, share: float) -> _Reigning:
    if incumbent.status == "failed":
        return _Reigning(incumbent, ())
    pair = with_baseline(incumbent, baseline, share)
    return _Reigning(incumbent, tuple(held(goal, pair) for goal in policy.constraints if goal.against != "incumbent"))


def _candidate(
    policy: PolicyConfig, arm: ArmResult, baseline: ArmResult, reigning: _Reigning | None, share: float
) -> _Candidate:
    pair = with_baseline(arm, baseline, share)
    rival = None if reigning is None else with_incumbent(arm, reigning.arm, share)
    if arm.status == "failed":
        return _Candidate(pair, rival, (), None, "")
    objective = policy.objective
    constraints = tuple(_held(goal, pair, rival) for goal in policy.constraints)
    unranked = missing(objective, pair)
    if unranked:
        return _Candidate(pair, rival, constraints, None, unranked)
    is_better, why = better(objective, pair) if objective.require_better else (True, "")
    if is_better is not False and rival is not None and reigning is not None and reigning.must_be_beaten:
        beats, said = _beats(objective, rival)
        if beats is not True:
            is_better, why = beats, said
    return _Candidate(pair, rival, constraints, is_better, why)


def _held(goal: ConstraintConfig, pair: Pair, rival: Pair | None) -> ConstraintResult:
    if goal.against != "incumbent":
        return held(goal, pair)
    if rival is None:
        why = "there is no champion yet, so there is none to hold it against"
        return ConstraintResult(asked(goal), passed=True, estimate=None, reason=why)
    if rival.other.status == "failed":
        return ConstraintResult(asked(goal), None, None, f"the incumbent failed: {rival.other.failure}")
    return held(goal, rival)


def _beats(objective: ObjectiveConfig, rival: Pair) -> tuple[bool | None, str]:
    """Whether the arm is shown to be better than the incumbent, by measurement in this study."""
    if rival.other.status == "failed":
        return None, f"the incumbent failed, so that nothing shows that it is beaten: {rival.other.failure}"
    return better(objective, rival)


# ---------------------------------------------------------------------------------------------------------------------
# in words


def _judgement(
    objective: ObjectiveConfig, candidate: _Candidate, able: Sequence[_Candidate], ranked: Ranked | None
) -> Judgement:
    arm = candidate.arm
    open_goals = [result.reason for result in candidate.constraints if result.passed is not True]
    if arm.status == "failed":
        reason = f"failed: {arm.failure}"
    elif arm.status == "incomplete":
        reason = f"incomplete, so it cannot win: {arm.failure or 'the study ended before its planned end'}"
    elif open_goals:
        reason = "; ".join(open_goals) + _lost(candidate)
    elif candidate.better is not True:
        reason = f"meets every goal, but {candidate.why}"
    else:
        assert ranked is not None  # this one could win, so somebody did
        reason = _place(objective, candidate, able, ranked)
    return Judgement(arm.name, candidate.eligible, candidate.constraints, reason)


def _lost(candidate: _Candidate) -> str:
    """In which classes, where a goal of quality is missed."""
    missed = any(one.passed is False and one.constraint.startswith("quality/") for one in candidate.constraints)
    quality = candidate.arm.quality
    worst = lost_in(quality) if missed and quality is not None else ""
    return f"; most lost in {worst}" if worst else ""


def _place(objective: ObjectiveConfig, candidate: _Candidate, able: Sequence[_Candidate], ranked: Ranked) -> str:
    """Why an arm that may win does, or does not."""
    winner, index = able[ranked.best], able.index(candidate)
    number = ranked.parted[index]
    name = "weighted gain" if objective.combine == "weighted" else label(objective.terms[number].metric)
    if candidate is not winner:
        mine, theirs = (_figure(objective, number, one.pair) for one in (candidate, winner))
        return f"meets every goal; its {name} is {mine}, that of {winner.arm.name} {theirs}"
    tied = [other.arm.name for other, at in zip(able, ranked.parted, strict=True) if number and at == number]
    among = f"of {_listed(tied)}, which {label(objective.terms[number - 1].metric)} does not tell apart" if tied else ""
    reason = f"the best {name} {among or 'of the variants that meet every goal'}, "
    reason += _figure(objective, number, candidate.pair)
    return f"{reason}; {candidate.why}" if candidate.why else reason


def _figure(objective: ObjectiveConfig, number: int, pair: Pair) -> str:
    """What decides at one term of the objective, with its interval."""
    if objective.combine == "weighted":
        gain, reason = weighted_gain(objective, pair)
        return signed(gain) if gain is not None else f"not known ({reason})"
    metric = objective.terms[number].metric
    return plain(pair.arm.metrics[metric]) if metric in pair.arm.metrics else f"not known ({absent(metric, pair.arm)})"


def _listed(names: Sequence[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last


def _ship(policy: PolicyConfig, winner: _Candidate) -> str:
    pair, objective = winner.pair, policy.objective
    metrics = [term.metric for term in objective.terms]
    parts = [_gain(metric, pair) for metric in metrics]
    if winner.rival is not None and winner.rival.other.status != "failed":
        parts.append(_gain(metrics[0], winner.rival))
    if objective.combine == "weighted":
        gain, _ = weighted_gain(objective, pair)
        parts = [*([f"weighted gain {signed(gain)}"] if gain is not None else []), *parts]
    shown = [goal.metric for goal in policy.constraints if goal.metric.startswith("quality/")] or ["quality/accuracy"]
    for quality in dict.fromkeys(shown):
        delta = pair.deltas.get(quality.partition("/")[2])
        if delta is not None and quality not in metrics:
            parts.append(f"{label(quality)} {signed(in_points(delta))}")
    return f"Ship {pair.arm.name}: {', '.join(part for part in parts if part)}."


def _gain(metric: str, pair: Pair) -> str:
    """How much better the arm is than the other, in words; empty where it was not measured."""
    verdict, name = pair.verdicts.get(metric), label(metric)
    if verdict is not None and verdict.ratio is not None:
        ratio = verdict.ratio
        if metric.startswith("latency/"):
            number, interval = times(inverse(ratio) if ratio.value <= 1 else ratio)
            return f"{number} {'faster' if ratio.value <= 1 else 'slower'} than {pair.against} at {name}{interval}"
        number, interval = times(ratio)
        return f"{number} {pair.against}'s {name}{interval}"
    if metric.startswith("quality/"):
        delta, _ = difference(pair, metric, "units", 0.95)
        return f"{name} {signed(in_points(delta))}" if delta is not None else name
    mine, theirs = pair.arm.metrics.get(metric), pair.other.metrics.get(metric)
    if mine is None:
        return ""
    return f"{name} {plain(mine)}" + (f" against {plain(theirs)}" if theirs is not None else "")


def _keep(policy: PolicyConfig, kept: ArmResult, candidates: Sequence[_Candidate]) -> str:
    objective = policy.objective
    where = "by the weighted sum" if objective.combine == "weighted" else f"at {label(objective.metric)}"
    if not candidates:
        why = "there is no variant to compare it with"
    elif all(candidate.arm.status == "failed" for candidate in candidates):
        why = "every variant failed"
    elif any(candidate.eligible for candidate in candidates):
        why = f"no variant that meets every goal is better {where}"
    else:
        why = "no variant meets every goal"
    return f"Keep {kept.name}: {why}."


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
