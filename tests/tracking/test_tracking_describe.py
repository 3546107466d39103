from dataclasses import replace

import pytest
from tiny_study import make_study

from mlbench.records import Estimate, Notice, Versus
from mlbench.tracking.describe import arm_note, shown, version_note


@pytest.fixture
def study(artifacts):
    return make_study(artifacts)


@pytest.mark.parametrize(
    ("estimate", "expected"),
    [
        (None, "-"),
        (Estimate(3.21456, 3.15, 3.28, unit="ms"), "3.215 (3.15 to 3.28) ms"),
        (Estimate(2.0, 1.9, 2.1, unit="ratio"), "2 (1.9 to 2.1)"),
        (Estimate(0.98, unit="fraction"), "0.98"),
        (Estimate(123456.7, unit="1/s"), "123,457 1/s"),
    ],
)
def test_shown(estimate, expected):
    assert shown(estimate) == expected


class TestArm:
    def test_what_it_is_and_what_came_out(self, study):
        note = arm_note(study, study.arm("fast"))
        assert note.startswith("**fast** (variant): ONNX Runtime\n")
        assert "- recipe: export_onnx\n" in note
        assert "**faster**, 0.5 (0.475 to 0.525) of the baseline's time over 10 trials" in note
        assert "- policy: fastest \\| eligible\n" in note
        assert "- no energy/joules_per_sample: no counter here\n" in note

    def test_a_failure_is_one_line(self, study):
        arm = replace(study.arm("broken"), failure="step 'explode':\n  it did")
        assert "- **failed**: step 'explode': it did\n" in arm_note(study, arm)

    def test_the_baseline(self, study):
        assert "no steps: the workload's own model" in arm_note(study, study.arm("baseline"))

    def test_a_verdict_without_an_estimate_says_why(self, study):
        arm = study.arm("fast")
        verdict = replace(
            arm.verdicts["latency/p50_ms"], call="inconclusive", ratio=None, reason="the machine was busy"
        )
        note = arm_note(study, replace(arm, verdicts={"latency/p50_ms": verdict}))
        assert "**inconclusive** (the machine was busy)" in note


class TestVersion:
    def test_the_evidence(self, study):
        note = version_note(study, study.arm("fast"), "r" * 32)
        assert note.startswith(study.decision.sentence)
        assert "| latency p50 | 1 (0.98 to 1.02) ms | 2 (1.96 to 2.04) ms |" in note
        assert "- latency/p50_ms: **faster**: ratio to the baseline 0.5 (0.475 to 0.525), 10 trials" in note
        assert "- accuracy: difference -0.001 (-0.005 to 0.003)" in note
        assert "cpu.model Test CPU" in note
        assert f"run `{'r' * 32}`" in note

    def test_a_winner_without_quality(self, study):
        note = version_note(study, replace(study.arm("fast"), quality=None), "r")
        assert "difference" not in note

    def test_what_was_measured_against_the_champion_before(self, study):
        arm = study.arm("fast")
        versus = Versus(arm.verdicts, {"accuracy": Estimate(0.001, -0.002, 0.004, unit="fraction")})
        note = version_note(study, replace(arm, versus_incumbent=versus), "r")
        assert "Against the champion before:\n\n- latency/p50_ms: **faster**: ratio to the incumbent 0.5" in note
        assert "- accuracy: difference 0.001 (-0.002 to 0.004)" in note
        assert "champion before" not in version_note(study, arm, "r")


def test_warnings_of_an_arm_are_in_its_description_and_in_its_version(study):
    arm = replace(study.arm("fast"), warnings=(Notice("slow_blas", "partly a handicap", "another baseline"),))
    line = "- warning: partly a handicap (next: another baseline)\n"
    assert line in arm_note(study, arm)
    assert line in version_note(study, arm, "r" * 32)


def test_an_explanation_without_reasons_says_so(study):
    arm = study.arm("slow")
    none = replace(arm, why=replace(arm.why, reasons=()))
    assert "- why not faster than baseline: no reason found in the evidence\n" in arm_note(study, none)
