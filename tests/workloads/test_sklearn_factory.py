"""Estimators of the user: fitted here, or from a file; served and exported alike; every mistake one sentence."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from mlbench.config import DataConfig, ModelConfig, TrainConfig, WorkloadConfig
from mlbench.errors import BuildError, InputError
from mlbench.records import Recipe, RuntimeSettings, StepSpec
from mlbench.runtimes.loading import answers, open_session
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.prepare import check, prepare

CONF = Path(__file__).resolve().parents[2] / "conf"
IRIS, SUGAR = (DataConfig("sklearn", {"name": name}) for name in ("iris", "diabetes"))

Make = Callable[..., Workload]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def workload(
        function: str | None = "forest", data: DataConfig = IRIS, task: str = "classification", **model: Any
    ) -> Workload:
        factory = None if function is None else f"own_estimators:{function}"
        config = WorkloadConfig("own", ModelConfig("sklearn", factory, **model), data, task)
        return prepare(config, Store(tmp_path / "store"), lambda text: None)

    return workload


def refusal(make: Make, *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        make(*args, **kwargs)
    (sentence,) = caught.value.problems
    return sentence


def exported(workload: Workload, store: Path, **params: Any) -> Any:
    recipe = Recipe("onnx", (StepSpec("export_sklearn_onnx", params),))
    return build(recipe, workload, Store(store), lambda text: None)


def test_it_is_fitted_on_the_training_split(make: Make) -> None:
    workload = make()
    test = workload.data.test
    outputs = answers(workload.source, RuntimeSettings(), test.inputs)
    assert outputs.shape == (len(test), 3)
    assert (outputs.argmax(axis=1) == test.labels).mean() > 0.9
    assert workload.source.outputs[0].name == "logits"
    assert make().source.digest == workload.source.digest


@pytest.mark.parametrize(
    ("function", "data", "task", "method"),
    [
        ("scaled", IRIS, "classification", "predict_proba"),
        ("scores_only", IRIS, "classification", "decision_function"),
        ("line", SUGAR, "regression", "predict"),
        ("forest", replace(IRIS, source="sklearn", options={"name": "breast_cancer"}), "binary", "predict_proba"),
    ],
)
def test_the_method_that_says_the_most_answers(
    make: Make, function: str, data: DataConfig, task: str, method: str
) -> None:
    source = make(function, data, task).source
    assert source.meta["method"] == method


def test_several_labels_per_item(make: Make, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    np.savez(tmp_path / "d.npz", x=values, labels=(values[:, :2] > 0).astype(int))
    workload = make("forest", DataConfig("npz", {"path": str(tmp_path / "d.npz")}), "multilabel")
    outputs = answers(workload.source, RuntimeSettings(), workload.data.test.inputs)
    assert ((outputs > 0.5) == workload.data.test.labels).mean() > 0.8


def test_a_session_says_what_is_in_force(make: Make) -> None:
    effective = open_session(make().source, RuntimeSettings(threads=2)).effective()
    assert effective["estimator"] == "RandomForestClassifier"
    assert effective["n_jobs"] == effective["threads"] == 2


def test_a_file_of_a_fitted_estimator_takes_trust(make: Make, tmp_path: Path) -> None:
    fitted = joblib.load(Path(make().source.path) / "model.joblib")
    path = str(tmp_path / "fitted.joblib")
    joblib.dump(fitted, path)
    config = ModelConfig("sklearn", weights=path)
    assert check(WorkloadConfig("own", config, IRIS)) == [
        (
            f"workload.model.weights: {path} is a pickle, and reading one runs whatever code is in it; if you know "
            "where it is from, say workload.model.trust=true"
        )
    ]
    assert make(None, weights=path, trust=True).source.meta["estimator"] == "RandomForestClassifier"
    Path(path).write_bytes(b"no pickle")
    assert "cannot be read" in refusal(make, None, weights=path, trust=True)


def test_what_is_wrong_before_anything_runs() -> None:
    def problems(**model: Any) -> list[str]:
        return check(WorkloadConfig("own", ModelConfig("sklearn", **model), IRIS))

    assert problems() == [
        "workload.model.factory is missing; it names the function that makes the model: package.module:function"
    ]
    assert "is for torch" in problems(factory="own_estimators:forest", train=TrainConfig())[0]
    assert "give one of them" in problems(factory="own_estimators:forest", weights="x")[0]
    assert "does not exist" in problems(weights="nowhere.joblib")[0]


def test_estimators_that_do_not_fit(make: Make) -> None:
    assert "failed: RuntimeError: no luck" in refusal(make, "broken")
    assert "returned str, not an estimator" in refusal(make, "nothing")
    assert "neither predict_proba nor decision_function" in refusal(make, "labels_only")
    assert "does not serve the task 'embedding'" in refusal(make, task="embedding")
    cancer = DataConfig("sklearn", {"name": "breast_cancer"})
    assert "use workload.task=binary" in refusal(make, "scores_only", cancer)


def test_export_answers_like_the_source(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="the extra sklearn is not installed")
    for function, data, task in (("forest", IRIS, "classification"), ("scaled", IRIS, "classification"),
                                 ("line", SUGAR, "regression")):  # fmt: skip
        workload = make(function, data, task)
        artifact = exported(workload, tmp_path / "store")
        test = workload.data.test.inputs
        reference, result = (answers(item, RuntimeSettings(), test) for item in (workload.source, artifact))
        np.testing.assert_allclose(result.reshape(reference.shape), reference, rtol=1e-3, atol=1e-3)
        assert artifact.steps[0].changed["beyond_tolerance"] == 0
        assert 33 > len(artifact.steps[0].changed["checked_batch_sizes"]) > 3


def test_export_is_compared_at_every_size(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("skl2onnx", reason="the extra sklearn is not installed")
    from mlbench.variants import onnx_files

    answer_of = onnx_files.answer_of

    def odd(path: Path) -> Any:
        """What answers differently in batches of seven, and nowhere else."""
        answer = answer_of(path)
        return lambda inputs: answer(inputs) + np.float32(len(inputs["features"]) == 7)

    monkeypatch.setattr(onnx_files, "answer_of", odd)
    workload = make()
    share = 100 * 7 / len(workload.data.validation)
    with pytest.raises(BuildError, match=rf"{share:.1f} % of the validation items differ .* \(up to 1\)"):
        exported(workload, tmp_path / "store")


def test_export_that_cannot_be_done(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="the extra sklearn is not installed")
    np.savez(tmp_path / "d.npz", a=np.eye(30, 3), b=np.eye(30, 2), labels=np.arange(30) % 2)
    two = make("forest", DataConfig("npz", {"path": str(tmp_path / "d.npz")}))
    with pytest.raises(BuildError, match="one input of columns can be converted, but the model takes a"):
        exported(two, tmp_path / "store")
    with pytest.raises(BuildError, match="differ from the source by more than the tolerance"):
        exported(make("line", SUGAR, "regression"), tmp_path / "store", tolerance=1e-12)


def test_histogram_boosting_beside_a_new_protobuf_says_what_to_do(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx", reason="the extra sklearn is not installed")
    if int(version("protobuf").partition(".")[0]) < 7:
        pytest.skip("protobuf is older than 7, where this conversion works")
    with pytest.raises(BuildError, match=r"use GradientBoosting, or an environment with protobuf<7"):
        exported(make("histogram"), tmp_path / "store")


@pytest.mark.parametrize("name", ["tabular", "tabular_boosting"])
def test_shipped_workloads_are_accurate(name: str, tmp_path: Path) -> None:
    text = (CONF / "workload" / f"{name}.yaml").read_text(encoding="utf-8")
    config = TypeAdapter(WorkloadConfig).validate_python(yaml.safe_load(text))
    if name == "tabular_boosting":
        config = replace(config, model=replace(config.model, args={"trees": 8, "depth": 3, "rate": 0.4}))
    workload = prepare(config, Store(tmp_path), lambda text: None)
    outputs = answers(workload.source, RuntimeSettings(), workload.data.test.inputs)
    assert (outputs.argmax(axis=1) == workload.data.test.labels).mean() > 0.9
