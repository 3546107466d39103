"""The gate: what passes, what breaks, what cannot be told, and the pages and exit codes that say so."""

from __future__ import annotations

import dataclasses
import io
import json
import shlex
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np
import pytest
import yaml

from mlbench import cli, gate
from mlbench.cli.arguments import parse
from mlbench.cli.gate import defaults
from mlbench.compose import compose
from mlbench.config import ConstraintConfig, PolicyConfig
from mlbench.errors import ExitCode, InputError
from mlbench.measurement.plan import make_plan
from mlbench.policy import decide
from mlbench.records import (
    ArmResult,
    DataInfo,
    Estimate,
    Noise,
    Quality,
    Recipe,
    Study,
    WorkloadInfo,
    from_dict,
    to_dict,
)
from mlbench.reporting.gate import print_gate, render_gate_markdown, render_junit
from mlbench.reporting.terminal import result_console
from mlbench.statistics import compare
from mlbench.study import Outcome

ROOT = Path(__file__).resolve().parents[1]
P50, MEMORY, DISK = "latency/p50_ms", "memory/peak_rss_mib", "memory/disk_mib"
SHAPE = np.array([0.01, -0.01, 0.02, -0.02, 0.015, -0.015, 0.0, 0.005, -0.005, 0.0])
POLICY = compose(["policy=no_regression"]).config.policy


def arm(name: str, ratio: float = 1.0, delta: float = 0.0, spread: float = 1.0, **changes: Any) -> ArmResult:
    """An arm whose p50 is ``ratio`` of the reference's, give or take 1 %, and whose accuracy differs by ``delta``."""
    metrics = {
        P50: Estimate(2 * ratio, 1.9 * ratio, 2.1 * ratio, n=10, unit="ms"),
        MEMORY: Estimate(70.0, 69.0, 71.0, n=10, unit="MiB"),
        DISK: Estimate(1.7, unit="MiB"),
        "quality/accuracy": Estimate(0.98 + delta, 0.97 + delta, 0.99 + delta, n=719, unit="fraction"),
    }
    if name == "baseline":
        return ArmResult(name, "baseline", Recipe(name), **{"metrics": metrics, **changes})
    shift = {P50: np.log(ratio) + spread * SHAPE, MEMORY: 0.1 * SHAPE}
    usual = {
        "metrics": metrics,
        "verdicts": {metric: compare(values, metric=metric, margin=0.03) for metric, values in shift.items()},
        "quality": Quality({}, {"accuracy": Estimate(delta, delta - 0.004, delta + 0.004, n=719, unit="fraction")}),
    }
    return ArmResult(name, "variant", Recipe(name), **{**usual, **changes})


def study(*arms: ArmResult, policy: PolicyConfig = POLICY, trials: int = 10, **changes: Any) -> Study:
    if all(one.role != "baseline" for one in arms):
        arms = (arm("baseline"), *arms)
    config = compose([f"protocol.trials={trials}"]).config
    plan = make_plan([one.name for one in arms], "baseline", config.scenario, config.protocol, 0)
    usual = {
        "name": "study",
        "created": "2026-01-02T03:04:05+00:00",
        "version": "0",
        "config": {},
        "overrides": (),
        "workload": WorkloadInfo("digits", "classification", DataInfo("d", "x", {}, (), {}, ()), {}, "y"),
        "plan": plan,
        "environment": {},
        "arms": arms,
        "decision": decide(policy, arms),
        "noise": Noise("quiet"),
    }
    return Study(**{**usual, **changes})


def judged(*arms: ArmResult, policy: PolicyConfig = POLICY, **changes: Any) -> gate.Gate:
    candidates = [one.name for one in arms if one.role != "baseline"]
    return gate.judge(study(*arms, policy=policy, **changes), candidates)


def answers(result: gate.Gate) -> list[str]:
    return [check.answer for one in result.arms for check in one.checks]


# ---------------------------------------------------------------------------------------------------------------------
# judging


def test_an_equal_candidate_passes_although_it_is_not_better() -> None:
    result = judged(arm("twin"))
    assert answers(result) == ["ok", "ok", "ok"]
    assert gate.exit_code(result) == ExitCode.DONE
    assert result.sentence == "Accepted: twin meets every constraint of no_regression against baseline."
    better_wanted = dataclasses.replace(POLICY, objective=dataclasses.replace(POLICY.objective, require_better=True))
    assert judged(arm("twin"), policy=better_wanted).answer == "ok"


def test_a_slower_candidate_is_broken() -> None:
    result = judged(arm("slow", 1.3))
    assert answers(result) == ["broken", "ok", "ok"]
    assert gate.exit_code(result) == ExitCode.POLICY_NOT_MET
    assert result.sentence.startswith(
        "Not accepted: slow breaks latency/p50_ms against the baseline: at most 3 %; p50 +"
    )


def test_less_accurate_is_broken_too() -> None:
    assert answers(judged(arm("lossy", delta=-0.02))) == ["ok", "broken", "ok"]


@pytest.mark.parametrize(("ratio", "passed"), [(1.02, None), (1.04, False)])
def test_an_interval_over_the_bound_cannot_be_told_on_either_side_of_it(ratio: float, passed: bool | None) -> None:
    """The policy calls the second one not met, for its estimate misses; it is no evidence of a regression."""
    unclear = study(arm("v", ratio, spread=4.0))
    assert unclear.decision.judgements[1].constraints[0].passed is passed
    result = gate.judge(unclear, ["v"])
    assert answers(result) == ["unknown", "ok", "ok"]
    assert gate.exit_code(result) == ExitCode.INCONCLUSIVE
    assert ("does not exclude that it is met" in result.sentence) == (passed is False)


def test_several_candidates_must_all_pass_and_one_that_is_not_asked_about_does_not_count() -> None:
    both = study(arm("good"), arm("slow", 1.3))
    assert gate.judge(both, ["good", "slow"]).answer == "broken"
    assert gate.judge(both, ["good"]).answer == "ok"
    assert judged(arm("a"), arm("b")).sentence.startswith("Accepted: a and b meet every")


LATENCY = PolicyConfig("budget", (ConstraintConfig(P50, "absolute", max=1.0), ConstraintConfig(DISK, max=0.1)))


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"noise": Noise("unusable", ("too much else",))}, "the machine was unusable for measuring: too much else"),
        ({"trials": 5}, "5 trials are too few, 6 or more are needed"),
        ({"status": "interrupted"}, "the study was interrupted"),
    ],
)
def test_what_is_not_fit_for_a_verdict_breaks_nothing_that_is_measured(changes: dict[str, Any], why: str) -> None:
    assert answers(judged(arm("v"), policy=LATENCY)) == ["broken", "ok"]
    result = judged(arm("v"), policy=LATENCY, **changes)
    assert answers(result) == ["unknown", "ok"]
    assert result.arms[0].checks[0].reason.startswith(why)


def test_an_incomplete_arm_never_passes_but_its_lost_accuracy_counts() -> None:
    lost = {"status": "incomplete", "failure": "2 of 10 trials were lost: killed"}
    assert answers(judged(arm("v", **lost))) == ["unknown"] * 3
    assert answers(judged(arm("v", delta=-0.02, **lost))) == ["unknown", "broken", "unknown"]
    assert answers(judged(arm("baseline", **lost), arm("v"))) == ["unknown", "ok", "unknown"]


def test_an_arm_that_failed_is_no_pass_and_no_regression() -> None:
    broken = arm("v", status="failed", failure="no such operator", metrics={}, verdicts={}, quality=None)
    result = judged(broken, arm("twin"))
    assert answers(result) == ["failed"] * 3 + ["ok"] * 3
    assert gate.exit_code(result) == ExitCode.FAILURE
    assert result.sentence == "Not judged: v failed: no such operator."
    assert judged(broken, arm("slow", 1.3)).answer == "broken"
    reference = judged(arm("baseline", status="failed", failure="killed"), arm("v", verdicts={}))
    assert (reference.answer, reference.sentence) == ("failed", "Not judged: the reference baseline failed: killed.")


def test_plain_facts_need_no_interval_and_measured_values_without_one_break_nothing() -> None:
    facts = PolicyConfig("p", (ConstraintConfig(DISK, "absolute", max=1.0), ConstraintConfig(P50, "absolute", max=1.0)))
    point = arm("v")
    point.metrics[P50] = Estimate(2.0, n=1, unit="ms")
    assert answers(judged(point, policy=facts)) == ["broken", "unknown"]
    absent = dataclasses.replace(point, metrics={})
    assert answers(judged(absent, policy=facts)) == ["unknown", "unknown"]


def test_what_the_judge_refuses() -> None:
    one = study(arm("v"))
    for candidates in ([], ["baseline"]):
        with pytest.raises(ValueError, match="the reference is none"):
            gate.judge(one, candidates)
    with pytest.raises(KeyError):
        gate.judge(one, ["nobody"])


def test_requests() -> None:
    assert gate.check_request(POLICY, ["a", "b"], None) == ("a", "b")
    assert gate.check_request(POLICY, ["a", "b"], "b") == ("b",)
    with pytest.raises(InputError, match="--candidate c: the study has no such variant"):
        gate.check_request(POLICY, ["a", "b"], "c")
    with pytest.raises(InputError) as caught:
        gate.check_request(PolicyConfig("open"), [], None)
    assert len(caught.value.problems) == 2


def test_the_shipped_policy_asks_what_is_promised() -> None:
    bounds = [(goal.metric, goal.unit, goal.min, goal.max) for goal in POLICY.constraints]
    assert bounds == [
        (P50, "percent", None, 3.0),
        ("quality/accuracy", "points", -1.0, None),
        (MEMORY, "percent", None, 10.0),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# pages


HOSTILE = "operator <b>&\"'\x00\x1b]]>\ud800 | `x`"


@pytest.fixture
def mixed() -> Study:
    """One candidate of each answer."""
    failed = arm("gone", status="failed", failure=HOSTILE, metrics={}, verdicts={}, quality=None)
    return study(arm("twin"), arm("slow", 1.3), arm("unclear", 1.02, spread=4.0), failed)


def test_junit_is_well_formed_and_counts_right(mixed: Study) -> None:
    result = gate.judge(mixed, ["twin", "slow", "unclear", "gone"])
    written = render_junit(mixed, result).encode("utf-8")
    top = ET.fromstring(written)
    (suite,) = top.findall("testsuite")
    cases = suite.findall("testcase")
    wanted = [
        (one.name, check.constraint, {"broken": "failure", "unknown": "skipped", "failed": "error"}.get(check.answer))
        for one in result.arms
        for check in one.checks
    ]
    found = [(case.get("classname"), case.get("name"), case[0].tag if len(case) else None) for case in cases]
    assert found == wanted
    for element in (top, suite):
        counted = {key: int(element.get(key, "")) for key in ("tests", "failures", "errors", "skipped")}
        assert counted == {"tests": 12, "failures": 1, "errors": 3, "skipped": 1}
    assert (suite.get("timestamp"), suite.get("name")) == ("2026-01-02T03:04:05", "mlbench gate no_regression")
    assert "operator <b>&\"'" in str(cases[-1][0].get("message"))


def test_markdown_has_a_row_per_check_and_lets_no_markup_through(mixed: Study) -> None:
    result = gate.judge(mixed, ["twin", "slow", "unclear", "gone"])
    page = render_gate_markdown(mixed, result)
    rows = [line for line in page.partition("### Study")[0].splitlines() if line.startswith("| ")]
    assert len(rows) == 1 + 12
    assert all(len(line.replace("\\|", "").split("|")) == 6 for line in rows)
    assert "<b>" not in page
    assert page.startswith("## Gate no\\_regression: broken\n")
    assert "mlbench run" in page  # how to run it again


def test_terminal_says_every_answer_in_a_word(mixed: Study) -> None:
    stream = io.StringIO()
    result = gate.judge(mixed, ["twin", "slow", "unclear"])
    print_gate(result, result_console(stream))
    words = [line.split()[0] for line in stream.getvalue().splitlines() if line.startswith("  ") and line[2] != " "]
    assert words == answers(result)
    assert result.sentence in " ".join(stream.getvalue().split())


def test_the_record_survives_json(mixed: Study) -> None:
    result = gate.judge(mixed, ["twin", "slow"])
    assert from_dict(gate.Gate, json.loads(json.dumps(to_dict(result)))) == result


# ---------------------------------------------------------------------------------------------------------------------
# the command


def test_what_a_gate_does_unless_told_otherwise() -> None:
    config = compose(defaults(["protocol=quick"])).config
    assert (config.policy.name, config.registry.promote) == ("no_regression", False)
    config = compose(defaults(["policy=keep_accuracy", "registry.promote=true"])).config
    assert (config.policy.name, config.registry.promote) == ("keep_accuracy", True)
    config = compose(defaults(["policy.constraints=[{metric: memory/disk_mib, max: 0}]"])).config
    assert (config.policy.name, len(config.policy.constraints)) == ("no_regression", 1)
    assert defaults(["--oops"])[-1] == "--oops"  # what is no override is reported by compose


def fake_run(monkeypatch: pytest.MonkeyPatch, result: Study, code: ExitCode = ExitCode.DONE) -> list[Any]:
    """The study is not run: this is its record."""
    asked: list[Any] = []

    def run(composition: Any, progress: Any, *, wait: bool) -> Outcome:
        asked.append(composition)
        return Outcome("r" * 32, result, code, ("mlbench show study",))

    monkeypatch.setattr("mlbench.study.run_study", run)
    return asked


def test_the_command_prints_and_writes(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    asked = fake_run(monkeypatch, study(arm("pruned", 1.3), arm("onnx_fp32")))
    step = tmp_path / "step.md"
    step.write_text("before\n", encoding="utf-8")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(step))
    summary, junit = tmp_path / "s.md", tmp_path / "j.xml"
    given = ["gate", "variants=[pruned,onnx_fp32]", "--summary", str(summary), f"--junit={junit}"]
    assert cli.main(given) == 3
    out = capfd.readouterr().out
    assert out.splitlines()[-1] == "study " + "r" * 32
    assert "  broken   pruned, latency/p50_ms" in out
    assert asked[0].config.policy.name == "no_regression"
    assert step.read_text(encoding="utf-8") == "before\n" + summary.read_text(encoding="utf-8")
    assert ET.parse(junit).getroot().get("failures") == "1"
    assert cli.main([*given, "--candidate", "onnx_fp32", "--json"]) == 0
    printed = json.loads(capfd.readouterr().out)
    assert (printed["answer"], printed["exit_code"], printed["study"]) == ("ok", 0, "r" * 32)
    assert [one["name"] for one in printed["arms"]] == ["onnx_fp32"]
    assert ET.parse(junit).getroot().get("failures") == "0"


def test_an_interrupted_gate_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    fake_run(monkeypatch, study(arm("pruned"), status="interrupted"), ExitCode.INTERRUPTED)
    assert cli.main(["gate", "variants=[pruned]", "protocol.trials=3", "--json"]) == 130


def test_a_gate_whose_evidence_was_not_delivered_does_not_pass(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    result = study(arm("pruned"))
    waiting = Outcome("r" * 32, result, ExitCode.FAILURE, ("mlbench sync " + "r" * 32,), undelivered=True)
    monkeypatch.setattr("mlbench.study.run_study", lambda *_, **__: waiting)
    assert cli.main(["gate", "variants=[pruned]", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["answer"] == "ok"


def test_a_page_that_cannot_be_written_is_refused_before_the_study(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = fake_run(monkeypatch, study(arm("pruned")))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path))
    nowhere = tmp_path / "nowhere" / "j.xml"
    assert cli.main(["gate", "variants=[pruned]", "--junit", str(nowhere)]) == 2
    said = capsys.readouterr().err
    assert "is a directory; name a file" in said
    assert f"--junit {nowhere}: there is no directory" in said
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    monkeypatch.setattr("os.access", lambda *_: False)
    assert cli.main(["gate", "variants=[pruned]", "--summary", str(tmp_path / "s.md")]) == 2
    assert "may not be written" in capsys.readouterr().err
    assert asked == []


def test_a_page_that_cannot_be_written_after_all_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY", raising=False)
    folder = tmp_path / "pages"
    folder.mkdir()

    def run(composition: Any, progress: Any, *, wait: bool) -> Any:
        folder.rmdir()
        return SimpleNamespace(run_id="r", study=study(arm("pruned")), exit_code=0, links=(), undelivered=False)

    monkeypatch.setattr("mlbench.study.run_study", run)
    assert cli.main(["gate", "variants=[pruned]", "--summary", str(folder / "s.md")]) == 1
    assert "cannot be written: No such file" in capsys.readouterr().err


@pytest.mark.parametrize("given", [["variants=[]"], ["variants=[pruned]", "--candidate", "prund"]])
def test_a_gate_without_a_candidate_is_wrong_input(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = fake_run(monkeypatch, study(arm("pruned")))
    assert cli.main(["gate", *given]) == 2
    assert capsys.readouterr().err.count("mlbench: ") == 1
    assert asked == []


def test_the_shipped_workflow_calls_the_gate_as_it_can_be_called() -> None:
    workflow = yaml.safe_load((ROOT / "examples/github-actions/mlbench-gate.yml").read_text(encoding="utf-8"))
    (job,) = workflow["jobs"].values()
    (line,) = [step["run"] for step in job["steps"] if "mlbench gate" in step.get("run", "")]
    program, *given = shlex.split(line.replace("\\\n", " "))
    assert program == "mlbench"
    chosen = parse(given)
    config = compose(defaults(chosen.overrides), chosen.config_dir).config
    assert gate.check_request(config.policy, list(config.variants), chosen.candidate) == ("onnx_int8_static",)
    (kept,) = [step["with"]["path"].split() for step in job["steps"] if "upload-artifact" in step.get("uses", "")]
    assert {chosen.summary, chosen.junit} <= set(kept)
