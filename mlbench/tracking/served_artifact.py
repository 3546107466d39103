"""Any artifact for MLflow ("models from code"), served by the runtime that measured it. Needs mlbench installed.

MLflow copies this file into the logged model and runs it from there.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel

from mlbench.records import Artifact, RuntimeSettings, from_dict
from mlbench.runtimes.loading import open_session


class ServedArtifact(PythonModel):
    """Answers numpy arrays with numpy arrays; several inputs or outputs come as arrays by name.

    The hint on ``model_input`` tells MLflow to leave checking to the signature, which knows about names too.
    """

    def load_context(self, context: Any) -> None:
        """Open the runtime's session; called once by MLflow."""
        artifact = from_dict(Artifact, context.model_config["artifact"])
        settings = from_dict(RuntimeSettings, context.model_config["settings"])
        self._session = open_session(replace(artifact, path=context.artifacts["files"]), settings)
        self._inputs = [spec.name for spec in artifact.inputs]
        self._outputs = [spec.name for spec in artifact.outputs]

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's form
        """The model's answer to a batch (first axis: items)."""
        given: Any = model_input
        batch = given if isinstance(given, dict) else {self._inputs[0]: given}
        values = self._session.outputs(self._session.run(self._session.prepare(batch)))
        return values[0] if len(values) == 1 else dict(zip(self._outputs, values, strict=True))


mlflow.models.set_model(ServedArtifact())
