"""Models in MLflow as workloads: by alias out of a registry, by folder, and what is refused."""

from dataclasses import replace
from pathlib import Path

import joblib
import mlflow
import mlflow.pyfunc
import mlflow.pytorch
import numpy as np
import onnx
import pandas as pd
import pytest
import torch
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema, TensorSpec
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LogisticRegression
from tiny_torch import Tiny

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import BuildError, InputError
from mlbench.records import Arm, Recipe, RuntimeSettings, StepSpec
from mlbench.runtimes.kept import settings_kept
from mlbench.runtimes.loading import answers
from mlbench.runtimes.pyfunc_runtime import PyfuncRuntime
from mlbench.tracking.import_path import SERVED
from mlbench.tracking.models import log_model
from mlbench.tracking.saving import save_here
from mlbench.variants.as_pyfunc import LOGGED
from mlbench.variants.build import build
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
    mlflow.sklearn.save_model(fitted, tmp_path / "fitted", serialization_format="cloudpickle", pip_requirements=[])
    uri = (tmp_path / "fitted").as_uri()
    assert "say workload.model.trust=true" in refusal(ready, workload(uri))
    found = ready(workload(uri, trust=True))
    assert found.source.format == "sklearn"
    outputs = answers(found.source, RuntimeSettings(), found.data.test.inputs)
    np.testing.assert_allclose(outputs, fitted.predict_proba(found.data.test.inputs["features"]), rtol=1e-6)


def test_a_scikit_learn_model_that_mlbench_has_logged(tracker, ready, tmp_path):
    """It comes with a module of ours, which neither the estimator that is kept nor its threads depend on."""
    import sys

    from sklearn.datasets import load_iris

    found = ready(workload(estimator(tmp_path / "first"), trust=True))
    arm = Arm("arm", "variant", Recipe("arm"), found.source, RuntimeSettings(threads=2))
    run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
    record = log_model(tracker, run_id, arm, "iris-arm", {}, found.data.validation.inputs, save_here)
    assert (record.form, record.reason) == ("sklearn", "")
    again = ready(workload(f"models:/{record.model_id}", trust=True))
    assert again.source.format == "sklearn"
    assert SERVED.stem not in sys.modules
    kept = joblib.load(Path(again.source.path) / again.source.entry)
    assert type(kept) is LogisticRegression
    table = load_iris().data.astype(np.float32)
    expected = answers(found.source, RuntimeSettings(), {"features": table})
    np.testing.assert_allclose(answers(again.source, RuntimeSettings(), {"features": table}), expected, rtol=1e-5)
    wrapped = replace(again.source, format="pyfunc", path=again.source.meta[LOGGED]["path"], entry="MLmodel")
    with settings_kept():
        session = PyfuncRuntime().load(wrapped, RuntimeSettings(threads=3))
        assert session._model.get_raw_model().served_threads == 3
        np.testing.assert_allclose(
            session.outputs(session.run(session.prepare({"features": table})))[0], expected, 1e-5
        )


def estimator(folder):
    """A fitted estimator as an MLflow model; its URI."""
    import mlflow.sklearn
    from sklearn.datasets import load_iris

    fitted = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    mlflow.sklearn.save_model(fitted, folder, serialization_format="cloudpickle", pip_requirements=[])
    return folder.as_uri()


def test_a_scikit_learn_model_as_skops_takes_none(ready, tmp_path):
    import mlflow.sklearn
    from sklearn.datasets import load_iris

    fitted = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    mlflow.sklearn.save_model(fitted, tmp_path / "fitted", serialization_format="skops", pip_requirements=[])
    found = ready(workload((tmp_path / "fitted").as_uri()))
    outputs = answers(found.source, RuntimeSettings(), found.data.test.inputs)
    np.testing.assert_allclose(outputs, fitted.predict_proba(found.data.test.inputs["features"]), rtol=1e-6)
    recipe = Recipe("wrapped", (StepSpec("as_pyfunc"),))
    with pytest.raises(BuildError, match=r"say workload\.model\.trust=true"):
        build(recipe, found, Store(tmp_path / "built"), lambda text: None)


def test_a_skops_file_vouches_for_nothing_itself(ready, tmp_path):
    """MLflow would trust the types that the model itself names, and import from the model's own directory."""
    import sys

    import mlflow.sklearn
    import yaml
    from sklearn.datasets import load_iris

    fitted = LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
    mlflow.sklearn.save_model(fitted, tmp_path / "fitted", serialization_format="skops", pip_requirements=[])
    (tmp_path / "fitted" / "code").mkdir()
    about = yaml.safe_load((tmp_path / "fitted" / "MLmodel").read_text())

    def described(**more):
        about["flavors"]["sklearn"] |= more
        (tmp_path / "fitted" / "MLmodel").write_text(yaml.safe_dump(about))
        return workload((tmp_path / "fitted").as_uri())

    before = list(sys.path)
    assert ready(described(code="code")).source.format == "sklearn"
    assert sys.path == before
    assert "names further types to be trusted, and reading one runs" in refusal(
        ready, described(skops_trusted_types=["builtins.exec"])
    )


def test_native_against_pyfunc(ready, tmp_path):
    """The wrapper answers with the method of the native arm, which was not the one that was logged."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.datasets import load_iris

    table, labels = load_iris(return_X_y=True, as_frame=True)
    fitted = LogisticRegression(max_iter=500).fit(table.to_numpy(), labels)
    mlflow.sklearn.save_model(
        fitted,
        tmp_path / "fitted",
        serialization_format="cloudpickle",
        signature=infer_signature(table),
        pip_requirements=[],
    )
    found, store = ready(workload((tmp_path / "fitted").as_uri(), trust=True)), Store(tmp_path / "built")
    recipe = Recipe("wrapped", (StepSpec("as_pyfunc"),))
    made = build(recipe, found, store, lambda text: None)
    assert made.format == "pyfunc"
    changed = made.steps[-1].changed
    assert (changed["method_as_logged"], changed["method"], changed["flavor"]) == (
        "predict",
        "predict_proba",
        "sklearn",
    )
    np.testing.assert_allclose(
        answers(made, RuntimeSettings(), found.data.test.inputs),
        answers(found.source, RuntimeSettings(), found.data.test.inputs),
        atol=1e-6,
    )
    later = Recipe("later", (StepSpec("delay", {"percent": 5}), StepSpec("as_pyfunc")))
    with pytest.raises(BuildError, match="comes before every other step"):
        build(later, found, store, lambda text: None)


class Shares(mlflow.pyfunc.PythonModel):
    """Scores of a model of no known kind, as a table of pandas."""

    def predict(self, context, model_input: pd.DataFrame, params=None):
        values = model_input.to_numpy()[:, :3] + 1
        return pd.DataFrame({"kind": ["x"] * len(values), "score": values[:, 0]})


class Labels(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: np.ndarray, params=None):
        return np.zeros(len(model_input), np.int64)


class Scores(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input: np.ndarray, params=None):
        return {"other": model_input, "scores": model_input[:, :3] * 2}


def save(model, path, **signature):
    mlflow.pyfunc.save_model(path, python_model=model, pip_requirements=[], **signature)
    return path.as_uri()


def test_any_other_model_goes_through_pyfunc(ready, tmp_path):
    uri = save(Scores(), tmp_path / "scores")
    assert "loading it runs whatever code is in the model" in refusal(ready, workload(uri))
    assert "gives text or objects" not in refusal(ready, workload(uri, trust=True))  # the first output is no score
    found = ready(workload(uri, trust=True, options={"output": "scores"}))
    assert found.source.format == "pyfunc"
    outputs = answers(found.source, RuntimeSettings(), found.data.test.inputs)
    np.testing.assert_array_equal(outputs, found.data.test.inputs["features"][:, :3] * 2)
    assert "has no output 'nope'" in refusal(ready, workload(uri, trust=True, options={"output": "nope"}))


def test_labels_are_no_scores(ready, tmp_path):
    uri = save(Labels(), tmp_path / "labels")
    assert "pyfunc_predict_fn='predict_proba'" in refusal(ready, workload(uri, trust=True))


def test_a_number_in_a_table_is_named(ready, tmp_path):
    columns = [ColSpec("double", f"column {number}") for number in range(10)]
    uri = save(Shares(), tmp_path / "shares", signature=ModelSignature(Schema(columns)))
    config = WorkloadConfig(
        "own",
        ModelConfig("mlflow", path=uri, trust=True, options={"output": "score"}),
        DataConfig("sklearn", {"name": "diabetes"}),
        "regression",
    )
    found = ready(config)
    assert [spec.name for spec in found.source.outputs] == ["prediction"]
    assert "answers with text or objects" in refusal(ready, replace(config, model=replace(config.model, options={})))


@pytest.mark.skipif(
    not hasattr(mlflow.pytorch, "_validate_pt2_archive_is_pickle_free"),
    reason="this MLflow cannot tell, so trust is asked",
)
def test_an_exported_program_takes_no_trust(ready, tmp_path):
    module = Tiny().eval()
    example = np.ones((2, 4), np.float32)
    signature = ModelSignature(Schema([TensorSpec(np.dtype("float32"), (-1, 4))]))
    mlflow.pytorch.save_model(
        module,
        tmp_path / "m",
        serialization_format="pt2",
        input_example=example,
        signature=signature,
        pip_requirements=[],
    )
    found = ready(workload((tmp_path / "m").as_uri()))
    assert found.source.format == "pt2"
    same(found, module)


def test_torchscript_takes_trust(ready, tmp_path):
    module = Tiny().eval()
    script = torch.jit.trace(module, torch.ones(2, 4))
    mlflow.pytorch.save_model(script, tmp_path / "m", serialization_format="pickle", pip_requirements=[])
    uri = (tmp_path / "m").as_uri()
    assert "is TorchScript, a program of its own, and reading one runs whatever code is in it" in refusal(
        ready, workload(uri)
    )
    found = ready(workload(uri, trust=True))
    assert found.source.format == "torchscript"
    same(found, module)


def test_a_pickled_module_takes_trust_and_every_step_for_modules(ready, tmp_path):
    module = Tiny().eval()
    mlflow.pytorch.save_model(module, tmp_path / "m", serialization_format="pickle", pip_requirements=[])
    uri = (tmp_path / "m").as_uri()
    assert "is a pickled PyTorch module" in refusal(ready, workload(uri))
    found = ready(workload(uri, trust=True))
    assert found.source.format == "torch_module"
    same(found, module)
    pruned = Recipe("pruned", (StepSpec("prune_unstructured", {"ratio": 0.5}), StepSpec("as_pyfunc")))
    with pytest.raises(BuildError, match="comes before every other step"):  # the pruning itself was no trouble
        build(pruned, found, Store(tmp_path / "built"), lambda text: None)


def same(found, module):
    inputs = found.data.test.inputs["features"]
    with torch.inference_mode():
        expected = module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(answers(found.source, RuntimeSettings(), {"features": inputs}), expected, rtol=1e-5)


def test_a_flavour_that_is_not_served(ready, tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    Path(folder / "MLmodel").write_text("flavors: {spark: {data: m}}\n")
    assert "has the flavours spark; what is served here are onnx" in refusal(ready, workload(folder.as_uri()))
    onnx.save(linear(), tmp_path / "m.onnx")
    assert "is no MLflow model" in refusal(ready, workload((tmp_path / "m.onnx").as_uri()))


def test_what_is_wrong_before_anything_is_downloaded():
    assert "workload.model.path is missing" in check(workload(None))[0]
    assert "'flowers' is no URI of a model" in check(workload("flowers"))[0]
    assert "workload.model.factory is for other sources" in check(workload("models:/a/1", factory="a:b"))[0]
    assert check(workload("models:/a/1")) == []


def test_columns_of_one_table_must_stand_in_the_signatures_order(ready, tmp_path):
    columns = [ColSpec("double", name) for name in ("b", "a")]
    uri = save(Shares(), tmp_path / "m", signature=ModelSignature(Schema(columns)))
    (tmp_path / "t.csv").write_text("a,b,label\n" + "".join(f"{row},{row / 2},{row}\n" for row in range(40)))
    config = WorkloadConfig(
        "own",
        ModelConfig("mlflow", path=uri, trust=True, options={"output": "score"}),
        DataConfig("csv", {"path": str(tmp_path / "t.csv")}),
        "regression",
    )
    assert "takes the columns b, a, and the data has them in another order" in refusal(ready, config)
    named = replace(config, data=replace(config.data, options={**config.data.options, "inputs": ["a", "b"]}))
    found = ready(named)
    inputs = found.data.test.inputs
    np.testing.assert_allclose(answers(found.source, RuntimeSettings(), inputs), inputs["b"].reshape(-1) + 1)


@pytest.mark.parametrize(
    "flavors",
    [
        "{onnx: {data: ../outside.onnx}}",
        "{onnx: {data: /outside.onnx}}",
        "{onnx: {}}",
        "{onnx: [data]}",
        "{sklearn: {pickled_model: ../fitted.pkl}}",
        "{sklearn: {pickled_model: ../fitted.skops, serialization_format: skops}}",
        "{pytorch: {model_data: ../elsewhere}}",
    ],
)
def test_a_model_names_no_file_outside_of_it(ready, tmp_path, flavors):
    folder = tmp_path / "model"
    folder.mkdir()
    onnx.save(linear(), tmp_path / "outside.onnx")
    (folder / "MLmodel").write_text(f"flavors: {flavors}\n")
    assert "is no MLflow model: its '" in refusal(ready, workload(str(folder.as_uri()), trust=True))


@pytest.mark.parametrize("text", ["", "- a", "flavors: {{", "flavors: 3", "\0", "a: " + "[" * 5000])
def test_a_damaged_description_of_a_model(ready, tmp_path, text):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "MLmodel").write_text(text)
    assert "workload.model.path: " in refusal(ready, workload(folder.as_uri()))
