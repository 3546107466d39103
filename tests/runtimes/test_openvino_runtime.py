"""The OpenVINO runtime: nothing is left to defaults that depend on the machine, and what is in force is read back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.openvino_runtime import OpenVino, _properties

Batch = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def artifact(onnx_artifact: Artifact, tmp_path: Path) -> Artifact:
    import openvino as ov

    out = tmp_path / "openvino"
    out.mkdir()
    model = ov.Core().read_model(Path(onnx_artifact.path) / onnx_artifact.entry)
    ov.save_model(model, out / "model.xml", compress_to_fp16=False)
    return replace(onnx_artifact, format="openvino", path=str(out), entry="model.xml")


def load(artifact: Artifact, **settings: Any) -> Any:
    runtime = OpenVino()
    runtime.import_library()
    return runtime.load(artifact, RuntimeSettings(**settings))


def refusal(artifact: Artifact, **settings: Any) -> str:
    with pytest.raises(WorkerError) as caught:
        load(artifact, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("rows", [1, 5])
def test_it_answers(artifact: Artifact, batch: Batch, rows: int) -> None:
    session = load(artifact)
    image = batch["image"][:rows]
    (result,) = session.outputs(session.run(session.prepare({"image": image, "other": image})))
    weight = np.arange(640, dtype=np.float32).reshape(64, 10)
    np.testing.assert_allclose(result, image.reshape(rows, -1) @ weight, rtol=1e-5)


def test_what_is_in_force(artifact: Artifact) -> None:
    import openvino as ov

    found = load(artifact, threads=1).effective()
    assert found["version"] == ov.get_version().partition("-")[0]
    assert (found["runtime"], found["threads"], found["streams"]) == ("openvino", 1, 1)
    assert (found["precision"], found["inference_precision"], found["cpu_pinning"]) == ("float32", "f32", False)
    assert found["kernels"] == "f32: 1"
    assert found["hint"] == "latency"
    assert load(artifact, options={"hint": "throughput"}).effective()["hint"] == "throughput"
    assert load(artifact, options={"hint": "none"}).effective()["hint"] == "latency"  # its own choice
    assert load(replace(artifact, meta={"precision": "int8"})).effective()["precision"] == "int8"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"hint": "latency"}, {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": "1"}),
        ({"hint": "none", "streams": 2}, {"NUM_STREAMS": "2"}),
        ({"hint": "throughput"}, {"PERFORMANCE_HINT": "THROUGHPUT"}),
    ],
)
def test_the_hint_chooses_streams_only_where_it_is_asked_to(options: dict[str, Any], expected: dict[str, str]) -> None:
    always = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 2, "ENABLE_CPU_PINNING": False}
    assert _properties({"precision": "f32", "streams": None, **options}, 2) == {**always, **expected}


def test_settings_that_cannot_be_served(artifact: Artifact, batch: Batch) -> None:
    assert "'streams' is 0, but must be a whole number of at least 1" in refusal(artifact, options={"streams": 0})
    assert "'precision' is 'fp8', but must be one of f32, bf16, f16" in refusal(artifact, options={"precision": "fp8"})
    assert refusal(artifact, device="cuda") == "the openvino runtime serves on the CPU, but runtime.device is cuda"
    with pytest.raises(WorkerError, match="the batch has no input 'image'; it has picture"):
        load(artifact).prepare({"picture": batch["image"]})


def test_another_precision_in_force_is_refused(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlbench.runtimes import openvino_runtime

    monkeypatch.setattr(openvino_runtime, "_properties", lambda options, threads: {"INFERENCE_PRECISION_HINT": "f32"})
    assert refusal(artifact, options={"precision": "bf16"}) == (
        "runtime.options: precision is bf16, but openvino computes in f32 on this CPU"
    )


def test_a_precision_that_is_not_here_is_found_without_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    from mlbench.runtimes import openvino_runtime

    runtime = OpenVino()
    runtime.check_available(RuntimeSettings())
    with pytest.raises(WorkerError, match="serves on the CPU, but"):
        runtime.check_available(RuntimeSettings(device="cuda"))
    asked = RuntimeSettings(options={"precision": "bf16"})
    monkeypatch.setattr(openvino_runtime, "_properties", lambda options, threads: {"INFERENCE_PRECISION_HINT": "f32"})
    with pytest.raises(WorkerError, match="precision is bf16, but openvino computes in f32 on this CPU"):
        runtime.check_available(asked)
    monkeypatch.setattr(openvino_runtime, "_properties", lambda options, threads: {"INFERENCE_PRECISION_HINT": "bf16"})
    runtime.check_available(asked)
    monkeypatch.setattr(openvino_runtime, "_properties", lambda options, threads: {"NUM_STREAMS": "many"})
    with pytest.raises(WorkerError, match="openvino cannot have these settings here: "):
        runtime.check_available(asked)


def test_a_file_that_cannot_be_read(artifact: Artifact) -> None:
    path = Path(artifact.path) / artifact.entry
    path.unlink()
    assert f"{path} cannot be loaded by openvino: " in refusal(artifact)


def test_its_counters_tell_operators_and_kernels(artifact: Artifact, batch: Batch) -> None:
    (profile,) = OpenVino().profile(artifact, RuntimeSettings(), [batch])
    assert profile.batch_size == 5
    kinds = {item.operator: item.where for item in profile.operators}
    assert any("MatMul" in kind or "FullyConnected" in kind for kind in kinds)
    assert all(kinds.values())
    counting = load(artifact)._compiled.get_property("PERF_COUNT")
    assert counting in {"NO", False}  # where it is measured, nothing counts
