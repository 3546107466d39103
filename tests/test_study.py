"""What a study says beside its verdicts of how its arms were made."""

from __future__ import annotations

from mlbench.records import Arm, Artifact, Notice, Recipe, RuntimeSettings, StepRecord
from mlbench.study import _step_notices


def arm(name: str, *steps: StepRecord) -> Arm:
    artifact = Artifact("d", "onnx", "", "model.onnx", (), (), 0, steps)
    return Arm(name, "variant", Recipe(name), artifact, RuntimeSettings())


def test_what_a_step_expects_is_said_once_for_all_arms_that_share_it() -> None:
    export = StepRecord("export_onnx", {}, "1", {"nodes": 3})
    shared = StepRecord("convert_onnx_fp16", {}, "2", {"notice": "no faster"})
    other = StepRecord("convert_onnx_fp16", {}, "3", {"notice": "no faster"})
    found = _step_notices([arm("plain", export), arm("a", export, shared), arm("b", export, shared), arm("c", other)])
    assert found == [
        Notice("step", "a, b: convert_onnx_fp16: no faster"),
        Notice("step", "c: convert_onnx_fp16: no faster"),
    ]
