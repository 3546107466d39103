"""Descriptions for people who read MLflow's pages: of an arm's run and of a registered version. Markdown."""

from __future__ import annotations

from collections.abc import Mapping

from mlbench.records import NO_REASON, ArmResult, Estimate, Study, Verdict

P50 = "latency/p50_ms"
_EVIDENCE = {
    P50: "latency p50",
    "latency/p95_ms": "latency p95",
    "throughput/samples_per_s": "throughput",
    "quality/accuracy": "accuracy",
    "memory/peak_rss_mib": "peak memory",
    "memory/disk_mib": "size on disk",
}
_MACHINE = ("cpu.model", "cpu.usable", "memory.total_gib", "system", "python")


def arm_note(study: Study, arm: ArmResult) -> str:
    """Description of an arm's run: what it is, what came out, what could not be had."""
    steps = " → ".join(step.name for step in arm.recipe.steps) or "no steps: the workload's own model"
    lines = [f"**{arm.name}** ({arm.role}){': ' + arm.recipe.description if arm.recipe.description else ''}", ""]
    lines.append(f"- recipe: {steps}")
    if arm.failure:
        lines.append(f"- **{arm.status}**: {_one_line(arm.failure)}")
    verdict = arm.verdicts.get(P50)
    if verdict is not None:
        ratio = f", {shown(verdict.ratio)} of the baseline's time over {verdict.trials} trials" if verdict.ratio else ""
        reason = f" ({_one_line(verdict.reason)})" if verdict.reason else ""
        lines.append(f"- p50 against {study.baseline.name}: **{verdict.call}**{ratio}{reason}")
    mine = (judgement for judgement in study.decision.judgements if judgement.arm == arm.name)
    lines += [f"- policy: {_one_line(judgement.reason)}" for judgement in mine]
    lines += _warnings(arm)
    lines += _why(arm)
    lines += [f"- no {metric}: {_one_line(reason)}" for metric, reason in sorted(arm.absent.items())]
    return "\n".join(lines) + "\n"


def version_note(study: Study, arm: ArmResult, run_id: str) -> str:
    """Description of a registered version: the evidence behind the promotion."""
    lines = [study.decision.sentence, "", "| | this version | baseline |", "|---|---|---|"]
    lines += [
        f"| {label} | {shown(arm.metrics[metric])} | {shown(study.baseline.metrics.get(metric))} |"
        for metric, label in _EVIDENCE.items()
        if metric in arm.metrics
    ]
    lines += ["", *_comparison(arm)]
    lines += _warnings(arm)
    lines += _policy(study, arm)
    facts = study.environment
    lines += ["", "Measured on " + "; ".join(f"{name} {facts[name]}" for name in _MACHINE if name in facts) + "."]
    data = study.workload.data
    lines += ["", f"Data: {_one_line(data.source)}, digest `{data.digest}`."]
    lines += ["", f"Study `{study.name}`, run `{run_id}`, arm `{arm.name}`, {study.created}, mlbench {study.version}."]
    return "\n".join(lines) + "\n"


def _why(arm: ArmResult) -> list[str]:
    if arm.why is None:
        return []
    reasons = arm.why.reasons or (NO_REASON,)
    return [f"- why not faster than {arm.why.parent}: {_one_line('; '.join(reasons))}"]


def _warnings(arm: ArmResult) -> list[str]:
    return [
        f"- warning: {_one_line(notice.message)}{f' (next: {_one_line(notice.action)})' if notice.action else ''}"
        for notice in arm.warnings
    ]


def _policy(study: Study, arm: ArmResult) -> list[str]:
    """The policy with what it asked for and what was found."""
    goals = [
        item for judgement in study.decision.judgements if judgement.arm == arm.name for item in judgement.constraints
    ]
    lines = ["", f"Policy `{study.decision.policy.get('name', '')}`{':' if goals else ', without constraints.'}", ""]
    outcome = {True: "met", False: "not met", None: "cannot be told"}
    return lines + [f"- {outcome[goal.passed]}: {goal.constraint} ({_one_line(goal.reason)})" for goal in goals]


def _comparison(arm: ArmResult) -> list[str]:
    lines = _against("baseline", arm.verdicts, arm.quality.deltas if arm.quality is not None else {})
    versus = arm.versus_incumbent
    if versus is not None:
        lines += ["", "Against the champion before:", "", *_against("incumbent", versus.verdicts, versus.deltas)]
    return lines


def _against(other: str, verdicts: Mapping[str, Verdict], deltas: Mapping[str, Estimate]) -> list[str]:
    lines = []
    for metric, verdict in sorted(verdicts.items()):
        ratio = f": ratio to the {other} {shown(verdict.ratio)}" if verdict.ratio else ""
        lines.append(f"- {metric}: **{verdict.call}**{ratio}, {verdict.trials} trials")
    return lines + [f"- {name}: difference {shown(delta)}" for name, delta in sorted(deltas.items())]


def shown(estimate: Estimate | None) -> str:
    """A value with its interval and unit, as in ``3.21 (3.15 to 3.28) ms``; ``-`` where there is none."""
    if estimate is None:
        return "-"
    unit = f" {estimate.unit}" if estimate.unit and estimate.unit not in ("ratio", "fraction") else ""
    if estimate.low is None or estimate.high is None:
        return f"{_number(estimate.value)}{unit}"
    return f"{_number(estimate.value)} ({_number(estimate.low)} to {_number(estimate.high)}){unit}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1e4 else f"{value:.4g}"


def _one_line(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
