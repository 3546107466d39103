"""Small artifacts of each format, made directly, without the steps that make them in a study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_artifacts import ARGS, DIGITS, IMAGE, LOGITS, artifact_of

from mlbench.records import Artifact


@pytest.fixture
def module_artifact(tmp_path: Path) -> Artifact:
    from mlbench.workloads.nets import digits_cnn

    torch.manual_seed(0)
    return artifact_of(digits_cnn(**ARGS).eval(), tmp_path / "module", DIGITS, ARGS)


@pytest.fixture
def script_artifact(module_artifact: Artifact, tmp_path: Path) -> Artifact:
    from mlbench.runtimes.torch_module import load_module

    path = tmp_path / "script"
    path.mkdir()
    torch.jit.trace(load_module(module_artifact), torch.zeros(2, 1, 8, 8)).save(str(path / "model.ts"))
    return Artifact("1" * 64, "torchscript", str(path), "model.ts", IMAGE, LOGITS, 0)


@pytest.fixture
def onnx_artifact(tmp_path: Path) -> Artifact:
    """One linear layer on the flattened image, weights 0, 1, 2 ..."""
    weight = np.arange(640, dtype=np.float32).reshape(64, 10)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "weight"], ["logits"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 10])],
        [numpy_helper.from_array(weight, "weight")],
    )
    path = tmp_path / "onnx"
    path.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, path / "model.onnx")
    return Artifact("2" * 64, "onnx", str(path), "model.onnx", IMAGE, LOGITS, 0, meta={"precision": "float32"})


@pytest.fixture
def batch() -> dict[str, np.ndarray[Any, Any]]:
    return {"image": np.random.default_rng(0).random((5, 1, 8, 8), dtype=np.float32)}
