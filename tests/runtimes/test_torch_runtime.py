"""The torch runtime: answers like the module, says what is in force, refuses what it cannot serve."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sharing_nets
import torch
from small_artifacts import artifact_of

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings, TensorSpec
from mlbench.runtimes.torch_module import load_module
from mlbench.runtimes.torch_runtime import TorchRuntime, TorchSession

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # TorchScript is what is tested

Batch = dict[str, np.ndarray[Any, Any]]


@pytest.fixture(autouse=True)
def restored() -> Any:
    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    engine = torch.backends.quantized.engine
    yield
    torch.set_num_threads(threads)
    torch.set_float32_matmul_precision(precision)
    torch.backends.quantized.engine = engine


def load(artifact: Artifact, **settings: Any) -> TorchSession:
    runtime = TorchRuntime()
    runtime.import_library()
    return runtime.load(artifact, RuntimeSettings(**settings))


def answer(session: TorchSession, batch: Batch) -> np.ndarray[Any, Any]:
    (result,) = session.outputs(session.run(session.prepare(batch)))
    return result


def refusal(artifact: Artifact, **settings: Any) -> str:
    with pytest.raises(WorkerError) as caught:
        load(artifact, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_both_formats_answer_like_the_module(
    module_artifact: Artifact, script_artifact: Artifact, batch: Batch
) -> None:
    with torch.inference_mode():
        expected = load_module(module_artifact)(torch.from_numpy(batch["image"])).numpy()
    np.testing.assert_allclose(answer(load(module_artifact), batch), expected, rtol=1e-5)
    np.testing.assert_allclose(answer(load(script_artifact), batch), expected, rtol=1e-5)


def test_calls_keep_no_gradients(module_artifact: Artifact, batch: Batch) -> None:
    session = load(module_artifact)
    assert session.run(session.prepare(batch)).is_inference()


def test_what_is_in_force(module_artifact: Artifact) -> None:
    found = load(module_artifact, threads=2, options={"matmul_precision": "medium"}).effective()
    assert found["runtime"] == "torch"
    assert found["version"] == torch.__version__
    assert (found["format"], found["device"], found["precision"]) == ("torch_module", "cpu", "float32")
    assert found["threads"] == torch.get_num_threads() == 2
    assert found["inter_threads"] == torch.get_num_interop_threads()
    assert found["matmul_precision"] == "medium"
    assert found["cpu_capability"] == torch.backends.cpu.get_cpu_capability()
    assert "quantized_engine" not in found


def test_what_multiplies_its_matrices(module_artifact: Artifact, batch: Batch) -> None:
    session = load(module_artifact)
    prepared = session.prepare(batch)
    found = session.libraries(lambda: session.run(prepared))
    assert str(found["blas"]) in torch.__config__.show()
    if found["blas"] == "mkl":
        assert int(str(found["blas_calls"])) >= 2  # two linear layers


def test_precision_is_what_the_weights_are(
    module_artifact: Artifact, script_artifact: Artifact, tmp_path: Path
) -> None:
    module = load_module(module_artifact).to(torch.bfloat16)
    half = artifact_of(module, tmp_path / "half", module_artifact.meta["factory"], module_artifact.meta["args"])
    assert load(half).effective()["precision"] == "bfloat16"
    engine = torch.backends.quantized.supported_engines[-1]
    quantized = replace(script_artifact, meta={"precision": "int8", "quantized_engine": engine})
    found = load(quantized).effective()
    assert (found["precision"], found["quantized_engine"]) == ("int8", engine)
    frozen = load(script_artifact)
    frozen._module = torch.nn.ReLU()
    assert frozen.effective()["precision"] == "unknown"


def test_channels_last_changes_the_layout_and_not_the_answer(module_artifact: Artifact, batch: Batch) -> None:
    session = load(module_artifact, options={"channels_last": True})
    weights = [weight for weight in session._module.parameters() if weight.ndim == 4 and weight.shape[1] > 1]
    assert all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)
    assert session.effective()["channels_last"] is True
    assert load(module_artifact).effective()["channels_last"] is False
    np.testing.assert_allclose(answer(session, batch), answer(load(module_artifact), batch), rtol=1e-4, atol=1e-6)


def test_channels_last_is_what_the_weights_say_and_not_what_was_asked_for(tmp_path: Path) -> None:
    module, specs = sharing_nets.other(), (TensorSpec("b", "float32", (None, 2)), TensorSpec("a", "float32", (None, 2)))
    flat = artifact_of(module, tmp_path, "sharing_nets:other", {}, specs)  # no convolutions
    assert load(flat, options={"channels_last": True}).effective()["channels_last"] is False


def test_autocast_is_that_of_the_module_that_is_called(module_artifact: Artifact) -> None:
    tuned = replace(module_artifact, meta={**module_artifact.meta, "tuning": {"autocast": "bfloat16"}})
    session = load(tuned)
    assert session.effective()["autocast"] == "bfloat16"
    session._module.autocast_type = None  # whatever the recipe says
    assert "autocast" not in session.effective()
    assert "autocast" not in load(module_artifact).effective()


def test_inputs_are_taken_by_name_in_order(tmp_path: Path) -> None:
    specs = (TensorSpec("b", "float32", (None, 2)), TensorSpec("a", "float32", (None, 2)))
    artifact = artifact_of(sharing_nets.other(), tmp_path, "sharing_nets:other", {}, specs)
    session = load(artifact)
    first, second = session.prepare({"a": np.zeros((1, 2), np.float32), "b": np.ones((1, 2), np.float32)})
    assert (first.sum(), second.sum()) == (2, 0)
    with pytest.raises(WorkerError, match="the batch has no input 'b'; it has a"):
        session.prepare({"a": np.zeros((1, 2), np.float32)})


def test_read_only_and_strided_inputs_are_copied(module_artifact: Artifact, batch: Batch) -> None:
    session = load(module_artifact)
    locked = batch["image"].copy()
    locked.flags.writeable = False
    strided = np.ascontiguousarray(batch["image"][:, :, :, ::-1])[:, :, :, ::-1]
    expected = answer(session, batch)
    np.testing.assert_array_equal(answer(session, {"image": locked}), expected)
    np.testing.assert_array_equal(answer(session, {"image": strided}), expected)


def test_outputs_of_every_usual_kind(module_artifact: Artifact) -> None:
    session = load(module_artifact)
    a, b = torch.zeros(2), torch.ones(2)
    assert [item.sum() for item in session.outputs((a, b))] == [0, 2]
    assert [item.sum() for item in session.outputs({"x": b, "y": a})] == [2, 0]


def test_options_and_devices_that_cannot_be_served(
    module_artifact: Artifact, script_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    missing = "runtime.device is cuda, but torch finds no CUDA device here"
    assert refusal(module_artifact, device="cuda") == missing
    with pytest.raises(WorkerError, match=missing):
        TorchRuntime().check_available(RuntimeSettings(device="cuda"))
    TorchRuntime().check_available(RuntimeSettings())
    assert refusal(module_artifact, options={"chanels_last": True}) == (
        "runtime.options: unknown option 'chanels_last'; did you mean channels_last?"
    )
    assert "'matmul_precision' is 'low', but must be one of highest, high, medium" in refusal(
        module_artifact, options={"matmul_precision": "low"}
    )
    assert "channels_last is for modules" in refusal(script_artifact, options={"channels_last": True})


def test_a_graph_that_cannot_be_loaded(script_artifact: Artifact) -> None:
    other = replace(script_artifact, meta={"quantized_engine": "abacus"})
    assert refusal(other) == "the artifact was quantized for torch's engine 'abacus', which this CPU does not have"
    path = Path(script_artifact.path) / "model.ts"
    path.write_bytes(path.read_bytes()[:1000])
    assert f"{path} cannot be loaded as TorchScript: " in refusal(script_artifact)
    path.unlink()
    assert f"{path} cannot be loaded as TorchScript: " in refusal(script_artifact)


def test_a_gpu_is_awaited_within_the_call(
    module_artifact: Artifact, batch: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[str] = []
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: waits.append("wait"))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a card")
    session = TorchSession(load_module(module_artifact), module_artifact, RuntimeSettings(device="cuda"))
    session.run((torch.from_numpy(batch["image"]),))
    assert waits == ["wait"]
    assert (session.effective()["device"], session.effective()["gpu"]) == ("cuda", "a card")


def test_threads_that_can_no_longer_be_set_are_reported_as_they_are(
    module_artifact: Artifact, monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_late(count: int) -> None:
        raise RuntimeError("cannot set number of interop threads after parallel work has started")

    monkeypatch.setattr(torch, "set_num_interop_threads", too_late)
    found = load(module_artifact, inter_threads=torch.get_num_interop_threads() + 1).effective()
    assert found["inter_threads"] == torch.get_num_interop_threads()
