"""A TorchScript model for MLflow ("models from code"): this file is copied into the logged model and runs from there.

It imports torch, numpy and MLflow only, so that the model can be served where mlbench is not installed.
"""

from __future__ import annotations

import warnings
from typing import Any

import mlflow
import numpy as np
from mlflow.pyfunc.model import PythonModel


class TorchScriptModel(PythonModel):
    """Answers numpy arrays with numpy arrays; several inputs or outputs come as arrays by name.

    The hint on ``model_input`` tells MLflow to leave checking to the signature, which knows about names too.
    """

    def load_context(self, context: Any) -> None:
        """Load the graph; called once by MLflow."""
        import torch

        engine = context.model_config.get("quantized_engine")
        if engine:
            torch.backends.quantized.engine = engine
        threads = context.model_config.get("threads")
        if threads:
            torch.set_num_threads(threads)  # as it was measured
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # torch deprecates TorchScript itself
            loaded = torch.jit.load(context.artifacts["model"], map_location="cpu")  # type: ignore[no-untyped-call]
        self._module = loaded.eval()
        self._inputs: list[str] = context.model_config["inputs"]
        self._outputs: list[str] = context.model_config["outputs"]

    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:  # noqa: ARG002 - MLflow's form
        """The model's answer to a batch (first axis: items)."""
        import torch

        given: Any = model_input
        arrays = [given[name] for name in self._inputs] if isinstance(given, dict) else [given]
        tensors = [torch.from_numpy(np.require(array, requirements=["C", "W"])) for array in arrays]
        with torch.inference_mode():
            result = self._module(*tensors)
        if isinstance(result, dict):
            return {name: value.numpy() for name, value in result.items()}
        values = result if isinstance(result, tuple | list) else (result,)
        if len(values) == 1:
            return values[0].numpy()
        return {name: value.numpy() for name, value in zip(self._outputs, values, strict=True)}


mlflow.models.set_model(TorchScriptModel())
