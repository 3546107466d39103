"""Counted weights, against counts made by hand and by torch itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from mlbench.records import Artifact, TensorSpec
from mlbench.runtimes.torch_module import load_module
from mlbench.variants.weights import counted
from mlbench.workloads import Workload


def artifact(folder: Path, format_: str, entry: str) -> Artifact:
    spec = (TensorSpec("x", "float32", (None, 4)),)
    return Artifact("d", format_, str(folder), entry, spec, spec, 1)


def graph(folder: Path, nodes: list[Any], **values: np.ndarray[Any, Any]) -> Artifact:
    """An ONNX file with these initializers; it need not be runnable."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    onnx.save_model(helper.make_model(made), folder / "model.onnx")
    return artifact(folder, "onnx", "model.onnx")


def numbers(found: Artifact) -> tuple[int | None, int | None]:
    assert not found.uncounted
    return found.parameters, found.nonzero


def test_a_torch_module_like_torch_counts_it(tiny: Workload) -> None:
    module = load_module(tiny.source)
    expected = sum(weight.numel() for weight in module.parameters())
    nonzero = sum(int((weight != 0).sum()) for weight in module.parameters())
    assert numbers(counted(tiny.source)) == (expected, nonzero)


def pruned_net() -> nn.Module:
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 3)).eval()
    with torch.no_grad():
        net[3].weight[:, :10] = 0
    return net


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
@pytest.mark.parametrize("frozen", [False, True])
def test_a_torchscript_file_also_where_freezing_made_constants_of_the_weights(tmp_path: Path, frozen: bool) -> None:
    script = torch.jit.trace(pruned_net(), torch.zeros(1, 1, 8, 8))
    (torch.jit.freeze(script) if frozen else script).save(str(tmp_path / "m.ts"))
    assert numbers(counted(artifact(tmp_path, "torchscript", "m.ts"))) == (475, 445)  # 36 + 4 + 432 + 3, 30 pruned


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_packed_weights_of_quantized_layers(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.ao.quantization import get_default_qconfig_mapping
        from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx

        example = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))
        prepared = prepare_fx(pruned_net(), get_default_qconfig_mapping("x86"), (example,))
        prepared(example)
        script = torch.jit.freeze(torch.jit.trace(convert_fx(prepared), example).eval())
    script.save(str(tmp_path / "m.ts"))
    parameters, nonzero = numbers(counted(artifact(tmp_path, "torchscript", "m.ts")))
    assert parameters == 475
    assert nonzero is not None
    assert 400 < nonzero <= 445  # rounding to eight bits makes a few more of them zero


def test_onnx_counts_weights_and_nothing_that_describes_them(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("BatchNormalization", ["x", "gamma", "beta", "mean", "variance"], ["a"]),
        helper.make_node("Reshape", ["a", "shape"], ["b"]),
        helper.make_node("Mul", ["b", "factor"], ["y"]),
    ]
    found = graph(
        tmp_path,
        nodes,
        gamma=np.array([1, 0, 2, 3], np.float32),
        beta=np.ones(4, np.float16),
        mean=np.ones(4, np.float32),
        variance=np.ones(4, np.float32),
        shape=np.array([-1, 4], np.int64),
        factor=np.array(3.0, np.float32),
    )
    assert numbers(counted(found)) == (8, 7)


def test_a_quantized_weight_is_zero_where_it_equals_its_zero_point(tmp_path: Path) -> None:
    weight = np.array([[5, 7], [0, 7], [5, 1]], np.uint8)  # zero points 5 and 7, by column
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "scale", "zero"], ["wf"], axis=1),
        helper.make_node("DequantizeLinear", ["bias", "scale"], ["bf"]),
        helper.make_node("Gemm", ["x", "wf", "bf"], ["y"]),
    ]
    found = graph(
        tmp_path,
        nodes,
        w=weight,
        scale=np.ones(2, np.float32),
        zero=np.array([5, 7], np.uint8),
        bias=np.array([0, 9], np.int32),
    )
    assert numbers(counted(found)) == (8, 3)  # 0 and 1 of the weights, 9 of the bias


@pytest.mark.parametrize(
    ("node", "inputs", "shape"),
    [("MatMulInteger", ["x", "w", "xz", "wz"], (3,)), ("ConvInteger", ["x", "w", "xz", "wz"], (2,))],
)
def test_integer_operators_have_their_zero_points_along_the_outputs(
    tmp_path: Path, node: str, inputs: list[str], shape: tuple[int, ...]
) -> None:
    weight = np.zeros((2, 3), np.int8)
    weight[0, 0] = 4
    points = np.zeros(shape, np.int8)
    points[-1] = 4  # the last output's zero is 4, so its zeros are not
    found = graph(tmp_path, [helper.make_node(node, inputs, ["y"])], w=weight, wz=points, xz=np.array(1, np.uint8))
    assert numbers(counted(found)) == (6, 1 + (2 if node == "MatMulInteger" else 3))


def test_what_cannot_be_counted_has_a_reason(tmp_path: Path) -> None:
    assert "format compiled do not show" in counted(artifact(tmp_path, "compiled", "m")).uncounted
    assert "cannot be counted" in counted(artifact(tmp_path, "onnx", "absent.onnx")).uncounted
    packed = graph(tmp_path, [helper.make_node("MatMulNBits", ["x", "w"], ["y"])], w=np.ones((4, 2), np.uint8))
    assert "several weights into a byte" in counted(packed).uncounted
    bare = graph(tmp_path, [helper.make_node("Relu", ["x"], ["y"])])
    assert counted(bare) == replace(bare, uncounted="no weights were found in its files")


def test_an_exported_program(tmp_path: Path) -> None:
    program = torch.export.export(pruned_net(), (torch.zeros(1, 1, 8, 8),))
    torch.export.save(program, tmp_path / "m.pt2")
    assert numbers(counted(artifact(tmp_path, "pt2", "m.pt2"))) == (475, 445)


def test_a_module_in_another_precision_has_as_many_weights(tiny: Workload) -> None:
    tuned = replace(tiny.source, format="torch_tuned", meta={**tiny.source.meta, "tuning": {"weights": "bfloat16"}})
    assert numbers(counted(tuned)) == numbers(counted(tiny.source))


def test_a_program_that_holds_weights_twice_is_not_counted(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(4, 3)).eval()
    net[0].register_buffer("_frozen_param0", torch.ones(3, 4, dtype=torch.int8))
    torch.export.save(torch.export.export(net, (torch.zeros(1, 4),)), tmp_path / "m.pt2")
    assert "beside the original ones" in counted(artifact(tmp_path, "pt2", "m.pt2")).uncounted


def test_tensors_of_torchao(tiny: Workload, built: Callable[..., Artifact]) -> None:
    pytest.importorskip("torchao")
    parameters, nonzero = numbers(counted(built({"name": "quantize_torchao"})))
    assert parameters == counted(tiny.source).parameters
    assert nonzero is not None
    assert 0.95 * parameters < nonzero <= parameters  # type: ignore[operator]
