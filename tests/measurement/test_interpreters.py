"""Arms with an interpreter of their own: a real second one with nothing but numpy and ONNX Runtime, and wrong ones."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from fakes import make_arm
from onnx import TensorProto, helper

from mlbench.errors import WorkerError
from mlbench.measurement.cells import calls_over
from mlbench.measurement.coordinator import IMPORT_TIMEOUT_S
from mlbench.measurement.examine import reason
from mlbench.measurement.interpreters import command, environment, examine, problem
from mlbench.measurement.process import WorkerProcess, arm_message, worker_environment
from mlbench.records import Arm, Artifact, Collation, TensorSpec


def onnx_artifact(folder: Path) -> Artifact:
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 2]) for name in ("x", "y")]
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "double", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, folder / "model.onnx")
    specs = [TensorSpec(name, "float32", (None, 2)) for name in ("x", "y")]
    return Artifact("d", "onnx", str(folder), "model.onnx", (specs[0],), (specs[1],), 0)


def interpreter(folder: Path, *packages: str) -> str:
    """A virtual environment with links to a few of the packages here, and nothing else."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python*/site-packages")
    for name in packages:
        (spec,) = [importlib.util.find_spec(name)]
        assert spec is not None
        assert spec.origin is not None
        place = Path(spec.origin).parent
        for beside in (place, place.with_name(f"{name}.libs")):
            if beside.is_dir():
                (site / beside.name).symlink_to(beside)
    return str(folder / "bin" / "python")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> str:
    return interpreter(tmp_path_factory.mktemp("other") / "env", "numpy", "onnxruntime")


def arm(artifact: Artifact, python: str | None) -> Arm:
    made = make_arm("a", "variant")
    return replace(made, artifact=artifact, settings=replace(made.settings, name="auto", python=python))


def ask(worker: WorkerProcess, command: str, **message: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    worker.post(command, **message)
    return worker.answer(IMPORT_TIMEOUT_S)


def test_a_worker_on_an_interpreter_with_numpy_and_the_runtime_alone(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    served = arm(onnx_artifact(tmp_path), other)
    examine(served)
    np.save(tmp_path / "0.npy", np.ones((3, 2), np.float32))
    worker = WorkerProcess(served)
    try:
        loaded = ask(worker, "load", cpus=[], inputs=str(tmp_path), batch_size=1, **arm_message(served))[0]
        outputs = ask(worker, "predict", batch_size=2)[1]["outputs"]
        over = calls_over(worker._cells.fileno())
        modules = set(ask(worker, "report")[0]["modules"])
    finally:
        worker.stop()
    np.testing.assert_array_equal(outputs, np.full((3, 2), 2.0))
    assert over == 2  # its calls are seen as well
    assert loaded["effective"]["python"] == platform.python_version()
    assert {"mlbench", "numpy", "onnxruntime"} <= modules
    assert not modules & {"annotated_types", "pydantic", "mlflow", "pandas", "torch", "hydra"}


def test_what_an_interpreter_lacks_is_said_before_anything_is_measured(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    made = onnx_artifact(tmp_path)
    bare = interpreter(tmp_path / "bare")
    with pytest.raises(WorkerError, match=f"the interpreter {bare} cannot import numpy: No module named 'numpy'"):
        examine(arm(made, bare))
    with pytest.raises(WorkerError, match=f"the interpreter {other} cannot serve the arm: .*needs torch, which is not"):
        examine(arm(replace(made, format="torch_module"), other))
    with pytest.raises(
        WorkerError, match=f"the interpreter {other} cannot import tokenizers, which calls that begin wit"
    ):
        examine(arm(made, other), Collation(tokenizer="{}"))
    with pytest.raises(
        WorkerError, match=f"the interpreter {other} cannot import PIL, which calls that begin with images"
    ):
        examine(arm(made, other), Collation(processing="{}"))
    elsewhere = arm(made, other)
    asked = replace(elsewhere.settings, options={"providers": ["CUDAExecutionProvider"]})
    with pytest.raises(
        WorkerError, match=f"the interpreter {other} cannot serve the arm: this onnxruntime has no exec"
    ):
        examine(replace(elsewhere, settings=asked))


def test_of_the_interpreter_here_only_the_settings_are_asked(tmp_path: Path) -> None:
    here = arm(onnx_artifact(tmp_path), None)
    examine(here, Collation(tokenizer="{}"))
    asked = replace(here.settings, options={"providers": ["CUDAExecutionProvider"]})
    with pytest.raises(WorkerError, match=r"^this onnxruntime has no execution provider 'CUDAExecutionProvider'"):
        examine(replace(here, settings=asked))


def test_what_is_no_interpreter(tmp_path: Path) -> None:
    made = onnx_artifact(tmp_path)
    assert problem(str(tmp_path / "absent")).endswith("absent does not exist")
    assert problem(str(tmp_path)).endswith("is a directory")
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\necho 'no Python at all' >&2\nexit 3\n")
    assert problem(str(plain)).endswith("is not executable")
    with pytest.raises(WorkerError, match="absent does not exist"):
        examine(arm(made, str(tmp_path / "absent")))
    plain.chmod(0o700)
    assert problem(str(plain)) == ""
    with pytest.raises(WorkerError, match="cannot run mlbench's worker: no Python at all"):
        examine(arm(made, str(plain)))
    plain.write_text("neither a program nor a script")
    with pytest.raises(WorkerError, match="cannot be started"):
        examine(arm(made, str(plain)))


def test_an_old_python_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "version_info", (3, 9, 1))
    assert reason("onnx", {}) == "is Python 3.9, but the worker needs 3.11 or later"


def test_here_the_answer_is_the_registrys() -> None:
    assert reason("onnx", {}) == reason("onnx", {}, "texts") == reason("onnx", {}, "images") == ""
    assert "does not serve onnx artifacts" in reason("onnx", {"name": "torch"})


def test_the_import_path_is_the_interpreters_own() -> None:
    base = {"PYTHONPATH": "mine", "PYTHONHOME": "here"}
    assert environment("other/bin/python", base) == {"PYTHONPATH": "mine", "PYTHONSAFEPATH": "1"}
    assert environment(None, base)["PYTHONPATH"].split(os.pathsep)[0] == (sys.path[0] or str(Path.cwd()))
    assert worker_environment(2, base, "other/bin/python")["OMP_NUM_THREADS"] == "2"
    assert command(None, "m", "1") == [sys.executable, "-P", "-m", "m", "1"]
    assert command("other/bin/python", "m", "1")[0] == "other/bin/python"
