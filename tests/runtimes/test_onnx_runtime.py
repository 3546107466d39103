"""The ONNX runtime: computes what the graph says, says what is in force, refuses what it cannot serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.onnx_runtime import OnnxRuntime, OnnxSession

Batch = dict[str, np.ndarray[Any, Any]]


def load(artifact: Artifact, **settings: Any) -> OnnxSession:
    runtime = OnnxRuntime()
    runtime.import_library()
    return runtime.load(artifact, RuntimeSettings(**settings))


def refusal(artifact: Artifact, **settings: Any) -> str:
    with pytest.raises(WorkerError) as caught:
        load(artifact, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("level", ["disable", "basic", "extended", "layout", "all"])
def test_it_computes_what_the_graph_says(onnx_artifact: Artifact, batch: Batch, level: str) -> None:
    session = load(onnx_artifact, options={"graph_level": level})
    (result,) = session.outputs(session.run(session.prepare(batch)))
    weight = np.arange(640, dtype=np.float32).reshape(64, 10)
    np.testing.assert_allclose(result, batch["image"].reshape(5, 64) @ weight, rtol=1e-4)
    assert session.effective()["graph_level"] == level


def test_what_is_in_force(onnx_artifact: Artifact) -> None:
    assert load(onnx_artifact, threads=2, inter_threads=1).effective() == {
        "runtime": "onnxruntime",
        "version": onnxruntime.__version__,
        "format": "onnx",
        "device": "cpu",
        "providers": "CPUExecutionProvider",
        "threads": 2,
        "inter_threads": 1,
        "graph_level": "all",
        "allow_spinning": False,
        "precision": "float32",
    }


@pytest.mark.parametrize("spinning", [True, False])
def test_idle_threads_spin_only_when_asked(onnx_artifact: Artifact, spinning: bool) -> None:
    session = load(onnx_artifact, options={"allow_spinning": spinning})
    entry = session._session_options.get_session_config_entry
    assert entry("session.intra_op.allow_spinning") == entry("session.inter_op.allow_spinning") == str(int(spinning))


def test_a_batch_without_an_input(onnx_artifact: Artifact) -> None:
    with pytest.raises(WorkerError, match="the batch has no input 'image'; it has picture"):
        load(onnx_artifact).prepare({"picture": np.zeros(1)})


def test_a_damaged_file(onnx_artifact: Artifact) -> None:
    path = Path(onnx_artifact.path) / "model.onnx"
    path.write_bytes(path.read_bytes()[:100])
    assert f"{path} cannot be loaded by onnxruntime: " in refusal(onnx_artifact)
    path.unlink()
    assert f"{path} cannot be loaded by onnxruntime: " in refusal(onnx_artifact)


def test_options_that_do_not_exist(onnx_artifact: Artifact) -> None:
    assert refusal(onnx_artifact, options={"graph_lvl": "all", "allow_spinning": 1}) == (
        "runtime.options: unknown option 'graph_lvl'; did you mean graph_level?; "
        "runtime.options: 'allow_spinning' is 1, but must be one of true, false"
    )


def test_a_provider_that_this_build_does_not_have(onnx_artifact: Artifact) -> None:
    said = refusal(onnx_artifact, options={"providers": ["CPUExecutionProvidr"]})
    assert said.startswith(
        "this onnxruntime has no execution provider 'CPUExecutionProvidr'; did you mean CPUExecutionProvider"
    )
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert "no execution provider 'CUDAExecutionProvider'" in refusal(onnx_artifact, device="cuda")
        for asked in (RuntimeSettings(device="cuda"), RuntimeSettings(options={"providers": ["CUDAExecutionProvider"]})):
            with pytest.raises(WorkerError, match="no execution provider 'CUDAExecutionProvider'"):
                OnnxRuntime().check_available(asked)
    OnnxRuntime().check_available(RuntimeSettings())


def test_a_provider_that_does_not_start_is_no_silent_fallback(
    onnx_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ONNX Runtime itself would go on with the CPU."""
    real = onnxruntime.InferenceSession
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    monkeypatch.setattr(
        onnxruntime,
        "InferenceSession",
        lambda path, options, providers: real(path, options, providers=["CPUExecutionProvider"]),
    )
    assert refusal(onnx_artifact, device="cuda") == (
        "onnxruntime could not start CUDAExecutionProvider and would run on CPUExecutionProvider"
    )
