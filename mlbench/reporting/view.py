"""What every output shows of a study: one reading of the record, as plain unescaped text.

Terminal, page and Markdown only lay this out (and escape it); what is said is decided here.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbench.handicap import is_inflated
from mlbench.records import ArmResult, Estimate, Plan, Study, Verdict
from mlbench.reporting import text
from mlbench.reporting.balance import balance

HEADLINE = "latency/p50_ms"
SHOWN = (
    "latency/p50_ms",
    "latency/p95_ms",
    "latency/p99_ms",
    "throughput/samples_per_s",
    "memory/disk_mib",
    "memory/peak_rss_mib",
)
INFLATED = "*"
MINIMUM_TRIALS = 6  # under this many trials the method gives no verdict


@dataclass(frozen=True, slots=True)
class ArmRow:
    """One arm of the decision table, every cell as text; ``-`` where there is no number.

    Attributes:
        mark: ``ship`` for the winner, else the role where it is not ``variant``, else empty.
        verdict: The call on p50 in plain words, ``baseline`` for the baseline, ``failed`` for a failed arm.
        speedup: Times faster than the baseline at p50, with its interval.
        quality, quality_delta: The headline quality metric, and its difference to the baseline in points.
        reason: What the policy made of this arm, or why it failed.
    """

    name: str
    role: str
    mark: str
    p50: str
    p95: str
    p99: str
    throughput: str
    quality: str
    quality_delta: str
    size: str
    memory: str
    verdict: str
    speedup: str
    reason: str


def quality_metric(study: Study) -> str:
    """Name, without prefix, of the quality metric to show: the policy's, else accuracy, else the first there is."""
    known = list(dict.fromkeys(name for arm in study.arms if arm.quality for name in arm.quality.metrics))
    constraints = study.decision.policy.get("constraints")
    for constraint in constraints if isinstance(constraints, list | tuple) else ():
        metric = str(constraint.get("metric", "")) if isinstance(constraint, Mapping) else ""
        prefix, _, name = metric.partition("/")
        if prefix == "quality" and name in known:
            return name
    return "accuracy" if "accuracy" in known or not known else known[0]


def quality_of(arm: ArmResult, name: str) -> Estimate | None:
    """An arm's quality metric by name without prefix."""
    if arm.quality is not None and name in arm.quality.metrics:
        return arm.quality.metrics[name]
    return arm.metrics.get(f"quality/{name}")


def quality_text(estimate: Estimate | None, *, with_interval: bool = False) -> str:
    """A quality metric: in percent where it is a fraction, plain otherwise."""
    if estimate is None:
        return text.DASH
    if estimate.unit == "fraction":
        return text.percent(estimate, with_interval=with_interval)
    return text.interval(estimate) if with_interval else text.number(estimate.value)


def rows(study: Study) -> tuple[ArmRow, ...]:
    """The decision table, in the study's order of arms."""
    name = quality_metric(study)
    reasons = {judgement.arm: judgement.reason for judgement in study.decision.judgements}
    return tuple(_row(study, arm, name, reasons.get(arm.name, "")) for arm in study.arms)


def _row(study: Study, arm: ArmResult, quality: str, reason: str) -> ArmRow:
    verdict = arm.verdicts.get(HEADLINE)
    delta = arm.quality.deltas.get(quality) if arm.quality is not None else None
    return ArmRow(
        name=text.plain(arm.name),
        role=arm.role,
        mark=_mark(study, arm),
        p50=text.ms(arm.metrics.get("latency/p50_ms")),
        p95=text.ms(arm.metrics.get("latency/p95_ms")),
        p99=text.ms(arm.metrics.get("latency/p99_ms")),
        throughput=_value(arm, "throughput/samples_per_s"),
        quality=quality_text(quality_of(arm, quality)),
        quality_delta=text.points(delta),
        size=text.mib(arm.metrics.get("memory/disk_mib") or disk_mib(arm)),
        memory=text.mib(arm.metrics.get("memory/peak_rss_mib")),
        verdict=_verdict_word(arm, verdict),
        speedup=speedup(arm, verdict) if verdict else text.DASH,
        reason=text.plain(arm.failure if arm.status == "failed" else reason),
    )


def _mark(study: Study, arm: ArmResult) -> str:
    if study.decision.outcome == "promote" and arm.name == study.decision.winner:
        return "ship"
    return "" if arm.role == "variant" else arm.role


def _value(arm: ArmResult, metric: str) -> str:
    estimate = arm.metrics.get(metric)
    return text.number(estimate.value if estimate else None)


def _verdict_word(arm: ArmResult, verdict: Verdict | None) -> str:
    if arm.status == "failed":
        return "failed"
    if arm.role == "baseline":
        return "baseline"
    return text.call_name(verdict.call, verdict.metric) if verdict else text.DASH


def speedup(arm: ArmResult, verdict: Verdict) -> str:
    """How many times better than the baseline, with :data:`INFLATED` behind it where that is partly its handicap."""
    times = text.times(text.improvement(verdict))
    about_time = verdict.metric.startswith(("latency/", "throughput/"))
    return f"{times} {INFLATED}" if about_time and is_inflated(arm) and times != text.DASH else times


def disk_mib(arm: ArmResult) -> Estimate | None:
    """Size of the files that serving needs, from the artifact's own record."""
    return Estimate(arm.artifact.size_bytes / 2**20, unit="MiB") if arm.artifact is not None else None


# ---------------------------------------------------------------------------------------------------------------------
# sentences


def headline(study: Study) -> str:
    """The decision in a few words."""
    if study.decision.outcome == "promote" and study.decision.winner is not None:
        return f"Ship {text.plain(study.decision.winner)}"
    if study.decision.outcome == "hold":
        return f"Keep {text.plain(study.baseline.name)}"
    return "No decision yet"


def state(study: Study) -> str:
    """One sentence about an interrupted study; empty when it finished."""
    if study.status == "finished":
        return ""
    return "This study was interrupted: what follows rests on the part that was measured, and decides nothing."


def verdict_notes(study: Study) -> tuple[str, ...]:
    """One sentence for each verdict that is not plain from its interval; arms with the same reason share one."""
    notes: dict[str, list[str]] = {}
    for arm in study.arms:
        verdict = arm.verdicts.get(HEADLINE)
        if verdict is None or not (verdict.reason or verdict.call == "inconclusive"):
            continue
        sentence = text.call_name(verdict.call, verdict.metric)
        if verdict.reason:
            sentence += f", {text.plain(verdict.reason)}"
        if verdict.trials_needed is not None and "would settle" not in verdict.reason:
            sentence += f"; about {text.count(verdict.trials_needed, 'trial')} would settle it"
        notes.setdefault(sentence, []).append(text.plain(arm.name))
    return tuple(f"{text.listing(names)}: {sentence}" for sentence, names in notes.items())


def inflated(study: Study) -> str:
    """What the mark beside speed-ups means; empty where there is none."""
    if not any(is_inflated(arm) for arm in study.arms):
        return ""
    return f"{INFLATED} partly a handicap of {text.plain(study.baseline.name)}, see the warnings"


def failures(study: Study) -> tuple[tuple[str, str, str], ...]:
    """Arms without a complete result: name, status, reason."""
    return tuple(
        (text.plain(arm.name), arm.status, text.plain(arm.failure) or "no reason was recorded")
        for arm in study.arms
        if arm.status != "ok"
    )


def missing(study: Study) -> tuple[str, ...]:
    """Why numbers that the tables show as ``-`` are not there; one sentence per metric and reason."""
    found: dict[tuple[str, str], list[str]] = {}
    for arm in study.arms:
        for metric, reason in arm.absent.items():
            found.setdefault((metric, text.plain(reason)), []).append(text.plain(arm.name))
    whole = sum(arm.status != "failed" for arm in study.arms)
    sentences = []
    for (metric, reason), names in found.items():
        where = "" if len(names) >= whole > 1 else f" of {text.listing(names)}"
        sentences.append(f"{text.metric_name(metric)}{where}: {reason}")
    return tuple(sentences)


def shown_missing(study: Study) -> tuple[str, ...]:
    """:func:`missing`, for the metrics of the decision table alone."""
    names = {text.metric_name(metric) for metric in SHOWN}
    return tuple(sentence for sentence in missing(study) if sentence.partition(":")[0].partition(" of ")[0] in names)


_MOMENTS = {"before": "before the first turn", "during": "during the turns", "after": "after the last turn"}


def noise_sentence(study: Study) -> str:
    """How steady the machine was, with the evidence: before, during and after the turns where that is known."""
    if len(study.noise.moments) > 1:
        parts = [f"{_MOMENTS[part.moment]} {part.level} ({_joined(part.evidence)})" for part in study.noise.moments]
        return f"The machine was {study.noise.level}: {'; '.join(parts)}."
    evidence = _joined(study.noise.evidence, "; ")
    return f"The machine was {study.noise.level}" + (f": {evidence}." if evidence else ".")


def _joined(evidence: tuple[str, ...], separator: str = ", ") -> str:
    return separator.join(text.plain(item) for item in evidence)


def warnings(study: Study) -> tuple[tuple[str, str, str], ...]:
    """Notices as (code, message, what to do next); the machine's noise is one of them where it was not quiet."""
    found = [(text.plain(note.code), text.plain(note.message), text.plain(note.action)) for note in study.warnings]
    if study.noise.level != "quiet" and not any("machine" in code for code, _, _ in found):
        found.append(("machine", noise_sentence(study), "stop other work on this machine and run the study again"))
    return tuple(found)


def level(study: Study) -> float:
    """Confidence level of the verdicts' intervals."""
    verdicts = [arm.verdicts[HEADLINE] for arm in study.arms if HEADLINE in arm.verdicts]
    return next((verdict.ratio.level for verdict in verdicts if verdict.ratio is not None), 0.95)


def method(study: Study) -> tuple[str, ...]:
    """The method in a few sentences, with the numbers of this study's plan."""
    plan, first = study.plan, study.plan.conditions[0]
    alpha = 100 * (1 - level(study))
    margin = next((100 * arm.verdicts[HEADLINE].margin for arm in study.arms if HEADLINE in arm.verdicts), 3.0)
    in_trials = (
        f"{text.count(plan.trials, 'trial')}; in each, one fresh worker process per arm, all loaded before the first "
        "turn, and exactly one of them running at any time."
    )
    rounds = (
        f"{text.count(first.rounds, 'round')} per trial at {first.key.text}: every arm takes one turn, "
        f"in a random order (seed {plan.seed}) and its reverse in the next round. A turn is "
        f"{text.count(first.discard, 'discarded call')} and {text.count(first.calls, 'timed value')} of at least "
        f"{plan.min_value_ns / 1e6:g} ms."
    )
    warmup = (
        f"Warm-up of every worker: at least {text.count(plan.warmup_calls, 'call')} and "
        f"{plan.warmup_seconds:g} s, never analysed."
    )
    unit = (
        "The trial is the unit of analysis: per trial, the median over rounds of the log ratio of turn medians; over "
        "trials, the mean with its t interval. The baseline is measured in every study."
    )
    rule = (
        f"Verdict: equivalent if the {100 - 2 * alpha:.3g} % interval lies within {margin:g} % of no "
        f"difference; slower or faster if the {100 - alpha:.3g} % interval excludes no difference (Holm over all "
        "variants); else inconclusive."
    )
    quality = (
        "Quality is paired: the same test items through every arm. Constraints are held against the bound of the "
        "interval, not the point."
    )
    sentences = [in_trials, *_looks(plan, alpha), rounds, warmup, unit, rule, quality]
    if plan.trials < MINIMUM_TRIALS:
        sentences.append(f"Fewer than {MINIMUM_TRIALS} trials give no verdict, whatever the numbers look like.")
    return tuple(sentences)


def conditions(plan: Plan) -> dict[str, str]:
    """What the calls were given, by label: ``{"batch sizes": "1, 8 and 32", "input length": "64"}``."""
    values = {
        ("batch size", "batch sizes"): plan.batch_sizes,
        ("input length", "input lengths"): tuple(dict.fromkeys(item.input_length for item in plan.conditions)),
        ("threads", "threads"): plan.thread_counts,
    }
    return {
        label[len(found) > 1]: text.listing([str(value) for value in found])
        for label, found in values.items()
        if found != (None,)
    }


def trials(plan: Plan) -> str:
    """How many trials, and where there are several looks which of them ended it: ``8 trials (look 1 of 3)``."""
    counted = text.count(plan.trials, "trial")
    if not plan.looks:
        return counted
    if plan.look:
        return f"{counted} (look {plan.look} of {len(plan.looks)})"
    return f"at most {counted} (looked at after {text.listing([str(look) for look in plan.looks])})"


def _looks(plan: Plan, alpha: float) -> tuple[str, ...]:
    """What was fixed about further looks, and which one ended it; nothing where there is one look."""
    if not plan.looks:
        return ()
    fixed = (
        f"Before the start, looks at the verdicts on p50 were fixed after {text.listing([str(n) for n in plan.looks])} "
        f"trials, each with a third of the error rate, {alpha:.3g} %, so that all verdicts and their intervals have "
        f"{100 - alpha:.3g} %."
    )
    if not plan.look:
        ended = "None of them ended it."
    elif plan.look < len(plan.looks):
        ended = f"Look {plan.look} ended it: no verdict on p50 was open."
    else:
        ended = f"Look {plan.look}, the last one, ended it."
    return (f"{fixed} {ended}",)


def reproduce(study: Study) -> str:
    """The command that runs this study again, and below it the same as an MLflow project."""
    overrides = [text.redact(text.plain(item)) for item in study.overrides]
    project = f" -P {shlex.quote('overrides=' + shlex.join(overrides))}" if overrides else ""
    return (
        f"{shlex.join(['mlbench', 'run', *overrides])}\n"
        f"mlflow run . --env-manager local{project}  # the same from a checkout, as an MLflow project"
    )


def facts(study: Study) -> tuple[tuple[str, str], ...]:
    """The study in a few label and value pairs."""
    data = study.workload.data
    rows_text = ", ".join(f"{name} {amount:,}" for name, amount in data.rows.items())
    return (
        ("study", text.plain(study.name)),
        ("created", text.plain(study.created)),
        ("workload", text.plain(study.workload.name)),
        ("task", text.plain(study.workload.task)),
        ("data", text.plain(f"{data.source}: {rows_text}")),
        *balance(data),
        ("data digest", text.plain(data.digest)),
        ("model digest", text.plain(study.workload.model_digest)),
        *conditions(study.plan).items(),
        ("trials", trials(study.plan) if study.plan.looks else str(study.plan.trials)),
        ("machine", study.noise.level),
        ("energy source", text.plain(study.energy_source)),
        ("took", text.duration(study.wall_seconds)),
        ("mlbench", text.plain(study.version)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# how the arms were made


@dataclass(frozen=True, slots=True)
class RecipeView:
    """How one arm was made: description, steps (name, parameters, what changed, seconds) and effective settings."""

    arm: str
    description: str
    status: str
    failure: str
    steps: tuple[tuple[str, str, str, str], ...]
    effective: str
    digest: str


def recipes(study: Study) -> tuple[RecipeView, ...]:
    """The recipe of every arm, and what each step changed."""
    return tuple(_recipe(arm) for arm in study.arms)


def _recipe(arm: ArmResult) -> RecipeView:
    done = arm.artifact.steps if arm.artifact is not None else ()
    steps = [(s.name, pairs(s.params), pairs(s.changed), text.duration(s.seconds)) for s in done]
    if arm.artifact is None:
        steps += [(s.name, pairs(s.params), "not done", text.DASH) for s in arm.recipe.steps]
    return RecipeView(
        arm.name,
        arm.recipe.description,
        arm.status,
        arm.failure,
        tuple(steps),
        pairs(arm.effective),
        arm.artifact.digest if arm.artifact is not None else "",
    )


def pairs(values: Mapping[str, Any]) -> str:
    """A mapping in one line: ``ratio 0.5, round_to 8``."""
    return ", ".join(f"{name} {scalar(value)}" for name, value in values.items()) or text.DASH


def scalar(value: object) -> str:
    """A value of a parameter or a setting, as text."""
    if isinstance(value, float):
        return f"{value:.4g}"
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


__all__ = [
    "HEADLINE",
    "INFLATED",
    "MINIMUM_TRIALS",
    "ArmRow",
    "RecipeView",
    "disk_mib",
    "facts",
    "failures",
    "headline",
    "inflated",
    "level",
    "method",
    "missing",
    "noise_sentence",
    "pairs",
    "quality_metric",
    "quality_of",
    "quality_text",
    "recipes",
    "reproduce",
    "rows",
    "scalar",
    "shown_missing",
    "speedup",
    "state",
    "trials",
    "verdict_notes",
    "warnings",
]
