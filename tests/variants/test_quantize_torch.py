"""Int8 in torch: layers are truly quantized, the answers agree, and what cannot be done says why."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.quantize_torch import QuantizeTorchInt8, QuantizeTorchInt8Params
from mlbench.workloads import Workload

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")

STEP = {"name": "quantize_torch_int8"}


def test_layers_are_quantized_and_agree(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(STEP)
    record = artifact.steps[0]
    assert artifact.format == "torchscript"
    assert record.changed["quantized_nodes"] == {"ConvReLU2d": 4, "Linear": 1, "LinearReLU": 1}
    assert record.changed["layers"] == {"Conv2d": 4, "Linear": 2}
    assert record.changed["calibration_rows"] == 256
    assert record.changed["calibration_set"] == "training split, stratified by class, seed 0"
    assert record.changed["deprecated"] == "torch.ao.quantization"
    assert record.params["engine"] in torch.backends.quantized.supported_engines
    assert artifact.meta == {"precision": "int8", "quantized_engine": record.params["engine"]}
    assert artifact.size_bytes < tiny.source.size_bytes
    exact, quantized = scores(tiny.source), scores(artifact)
    assert (exact.argmax(1) != quantized.argmax(1)).mean() <= 0.02
    assert 0 < np.abs(exact - quantized).max() < 0.1 * np.abs(exact).max()


def test_rows_that_are_not_there_are_not_claimed(built: Callable[..., Artifact], tiny: Workload) -> None:
    changed = built({**STEP, "calibration_rows": 100_000}).steps[0].changed
    assert changed["calibration_rows"] == len(tiny.data.train)


def test_the_engine_of_this_process_is_left_alone(
    failure: Callable[..., str], own_model: Callable[..., Workload]
) -> None:
    before = torch.backends.quantized.engine
    failure({**STEP, "engine": "qnnpack"}, on=own_model("flat"))
    assert torch.backends.quantized.engine == before


def test_no_layer_to_quantize(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    assert failure(STEP, on=own_model("flat")) == (
        "step 'quantize_torch_int8': no layer was quantized; the model has none that torch.ao knows"
    )


def test_a_model_that_cannot_be_traced(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    said = failure(STEP, on=own_model("branching"))
    assert "symbolically traced variables cannot be used as inputs to control flow" in said


def test_a_trace_that_answers_differently(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    assert "the traced graph answers differently for a batch of 1" in failure(STEP, on=own_model("noisy"))


def test_a_torch_without_torch_ao(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.ao.quantization.quantize_fx", None)
    said = failure(STEP)
    assert f"torch {torch.__version__} no longer has torch.ao.quantization" in said
    assert "use an earlier torch or an ONNX variant" in said


def _resolve(tiny: Workload, engine: str) -> QuantizeTorchInt8Params:
    return QuantizeTorchInt8().resolve(
        QuantizeTorchInt8Params(engine=engine),  # type: ignore[arg-type]  # given by parameter
        BuildContext(tiny, lambda text: None),
    )


@pytest.mark.parametrize(
    ("supported", "engine"),
    [(["qnnpack", "onednn", "x86", "fbgemm"], "x86"), (["none", "qnnpack"], "qnnpack"), (["onednn"], "onednn")],
)
def test_the_engine_is_what_this_cpu_has(
    tiny: Workload, monkeypatch: pytest.MonkeyPatch, supported: list[str], engine: str
) -> None:
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", supported)
    assert _resolve(tiny, "auto").engine == engine
    assert _resolve(tiny, engine).engine == engine


def test_an_engine_that_is_not_there(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["none", "qnnpack"])
    with pytest.raises(BuildError, match="engine 'x86' is not supported here; qnnpack are"):
        _resolve(tiny, "x86")
    monkeypatch.setattr(type(torch.backends.quantized), "supported_engines", ["none"])
    with pytest.raises(BuildError, match="this build of torch has no engine for quantized models"):
        _resolve(tiny, "auto")


def test_nothing_reaches_the_terminal(tiny: Workload, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    context = BuildContext(tiny, lambda text: None)
    QuantizeTorchInt8().apply(tiny.source, _resolve(tiny, "auto"), context, tmp_path)
    assert capfd.readouterr() == ("", "")
