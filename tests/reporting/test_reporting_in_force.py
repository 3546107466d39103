"""What was not the same between arms, and what the policy asks of the machine."""

from __future__ import annotations

import dataclasses

from mlbench.records import Study
from mlbench.reporting import in_force


def asking(study: Study, environment: object) -> Study:
    policy = {**study.decision.policy, "environment": environment}
    return dataclasses.replace(study, decision=dataclasses.replace(study.decision, policy=policy))


def test_settings_that_differ_are_a_table_and_the_others_a_sentence(study: Study) -> None:
    table = in_force.differences(study)
    assert table is not None
    assert table.heads == ("runtime",)
    rows = {name: [cell.value for cell in cells] for name, cells in table.rows}  # type: ignore[union-attr]
    assert rows["baseline"] == ["torch"]
    assert rows["onnx_int8_static"] == ["onnxruntime"]
    assert "openvino_int8" not in rows  # it was not measured
    assert in_force.same(study) == ("The same for all arms: version 1.32.0, threads 1, precision float32, device cpu.")


def test_a_setting_that_some_arms_have_is_no_difference(study: Study) -> None:
    first = dataclasses.replace(study.arms[0], effective={**study.arms[0].effective, "blas": "mkl", "threads": 2})
    table = in_force.differences(dataclasses.replace(study, arms=(first, *study.arms[1:])))
    assert table is not None
    assert table.heads == ("runtime", "threads")


def test_nothing_measured_and_nothing_different(study: Study, single: Study) -> None:
    assert in_force.differences(single) is None
    assert in_force.same(single).startswith("The same for all arms: runtime torch")
    bare = dataclasses.replace(study, arms=study.arms[-1:])
    assert (in_force.differences(bare), in_force.same(bare)) == (None, "")


def test_what_the_policy_asks_of_the_machine(study: Study) -> None:
    assert in_force.asked(study) == ()
    wanted = {"cpu.model": "*EPYC*", "python": "3.12.*", "cpu.governor": "performance"}
    assert in_force.asked(asking(study, wanted)) == (
        ("cpu.model", "*EPYC*", "AMD EPYC 7B13", True),
        ("python", "3.12.*", "3.11.7", False),
        ("cpu.governor", "performance", None, False),
    )
    assert in_force.asked(asking(study, None)) == ()
