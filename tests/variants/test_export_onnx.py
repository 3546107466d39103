"""Export: one file that answers like the source for any batch size, or a message in the exporter's words."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.export_onnx import ExportOnnx, ExportOnnxParams
from mlbench.workloads import Workload

STEP = {"name": "export_onnx"}


def test_the_file_answers_like_the_source(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(STEP)
    model = onnx.load(Path(artifact.path) / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [item.name for item in model.graph.input] == ["image"]
    assert [item.name for item in model.graph.output] == ["logits"]
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param
    assert {path.name for path in Path(artifact.path).iterdir()} == {"model.onnx", "artifact.json"}
    np.testing.assert_allclose(scores(artifact), scores(tiny.source), atol=1e-4)
    changed = artifact.steps[0].changed
    assert changed["opset"] == 20
    assert changed["nodes"] == len(model.graph.node)
    assert 0 <= changed["max_abs_diff"] < 1e-4
    assert changed["checked_batch_sizes"] == [1, 2, 7, 32]
    assert "checked_lengths" not in changed
    assert artifact.meta == {"precision": "float32"}


def test_the_opset_is_as_asked(built: Callable[..., Artifact]) -> None:
    assert built({**STEP, "opset": 18}).steps[0].changed["opset"] == 18


def stamped(monkeypatch: pytest.MonkeyPatch, opset: int) -> None:
    """Let the exporter write that opset, whatever it is asked for, and say so."""
    real = torch.onnx.export

    def export(module: Any, example: Any, path: Path, **options: Any) -> None:
        real(module, example, path, **{**options, "opset_version": 20})
        model = onnx.load(path)
        next(item for item in model.opset_import if not item.domain).version = opset
        onnx.save(model, path)
        warnings.warn("the version converter gave up", stacklevel=1)

    monkeypatch.setattr(torch.onnx, "export", export)


def test_another_opset_than_was_asked_for_is_refused(
    failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(monkeypatch, 19)
    said = failure(STEP)
    assert said.startswith("step 'export_onnx': opset 20 was asked for, but the exporter wrote 19 (before that: ")
    assert "the version converter gave up" in said


def test_an_opset_that_the_runtime_refuses_fails_the_arm_only(
    failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stamped(monkeypatch, 99)
    monkeypatch.setattr(ExportOnnx, "resolve", lambda self, params, context: replace(params, opset=99))
    said = failure(STEP)
    assert said.startswith("step 'export_onnx': onnxruntime does not take what was exported with opset 99: ")
    assert "\n" not in said


def test_optimums_exporter_is_for_hugging_face_models(failure: Callable[..., str]) -> None:
    said = failure({**STEP, "exporter": "optimum"})
    assert said.startswith("step 'export_onnx': exporter is optimum, which exports Hugging Face models")
    assert said.endswith("but this one is made by mlbench.workloads.nets:digits_cnn; leave exporter out")


def test_every_output_is_exported_and_compared(
    built: Callable[..., Artifact], own_model: Callable[[str], Workload]
) -> None:
    from mlbench.records import TensorSpec

    workload = own_model("two_heads")
    outputs = (*workload.source.outputs, TensorSpec("output_1", "float32", (None, 16)))
    artifact = built(STEP, on=replace(workload, source=replace(workload.source, outputs=outputs)))
    model = onnx.load(Path(artifact.path) / "model.onnx")
    assert [item.name for item in model.graph.output] == ["logits", "output_1"]


def test_a_model_that_cannot_be_exported(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    said = failure(STEP, on=own_model("branching"))
    assert said.startswith("step 'export_onnx': ")
    assert "data-dependent" in said


def test_outputs_that_differ_are_refused(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    said = failure(STEP, on=own_model("noisy"))
    assert "the exported model's outputs differ from the source's by up to" in said
    assert "more than the tolerance 0.0001" in said


class _Wrong:
    """An inference session whose answers have one row too many."""

    def __init__(self, path: str, options: Any, providers: list[str]) -> None:
        self.session = _REAL(path, options, providers=providers)

    def get_inputs(self) -> Any:
        return self.session.get_inputs()

    def run(self, names: Any, inputs: Any) -> Any:
        return [np.concatenate([array, array[:1]]) for array in self.session.run(names, inputs)]


_REAL = onnxruntime.InferenceSession


def test_outputs_of_another_shape_are_refused(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "InferenceSession", _Wrong)
    assert failure(STEP) == "step 'export_onnx': the exported model gives shape [2, 10] for 1 items, not [1, 10]"


def test_nothing_reaches_the_terminal(tiny: Workload, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    ExportOnnx().apply(tiny.source, ExportOnnxParams(), BuildContext(tiny, lambda text: None), tmp_path)
    assert capfd.readouterr() == ("", "")
