"""Goals that no study could answer, or this one could not: said before anything starts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from mlbench import registry, statistics
from mlbench._policy_words import RELATIVE
from mlbench.config import ConstraintConfig, PolicyConfig, ProbesConfig, ProtocolConfig
from mlbench.measurement.sizing import with_percentiles
from mlbench.metrics import NAMES, PERCENTILES, info
from mlbench.probes.started import ENERGY

_DIRECTION = {"minimize": "lower", "maximize": "higher"}
_AGREEMENT = "agreement/"
_P95 = ("latency/p95_ms", "vs_baseline/speedup_p95")


def unknown_metrics(policy: PolicyConfig, known: Sequence[str] = NAMES) -> list[str]:
    """One sentence per metric name that nobody measures, with the nearest known names.

    Args:
        policy: The user's goals.
        known: Public names; more than the usual ones where a task brings metrics of its own.
    """
    return [
        f"{key}.metric: unknown metric '{name}'; {registry.suggest(name, known)}"
        for key, name in _named(policy)
        if name not in known
    ]


def foreign(policy: PolicyConfig, task: str, metrics: Sequence[str], agreement: Sequence[str]) -> list[str]:
    """One sentence per goal on quality or agreement that the workload's task does not give.

    Args:
        policy: The user's goals.
        task: Name of the task.
        metrics: What it gives, without prefix.
        agreement: What it gives of the agreement with the baseline, without prefix.
    """
    quality = [f"quality/{name}" for name in metrics]
    alike = [f"{_AGREEMENT}{name}" for name in agreement]
    own = {*quality, *alike, *(f"vs_baseline/{name}_delta" for name in metrics)}
    others = {name for name in NAMES if name.startswith(("quality/", _AGREEMENT)) or name.endswith("_delta")} - own
    return [
        f"{key}: the task '{task}' gives no {name}; it gives "
        f"{', '.join(alike if name.startswith(_AGREEMENT) else quality)} (a packaged policy for each task: "
        "mlbench list policies)"
        for key, name in _named(policy)
        if name in others
    ]


def unanswerable(policy: PolicyConfig) -> list[str]:
    """One sentence per goal that no study could answer: what it asks for is not compared, or has no such interval."""
    found = []
    for index, goal in enumerate(policy.constraints):
        key = f"policy.constraints[{index}]"
        row = info(goal.metric)
        if _known(goal.metric) and goal.against != "absolute" and not _compared(goal.metric):
            found.append(
                f"{key}: {goal.metric} is not compared with the {goal.against}; use against: absolute, or one of "
                + ", ".join(name for name in NAMES if _compared(name) and not name.startswith("vs_baseline/"))
            )
        if goal.unit == "points" and row is not None and row.unit != "fraction":
            found.append(f"{key}: unit 'points' is for fractions, and {goal.metric} is none; use percent or units")
        if goal.unit == "percent" and goal.metric.startswith(RELATIVE):
            found.append(f"{key}: {goal.metric} already compares with the baseline; its unit must be units or points")
        if goal.against == "incumbent" and goal.metric.startswith(RELATIVE):
            found.append(f"{key}: {goal.metric} compares with the baseline by what it is, not with the incumbent")
        why = _only_95(goal)
        if why and goal.confidence != 0.95:
            found.append(f"{key}: {goal.metric} has its interval at a confidence of 0.95 alone, since {why}")
    return [*found, *_objective(policy)]


def unmeasurable(policy: PolicyConfig, protocol: ProtocolConfig | None, probes: ProbesConfig | None) -> list[str]:
    """One sentence per goal on a metric that this study cannot measure here, as far as that can be known.

    Args:
        policy: The user's goals.
        protocol: The plan, for percentiles; None where it has problems of its own.
        probes: Which sources of hardware figures are asked; None where they have problems of their own.
    """
    found = []
    for key, name in _named(policy):
        reason = None
        if protocol is not None:
            reason = _too_few_calls(policy, name, protocol)
        if reason is None and probes is not None:
            reason = _no_probe(name, probes)
        if reason is not None:
            found.append(f"{key}: {name} cannot be measured: {reason}")
    return found


def _objective(policy: PolicyConfig) -> list[str]:
    objective, found = policy.objective, []
    weighted = objective.combine == "weighted"
    if weighted and not objective.then:
        found.append("policy.objective: combine: weighted needs more than one metric; name the others in then")
    for index, term in enumerate(objective.terms):
        key = f"policy.objective.then[{index - 1}]" if index else "policy.objective"
        row = info(term.metric)
        if term.weight != 1 and not weighted:
            found.append(f"{key}: weight counts with combine: weighted only; leave it out, or combine so")
        if not (objective.require_better or weighted) or not _known(term.metric):
            continue
        if not _compared(term.metric) or term.metric.startswith(RELATIVE):
            found.append(
                f"{key}: {term.metric} has no verdict against the baseline; with "
                f"{'combine: weighted' if weighted else 'require_better: true'} use "
                + ", ".join(name for name in NAMES if _compared(name) and not name.startswith(RELATIVE))
            )
        elif row is not None and row.direction != _DIRECTION[term.goal]:
            found.append(f"{key}: {term.goal} {term.metric} would look for the worst arm")
    return found


def _named(policy: PolicyConfig) -> Iterator[tuple[str, str]]:
    """Every metric of the policy with its key."""
    for index, goal in enumerate(policy.constraints):
        yield f"policy.constraints[{index}]", goal.metric
    for index, term in enumerate(policy.objective.terms):
        yield (f"policy.objective.then[{index - 1}]" if index else "policy.objective"), term.metric


def _known(name: str) -> bool:
    return name in NAMES or name.startswith("quality/")  # a task may bring quality metrics of its own


def _compared(name: str) -> bool:
    row = info(name)
    return name.startswith(("quality/", *RELATIVE)) or (row is not None and (row.verdict or row.exact))


def _only_95(goal: ConstraintConfig) -> str:
    """Why the metric's interval exists at one level only; empty where it exists at any."""
    row = info(goal.metric)
    if row is not None and row.exact:
        return ""
    if goal.metric.startswith(("quality/", "agreement/")) or goal.metric.endswith("_delta"):
        return "it comes from resampling the test items"
    if goal.against == "absolute" and goal.metric in {f"latency/{name}_ms" for name in PERCENTILES}:
        return "it may come from the order of single calls"
    return ""


def _too_few_calls(policy: PolicyConfig, metric: str, protocol: ProtocolConfig) -> str | None:
    """Why the plan does not support a percentile."""
    short = next((name for name in PERCENTILES if f"latency/{name}_ms" == metric), None)
    calls = with_percentiles(protocol).rounds * protocol.calls
    if short is not None:
        needed, planned = statistics.min_samples(PERCENTILES[short]), protocol.trials * calls
        if planned < needed:
            return f"{planned} calls are planned and it takes {needed}; protocol.percentiles=[{short}] makes it so many"
    needed = statistics.min_samples(PERCENTILES["p95"])
    if metric in _P95 and calls < needed and _compares(policy, metric):
        rounds = -(-needed // protocol.calls)
        return (
            f"to compare it takes {needed} calls in each trial, and {calls} are planned; "
            f"protocol.rounds={rounds + rounds % 2} makes it so many"
        )
    return None


def _compares(policy: PolicyConfig, metric: str) -> bool:
    """Whether the metric is held against another arm, and not only read by itself."""
    if metric.startswith(RELATIVE):
        return True
    terms = policy.objective.terms if policy.objective.require_better or policy.objective.combine == "weighted" else ()
    goals = [goal.metric for goal in policy.constraints if goal.against != "absolute"]
    return metric in [*goals, *(term.metric for term in terms)]


def _no_probe(metric: str, probes: ProbesConfig) -> str | None:
    """Why no probe gives the metric here; None where one does, or where it takes none."""
    if metric == ENERGY and probes.energy_model is not None:
        return None
    for name, entry in registry.entries("probe").items():
        if entry.missing() is not None:
            continue
        probe = registry.load("probe", name)()
        if metric in probe.provides:
            if name not in probes.names:
                return f"the probe '{name}' is not among probes.names"
            reason: str | None = probe.available()
            return reason
    return None
