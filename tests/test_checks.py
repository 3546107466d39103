"""What the schema cannot say: unknown parts, impossible combinations, and what will probably disappoint."""

from dataclasses import replace
from typing import Any

import pytest

from mlbench import checks, registry
from mlbench.compose import compose
from mlbench.config import (
    BaselineConfig,
    ConstraintConfig,
    PolicyConfig,
    ProbesConfig,
    ProtocolConfig,
    RecipeConfig,
    RegistryConfig,
    RuntimeConfig,
    ScenarioConfig,
    StudyConfig,
    TrackingConfig,
)
from mlbench.measurement.cgroup import cpu_budget
from mlbench.parts import Entry


@pytest.fixture(scope="module")
def config() -> StudyConfig:
    return compose(["variants=[pruned]"]).config


def found(**sections: Any) -> list[str]:
    return checks.problems(sections)


def constraint(**values: Any) -> PolicyConfig:
    return PolicyConfig("p", (ConstraintConfig(**({"metric": "quality/accuracy"} | values)),))


def test_nothing_to_check_is_fine() -> None:
    assert checks.problems({}) == []


@pytest.mark.parametrize("name", ["a b", "-x", "", "x" * 65, "a/b", "é", "x\n"])
def test_names_that_cannot_name_an_arm(name: str) -> None:
    sentence = "cannot name an arm: letters, digits, '_', '.' and '-', at most 64, and the first a letter or a digit"
    assert found(baseline=BaselineConfig(name)) == [f"baseline.name: '{name}' {sentence}"]
    assert found(baseline=BaselineConfig(), variants={name: RecipeConfig()}) == [
        f"variants.{name}: '{name}' {sentence}"
    ]


@pytest.mark.parametrize("name", ["a", "8bit", "int8.v2-x_y", "x" * 64])
def test_names_that_can(name: str) -> None:
    assert found(baseline=BaselineConfig(), variants={name: RecipeConfig()}) == []


def test_an_arm_is_named_once() -> None:
    assert found(baseline=BaselineConfig("a"), variants={"a": RecipeConfig(), "b": RecipeConfig()}) == [
        "baseline.name: 'a' is also the name of a variant; give one of them another name"
    ]


def test_recipes_are_checked_against_the_workloads_model(config: StudyConfig) -> None:
    variants = {
        "dotted.name": RecipeConfig(steps=({"name": "quantize_onnx_dynamic"},)),
        "unnamed": RecipeConfig(steps=({"percent": 10},)),
        "unserved": RecipeConfig(runtime=RuntimeConfig(name="onnxruntime")),
        "nobody": RecipeConfig(runtime=RuntimeConfig(name="onnxruntim")),
    }
    baseline = BaselineConfig("base", steps=({"name": "delai"},))
    sentences = found(workload=config.workload, baseline=baseline, variants=variants)
    wanted = ["variant 'base': step 1", "variant 'dotted.name': step 1", "variants.unnamed.steps[0]: has no name"]
    wanted += ["variant 'unserved'", "variant 'nobody'"]
    assert len(sentences) == len(wanted)
    for sentence, start in zip(sentences, wanted, strict=True):
        assert sentence.startswith(start)
    assert "did you mean onnxruntime?" in sentences[-1]


def test_recipes_without_a_known_model_are_not_judged(config: StudyConfig) -> None:
    workload = replace(config.workload, model=replace(config.workload.model, source="nope"))
    sentences = found(workload=workload, baseline=BaselineConfig(steps=({"name": "delai"},)), registry=RegistryConfig())
    (sentence,) = sentences
    assert sentence.startswith("workload.model.source: unknown model 'nope'; known: ")
    assert "torch_factory" in sentence


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    missing = Entry("probe", "watts", "m:A", requires=("surely_absent",), extra="power")
    monkeypatch.setattr(registry, "BUILTIN", (missing,))
    assert found(probes=ProbesConfig(("watts",))) == [
        "probes.names: probe 'watts' needs surely_absent, which is not installed: pip install 'mlflow-mlbench[power]'"
    ]


def test_an_interpreter_that_is_not_there() -> None:
    config = RuntimeConfig(python="old/bin/python")
    sentence = "runtime.python: the interpreter old/bin/python does not exist"
    assert found(baseline=BaselineConfig(runtime=config), variants={"x": RecipeConfig(runtime=config)}) == [
        f"baseline.{sentence}",
        f"variants.x.{sentence}",
    ]


def test_a_batch_size_is_measured_once() -> None:
    assert found(scenario=ScenarioConfig(batch_sizes=(8, 1, 8, 8, 1))) == [
        "scenario.batch_sizes: 8 stands 3 times; each batch size is measured once",
        "scenario.batch_sizes: 1 stands 2 times; each batch size is measured once",
    ]
    assert found(scenario=ScenarioConfig(batch_sizes=(32, 1))) == []


def test_rounds_come_in_pairs() -> None:
    assert found(protocol=ProtocolConfig(rounds=3, sweep_rounds=5)) == [
        "protocol.rounds: 3 is odd; rounds come in pairs, an order and its reverse: 2 or 4",
        "protocol.sweep_rounds: 5 is odd; rounds come in pairs, an order and its reverse: 4 or 6",
    ]


def test_probes() -> None:
    assert found(probes=ProbesConfig(("machine", "machin", "machine"))) == [
        "probes.names: 'machine' stands twice",
        "probes.names: unknown probe 'machin'; did you mean machine?",
    ]
    assert found(probes=ProbesConfig(())) == []


@pytest.mark.parametrize(
    ("policy", "starts"),
    [
        (constraint(min=-1.0), []),
        (
            constraint(metric="quality/acuracy", min=0),
            ["policy.constraints[0].metric: unknown metric 'quality/acuracy'"],
        ),
        (constraint(), ["policy.constraints[0]: quality/accuracy has neither min nor max; give at least one"]),
        (constraint(min=2, max=1), ["policy.constraints[0]: min 2 is above max 1"]),
        (
            constraint(against="absolute", unit="points", min=90),
            ["policy.constraints[0]: unit 'points' needs a baseline; with against: absolute it must be units"],
        ),
        (
            constraint(metric="latency/p99_ms", unit="points", max=1),
            ["policy.constraints[0]: latency/p99_ms", "policy.constraints[0]: unit 'points' is for fractions"],
        ),
    ],
)
def test_policies(policy: PolicyConfig, starts: list[str]) -> None:
    sentences = found(policy=policy)
    assert len(sentences) == len(starts)
    assert all(sentence.startswith(start) for sentence, start in zip(sentences, starts, strict=True))


def test_names_that_mlflow_refuses(config: StudyConfig) -> None:
    assert found(tracking=TrackingConfig(experiment=" "))[0].startswith("tracking.experiment is empty")
    sentences = found(registry=RegistryConfig(model_name="a/b", alias="v3"))
    assert [sentence.partition(" '")[0] for sentence in sentences] == ["registry.model_name", "registry.alias"]
    workload = replace(config.workload, name="a/b")
    (sentence,) = found(registry=RegistryConfig(), workload=workload)
    assert sentence.startswith("workload.name 'a/b' gives no name for the registry: ")
    assert found(registry=RegistryConfig(model_name="mine"), workload=workload) == []


def test_a_look_after_too_few_trials_is_refused(config: StudyConfig) -> None:
    (problem,) = checks.problems({"protocol": ProtocolConfig(trials=5, extend=1)})
    assert problem.startswith("protocol.extend: a look after 5 trials can settle nothing")
    assert checks.problems({"protocol": ProtocolConfig(trials=6, extend=2)}) == []


def test_too_few_trials_are_allowed_with_a_warning(config: StudyConfig) -> None:
    few = replace(config, protocol=ProtocolConfig(trials=5))
    (notice,) = checks.warnings(few)
    assert notice.message == (
        "protocol.trials=5: fewer than 6 trials cannot give a verdict; every call will be inconclusive"
    )
    assert notice.action == "protocol.trials=6 or more"
    assert checks.warnings(replace(config, protocol=ProtocolConfig(trials=6))) == []


def test_rounds_raised_for_a_percentile_are_told(config: StudyConfig) -> None:
    (notice,) = checks.warnings(replace(config, protocol=ProtocolConfig(percentiles=("p99", "p999"))))
    assert notice.message == (
        "protocol.percentiles=[p99, p999]: 48 rounds per trial instead of 20, so that the calls support it"
    )
    assert checks.warnings(replace(config, protocol=ProtocolConfig(percentiles=("p99",)))) == []


def test_what_many_short_turns_take_is_said(config: StudyConfig) -> None:
    fifty = {f"a{number}": RecipeConfig() for number in range(49)}
    many = replace(
        config, variants=fifty, protocol=ProtocolConfig(rounds=1000), scenario=ScenarioConfig(batch_sizes=(1,))
    )
    (notice,) = checks.warnings(many)
    assert (notice.code, notice.message.partition(" ")[0]) == ("many-turns", "500,000")
    assert "MiB" in notice.message
    longer = replace(many, protocol=ProtocolConfig(rounds=200, calls=50))
    assert checks.warnings(longer) == []


def test_more_threads_than_cores_are_allowed_with_a_warning(config: StudyConfig) -> None:
    cores = cpu_budget()
    greedy = RecipeConfig(runtime=RuntimeConfig(threads=cores + 1))
    many = replace(config, threads=cores + 2, variants={"a": greedy})
    assert [(notice.code, notice.message.partition(":")[0]) for notice in checks.warnings(many)] == [
        ("threads", f"threads={cores + 2}"),
        ("threads", f"variants.a.runtime.threads={cores + 1}"),
        ("multi-thread", f"threads={cores + 2}, variants.a.runtime.threads={cores + 1}"),
    ]


def test_a_study_with_several_threads_says_what_it_risks(config: StudyConfig) -> None:
    one = RecipeConfig(runtime=RuntimeConfig(threads=1))
    assert checks.warnings(replace(config, threads=1, variants={"a": one})) == []
    several = RecipeConfig(runtime=RuntimeConfig(threads=2))
    found = [notice for notice in checks.warnings(replace(config, variants={"a": several})) if notice.code != "threads"]
    assert [notice.code for notice in found] == ["multi-thread"]
    assert found[0].message.startswith("variants.a.runtime.threads=2: with several threads")
    swept = replace(config, variants={"a": one}, scenario=replace(config.scenario, threads=(1, 2)))
    assert [notice.message.partition(":")[0] for notice in checks.warnings(swept)] == ["scenario.threads=[1, 2]"]


def test_a_policy_on_what_the_task_does_not_give(config: StudyConfig) -> None:
    workload = replace(config.workload, task="regression")
    policy = PolicyConfig("p", (ConstraintConfig("quality/accuracy", unit="points", min=-1.0),))
    assert found(policy=policy, workload=workload) == [
        (
            "policy.constraints[0]: the task 'regression' gives no quality/accuracy; it gives quality/r2, quality/mae, "
            "quality/rmse (a packaged policy for each task: mlbench list policies)"
        )
    ]
    assert found(policy=policy, workload=config.workload) == []


def test_a_policy_on_agreement_that_the_task_does_not_give(config: StudyConfig) -> None:
    workload = replace(config.workload, task="regression")
    policy = PolicyConfig("p", (ConstraintConfig("agreement/flip_rate", against="absolute", max=0.01),))
    assert found(policy=policy, workload=workload) == [
        (
            "policy.constraints[0]: the task 'regression' gives no agreement/flip_rate; it gives "
            "agreement/mean_abs_diff, agreement/max_abs_diff (a packaged policy for each task: mlbench list policies)"
        )
    ]
    assert found(policy=policy, workload=config.workload) == []


def test_a_task_that_does_not_say_what_agreement_it_gives_is_believed(
    config: StudyConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("mlbench.quality.regression.Regression.agreement")
    workload = replace(config.workload, task="regression")
    policy = PolicyConfig("p", (ConstraintConfig("agreement/flip_rate", against="absolute", max=0.01),))
    assert found(policy=policy, workload=workload) == []


@pytest.mark.parametrize(
    ("task", "policy"), [("regression", "keep_r2"), ("embedding", "keep_probe_accuracy"), ("multilabel", "keep_f1")]
)
def test_every_task_has_a_packaged_policy(task: str, policy: str) -> None:
    assert compose([f"workload.task={task}", f"policy={policy}"]).config.policy.name == policy


def test_a_policy_that_asks_for_another_machine_is_said_before_the_start(config: StudyConfig) -> None:
    asked = {"architecture": "*", "system": "Plan 9*", "cpu.modell": "*"}
    found = checks.warnings(replace(config, policy=replace(config.policy, environment=asked)))
    elsewhere, misspelt = (notice.message for notice in found if notice.code == "environment")
    assert elsewhere.startswith("policy.environment: system is '")
    assert elsewhere.endswith("here, and the policy asks for 'Plan 9*'; nothing will be promoted")
    assert misspelt.startswith("policy.environment: cpu.modell is not known here (")


def test_the_incumbent_takes_its_name_and_has_to_be_there(config: StudyConfig) -> None:
    goal = PolicyConfig("p", (ConstraintConfig("latency/p50_ms", "incumbent", "percent", max=3.0),))
    assert found(policy=goal) == [
        "policy.constraints[0]: against: incumbent needs the champion as an arm: incumbent=true"
    ]
    assert found(policy=goal, incumbent=True) == []
    named = {"incumbent": config.baseline}
    assert found(variants=named, incumbent=True) == [
        "variants.incumbent: with incumbent=true that is the champion's name; give it another one"
    ]
    assert found(baseline=replace(config.baseline, name="incumbent"), incumbent=True) == [
        "baseline.name: with incumbent=true 'incumbent' is the champion's name; give it another one"
    ]
