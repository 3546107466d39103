"""OpenVINO steps: layers are truly quantized, weights truly packed, the answers agree, and no change is a failure."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.variants import BuildContext
from mlbench.variants.openvino_steps import (
    CompressOpenVino,
    CompressOpenVinoParams,
    QuantizeOpenVino,
    QuantizeOpenVinoParams,
    _model_type,
)
from mlbench.workloads import Workload

EXPORT = {"name": "export_onnx"}
CONVERT = {"name": "convert_openvino"}
QUANTIZE = {"name": "quantize_openvino"}
COMPRESS = {"name": "compress_openvino"}


def flips(exact: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> float:
    return float((exact.argmax(1) != other.argmax(1)).mean())


@pytest.mark.parametrize("weights", ["float32", "float16"])
def test_the_answers_stay(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray], weights: str
) -> None:
    artifact = built(EXPORT, {**CONVERT, "weights": weights})
    assert artifact.format == "openvino"
    assert artifact.meta == {"precision": "float32"}
    assert {path.name for path in Path(artifact.path).iterdir()} == {"model.xml", "model.bin", "artifact.json"}
    assert 0 <= artifact.steps[1].changed["max_abs_diff"] < 1e-2
    assert artifact.steps[1].changed["checked_batch_sizes"] == [1, 2, 7, 32]
    np.testing.assert_allclose(scores(artifact), scores(tiny.source), atol=1e-4 if weights == "float32" else 1e-2)


def test_float16_on_disk_is_smaller(built: Callable[..., Artifact]) -> None:
    full, half = built(EXPORT, CONVERT), built(EXPORT, {**CONVERT, "weights": "float16"})
    assert (Path(half.path) / "model.bin").stat().st_size < 0.6 * (Path(full.path) / "model.bin").stat().st_size


def test_layers_are_quantized_and_agree(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(EXPORT, CONVERT, {**QUANTIZE, "calibration_rows": 64})
    changed = artifact.steps[2].changed
    assert changed["quantized_nodes"] == changed["layers"] == {"Convolution": 4, "MatMul": 2}
    assert (changed["model_type"], changed["calibration_rows"]) == ("none", 64)
    assert changed["calibration_set"] == "training split, stratified by class, seed 0"
    assert changed["converting_nodes"]["FakeQuantize"] >= 6
    assert artifact.meta == {"precision": "int8"}
    found = open_session(artifact, RuntimeSettings()).effective()
    assert found["precision"] == "int8"
    assert sum(int(part.split(": ")[1]) for part in found["kernels"].split(", ") if "8" in part) == 6
    assert flips(scores(tiny.source), scores(artifact)) <= 0.04


def test_a_transformer_is_seen_and_can_be_denied(
    built: Callable[..., Artifact], own_model: Callable[[str], Workload]
) -> None:
    workload = own_model("attentive")
    steps = (EXPORT, CONVERT)
    changed = built(*steps, {**QUANTIZE, "calibration_rows": 8}, on=workload).steps[2].changed
    assert changed["model_type"] == "transformer"
    assert "notice" not in changed
    denied = built(*steps, {**QUANTIZE, "calibration_rows": 8, "model_type": "none"}, on=workload).steps[2].changed
    assert "model_type: transformer" in denied["notice"]


@pytest.mark.parametrize(
    ("params", "kinds"),
    [({}, {"u8"}), ({"symmetric": True}, {"i8"}), ({"bits": 4, "group_size": 16}, {"u4", "u8"})],
    ids=["asymmetric", "symmetric", "four"],
)
def test_weights_are_packed(
    built: Callable[..., Artifact],
    scores: Callable[..., np.ndarray],
    params: dict[str, Any],
    kinds: set[str],
) -> None:
    source, artifact = built(EXPORT, CONVERT), built(EXPORT, CONVERT, {**COMPRESS, **params})
    changed = artifact.steps[2].changed
    assert changed["quantized_nodes"] == changed["layers"] == {"Convolution": 4, "MatMul": 2}
    packed = changed["packed_weights"]
    assert set(packed) == kinds
    assert sum(packed.values()) > 9000
    assert artifact.size_bytes < source.size_bytes
    assert 0 <= flips(scores(source), scores(artifact)) <= 0.04


def test_nothing_to_quantize_is_a_failure(
    failure: Callable[..., str], own_model: Callable[[str], Workload], monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = own_model("flat")
    assert failure(EXPORT, CONVERT, {**QUANTIZE, "calibration_rows": 4}, on=flat) == (
        "step 'quantize_openvino': no layer was quantized; the model has none that NNCF knows"
    )


def test_nothing_to_pack_is_a_failure(failure: Callable[..., str], own_model: Callable[[str], Workload]) -> None:
    said = failure(EXPORT, CONVERT, COMPRESS, on=own_model("bare"))
    assert said == "step 'compress_openvino': no weight was compressed; the model has none that NNCF knows"


def test_the_tools_words_are_kept(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    import nncf

    def broken(*rest: Any, **options: Any) -> None:
        raise RuntimeError("nothing here\n\nunsupported operation")

    monkeypatch.setattr(nncf, "quantize", broken)
    assert failure(EXPORT, CONVERT, QUANTIZE) == (
        "step 'quantize_openvino': RuntimeError: nothing here; unsupported operation"
    )


def test_what_does_not_count_makes_no_other_artifact(tiny: Workload) -> None:
    context = BuildContext(tiny, lambda text: None)
    eight = CompressOpenVinoParams(bits=8, group_size=16, ratio=0.5)
    assert CompressOpenVino().resolve(eight, context) == CompressOpenVinoParams(bits=8)
    four = CompressOpenVinoParams(bits=4, group_size=16, ratio=0.5)
    assert CompressOpenVino().resolve(four, context) == four


@pytest.mark.parametrize(
    ("kinds", "found"),
    [
        ({"MatMul": 9, "Softmax": 2}, "transformer"),
        ({"MatMul": 9, "ScaledDotProductAttention": 2}, "transformer"),
        ({"Convolution": 9, "Softmax": 1}, "none"),
        ({"MatMul": 2}, "none"),
    ],
)
def test_how_a_transformer_is_seen(kinds: dict[str, int], found: str) -> None:
    assert _model_type(Counter(kinds)) == found


def test_nothing_is_printed_and_no_statistics_are_sent(
    tiny: Workload,
    built: Callable[..., Artifact],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import nncf

    seen: list[str | None] = []
    quantize = nncf.quantize
    monkeypatch.setattr(
        nncf, "quantize", lambda *rest, **options: seen.append(os.environ.get("NNCF_CI")) or quantize(*rest, **options)
    )
    monkeypatch.delenv("NNCF_CI", raising=False)
    source = built(EXPORT, CONVERT)
    capfd.readouterr()
    step = QuantizeOpenVino()
    step.apply(source, QuantizeOpenVinoParams(calibration_rows=8), BuildContext(tiny, lambda text: None), tmp_path)
    assert capfd.readouterr() == ("", "")
    assert seen == ["1"]
    assert "NNCF_CI" not in os.environ
