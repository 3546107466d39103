"""ONNX files of the user as models, and files that are damaged or do not fit the data."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import RuntimeSettings
from mlbench.runtimes.loading import answers
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.onnx_data import check_model, digest
from mlbench.workloads.prepare import check, prepare

IRIS = DataConfig("sklearn", {"name": "iris"})
WEIGHTS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)

Use = Callable[..., Workload]


def write(
    path: Path,
    name: str = "features",
    weights: np.ndarray = WEIGHTS,
    operator: str = "MatMul",
    domain: str = "",
    **saving: Any,
) -> str:
    """A linear classifier that also gives the highest score, before the scores."""
    nodes = [
        helper.make_node(operator, [name, "w"], ["scores"], domain=domain),
        helper.make_node("ReduceMax", ["scores"], ["best"], keepdims=0, noop_with_empty_axes=0),
    ]
    outputs = [
        helper.make_tensor_value_info("best", TensorProto.FLOAT, []),
        helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", weights.shape[1]]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", weights.shape[0]])],
        outputs,
        [numpy_helper.from_array(weights, "w")],
    )
    known = [helper.make_opsetid("", 18), *([helper.make_opsetid(domain, 1)] if domain else [])]
    onnx.save(helper.make_model(graph, opset_imports=known, ir_version=9), path, **saving)
    return str(path)


@pytest.fixture
def use(tmp_path: Path) -> Use:
    def workload(path: str, **options: Any) -> Workload:
        model = ModelConfig("onnx", path=path, options={"output": "scores"} | options)
        return prepare(WorkloadConfig("own", model, IRIS), Store(tmp_path / "store"), lambda text: None)

    return workload


def refusal(use: Use, path: str, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        use(path, **options)
    (sentence,) = caught.value.problems
    return sentence


def test_the_named_output_is_read(use: Use, tmp_path: Path) -> None:
    workload = use(write(tmp_path / "m.onnx"))
    test = workload.data.test.inputs
    np.testing.assert_allclose(answers(workload.source, RuntimeSettings(), test), test["features"] @ WEIGHTS, rtol=1e-5)
    assert [spec.name for spec in workload.source.outputs] == ["logits", "output_1"]
    assert workload.source.meta["precision"] == "float32"


def test_weights_beside_the_file_come_along(use: Use, tmp_path: Path) -> None:
    path = write(tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    assert (tmp_path / "m.bin").is_file()
    source = use(path).source
    (tmp_path / "m.bin").unlink()
    assert answers(source, RuntimeSettings(), {"features": np.zeros((2, 4), np.float32)}).shape == (2, 3)
    assert "is not a valid ONNX file" in refusal(use, path)


@pytest.mark.parametrize("location", ["../secret.bin", "/secret.bin", "link.bin"])
def test_weights_elsewhere_are_not_read(use: Use, tmp_path: Path, location: str) -> None:
    """A file from outside could name any file of this user as its weights, and have it copied into MLflow."""
    folder = tmp_path / "model"
    folder.mkdir()
    path = write(folder / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    (folder / "m.bin").rename(tmp_path / "secret.bin")
    (folder / "link.bin").symlink_to(tmp_path / "secret.bin")
    model = onnx.load(path, load_external_data=False)
    for entry in model.graph.initializer[0].external_data:
        entry.value = location if entry.key == "location" else entry.value
    Path(path).write_bytes(model.SerializeToString())
    assert "m.onnx is not a valid ONNX file" in refusal(use, path)


def test_more_than_there_is_memory(use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weights that many tensors read are there once on the disk, and once for each in memory."""
    path = write(tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    constant = helper.make_node("Constant", [], ["c"], value=model.graph.initializer[0])
    model.graph.node.insert(0, constant)
    model.graph.initializer.extend([model.graph.initializer[0]] * 1000)
    Path(path).write_bytes(model.SerializeToString())
    whole = Path(path).stat().st_size + 1002 * WEIGHTS.nbytes
    assert (tmp_path / "m.bin").stat().st_size < 1000

    real = os.sysconf

    def memory(size: int) -> None:
        there = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": size}
        monkeypatch.setattr(os, "sysconf", lambda name: there.get(name) or real(name))

    memory(whole)
    check_model(Path(path))
    memory(whole - 1)
    assert "m.onnx is not read: it unpacks to" in refusal(use, path)
    memory(Path(path).stat().st_size - 1)  # the file alone
    assert "m.onnx is not read: it unpacks to" in refusal(use, path)


def test_weights_beside_the_file_are_part_of_what_it_is_known_by(tmp_path: Path) -> None:
    """Also where a constant reads them, and no initializer."""
    path = write(tmp_path / "m.onnx", save_as_external_data=True, location="m.bin", size_threshold=0)
    model = onnx.load(path, load_external_data=False)
    weights = model.graph.initializer.pop()
    model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weights))
    Path(path).write_bytes(model.SerializeToString())
    before = digest(Path(path))
    (tmp_path / "m.bin").write_bytes(bytes(WEIGHTS.nbytes))
    assert digest(Path(path)) != before


def test_files_that_do_not_fit(use: Use, tmp_path: Path) -> None:
    good = write(tmp_path / "m.onnx")
    assert "m.onnx has no output 'score'; did you mean scores?" in refusal(use, good, output="score")
    assert "but 3 classes need [2, 3]; its outputs are best, scores" in refusal(use, good, output=None)
    assert "takes the inputs x, but the data has features" in refusal(use, write(tmp_path / "x.onnx", "x"))
    narrow = write(tmp_path / "n.onnx", weights=WEIGHTS[:3])
    assert "n.onnx fails on the data (features float32 [4])" in refusal(use, narrow)


def test_damaged_files(use: Use, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(Path(write(tmp_path / "good.onnx")).read_bytes()[:60])
    assert "m.onnx is not a valid ONNX file" in refusal(use, str(path))
    path.write_bytes(b"hello")
    assert "is not a valid ONNX file" in refusal(use, str(path))


@pytest.mark.parametrize(
    ("domain", "words"),
    [
        ("", "m.onnx is not a valid ONNX file: No Op registered for Frobnicate"),
        ("com.example", "m.onnx cannot be loaded by onnxruntime: "),
    ],
    ids=["of onnx", "of a domain"],
)
def test_an_unknown_operator_is_named(use: Use, tmp_path: Path, domain: str, words: str) -> None:
    said = refusal(use, write(tmp_path / "m.onnx", operator="Frobnicate", domain=domain))
    assert words in said
    assert "Frobnicate" in said
    assert "\n" not in said


def test_what_is_wrong_before_anything_is_read(tmp_path: Path) -> None:
    def problems(**model: Any) -> list[str]:
        return check(WorkloadConfig("own", ModelConfig("onnx", **model), IRIS))

    assert problems() == ["workload.model.path is missing; it names the ONNX file"]
    assert "does not exist" in problems(path="nowhere.onnx")[0]
    assert "workload.model.factory is for other sources" in problems(factory="a:b", path="nowhere.onnx")[0]
    path = write(tmp_path / "m.onnx")
    assert problems(path=path, options={"outptu": "x"}) == [
        "workload.model.options: unknown key 'outptu'; did you mean output?"
    ]
