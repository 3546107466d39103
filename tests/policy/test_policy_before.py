"""Goals that are refused before anything runs, and the table of metrics that they are checked against."""

from __future__ import annotations

import pytest
from policy_arms import ACCURACY, DEFAULT, P50

from mlbench.config import (
    ConstraintConfig,
    EnergyModelConfig,
    ObjectiveConfig,
    PolicyConfig,
    ProbesConfig,
    ProtocolConfig,
    TermConfig,
)
from mlbench.metrics import METRICS, NAMES, SERIES, info
from mlbench.policy import unanswerable, unknown_metrics, unmeasurable

# ---------------------------------------------------------------------------------------------------------------------
# before anything runs


def test_the_default_policy_is_fine() -> None:
    assert unknown_metrics(DEFAULT) == []
    assert unanswerable(DEFAULT) == []


def test_unknown_metrics_come_with_the_nearest_names() -> None:
    policy = PolicyConfig(
        "p", (ACCURACY, ConstraintConfig("quality/acuracy", min=0.0)), ObjectiveConfig("latency/p5_ms")
    )
    constraint, objective = unknown_metrics(policy)
    assert constraint.startswith("policy.constraints[1].metric: unknown metric 'quality/acuracy'; did you mean")
    assert "quality/accuracy" in constraint
    assert objective.startswith("policy.objective.metric: unknown metric 'latency/p5_ms'")
    assert "latency/p50_ms" in objective
    assert unanswerable(policy) == []


def test_series_and_bounds_are_no_goals() -> None:
    policy = PolicyConfig("p", (ConstraintConfig("by_batch/p50_ms"), ConstraintConfig("vs_baseline/speedup_p50_low")))
    assert len(unknown_metrics(policy)) == 2


def test_a_task_can_bring_metrics_of_its_own() -> None:
    policy = PolicyConfig("p", (ConstraintConfig("quality/pinball", max=1.0),))
    assert len(unknown_metrics(policy)) == 1
    assert unknown_metrics(policy, (*NAMES, "quality/pinball")) == []
    assert unanswerable(policy) == []


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        (
            PolicyConfig("p", (ConstraintConfig("latency/load_ms", max=1.0),)),
            "policy.constraints[0]: latency/load_ms is not compared with the baseline; use against: absolute",
        ),
        (PolicyConfig("p", (ConstraintConfig(P50, unit="points", max=1.0),)), "unit 'points' is for fractions"),
        (
            PolicyConfig("p", (ConstraintConfig("agreement/flip_rate", unit="percent", max=1.0),)),
            "already compares with the baseline",
        ),
        (PolicyConfig("p", (), ObjectiveConfig("latency/mean_ms")), "policy.objective: latency/mean_ms has no verdict"),
        (PolicyConfig("p", (), ObjectiveConfig("agreement/flip_rate")), "has no verdict against the baseline"),
        (
            PolicyConfig("p", (), ObjectiveConfig(P50, "maximize")),
            "policy.objective: maximize latency/p50_ms would look for the worst arm",
        ),
    ],
)
def test_goals_that_no_study_could_answer(policy: PolicyConfig, words: str) -> None:
    (problem,) = unanswerable(policy)
    assert words in problem


def test_without_require_better_any_metric_can_be_the_objective() -> None:
    assert unanswerable(PolicyConfig("p", (), ObjectiveConfig("latency/mean_ms", require_better=False))) == []


# ---------------------------------------------------------------------------------------------------------------------
# the table of metrics


def test_every_metric_is_described_once() -> None:
    names = [row.name for row in (*METRICS, *SERIES)]
    assert len(set(names)) == len(names)
    for row in (*METRICS, *SERIES):
        prefix, _, rest = row.name.partition("/")
        assert prefix
        assert rest
        assert row.definition.endswith(".")
    assert info("latency/p50_ms").unit == "ms"
    assert info("by_batch/p50_ms") in SERIES
    assert info("nothing") is None


def test_the_metrics_with_a_verdict() -> None:
    verdicts = [row.name for row in METRICS if row.verdict]
    assert verdicts == ["latency/p50_ms", "latency/p95_ms", "throughput/samples_per_s", "memory/peak_rss_mib"]


# ---------------------------------------------------------------------------------------------------------------------
# objectives of several metrics, levels, and what cannot be measured here


@pytest.mark.parametrize(
    ("objective", "words"),
    [
        (
            ObjectiveConfig(P50, then=(TermConfig("latency/p5_ms"),)),
            "policy.objective.then[0].metric: unknown metric 'latency/p5_ms'",
        ),
        (
            ObjectiveConfig(P50, then=(TermConfig("memory/disk_mib", "maximize"),)),
            "policy.objective.then[0]: maximize memory/disk_mib would look for the worst arm",
        ),
        (
            ObjectiveConfig(P50, then=(TermConfig("memory/disk_mib", weight=2.0),)),
            "policy.objective.then[0]: weight counts with combine: weighted only",
        ),
        (ObjectiveConfig(P50, combine="weighted"), "combine: weighted needs more than one metric"),
        (
            ObjectiveConfig(P50, then=(TermConfig("latency/load_ms"),), combine="weighted", require_better=False),
            "policy.objective.then[0]: latency/load_ms has no verdict against the baseline; with combine: weighted use",
        ),
    ],
)
def test_every_metric_of_an_objective_is_checked(objective: ObjectiveConfig, words: str) -> None:
    policy = PolicyConfig("p", (), objective)
    (problem,) = unknown_metrics(policy) or unanswerable(policy)
    assert words in problem


@pytest.mark.parametrize(
    ("goal", "why"),
    [
        (ConstraintConfig("quality/accuracy", min=0, confidence=0.99), "resampling the test items"),
        (ConstraintConfig("agreement/flip_rate", max=0, confidence=0.9), "resampling the test items"),
        (ConstraintConfig("vs_baseline/accuracy_delta", min=0, confidence=0.9), "resampling the test items"),
        (ConstraintConfig("latency/p99_ms", "absolute", max=1, confidence=0.99), "the order of single calls"),
    ],
)
def test_a_level_that_cannot_be_had_is_refused(goal: ConstraintConfig, why: str) -> None:
    (problem,) = unanswerable(PolicyConfig("p", (goal,)))
    assert problem.startswith(f"policy.constraints[0]: {goal.metric} has its interval at a confidence of 0.95 alone")
    assert why in problem


@pytest.mark.parametrize("metric", [P50, "latency/p95_ms", "memory/peak_rss_mib", "memory/disk_mib"])
def test_any_level_of_what_is_measured_by_trial(metric: str) -> None:
    assert unanswerable(PolicyConfig("p", (ConstraintConfig(metric, max=1.0, confidence=0.99),))) == []


def test_a_percentile_that_the_plan_does_not_support() -> None:
    policy = PolicyConfig("p", (ConstraintConfig("latency/p999_ms", "absolute", max=5.0),))
    (problem,) = unmeasurable(policy, ProtocolConfig(), None)
    assert problem == (
        "policy.constraints[0]: latency/p999_ms cannot be measured: 2000 calls are planned and it takes 4742; "
        "protocol.percentiles=[p999] makes it so many"
    )
    assert unmeasurable(policy, ProtocolConfig(percentiles=("p999",)), None) == []
    assert unmeasurable(policy, None, None) == []


def test_a_percentile_is_compared_trial_by_trial() -> None:
    few = ProtocolConfig(rounds=8)
    held = PolicyConfig("p", (ConstraintConfig("latency/p95_ms", unit="percent", max=5.0),))
    (problem,) = unmeasurable(held, few, None)
    assert "to compare it takes 93 calls in each trial, and 80 are planned; protocol.rounds=10 makes" in problem
    assert unmeasurable(held, ProtocolConfig(rounds=10), None) == []
    assert unmeasurable(PolicyConfig("p", (ConstraintConfig("vs_baseline/speedup_p95", min=1.0),)), few, None) != []
    assert unmeasurable(PolicyConfig("p", (ConstraintConfig("latency/p95_ms", "absolute", max=5.0),)), few, None) == []
    fastest = ObjectiveConfig("latency/p95_ms")
    assert unmeasurable(PolicyConfig("p", (), fastest), few, None)[0].startswith("policy.objective: latency/p95_ms")
    any_arm = ObjectiveConfig("latency/p95_ms", require_better=False)
    assert unmeasurable(PolicyConfig("p", (), any_arm), few, None) == []


def test_a_figure_that_no_probe_gives_here(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlbench.probes.energy import EnergyProbe

    policy = PolicyConfig("p", (ConstraintConfig("energy/joules_per_sample", "absolute", max=1.0),))
    (problem,) = unmeasurable(policy, None, ProbesConfig(("machine",)))
    assert problem.endswith("cannot be measured: the probe 'energy' is not among probes.names")
    monkeypatch.setattr(EnergyProbe, "available", lambda _self: "no energy counter")
    (problem,) = unmeasurable(policy, None, ProbesConfig())
    assert problem == "policy.constraints[0]: energy/joules_per_sample cannot be measured: no energy counter"
    assert unmeasurable(policy, None, ProbesConfig(energy_model=EnergyModelConfig(watts_per_cpu=10.0))) == []
    monkeypatch.setattr(EnergyProbe, "available", lambda _self: None)
    assert unmeasurable(policy, None, ProbesConfig()) == []


def test_what_takes_no_probe_asks_none() -> None:
    assert unmeasurable(DEFAULT, ProtocolConfig(), ProbesConfig(())) == []
