"""A model of MLflow's own flavours, loaded as MLflow loads it, with the threads it was measured with.

MLflow copies this file into the logged model as its loader. It imports MLflow and the model's own library only, so that
the model can be served where mlbench is not installed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> Any:
    """MLflow's entry point.

    Args:
        path: The model's data.
        model_config: ``flavor``, ``threads``, and ``device``, which PyTorch alone looks at; those that were measured,
            or what ``mlflow.pyfunc.load_model(uri, model_config={"threads": 4})`` says.
    """
    return _LOADERS[model_config["flavor"]](path, model_config)


def _pytorch(path: str, model_config: Mapping[str, Any]) -> Any:
    import mlflow.pytorch
    import torch

    torch.set_num_threads(model_config["threads"])
    return mlflow.pytorch._load_pyfunc(path, {"device": model_config["device"]})  # type: ignore[no-untyped-call]


def _sklearn(path: str, model_config: Mapping[str, Any]) -> Any:
    import mlflow.sklearn

    loaded = mlflow.sklearn._load_pyfunc(path)  # type: ignore[no-untyped-call]
    return _Limited(loaded, model_config["threads"])


class _Limited:
    """MLflow's wrapper of an estimator, whose methods run with so many threads.

    OpenMP keeps its number for each calling thread, and servers answer in threads of their own, so that it is set at
    every call.
    """

    def __init__(self, loaded: Any, threads: int) -> None:
        from threadpoolctl import ThreadpoolController

        self._loaded = loaded
        self._threads = threads
        self._pools = ThreadpoolController()  # of the libraries that the estimator has brought with it

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._loaded, name)
        return self._limited(found) if name.startswith("predict") else found

    def _limited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def call(data: Any, params: Any = None) -> Any:  # noqa: ARG001 - MLflow's form; estimators take none
            with self._pools.limit(limits=self._threads):
                return method(data)

        return call


_LOADERS = {"pytorch": _pytorch, "sklearn": _sklearn}
