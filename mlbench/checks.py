"""What the schema cannot say: unknown parts, missing extras, and values that are impossible together.

Every check takes the sections of a configuration that are right by themselves, so that one wrong section hides
nothing in the others. Nothing is started and nothing heavy is imported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

from mlbench import registry
from mlbench.config import (
    BaselineConfig,
    PolicyConfig,
    ProbesConfig,
    ProtocolConfig,
    RecipeConfig,
    RegistryConfig,
    ScenarioConfig,
    StudyConfig,
    WorkloadConfig,
)
from mlbench.errors import InputError
from mlbench.measurement import interpreters
from mlbench.measurement.cgroup import cpu_budget
from mlbench.parts import Kind
from mlbench.recipes import INCUMBENT, recipe, step_names
from mlbench.records import Notice
from mlbench.tracking import names

_MANY_TURNS = 100_000
_KIB_A_TURN = 1.6  # benchmarks/many_samples.py with --calls 10
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)


def problems(sections: Mapping[str, Any]) -> list[str]:
    """Problems of the sections that are there, one sentence each.

    Args:
        sections: Validated sections of :class:`mlbench.config.StudyConfig` by name; ``variants`` may hold only the
            recipes that are valid.
    """
    found: list[str] = []
    from mlbench.workloads import prepare

    if "workload" in sections:
        found += prepare.check(sections["workload"])
    if "baseline" in sections:
        found += _arms(sections["baseline"], sections.get("variants", {}), sections.get("workload"))
    if "scenario" in sections:
        found += _scenario(sections["scenario"])
    if "protocol" in sections:
        found += _protocol(sections["protocol"])
    if "probes" in sections:
        found += _probes(sections["probes"])
    found += _incumbent(sections)
    if "policy" in sections:
        found += _policy(sections["policy"], sections.get("workload"), sections.get("protocol"), sections.get("probes"))
    if "tracking" in sections:
        said = names.check_experiment_name(sections["tracking"].experiment)
        found += [said] if said else []
    if "registry" in sections:
        found += _registry(sections["registry"], sections.get("workload"))
    return found


def warnings(config: StudyConfig) -> list[Notice]:
    """What is allowed but will probably disappoint."""
    from mlbench.statistics import MIN_TRIALS

    found = []
    trials = config.protocol.trials
    if trials < MIN_TRIALS:
        found.append(
            Notice(
                "few-trials",
                f"protocol.trials={trials}: fewer than {MIN_TRIALS} trials cannot give a verdict; "
                "every call will be inconclusive",
                f"protocol.trials={MIN_TRIALS} or more",
            )
        )
    found += _raised_rounds(config.protocol)
    found += _many_turns(config)
    if not config.variants:
        found.append(
            Notice(
                "no-variants",
                "variants: none is selected; the baseline is measured alone and nothing can be decided",
                "variants=[onnx_fp32] selects one, `mlbench list variants` shows all",
            )
        )
    found += _elsewhere(config.policy)
    cores = cpu_budget()
    threads = {"threads": config.threads}
    threads |= {
        f"{key}.runtime.threads": arm.runtime.threads or 1 for key, arm in _keyed(config.baseline, config.variants)
    }
    found += [
        Notice(
            "threads",
            f"{key}={number}: more threads than the {cores} cores that this process may use; "
            "they will wait for one another",
            f"{key}={cores} or fewer",
        )
        for key, number in threads.items()
        if number > cores
    ]
    several = [f"{key}={number}" for key, number in threads.items() if number > 1]
    several += (
        [f"scenario.threads={list(config.scenario.threads)}"] if max(config.scenario.threads, default=1) > 1 else []
    )
    if several:
        found.append(
            Notice(
                "multi-thread",
                f"{', '.join(several)}: with several threads, fresh processes of one and the same arm differ several "
                "times as much, and one process may change its speed in mid-run; intervals are wider, and the result "
                "holds for this number of threads only",
                "threads=1, or more trials (protocol=rigorous)",
            )
        )
    return found


def _elsewhere(policy: PolicyConfig) -> list[Notice]:
    """That nothing will be promoted from this machine."""
    from mlbench.environment import environment

    here = environment() if policy.environment else {}
    found = []
    for key, pattern in policy.environment.items():
        fact = f"is '{here[key]}' here" if key in here else f"is not known here ({registry.suggest(key, here)})"
        if key not in here or not fnmatchcase(here[key], pattern):
            found.append(
                Notice(
                    "environment",
                    f"policy.environment: {key} {fact}, and the policy asks for '{pattern}'; nothing will be promoted",
                    "measure where it is what the policy asks for",
                )
            )
    return found


def _many_turns(config: StudyConfig) -> list[Notice]:
    from mlbench.measurement.sizing import turns

    planned = turns(1 + len(config.variants) + config.incumbent, config.scenario, config.protocol)
    if planned <= _MANY_TURNS:
        return []
    return [
        Notice(
            "many-turns",
            f"{planned:,} turns are planned: what is kept of each beside its calls takes about "
            f"{planned * _KIB_A_TURN / 1024:,.0f} MiB of memory by the end",
            f"fewer rounds of more calls give the same number of calls (protocol.rounds={config.protocol.rounds}, "
            f"protocol.calls={config.protocol.calls})",
        )
    ]


def _raised_rounds(protocol: ProtocolConfig) -> list[Notice]:
    from mlbench.measurement.sizing import with_percentiles

    rounds = with_percentiles(protocol).rounds
    if rounds == protocol.rounds:
        return []
    asked = ", ".join(protocol.percentiles)
    return [
        Notice(
            "percentiles",
            f"protocol.percentiles=[{asked}]: {rounds} rounds per trial instead of {protocol.rounds}, so that the "
            "calls support it",
            f"protocol.rounds={rounds} says the same, protocol.percentiles=[] leaves it out",
        )
    ]


def _part(kind: Kind, name: str, key: str) -> list[str]:
    """A sentence when a registered part is unknown, or cannot be used here."""
    try:
        missing = registry.find(kind, name).missing()
    except InputError as error:
        return [f"{key}: {error}"]
    return [f"{key}: {kind} '{name}' {missing}"] if missing else []


def _keyed(
    baseline: BaselineConfig, variants: Mapping[str, RecipeConfig]
) -> Iterator[tuple[str, RecipeConfig | BaselineConfig]]:
    """Every arm with its key in the configuration."""
    yield "baseline", baseline
    for name, variant in variants.items():
        yield f"variants.{name}", variant


def _arms(baseline: BaselineConfig, variants: Mapping[str, RecipeConfig], workload: WorkloadConfig | None) -> list[str]:
    from mlbench.variants import build

    found = [
        f"{key}: '{name}' cannot name an arm: letters, digits, '_', '.' and '-', at most 64, "
        "and the first a letter or a digit"
        for key, name in [("baseline.name", baseline.name), *((f"variants.{name}", name) for name in variants)]
        if not _ARM_NAME.fullmatch(name)
    ]
    if baseline.name in variants:
        found.append(f"baseline.name: '{baseline.name}' is also the name of a variant; give one of them another name")
    source = None
    if workload is not None and not _part("model", workload.model.source, "workload.model.source"):
        source = registry.load("model", workload.model.source).format
    for key, arm in _keyed(baseline, variants):
        name = arm.name if isinstance(arm, BaselineConfig) else key.removeprefix("variants.")
        python = arm.runtime.python
        if python is not None and interpreters.problem(python):
            found.append(f"{key}.runtime.python: {interpreters.problem(python)}")
        unnamed = step_names(key, arm)
        found += unnamed
        if not unnamed and source is not None:
            found += build.check(recipe(name, arm, 1), source)
    return found


def _scenario(config: ScenarioConfig) -> list[str]:
    axes = {"batch_sizes": "batch size", "input_lengths": "input length", "threads": "number of threads"}
    return [
        f"scenario.{key}: {value} stands {count} times; each {axis} is measured once"
        for key, axis in axes.items()
        for value, count in Counter(getattr(config, key)).items()
        if count > 1
    ]


def _protocol(config: ProtocolConfig) -> list[str]:
    from mlbench.statistics import MIN_TRIALS

    found = [
        f"protocol.{key}: {rounds} is odd; rounds come in pairs, an order and its reverse: {rounds - 1} or {rounds + 1}"
        for key, rounds in (("rounds", config.rounds), ("sweep_rounds", config.sweep_rounds))
        if rounds % 2
    ]
    if config.extend and config.trials < MIN_TRIALS:
        found.append(
            f"protocol.extend: a look after {config.trials} trials can settle nothing; "
            f"protocol.trials={MIN_TRIALS} or more, or protocol.extend=0"
        )
    return found


def _probes(config: ProbesConfig) -> list[str]:
    found = [f"probes.names: '{name}' stands twice" for name, count in Counter(config.names).items() if count > 1]
    for name in dict.fromkeys(config.names):
        found += _part("probe", name, "probes.names")
    return found


def _incumbent(sections: Mapping[str, Any]) -> list[str]:
    """Goals against the champion need it as an arm, which needs its name."""
    policy, wanted = sections.get("policy"), sections.get("incumbent", False)
    found = []
    if policy is not None and not wanted:
        found += [
            f"policy.constraints[{index}]: against: incumbent needs the champion as an arm: incumbent=true"
            for index, goal in enumerate(policy.constraints)
            if goal.against == "incumbent"
        ]
    if wanted and INCUMBENT in sections.get("variants", {}):
        found.append(f"variants.{INCUMBENT}: with incumbent=true that is the champion's name; give it another one")
    if wanted and "baseline" in sections and sections["baseline"].name == INCUMBENT:
        found.append(f"baseline.name: with incumbent=true '{INCUMBENT}' is the champion's name; give it another one")
    return found


def _policy(
    config: PolicyConfig,
    workload: WorkloadConfig | None,
    protocol: ProtocolConfig | None,
    probes: ProbesConfig | None,
) -> list[str]:
    from mlbench.metrics import AGREEMENT
    from mlbench.policy import foreign, unanswerable, unknown_metrics, unmeasurable

    found = unknown_metrics(config) or unanswerable(config)
    if workload is not None and not _part("task", workload.task, "workload.task"):
        task = registry.load("task", workload.task)
        # a task of somebody else's may not say what it gives of agreement; then nothing of it is refused
        agreement = getattr(task, "agreement", [row.name for row in AGREEMENT])
        found += foreign(config, workload.task, [row.name for row in task.metrics], agreement)
    found += unmeasurable(config, protocol, probes)
    for index, goal in enumerate(config.constraints):
        key = f"policy.constraints[{index}]"
        if goal.min is None and goal.max is None:
            found.append(f"{key}: {goal.metric} has neither min nor max; give at least one")
        elif goal.min is not None and goal.max is not None and goal.min > goal.max:
            found.append(f"{key}: min {goal.min:g} is above max {goal.max:g}")
        if goal.against == "absolute" and goal.unit != "units":
            found.append(f"{key}: unit '{goal.unit}' needs a baseline; with against: absolute it must be units")
    return found


def _registry(config: RegistryConfig, workload: WorkloadConfig | None) -> list[str]:
    found = []
    if config.model_name is not None:
        found.append(names.check_model_name(config.model_name))
    elif workload is not None:
        said = names.check_model_name(names.default_model_name(workload.name))
        found.append(said and f"workload.name '{workload.name}' gives no name for the registry: {said}")
    return [text for text in (*found, names.check_alias(config.alias)) if text]
