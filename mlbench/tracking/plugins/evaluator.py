"""``mlflow.models.evaluate(..., evaluators=["default", "mlbench"])``: speed, memory and quality with their intervals.

MLflow imports this module with every evaluation, whoever asked for it, so it stays light; what measures is imported
when it is asked for.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import mlflow
from mlflow import MlflowClient
from mlflow.models.evaluation.artifacts import JsonEvaluationArtifact
from mlflow.models.evaluation.base import EvaluationResult, ModelEvaluator

if TYPE_CHECKING:
    from mlbench.tracking.plugins.in_process import Findings

NAME = "mlbench"
ARTIFACT = "evaluation/mlbench.json"
TAG = "mlbench.evaluator"
_RUNS_WHAT_IS_LISTED = "_evaluate"  # MLflow's function that asks the evaluators that the user named


class MlbenchEvaluator(ModelEvaluator):
    """Measures a pyfunc model in this process, through ``predict``; see docs/mlflow.md for what that means."""

    @classmethod
    def can_evaluate(cls, *, model_type: str | None, evaluator_config: dict[str, Any], **_kwargs: Any) -> bool:
        """Whether it was asked for: by name, by ``model_type="mlbench"``, or by a setting of its own.

        ``evaluators=None`` makes MLflow ask every evaluator that is installed; nobody who leaves it out wants to wait
        for measurements.
        """
        from mlbench.tracking.plugins.settings import SETTINGS

        caller = inspect.currentframe()
        caller = caller.f_back if caller is not None else None
        if caller is not None and caller.f_code.co_name == _RUNS_WHAT_IS_LISTED:
            return True
        return model_type == NAME or bool(SETTINGS & set(evaluator_config))

    def evaluate(
        self,
        *,
        model_type: str | None,
        dataset: Any,
        run_id: str,
        evaluator_config: dict[str, Any],
        model: Any = None,
        predictions: str | None = None,
        model_id: str | None = None,
        **_kwargs: Any,
    ) -> EvaluationResult:
        """Measure the model on the dataset and leave the figures in the run, each once.

        Args:
            model_type: ``classifier`` and ``regressor`` have quality metrics; anything else has speed and memory.
            dataset: MLflow's evaluation dataset.
            run_id: Where to.
            evaluator_config: Our own part of it.
            model: What is measured.
            predictions: The column of the model's answer that holds the prediction, where there are several.
            model_id: The logged model; MLflow itself logs the metrics that are returned where there is one.

        Raises:
            InputError: A setting is wrong, or there is no model to measure.
        """
        from mlbench.tracking.plugins.in_process import measure
        from mlbench.tracking.plugins.settings import settings

        chosen = settings(evaluator_config, model_type)
        found = measure(model, dataset.features_data, dataset.labels_data, chosen, answer_column=predictions)
        if model_id is None:
            mlflow.log_metrics(found.numbers(), run_id=run_id)
        return EvaluationResult(metrics=found.numbers(), artifacts={NAME: _leave(run_id, found)})  # type: ignore[no-untyped-call]


def _leave(run_id: str, found: Findings) -> JsonEvaluationArtifact:
    client = MlflowClient()
    client.set_tag(run_id, TAG, found.how)
    client.log_dict(run_id, found.record(), ARTIFACT)
    uri = f"{client.get_run(run_id).info.artifact_uri}/{ARTIFACT}"
    return JsonEvaluationArtifact(uri, found.record())  # type: ignore[no-untyped-call]


__all__ = ["ARTIFACT", "NAME", "TAG", "MlbenchEvaluator"]
