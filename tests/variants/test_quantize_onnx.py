"""Int8 for ONNX Runtime: nodes are truly quantized, the answers agree, the preset fits the CPU."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.quantize_onnx import (
    QuantizeOnnxDynamic,
    QuantizeOnnxDynamicParams,
    QuantizeOnnxStatic,
    QuantizeOnnxStaticParams,
    _unsuited,
    count_quantized,
)
from mlbench.workloads import Workload

EXPORT = {"name": "export_onnx"}
STATIC = {"name": "quantize_onnx_static"}
DYNAMIC = {"name": "quantize_onnx_dynamic"}


def weight_kinds(artifact: Artifact) -> set[int]:
    graph = onnx.load(Path(artifact.path) / "model.onnx").graph
    return {item.data_type for item in graph.initializer if "weight_quantized" in item.name}


def agrees(exact: np.ndarray[Any, Any], quantized: np.ndarray[Any, Any]) -> bool:
    flips = (exact.argmax(1) != quantized.argmax(1)).mean()
    return bool(flips <= 0.02 and 0 < np.abs(exact - quantized).max() < 0.1 * np.abs(exact).max())


def test_static_quantizes_and_agrees(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(EXPORT, STATIC)
    record = artifact.steps[1]
    assert (record.changed["quantized_nodes"]["Conv"], record.changed["quantized_nodes"]["Gemm"]) == (4, 2)
    assert record.changed["calibration_rows"] == 256
    assert record.changed["calibration_set"] == "training split, stratified by class, seed 0"
    assert record.changed["symbolic_shapes"] is True
    assert record.params["instruction_set"] != "auto"
    assert isinstance(record.params["reduce_range"], bool)
    assert record.changed["validation_flip_rate"] <= 0.02
    assert artifact.meta == {"precision": "int8"}
    assert artifact.size_bytes < tiny.source.size_bytes
    assert {path.name for path in Path(artifact.path).iterdir()} == {"model.onnx", "artifact.json"}
    assert weight_kinds(artifact) == {TensorProto.INT8}
    assert agrees(scores(tiny.source), scores(artifact))


def test_dynamic_quantizes_and_agrees(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(EXPORT, DYNAMIC)
    assert artifact.steps[1].changed["quantized_nodes"] == {"ConvInteger": 4, "MatMulInteger": 2}
    assert artifact.steps[1].changed["layers"] == {"Conv": 4, "Gemm": 2}
    assert set(artifact.steps[1].changed["converting_nodes"]) == {"DynamicQuantizeLinear"}
    assert not {"calibration_rows", "calibration_set"} & set(artifact.steps[1].changed)
    assert artifact.size_bytes < built(EXPORT).size_bytes
    assert agrees(scores(tiny.source), scores(artifact))


@pytest.mark.parametrize("calibration", ["entropy", "percentile"])
def test_other_ways_to_calibrate(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray], calibration: str
) -> None:
    artifact = built(EXPORT, {**STATIC, "calibration": calibration, "calibration_rows": 64})
    assert artifact.steps[1].changed["calibration_rows"] == 64
    assert (scores(tiny.source).argmax(1) != scores(artifact).argmax(1)).mean() <= 0.05


def test_parameters_reach_the_graph(built: Callable[..., Artifact]) -> None:
    unsigned = built(EXPORT, {**STATIC, "weight_type": "uint8", "per_channel": False})
    assert weight_kinds(unsigned) == {TensorProto.UINT8}
    graph = onnx.load(Path(unsigned.path) / "model.onnx").graph
    assert all(item.dims == [] for item in graph.initializer if item.name.endswith("weight_scale"))
    seven = built(EXPORT, {**STATIC, "weight_type": "int8", "reduce_range": True})
    eight = built(EXPORT, {**STATIC, "weight_type": "int8", "reduce_range": False})

    def largest(artifact: Artifact) -> int:
        graph = onnx.load(Path(artifact.path) / "model.onnx").graph
        arrays = [numpy_helper.to_array(item) for item in graph.initializer if "weight_quantized" in item.name]
        return max(int(np.abs(array.astype(int)).max()) for array in arrays)

    assert (largest(seven), largest(eight)) == (64, 127)


def context(tiny: Workload) -> BuildContext:
    return BuildContext(tiny, lambda text: None)


@pytest.mark.parametrize(
    ("cpu", "static", "dynamic"),
    [
        ("avx2", ("int8", True), ("uint8", False)),
        ("avx512", ("int8", True), ("int8", False)),
        ("avx512_vnni", ("int8", False), ("int8", False)),
        ("arm64", ("int8", False), ("int8", False)),
    ],
)
def test_weights_fit_the_cpu(
    tiny: Workload, monkeypatch: pytest.MonkeyPatch, cpu: str, static: tuple[str, bool], dynamic: tuple[str, bool]
) -> None:
    monkeypatch.setattr("mlbench.variants.quantize_onnx.instruction_set", lambda: cpu)
    found = QuantizeOnnxStatic().resolve(QuantizeOnnxStaticParams(), context(tiny))
    assert (found.instruction_set, found.weight_type, found.reduce_range) == (cpu, *static)
    other = QuantizeOnnxDynamic().resolve(QuantizeOnnxDynamicParams(), context(tiny))
    assert (other.instruction_set, other.weight_type, other.reduce_range) == (cpu, *dynamic)


def test_what_is_asked_for_wins(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.variants.quantize_onnx.instruction_set", lambda: None)
    asked = QuantizeOnnxStaticParams(instruction_set="avx512", weight_type="uint8", reduce_range=True)
    assert QuantizeOnnxStatic().resolve(asked, context(tiny)) == asked
    plain = QuantizeOnnxStatic().resolve(
        QuantizeOnnxStaticParams(instruction_set="avx2", reduce_range=False), context(tiny)
    )
    assert (plain.weight_type, plain.reduce_range) == ("int8", False)
    signed = QuantizeOnnxDynamicParams(instruction_set="avx2", weight_type="int8", reduce_range=True)
    assert QuantizeOnnxDynamic().resolve(signed, context(tiny)) == signed


def test_a_cpu_without_preset(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.variants.quantize_onnx.instruction_set", lambda: None)
    for step, params in (
        (QuantizeOnnxStatic(), QuantizeOnnxStaticParams()),
        (QuantizeOnnxDynamic(), QuantizeOnnxDynamicParams()),
    ):
        with pytest.raises(BuildError, match="Optimum has no preset for this CPU; name the nearest one"):
            step.resolve(params, context(tiny))  # type: ignore[attr-defined]  # either of the two


@pytest.mark.parametrize("step", [STATIC, DYNAMIC])
def test_nothing_to_quantize(
    failure: Callable[..., str], own_model: Callable[[str], Workload], step: dict[str, Any]
) -> None:
    assert "no node was quantized; the graph has none that ONNX Runtime's quantizer knows" in failure(
        EXPORT, step, on=own_model("flat")
    )


def test_a_tools_failure_keeps_its_words(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    from optimum.onnxruntime import ORTQuantizer

    def fail(self: Any, *rest: Any, **more: Any) -> None:
        sys.stdout.write("a hint on the way\n")
        raise ValueError("cannot do this")

    monkeypatch.setattr(ORTQuantizer, "quantize", fail)
    said = failure(EXPORT, DYNAMIC)
    assert said.startswith("step 'quantize_onnx_dynamic': ValueError: cannot do this (")
    assert "a hint on the way" in said


def test_graphs_without_symbolic_shapes_are_taken_and_recorded(
    tiny: Workload, built: Callable[..., Artifact], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization import shape_inference

    real = shape_inference.quant_pre_process

    def incomplete(source: Path, target: Path, *, skip_symbolic_shape: bool = False) -> None:
        if not skip_symbolic_shape:
            raise Exception("Incomplete symbolic shape inference")  # noqa: TRY002 - as the tool does
        real(source, target, skip_symbolic_shape=True)

    monkeypatch.setattr(shape_inference, "quant_pre_process", incomplete)
    step = QuantizeOnnxDynamic()
    params = step.resolve(QuantizeOnnxDynamicParams(), context(tiny))
    made = step.apply(built(EXPORT), params, context(tiny), tmp_path)
    assert made.changed["symbolic_shapes"] is False
    assert made.changed["quantized_nodes"]


def test_another_failure_of_the_preparation_is_told(
    failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization import shape_inference

    def broken(source: Path, target: Path) -> None:
        raise ValueError("no such operator")

    monkeypatch.setattr(shape_inference, "quant_pre_process", broken)
    assert "ValueError: no such operator" in failure(EXPORT, STATIC)


def test_nothing_reaches_the_terminal(
    tiny: Workload, built: Callable[..., Artifact], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = built(EXPORT)
    capfd.readouterr()
    step = QuantizeOnnxStatic()
    params = step.resolve(QuantizeOnnxStaticParams(calibration="entropy", calibration_rows=32), context(tiny))
    step.apply(source, params, context(tiny), tmp_path)
    assert capfd.readouterr() == ("", "")


def test_a_dequantized_bias_or_weight_alone_is_no_quantized_node(tmp_path: Path) -> None:
    def node(kind: str, inputs: list[str], output: str) -> onnx.NodeProto:
        return helper.make_node(kind, inputs, [output])

    nodes = [
        node("DequantizeLinear", ["wq", "s", "z"], "w"),
        node("DequantizeLinear", ["bq", "s", "z"], "b"),
        node("Gemm", ["x", "w", "b"], "weights_only"),
        node("QuantizeLinear", ["x", "s", "z"], "xq"),
        node("DequantizeLinear", ["xq", "s", "z"], "xd"),
        node("Gemm", ["xd", "w", "b"], "both"),
        node("Relu", ["x"], "plain"),
        node("Relu", ["both"], "after"),
    ]
    graph = helper.make_graph(nodes, "g", [], [helper.make_tensor_value_info("after", TensorProto.FLOAT, None)])
    onnx.save(helper.make_model(graph), tmp_path / "m.onnx")
    assert count_quantized(tmp_path / "m.onnx") == {"Gemm": 1}


@pytest.mark.parametrize(
    ("operators", "static", "words"),
    [
        ({"Conv": 4, "Gemm": 2}, False, "4 convolutions"),
        ({"Conv": 4, "Gemm": 2}, True, ""),
        ({"MatMul": 8, "Softmax": 2}, True, "transformer"),
        ({"MatMul": 8, "Softmax": 2}, False, ""),
        ({"Gemm": 2}, True, ""),
    ],
)
def test_what_does_not_suit_the_graph_is_said(operators: dict[str, int], static: bool, words: str) -> None:
    said = _unsuited(operators, static=static)
    assert (words in said) if words else said == ""


def test_the_notice_is_in_the_record(built: Callable[..., Artifact]) -> None:
    assert "quantize_onnx_static is made for them" in built(EXPORT, DYNAMIC).steps[1].changed["notice"]
    assert "notice" not in built(EXPORT, STATIC).steps[1].changed


def test_what_shape_inference_leaves_behind_is_not_left_with_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from onnxruntime.quantization import shape_inference

    from mlbench.variants import quantize_onnx

    asked = []

    def fails(source: Path, target: Path, *, skip_symbolic_shape: bool = False) -> None:
        asked.append((source, target, skip_symbolic_shape))
        if not skip_symbolic_shape:
            Path("sym_shape_infer_temp.onnx").write_bytes(b"the model")
            raise Exception("Incomplete symbolic shape inference")  # noqa: TRY002 - as the tool does

    monkeypatch.setattr(shape_inference, "quant_pre_process", fails)
    for name in ("user", "work"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "user")
    assert not quantize_onnx._prepare(Path("m.onnx"), tmp_path / "work" / "p.onnx")
    assert not list(Path.cwd().iterdir())
    assert Path.cwd() == tmp_path / "user"
    assert asked[1] == (tmp_path / "user" / "m.onnx", tmp_path / "work" / "p.onnx", True)
