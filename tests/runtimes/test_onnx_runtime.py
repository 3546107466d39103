"""The ONNX runtime: computes what the graph says, says what is in force, refuses what it cannot serve."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.onnx_runtime import OnnxRuntime, OnnxSession, _nodes

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
        "io_binding": False,
        "memory_arena": True,
        "precision": "float32",
    }


@pytest.mark.parametrize("spinning", [True, False])
def test_idle_threads_spin_only_when_asked(onnx_artifact: Artifact, spinning: bool) -> None:
    session = load(onnx_artifact, options={"allow_spinning": spinning})
    entry = session._session_options.get_session_config_entry
    assert entry("session.intra_op.allow_spinning") == entry("session.inter_op.allow_spinning") == str(int(spinning))


@pytest.mark.parametrize("binding", [True, False])
def test_a_batch_without_an_input(onnx_artifact: Artifact, binding: bool) -> None:
    with pytest.raises(WorkerError, match="the batch has no input 'image'; it has picture"):
        load(onnx_artifact, options={"io_binding": binding}).prepare({"picture": np.zeros(1)})


def test_bound_batches_have_the_same_answers(onnx_artifact: Artifact, batch: Batch) -> None:
    plain, bound = load(onnx_artifact), load(onnx_artifact, options={"io_binding": True})
    assert (plain.effective()["io_binding"], bound.effective()["io_binding"]) == (False, True)
    several = [{"image": batch["image"][:rows]} for rows in (1, 5, 5)]
    several[2] = {"image": 2 * batch["image"]}
    prepared = [bound.prepare(item) for item in several]
    for _ in range(2):  # the second time into the same place
        for item, mine in zip(several, prepared, strict=True):
            (expected,) = plain.outputs(plain.run(plain.prepare(item)))
            (found,) = bound.outputs(bound.run(mine))
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kept", [True, False])
def test_the_memory_arena_is_what_was_asked_for(onnx_artifact: Artifact, batch: Batch, kept: bool) -> None:
    session = load(onnx_artifact, options={"memory_arena": kept})
    assert session._session.get_session_options().enable_cpu_mem_arena is kept
    assert session.effective()["memory_arena"] is kept
    (found,) = session.outputs(session.run(session.prepare(batch)))
    assert found.shape == (5, 10)


@pytest.mark.parametrize("binding", [True, False])
def test_where_the_nodes_of_the_graph_run(onnx_artifact: Artifact, batch: Batch, binding: bool) -> None:
    session = load(onnx_artifact, options={"graph_level": "disable", "io_binding": binding})
    prepared = session.prepare(batch)
    assert session.placement(prepared) == {"nodes": "CPUExecutionProvider: 2"}  # one that flattens, one that multiplies
    assert not session._session.get_session_options().enable_profiling  # the session that was timed is another one
    assert session.outputs(session.run(prepared))[0].shape == (5, 10)


def test_nodes_are_counted_once_by_provider() -> None:
    def ran(name: str, index: str, provider: str, kind: str = "_kernel_time") -> dict[str, Any]:
        return {"cat": "Node", "name": name + kind, "args": {"node_index": index, "provider": provider}}

    events = [
        {"cat": "Session", "name": "model_run", "args": {}},
        ran("a", "0", "CUDAExecutionProvider"), ran("a", "0", "CUDAExecutionProvider", "_fence_before"),
        ran("b", "1", "CPUExecutionProvider"), ran("b", "1", "CPUExecutionProvider"),  # twice in a loop
        ran("", "2", "CUDAExecutionProvider"), ran("", "3", "CUDAExecutionProvider"),
    ]  # fmt: skip
    assert _nodes(events) == "CPUExecutionProvider: 1, CUDAExecutionProvider: 3"
    assert _nodes([]) == "none"


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
    for name, value in (("io_binding", "yes"), ("memory_arena", 0)):
        assert refusal(onnx_artifact, options={name: value}) == (
            f"runtime.options: '{name}' is {value!r}, but must be one of true, false"
        )
        assert OnnxRuntime().check_options({name: value})


def test_a_provider_that_this_build_does_not_have(onnx_artifact: Artifact) -> None:
    said = refusal(onnx_artifact, options={"providers": ["CPUExecutionProvidr"]})
    assert said.startswith(
        "this onnxruntime has no execution provider 'CPUExecutionProvidr'; did you mean CPUExecutionProvider"
    )
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        assert "no execution provider 'CUDAExecutionProvider'" in refusal(onnx_artifact, device="cuda")
        for asked in (
            RuntimeSettings(device="cuda"),
            RuntimeSettings(options={"providers": ["CUDAExecutionProvider"]}),
        ):
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
