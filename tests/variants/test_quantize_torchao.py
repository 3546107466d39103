"""Int8 by torchao: layers are truly quantized, the answers agree, and nothing quantized is a failure."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.workloads import Workload

LINEAR = {"name": "quantize_torchao"}
GRAPH = {"name": "quantize_pt2e"}
COMPILE = {"name": "compile", "freezing": True, "dynamic": False}


def flips(exact: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((exact.argmax(1) != other.argmax(1)).mean())


@pytest.mark.parametrize(("mode", "precision"), [("dynamic_int8", "int8"), ("weight_int8", "int8 weights")])
def test_linear_layers_are_quantized_and_agree(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray], mode: str, precision: str
) -> None:
    artifact = built({**LINEAR, "mode": mode})
    changed = artifact.steps[0].changed
    assert artifact.format == "pt2"
    assert changed["quantized_nodes"] == {"Linear": 2}
    assert changed["layers"] == {"Conv2d": 4, "Linear": 2}
    assert "calibration_set" not in changed
    assert open_session(artifact, RuntimeSettings()).effective()["precision"] == precision
    exact, quantized = scores(tiny.source), scores(artifact)
    assert flips(exact, quantized) <= 0.02
    assert 0 < np.abs(exact - quantized).max() < 0.1 * np.abs(exact).max()


def test_a_graph_is_quantized_and_agrees(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built({**GRAPH, "calibration_rows": 64})
    changed = artifact.steps[0].changed
    assert changed["quantized_nodes"] == changed["layers"] == {"conv2d": 4, "linear": 2}
    assert {"dequantize_per_tensor", "quantize_per_tensor"} <= set(changed["converting_nodes"])
    assert changed["converting_nodes"]["quantize_per_tensor"] >= 6
    assert changed["calibration_rows"] == 64
    assert changed["calibration_set"] == "training split, stratified by class, seed 0"
    assert "notice" not in changed
    assert artifact.meta == {"precision": "int8", "torchao": True}
    exact, quantized = scores(tiny.source), scores(artifact)
    assert flips(exact, quantized) <= 0.03
    assert np.abs(exact - quantized).max() > 0


def test_compiled_it_computes_in_int8(built: Callable[..., Artifact], own_model: Callable[[str], Workload]) -> None:
    workload = own_model("narrow")
    artifact = built({**GRAPH, "calibration_rows": 32}, COMPILE, on=workload)
    changed = artifact.steps[1].changed
    assert artifact.format == "torch_tuned"
    assert changed["packed_layers"] >= 2
    session = open_session(artifact, RuntimeSettings())
    prepared = session.prepare({"image": workload.data.test.inputs["image"][:32]})
    session.compile(prepared)
    exact = open_session(workload.source, RuntimeSettings())
    np.testing.assert_allclose(
        session.outputs(session.run(prepared))[0],
        exact.outputs(exact.run(exact.prepare({"image": workload.data.test.inputs["image"][:32]})))[0],
        atol=0.05,
    )


@pytest.mark.parametrize(
    ("step", "sentence"),
    [
        (LINEAR, "no layer was quantized; the model has no linear layer that torchao takes"),
        (GRAPH, "no layer was quantized; the graph has none that the quantizer knows"),
    ],
    ids=["linear", "graph"],
)
def test_nothing_to_quantize_is_a_failure(
    failure: Callable[..., str], own_model: Callable[[str], Workload], step: dict[str, Any], sentence: str
) -> None:
    assert failure(step, on=own_model("flat")) == f"step '{step['name']}': {sentence}"


def test_a_model_that_cannot_be_exported(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    said = failure(GRAPH, on=own_model("branching"))
    assert said.startswith("step 'quantize_pt2e': ")
    assert "\n" not in said


def test_its_kernels_are_for_x86(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "aarch64")
    assert failure(GRAPH) == "step 'quantize_pt2e': its int8 kernels are for x86, and this is aarch64"


def test_serving_without_torchao_names_the_extra(
    built: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    artifact = built(LINEAR)
    monkeypatch.setitem(sys.modules, "torchao.quantization.pt2e.quantize_pt2e", None)
    with pytest.raises(WorkerError, match=r"not installed: pip install 'mlflow-mlbench\[torchao\]'"):
        open_session(artifact, RuntimeSettings())
