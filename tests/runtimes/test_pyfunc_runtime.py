"""What pyfunc is handed for each kind of signature, and what is made of its answers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.types.schema import Array, ColSpec, DataType, Schema, TensorSpec

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.records import TensorSpec as Input
from mlbench.runtimes import pyfunc_runtime
from mlbench.runtimes.pyfunc_runtime import PyfuncRuntime, arrays_for, arrays_of, flavor_of

TABLE = np.arange(6, dtype=np.float32).reshape(3, 2)
FLOATS = np.dtype("float64")


def columns(*named: tuple[str, str]) -> Schema:
    return Schema([ColSpec(kind, name) for name, kind in named])


def test_without_a_signature_arrays_go_as_they_are() -> None:
    assert arrays_for(None, {"x": TABLE}) is TABLE
    assert set(arrays_for(None, {"x": TABLE, "y": TABLE})) == {"x", "y"}


def test_tensors_in_the_type_of_the_signature() -> None:
    given = arrays_for(Schema([TensorSpec(FLOATS, (-1, 2))]), {"x": TABLE})
    assert given.dtype == FLOATS
    np.testing.assert_array_equal(given, TABLE)
    named = Schema([TensorSpec(FLOATS, (-1, 2), "a"), TensorSpec(FLOATS, (-1, 2), "b")])
    assert list(arrays_for(named, {"b": TABLE, "a": TABLE})) == ["a", "b"]
    only = Schema([TensorSpec(FLOATS, (-1, 2), "a")])
    assert list(arrays_for(only, {"another name": TABLE})) == ["a"]


def test_columns_by_name_or_out_of_one_table() -> None:
    schema = columns(("n", "long"), ("x", "double"))
    by_name = arrays_for(schema, {"x": TABLE[:, 1:], "n": TABLE[:, 0]})
    assert {name: array.dtype.name for name, array in by_name.items()} == {"n": "int64", "x": "float64"}
    table = arrays_for(schema, {"features": TABLE})
    np.testing.assert_array_equal(np.stack(list(table.values()), axis=1), TABLE)
    optional = Schema([ColSpec("double", "x"), ColSpec("double", "y", required=False)])
    assert list(arrays_for(optional, {"x": TABLE[:, 0]})) == ["x"]


@pytest.mark.parametrize(
    ("schema", "batch", "reason"),
    [
        (Schema([TensorSpec(FLOATS, (-1, 2))]), {"x": TABLE, "y": TABLE}, "takes one array, but the data has .* x, y"),
        (columns(("x", "double")), {"y": TABLE}, "has no input 'x'; it has y"),
        (columns(("x", "double")), {"x": TABLE}, "single columns, but input 'x' has several"),
        (columns(("x", "string")), {"x": TABLE[:, 0]}, "for 'x', and the data has numbers"),
        (columns(("x", "long")), {"x": TABLE[:, 0] + 0.5}, "wants int64 for 'x', but some values of the data are none"),
        (Schema([ColSpec(Array(DataType.double), "x")]), {"x": TABLE[:, 0]}, "only plain columns can be given"),
    ],
)
def test_what_a_signature_asks_for_in_vain(schema: Schema, batch: dict[str, Any], reason: str) -> None:
    with pytest.raises(WorkerError, match=reason):
        arrays_for(schema, batch)


def test_answers_become_arrays() -> None:
    frame = pd.DataFrame({"a": [1.0, 2.0], "b": [3.0, 4.0]})
    (whole,) = arrays_of(frame)
    assert whole.shape == (2, 2)
    assert arrays_of(frame, "b")[0].tolist() == [3, 4]
    assert arrays_of(pd.Series([1, 2]))[0].tolist() == [1, 2]
    assert arrays_of([[1, 2]])[0].shape == (1, 2)
    assert [part.tolist() for part in arrays_of({"a": [1], "b": [2]}, "b")] == [[2], [1]]
    assert len(arrays_of((TABLE, TABLE))) == 2
    sparse = SimpleNamespace(toarray=lambda: TABLE)
    assert arrays_of(sparse)[0] is TABLE


def test_answers_that_are_no_numbers() -> None:
    with pytest.raises(WorkerError, match=r"text or objects instead of numbers$"):
        arrays_of(np.array(["yes", "no"]))
    with pytest.raises(WorkerError, match="it has the outputs label, score"):
        arrays_of({"label": ["yes"], "score": [1.0]})
    with pytest.raises(WorkerError, match="has no output 'x'; it has label"):
        arrays_of({"label": ["yes"]}, "x")


def test_flavours_by_name() -> None:
    assert flavor_of({"python_function": {}, "xgboost": {}}) == "xgboost"
    assert flavor_of({"python_function": {}}) == "python_function"


def artifact(path: Path) -> Artifact:
    inputs = (Input("x", "float32", (None, 2)),)
    return Artifact("d", "pyfunc", str(path), "MLmodel", inputs, (), 0, meta={"precision": "float32"})


def test_settings_that_pyfunc_cannot_have(tmp_path: Path) -> None:
    runtime = PyfuncRuntime()
    with pytest.raises(WorkerError, match="must be cpu, not 'cuda'"):
        runtime.load(artifact(tmp_path), RuntimeSettings(device="cuda"))
    with pytest.raises(WorkerError, match="unknown option 'speed'"):
        runtime.load(artifact(tmp_path), RuntimeSettings(options={"speed": 1}))
    with pytest.raises(WorkerError, match="pyfunc cannot load the model"):
        runtime.load(artifact(tmp_path), RuntimeSettings())


def test_a_session_says_what_it_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    described = SimpleNamespace(
        get_input_schema=lambda: columns(("a", "double"), ("b", "double")),
        flavors={"python_function": {"predict_fn": "predict_proba"}, "sklearn": {}},
        mlflow_version="3.1",
    )
    calls: list[Any] = []

    def predict(given: Any) -> Any:
        calls.append(given)
        return TABLE

    model = SimpleNamespace(metadata=described, predict=predict)
    fake = SimpleNamespace(
        Model=SimpleNamespace(load=lambda path: described),
        load_model=lambda path, suppress_warnings, model_config: model,
    )
    monkeypatch.setattr(pyfunc_runtime, "_pyfunc", lambda: fake)
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    session = PyfuncRuntime().load(artifact(tmp_path), RuntimeSettings(threads=3))
    prepared = session.prepare({"x": TABLE})
    np.testing.assert_array_equal(session.outputs(session.run(prepared))[0], TABLE)
    assert list(calls[0]) == ["a", "b"]
    found = session.effective()
    assert (found["runtime"], found["flavor"], found["method"]) == ("pyfunc", "sklearn", "predict_proba")
    assert found["includes"] == "pyfunc's schema checks and conversions"
    assert (found["signature"], found["threads"], found["precision"]) == ("columns", 3, "float32")
    with pytest.raises(WorkerError, match="no input 'x'; it has y"):
        session.prepare({"y": TABLE})


@pytest.mark.parametrize(
    ("flavor", "loaded", "asked"),
    [
        ("pytorch", ("torch",), "torch_blas"),
        ("transformers", ("torch",), "torch_blas"),
        ("pytorch", (), "numpy_blas"),  # nothing can be asked of what is not there
        ("sklearn", ("torch",), "numpy_blas"),
    ],
)
def test_what_multiplies_its_matrices_is_the_flavours_own_library(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, flavor: str, loaded: tuple[str, ...], asked: str
) -> None:
    metadata = SimpleNamespace(get_input_schema=lambda: None, flavors={"python_function": {}, flavor: {}})
    model = SimpleNamespace(metadata=metadata, predict=lambda given: given)
    session = pyfunc_runtime.PyfuncSession(model, artifact(tmp_path), RuntimeSettings())
    monkeypatch.setattr("mlbench.runtimes.blas.torch_blas", lambda call: {"blas": "torch_blas", "answer": call()})
    monkeypatch.setattr("mlbench.runtimes.blas.numpy_blas", lambda: {"blas": "numpy_blas"})
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    for name in loaded:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    found = session.libraries(lambda: 3)
    assert found["blas"] == asked
    assert found.get("answer", 3) == 3
    monkeypatch.setattr(pyfunc_runtime, "find_spec", lambda name: None)
    assert session.libraries(lambda: 3) == ({} if asked == "numpy_blas" else found)


@pytest.mark.parametrize(
    ("logged", "asked"),
    [
        (None, None),
        ({"other": 1}, None),
        ({"threads": 1, "device": "cpu"}, {"threads": 3}),
        ({"settings": {"threads": 1, "device": "cpu"}}, {"settings": {"threads": 3, "device": "cpu"}}),
    ],
)
def test_a_model_that_keeps_threads_is_told_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, logged: Any, asked: Any
) -> None:
    described = SimpleNamespace(get_input_schema=lambda: None, flavors={"python_function": {"config": logged}})
    seen: list[Any] = []

    def load(path: str, suppress_warnings: bool, model_config: Any) -> Any:
        seen.append(model_config)
        return SimpleNamespace(metadata=described)

    fake = SimpleNamespace(Model=SimpleNamespace(load=lambda path: described), load_model=load)
    monkeypatch.setattr(pyfunc_runtime, "_pyfunc", lambda: fake)
    PyfuncRuntime().load(artifact(tmp_path), RuntimeSettings(threads=3))
    assert seen == [asked]


def test_a_session_of_onnx_has_the_threads_that_it_was_logged_with(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    described = SimpleNamespace(
        get_input_schema=lambda: None, flavors={"python_function": {}, "onnx": {}}, mlflow_version="3.1"
    )
    opened = SimpleNamespace(get_session_options=lambda: SimpleNamespace(intra_op_num_threads=2))
    model = SimpleNamespace(metadata=described, _model_impl=SimpleNamespace(rt=opened))
    fake = SimpleNamespace(Model=SimpleNamespace(load=lambda path: described), load_model=lambda path, **given: model)
    monkeypatch.setattr(pyfunc_runtime, "_pyfunc", lambda: fake)
    assert PyfuncRuntime().load(artifact(tmp_path), RuntimeSettings(threads=4)).effective()["threads"] == 2
