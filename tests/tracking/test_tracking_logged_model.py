"""Models in MLflow as workloads: by alias out of a registry, by folder, and what is refused."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import RuntimeSettings
from mlbench.runtimes.loading import answers
from mlbench.variants.store import Store
from mlbench.workloads.prepare import check, prepare

IRIS = DataConfig("sklearn", {"name": "iris"})


def workload(path, **model):
    return WorkloadConfig("own", ModelConfig("mlflow", path=path, **model), IRIS)


@pytest.fixture
def ready(tmp_path):
    """Prepare a workload in a store of its own."""
    return lambda config: prepare(config, Store(tmp_path / "built"), lambda text: None)


def refusal(ready, config):
    with pytest.raises(InputError) as caught:
        ready(config)
    (sentence,) = caught.value.problems
    return sentence


def linear():
    node = helper.make_node("MatMul", ["features", "w"], ["scores"])
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", size])
        for name, size in (("features", 4), ("scores", 3))
    ]
    weights = numpy_helper.from_array(np.ones((4, 3), np.float32), "w")
    graph = helper.make_graph([node], "linear", ends[:1], ends[1:], [weights])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def test_a_registered_model_by_its_alias(tracker, ready, tmp_path):
    import mlflow
    import mlflow.onnx

    with mlflow.start_run():
        mlflow.onnx.log_model(linear(), name="model", registered_model_name="flowers")
    tracker.client.set_registered_model_alias("flowers", "champion", "1")
    found = ready(workload("models:/flowers@champion"))
    assert found.source.format == "onnx"
    batch = {"features": np.eye(2, 4, dtype=np.float32)}
    assert answers(found.source, RuntimeSettings(), batch).tolist() == [[1, 1, 1]] * 2
    assert found.info.model["path"] == "models:/flowers@champion"
    assert "cannot be downloaded" in refusal(ready, workload("models:/flowers@nobody"))


def test_a_scikit_learn_model_takes_trust(ready, tmp_path):
    import mlflow.sklearn
    from sklearn.datasets import load_iris

    fitted = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    mlflow.sklearn.save_model(fitted, tmp_path / "fitted", serialization_format="cloudpickle")
    uri = (tmp_path / "fitted").as_uri()
    assert "say workload.model.trust=true" in refusal(ready, workload(uri))
    found = ready(workload(uri, trust=True))
    assert found.source.format == "sklearn"
    outputs = answers(found.source, RuntimeSettings(), found.data.test.inputs)
    np.testing.assert_allclose(outputs, fitted.predict_proba(found.data.test.inputs["features"]), rtol=1e-6)


def test_a_flavour_that_is_not_served(ready, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(folder / "MLmodel").write_text("flavors: {python_function: {loader_module: x}, catboost: {data: m.cb}}\n")
    assert "has the flavours catboost; those served here are onnx and sklearn" in refusal(
        ready, workload(folder.as_uri())
    )
    onnx.save(linear(), tmp_path / "m.onnx")
    assert "is no MLflow model" in refusal(ready, workload((tmp_path / "m.onnx").as_uri()))


def test_what_is_wrong_before_anything_is_downloaded():
    assert "workload.model.path is missing" in check(workload(None))[0]
    assert "'flowers' is no URI of a model" in check(workload("flowers"))[0]
    assert "workload.model.factory is for other sources" in check(workload("models:/a/1", factory="a:b"))[0]
    assert check(workload("models:/a/1")) == []
