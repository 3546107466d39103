"""The ExecuTorch runtime: threads are set and read back, and what a program has no memory for is refused."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import fake_executorch
import numpy as np
import pytest
from fake_executorch import FakeBinding, needs_executorch

from mlbench.errors import InputError, WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.registry import load as registered
from mlbench.runtimes.executorch_runtime import Executorch
from mlbench.runtimes.loading import open_session

Batch = dict[str, np.ndarray[Any, Any]]


@pytest.fixture
def binding(monkeypatch: pytest.MonkeyPatch) -> FakeBinding:
    found = FakeBinding(lambda image: image.flatten(1)[:, :10] * 2)
    fake_executorch.install(monkeypatch, found)
    return found


@pytest.fixture
def artifact(onnx_artifact: Artifact, tmp_path: Path) -> Artifact:
    (tmp_path / "model.pte").write_bytes(b"program")
    meta = {"precision": "int8", "operators": "17 XNNPACK, 2 ExecuTorch"}
    return replace(onnx_artifact, format="executorch", path=str(tmp_path), entry="model.pte", meta=meta)


def load(artifact: Artifact, **settings: Any) -> Any:
    runtime = Executorch()
    runtime.import_library()
    return runtime.load(artifact, RuntimeSettings(**settings))


def refusal(artifact: Artifact, **settings: Any) -> str:
    with pytest.raises(WorkerError) as caught:
        load(artifact, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_it_answers(binding: FakeBinding, artifact: Artifact, batch: Batch) -> None:
    session = open_session(artifact, RuntimeSettings())
    (result,) = session.outputs(session.run(session.prepare({"other": batch["image"], **batch})))
    np.testing.assert_array_equal(result, batch["image"].reshape(5, -1)[:, :10] * 2)
    assert binding.loaded == [Path(artifact.path) / "model.pte"]


def test_what_is_in_force(binding: FakeBinding, artifact: Artifact) -> None:
    import torch

    assert load(artifact, threads=3).effective() == {
        "runtime": "executorch",
        "version": "1.5.1",
        "torch": torch.__version__,
        "format": "executorch",
        "device": "cpu",
        "threads": 3,
        "precision": "int8",
        "backend": "XnnpackBackend",
        "operators": "17 XNNPACK, 2 ExecuTorch",
        "max_batch": 32,
    }
    assert binding.threads == 3
    assert "operators" not in load(replace(artifact, meta={})).effective()  # nobody has counted, so nothing is said


def test_other_threads_than_asked_for_are_refused(binding: FakeBinding, artifact: Artifact) -> None:
    binding.most_threads = 2
    assert refusal(artifact, threads=3) == "executorch has 2 threads in its pool, though 3 were asked for"


def test_the_pool_does_not_change_under_a_loaded_program(binding: FakeBinding, artifact: Artifact) -> None:
    """ExecuTorch would crash at that program's next call."""
    session = load(artifact, threads=2)
    beside = load(artifact, threads=2)
    assert binding.resets == [2]
    said = refusal(artifact, threads=1)
    assert said.startswith("this process has an ExecuTorch program loaded with 2 threads, and cannot load another one")
    assert binding.resets == [2]
    del session, beside
    load(artifact, threads=1)
    assert binding.resets == [2, 1]


def test_settings_that_cannot_be_served(binding: FakeBinding, artifact: Artifact) -> None:
    assert "unknown option 'streams'" in refusal(artifact, options={"streams": 1})
    assert refusal(artifact, device="cuda") == "the executorch runtime serves on the CPU, but runtime.device is cuda"
    binding.available = False
    assert "has no XnnpackBackend" in refusal(artifact)


def test_a_batch_without_room_is_refused_and_others_go_on(
    binding: FakeBinding, artifact: Artifact, batch: Batch
) -> None:
    session = load(artifact)
    with pytest.raises(WorkerError, match=r"memory for 32 items in a call, not 33: .* for max_batch items"):
        session.prepare({"image": np.zeros((33, 1, 8, 8), np.float32)})
    with pytest.raises(WorkerError, match=r"memory for 8 along axis 3 of 'image', not 9"):
        session.prepare({"image": np.zeros((1, 1, 8, 9), np.float32)})
    with pytest.raises(WorkerError, match="has 2 axes, but the program takes 4"):
        session.prepare({"image": np.zeros((1, 8), np.float32)})
    with pytest.raises(WorkerError, match="the batch has no input 'image'; it has picture"):
        session.prepare({"picture": batch["image"]})
    assert len(session.run(session.prepare(batch))[0]) == 5


def test_a_file_that_cannot_be_read(binding: FakeBinding, artifact: Artifact) -> None:
    path = Path(artifact.path) / artifact.entry
    path.unlink()
    expected = f"{path} cannot be loaded by executorch: loading program failed with error 0x22"
    assert refusal(artifact) == expected


def test_without_the_extra_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for kind, name, absent in (
        ("runtime", "executorch", "executorch"),
        ("step", "export_executorch", "executorch, torchao"),
    ):
        with pytest.raises(InputError) as caught:
            registered(kind, name)
        assert str(caught.value) == (
            f"{kind} '{name}' needs {absent}, which is not installed: pip install 'mlflow-mlbench[executorch]'"
        )


@needs_executorch
def test_the_worker_has_torch_but_not_the_exporter() -> None:
    """What the documentation says of memory: torch is there, ``executorch.exir`` is not."""
    code = (
        "import sys; from mlbench.runtimes.executorch_runtime import Executorch; Executorch().import_library();"
        "print('torch' in sys.modules, 'executorch.exir' in sys.modules, 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "False", "False"]
    assert done.stderr == ""
