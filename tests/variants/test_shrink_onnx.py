"""Smaller weights in ONNX files: they are really smaller, the answers agree, and no change is a failure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.shrink_onnx import ConvertOnnxFp16, QuantizeOnnxWeights, QuantizeOnnxWeightsParams
from mlbench.workloads import Workload

EXPORT = {"name": "export_onnx"}
FP16 = {"name": "convert_onnx_fp16"}
WEIGHTS = {"name": "quantize_onnx_weights"}


def test_float16_is_half_as_large_and_agrees(built: Callable[..., Artifact], scores: Callable[..., np.ndarray]) -> None:
    source, artifact = built(EXPORT), built(EXPORT, FP16)
    model = onnx.load(Path(artifact.path) / artifact.entry)
    assert {item.type.tensor_type.elem_type for item in (*model.graph.input, *model.graph.output)} == {
        onnx.TensorProto.FLOAT
    }
    changed = artifact.steps[1].changed
    assert changed["weights_converted"] > 1000
    assert changed["weights_kept_float32"] == 0
    assert changed["casts"] == 2  # one in, one out
    assert changed["validation_flip_rate"] == 0
    assert artifact.size_bytes < 0.7 * source.size_bytes
    assert artifact.meta == {"precision": "float16"}
    assert 0 < np.abs(scores(source) - scores(artifact)).max() < 0.05


def test_operators_can_be_kept(built: Callable[..., Artifact]) -> None:
    changed = built(EXPORT, {**FP16, "keep_operators": ["Gemm"]}).steps[1].changed
    assert changed["weights_kept_float32"] > 0 < changed["weights_converted"]


@pytest.mark.parametrize(("flags", "told"), [({"avx2"}, True), ({"avx512_fp16"}, False)])
def test_a_cpu_without_float16_is_named(
    tiny: Workload,
    built: Callable[..., Artifact],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    flags: set[str],
    told: bool,
) -> None:
    monkeypatch.setattr("mlbench.variants.cpu.cpu_flags", lambda: frozenset(flags))
    step = ConvertOnnxFp16()
    done = step.apply(built(EXPORT), step.params(), BuildContext(tiny, lambda text: None), tmp_path)
    assert ("no float16 arithmetic" in done.changed.get("notice", "")) is told


def test_an_overflow_is_refused(
    built: Callable[..., Artifact], tiny: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlbench.errors import BuildError
    from mlbench.variants import shrink_onnx

    def overflow(path: Path) -> Any:
        return lambda inputs: np.full((2, 10), np.inf, dtype=np.float32)

    monkeypatch.setattr(shrink_onnx, "answer_of", overflow)
    step = ConvertOnnxFp16()
    with pytest.raises(BuildError, match="values that are not finite"):
        step.apply(built(EXPORT), step.params(), BuildContext(tiny, lambda text: None), tmp_path)


def test_float16_twice_is_refused(failure: Callable[..., str]) -> None:
    assert "no weight was converted" in failure(EXPORT, FP16, FP16)


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_in_blocks(built: Callable[..., Artifact], scores: Callable[..., np.ndarray], bits: int) -> None:
    source, artifact = built(EXPORT), built(EXPORT, {**WEIGHTS, "bits": bits})
    assert artifact.steps[1].changed["quantized_nodes"] == {"MatMulNBits": 2}
    assert artifact.steps[1].changed["layers"] == {"Conv": 4, "Gemm": 2}
    assert artifact.steps[1].changed["bits"] == bits
    assert artifact.meta == {"precision": f"int{bits} weights"}
    assert artifact.size_bytes < source.size_bytes
    exact, packed = scores(source), scores(artifact)
    assert (exact.argmax(1) == packed.argmax(1)).mean() >= 0.95
    assert np.abs(exact - packed).max() > 0


def test_fewer_bits_are_smaller_and_less_exact(
    built: Callable[..., Artifact], scores: Callable[..., np.ndarray]
) -> None:
    four, eight = built(EXPORT, {**WEIGHTS, "bits": 4}), built(EXPORT, {**WEIGHTS, "bits": 8})
    assert four.size_bytes < eight.size_bytes
    exact = scores(built(EXPORT))
    assert np.abs(exact - scores(eight)).max() < np.abs(exact - scores(four)).max()


def test_no_linear_layer_is_a_failure(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    assert failure(EXPORT, WEIGHTS, on=own_model("flat")) == (
        "step 'quantize_onnx_weights': no layer was quantized; the graph has no linear layer with constant weights"
    )


def test_embeddings_want_four_bits(failure: Callable[..., str]) -> None:
    said = failure(EXPORT, {**WEIGHTS, "embeddings": True})
    assert said == "step 'quantize_onnx_weights': embeddings are quantized with bits: 4 only"


def test_nothing_reaches_the_terminal(
    tiny: Workload, built: Callable[..., Artifact], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source, context = built(EXPORT), BuildContext(tiny, lambda text: None)
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    capfd.readouterr()
    ConvertOnnxFp16().apply(source, ConvertOnnxFp16.params(), context, tmp_path / "a")
    QuantizeOnnxWeights().apply(source, QuantizeOnnxWeightsParams(), context, tmp_path / "b")
    assert capfd.readouterr() == ("", "")
