"""The evaluator inside MLflow's own ``evaluate``."""

import json
import tomllib
from importlib.metadata import EntryPoint
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException
from mlflow.models.evaluation import base
from mlflow.models.evaluation.evaluator_registry import _model_evaluation_registry
from tiny_nets import images
from tiny_study import sklearn_artifact

from mlbench.errors import InputError
from mlbench.records import Arm, Recipe, RuntimeSettings
from mlbench.runtimes.kept import settings_kept
from mlbench.tracking.import_path import import_path_kept
from mlbench.tracking.models import log_model
from mlbench.tracking.plugins.evaluator import ARTIFACT, TAG, MlbenchEvaluator
from mlbench.tracking.plugins.in_process import IN_PROCESS
from mlbench.tracking.plugins.settings import settings
from mlbench.tracking.saving import save_here

ROOT = Path(__file__).resolve().parents[2]
FLOWERS = pd.DataFrame({"a": np.linspace(0, 1, 40), "b": 1.0, "y": [0, 1] * 20})


@pytest.fixture
def client(store, monkeypatch):
    monkeypatch.setitem(_model_evaluation_registry._registry, "mlbench", MlbenchEvaluator)
    mlflow.set_tracking_uri(store)
    mlflow.set_experiment("evaluations")
    return mlflow.MlflowClient()


def answer(frame):
    return (frame["a"] > 0.5).astype(int).to_numpy()


def evaluate(model=answer, model_type="classifier", evaluators=("mlbench",), **config):
    options = {"calls": 10, "warmup_calls": 0, "throughput_batch_size": 4, **config}
    return mlflow.models.evaluate(
        model,
        FLOWERS,
        targets="y",
        model_type=model_type,
        evaluators=list(evaluators),
        evaluator_config={"mlbench": options},
    )


def only_run(client):
    (run,) = client.search_runs([client.get_experiment_by_name("evaluations").experiment_id])
    return run


def test_a_function_is_measured_and_logged(client):
    result = evaluate()
    run = only_run(client)
    assert run.data.metrics == pytest.approx(result.metrics)
    assert result.metrics["pyfunc/accuracy"] == 0.5
    assert {"pyfunc/p50_ms", "pyfunc/p50_ms_low", "pyfunc/samples_per_s_high"} <= set(result.metrics)
    assert run.data.tags[TAG] == IN_PROCESS
    stored = json.loads(Path(client.download_artifacts(run.info.run_id, ARTIFACT)).read_text())
    assert stored == result.artifacts["mlbench"].content
    assert stored["absent"]["pyfunc/p95_ms"].startswith("10 calls do not support it")
    assert result.artifacts["mlbench"].uri.endswith(ARTIFACT)


def test_a_logged_model_has_every_metric_once(client):
    """MLflow logs what an evaluator returns where it knows the model; logging it as well would store it twice."""

    class Model(mlflow.pyfunc.PythonModel):
        def predict(self, context, model_input: pd.DataFrame):
            return answer(model_input)

    logged = mlflow.pyfunc.log_model(
        name="flowers", python_model=Model(), pip_requirements=["mlflow"], input_example=FLOWERS[["a", "b"]]
    )
    with mlflow.start_run(run_name="evaluation") as run:
        result = evaluate(logged.model_uri)
    ours = {name: value for name, value in result.metrics.items() if name.startswith("pyfunc/")}
    assert ours["pyfunc/model_size_mib"] > 0
    mine = client.get_run(run.info.run_id)
    assert {name: mine.data.metrics[name] for name in ours} == pytest.approx(ours)
    for name in ours:
        assert len(client.get_metric_history(run.info.run_id, name)) == 1
    found = [metric.key for metric in client.get_logged_model(logged.model_id).metrics]
    assert sorted(found) == sorted(ours)


def test_an_estimator_that_a_study_has_logged_by_both_evaluators(client, tracker, tmp_path):
    """MLflow's own evaluator takes labels and probabilities from the estimator itself; ours calls what is served."""
    run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
    fitted, artifact = sklearn_artifact(tmp_path / "sklearn")
    arm = Arm("arm", "variant", Recipe("arm"), artifact, RuntimeSettings())
    record = log_model(tracker, run_id, arm, "tiny-arm", {}, None, save_here)
    rows, labels = images(30).reshape(30, 64), np.arange(30) % 3
    with settings_kept(), import_path_kept():
        result = mlflow.models.evaluate(
            f"models:/{record.model_id}",
            rows,
            targets=labels,
            model_type="classifier",
            evaluators=["default", "mlbench"],
            evaluator_config={
                "default": {"log_model_explainability": False},
                "mlbench": {"calls": 10, "warmup_calls": 0, "throughput_batch_size": 4},
            },
        )
    expected = fitted.score(rows, labels)
    assert result.metrics["accuracy_score"] == pytest.approx(expected)
    assert result.metrics["pyfunc/accuracy"] == pytest.approx(expected)
    assert {"roc_auc", "log_loss", "pyfunc/p50_ms"} <= set(result.metrics)


class TestOnlyWhenAskedFor:
    @pytest.fixture
    def asked(self, client, monkeypatch):
        """Whether it ran; nothing is measured."""
        self.seen = seen = []

        def evaluate(self, **given):
            seen.append(given["evaluator_config"])
            return base.EvaluationResult({}, {})

        monkeypatch.setattr(MlbenchEvaluator, "evaluate", evaluate)

        def run(evaluators, config=None, model_type="none"):
            mlflow.models.evaluate(
                answer,
                FLOWERS,
                targets="y",
                model_type=model_type,
                evaluators=evaluators,
                evaluator_config=config,
            )
            return seen

        return run

    def test_by_its_name_alone(self, asked):
        assert asked(["mlbench"]) == [{}]
        assert asked("mlbench") == [{}, {}]
        assert asked(["default", "mlbench"]) == [{}, {}, {}]

    @pytest.mark.parametrize(
        ("evaluators", "config"),
        [
            (None, None),
            (None, {"log_explainer": False}),
            (None, {"default": {"log_explainer": False}}),
            ("default", {}),
        ],
    )
    def test_never_by_others(self, asked, evaluators, config):
        with pytest.raises(MlflowException, match="could not be evaluated by any"):
            asked(evaluators, config)
        assert self.seen == []

    def test_by_a_setting_or_the_type(self, asked):
        assert asked(None, {"mlbench": {"calls": 5}}) == [{"calls": 5}]
        assert asked(None, {"mlbench": {"enabled": True}})[-1] == {"enabled": True}
        assert asked(None, None, "mlbench")[-1] == {}

    def test_also_where_mlflow_has_been_rebuilt(self):
        """Asked by a function of another name: then only a setting counts, so that nobody is slowed down."""
        assert not MlbenchEvaluator.can_evaluate(model_type="classifier", evaluator_config={})
        assert MlbenchEvaluator.can_evaluate(model_type="classifier", evaluator_config={"enabled": True})


class TestSettings:
    def test_the_task_goes_by_the_type(self):
        types = ("classifier", "regressor", "question-answering", None)
        assert [settings({}, kind).task for kind in types] == ["classification", "regression", "none", "none"]
        assert settings({"task": "none"}, "classifier").task == "none"

    @pytest.mark.parametrize(
        ("config", "sentence"),
        [
            ({"calls": 0}, "evaluator_config['mlbench'].calls: 0 is not a whole number of at least 1"),
            (
                {"cals": 5},
                "evaluator_config['mlbench'].cals: no such key; did you mean evaluator_config['mlbench'].calls?",
            ),
            ({"task": "ranking"}, "is not one of auto, classification, regression, none"),
            ({"max_seconds": float("inf")}, "evaluator_config['mlbench'].max_seconds"),
            ({"calls": True}, "evaluator_config['mlbench'].calls: true is not a whole number"),
        ],
    )
    def test_a_mistake_is_one_sentence(self, config, sentence):
        with pytest.raises(InputError) as refused:
            settings(config, "classifier")
        assert sentence in str(refused.value)
        assert len(refused.value.problems) == 1

    def test_mlflow_passes_the_sentence_on(self, client):
        with pytest.raises(InputError, match="no such key"):
            evaluate(call=3)


def test_every_entry_point_leads_somewhere():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]
    assert declared["mlflow.model_evaluator"]["mlbench"].endswith(":MlbenchEvaluator")
    for group, points in declared.items():
        for name, value in points.items():
            assert callable(EntryPoint(name, value, group).load())
