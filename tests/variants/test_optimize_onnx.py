"""Rewritten graphs: fewer nodes, the same answers, and a clear word where nothing could be done."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.onnx_files import gained, operators
from mlbench.variants.optimize_onnx import OptimizeOnnx, OptimizeOnnxParams, SlimOnnx, SlimOnnxParams
from mlbench.workloads import Workload

EXPORT = {"name": "export_onnx"}
OPTIMIZE = {"name": "optimize_onnx"}
SLIM = {"name": "slim_onnx"}
FUSE = {"name": "fuse_onnx"}


@pytest.mark.parametrize(
    "step", [OPTIMIZE, {**OPTIMIZE, "level": "basic"}, SLIM], ids=lambda step: "-".join(step.values())
)
def test_the_answers_stay(
    built: Callable[..., Artifact], scores: Callable[..., np.ndarray], step: dict[str, str]
) -> None:
    source, artifact = built(EXPORT), built(EXPORT, step)
    changed = artifact.steps[1].changed
    assert changed["nodes_before"] == source.steps[0].changed["nodes"]
    assert changed["nodes"] == sum(operators(Path(artifact.path) / artifact.entry).values())
    assert 0 <= changed["max_abs_diff"] < 1e-4
    assert artifact.meta == source.meta == {"precision": "float32"}
    np.testing.assert_allclose(scores(artifact), scores(source), atol=1e-4)


def test_extended_fuses_into_the_runtimes_own_operators(built: Callable[..., Artifact]) -> None:
    basic = built(EXPORT, {**OPTIMIZE, "level": "basic"}).steps[1].changed
    extended = built(EXPORT, OPTIMIZE).steps[1].changed
    assert extended["nodes"] < basic["nodes"]
    assert extended["new_operators"]["FusedConv"] == 4
    assert "FusedConv" not in basic["new_operators"]


def test_a_quantized_graph_stays_quantized(built: Callable[..., Artifact], scores: Callable[..., np.ndarray]) -> None:
    source = built(EXPORT, {"name": "quantize_onnx_static"})
    artifact = built(EXPORT, {"name": "quantize_onnx_static"}, {**OPTIMIZE, "tolerance": 0.05})
    assert artifact.meta == {"precision": "int8"}
    assert artifact.steps[2].changed["new_operators"]["QLinearConv"] == 4
    assert (scores(source).argmax(1) == scores(artifact).argmax(1)).mean() >= 0.99


def test_a_transformers_fusions_are_counted(
    built: Callable[..., Artifact], own_model: Callable[[str], Workload], scores: Callable[..., np.ndarray]
) -> None:
    workload = own_model("attentive")
    artifact = built(EXPORT, FUSE, on=workload)
    changed = artifact.steps[1].changed
    assert changed["fused_nodes"]["SkipLayerNormalization"] >= 3
    assert changed["nodes"] < changed["nodes_before"]
    assert ("notice" in changed) == (not any("Attention" in name for name in changed["fused_nodes"]))
    np.testing.assert_allclose(scores(artifact), scores(workload.source), atol=1e-3)


def test_nothing_to_fuse_is_a_failure(failure: Callable[..., str]) -> None:
    assert failure(EXPORT, FUSE) == ("step 'fuse_onnx': nothing was fused; the graph does not look like a bert")


def test_the_lowest_level_promises_no_fusions(built: Callable[..., Artifact]) -> None:
    assert "fused_nodes" not in built(EXPORT, {**FUSE, "level": "O1"}).steps[1].changed


def test_the_level_for_gpus_says_that_it_is(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    said = failure(EXPORT, {**FUSE, "level": "O4"})
    assert "level O4 is O3 in float16, for GPUs only, and this onnxruntime has no CUDAExecutionProvider" in said


def test_answers_that_change_are_refused(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxslim

    def spoil(source: str, target: str, **_options: Any) -> None:
        model = onnx.load(source)
        weights = model.graph.initializer[0]
        weights.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weights), weights.name))
        onnx.save(model, target)

    monkeypatch.setattr(onnxslim, "slim", spoil)
    said = failure(EXPORT, SLIM)
    assert "the rewritten model's outputs differ from the source's by up to" in said
    assert said.endswith("at batch size 1, more than the tolerance 0.0001")


def test_the_tools_words_are_kept(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxslim

    def broken(source: str, target: str, **_options: Any) -> None:
        raise SystemError("slimming failed")

    monkeypatch.setattr(onnxslim, "slim", broken)
    assert failure(EXPORT, SLIM) == "step 'slim_onnx': SystemError: slimming failed"


def test_nothing_reaches_the_terminal(
    tiny: Workload, built: Callable[..., Artifact], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, context = built(EXPORT), BuildContext(tiny, lambda text: None)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    capfd.readouterr()
    OptimizeOnnx().apply(source, OptimizeOnnxParams(), context, tmp_path / "a")
    SlimOnnx().apply(source, SlimOnnxParams(), context, tmp_path / "b")
    assert capfd.readouterr() == ("", "")


def test_what_is_new() -> None:
    assert gained({"Conv": 4, "Relu": 3}, {"Conv": 2, "Relu": 4, "FusedConv": 2}) == {"Relu": 1, "FusedConv": 2}
