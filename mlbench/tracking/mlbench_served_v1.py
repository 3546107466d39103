"""A model of MLflow's own flavours, loaded as MLflow loads it, with the threads it was measured with.

MLflow copies this file into the logged model. It imports MLflow and the model's own library only, so that the model can
be served where mlbench is not installed. Modules of several models share their names in one process, so a change that
an older copy would not understand gives the file the next number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

_METHODS = ("predict", "predict_proba", "predict_log_proba", "decision_function")


# ---------------------------------------------------------------------------------------------------------------------
# PyTorch: this module is the model's loader


def _load_pyfunc(path: str, model_config: Mapping[str, Any]) -> Any:
    """MLflow's entry point.

    Args:
        path: The model's data.
        model_config: ``threads`` and ``device``: those that were measured, or what
            ``mlflow.pyfunc.load_model(uri, model_config={"threads": 4})`` says.
    """
    import mlflow.pytorch
    import torch

    torch.set_num_threads(model_config["threads"])  # there is one number in a process: the last that is loaded sets it
    load: Callable[..., Any] = mlflow.pytorch._load_pyfunc  # noqa: SLF001 - docs/mlflow.md names what of it is private
    return load(path, {"device": model_config["device"]})


# ---------------------------------------------------------------------------------------------------------------------
# scikit-learn: MLflow's own loader unpickles the estimator, and that comes here


class Served:
    """What is pickled in place of an estimator: it comes back as that estimator, :func:`limited`."""

    def __init__(self, estimator: Any, threads: int) -> None:
        self._estimator = estimator
        self._threads = threads

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, int]]:
        return limited, (self._estimator, self._threads)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # what is asked for before there is an estimator
            raise AttributeError(name)
        return getattr(self._estimator, name)


def limited(estimator: Any, threads: int) -> Any:
    """The same estimator, whose methods run with so many threads (``served_threads``); kept again, it is plain.

    BLAS has one number in a process, set here. OpenMP keeps its number for each calling thread, and servers answer in
    threads of their own, so that it is set at every call.
    """
    from threadpoolctl import ThreadpoolController, threadpool_limits

    threadpool_limits(threads, user_api="blas")
    plain = type(estimator)
    pools = ThreadpoolController().select(user_api="openmp")  # of the libraries that the estimator has brought with it
    present = [name for name in _METHODS if hasattr(plain, name) and hasattr(estimator, name)]
    own = {name: _within(pools, getattr(plain, name)) for name in present}
    named = {"__module__": plain.__module__, "__qualname__": plain.__qualname__, "__doc__": plain.__doc__}
    special = {"__reduce_ex__": _reduced(plain), "served_threads": threads}
    estimator.__class__ = type(plain.__name__, (plain,), {**named, **own, **special})
    return estimator


def _within(pools: Any, method: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        with pools.limit(limits=self.served_threads):
            return method(self, *args, **kwargs)

    return call


def _reduced(plain: Any) -> Callable[..., Any]:
    """How to pickle it: as the class that it is without this module."""

    def reduced(self: Any, protocol: Any) -> Any:
        made, args, *rest = plain.__reduce_ex__(self, protocol)
        if made.__name__ == "__newobj__":  # pickle refuses it for another class than that of the object
            made = plain.__new__
        return made, tuple(plain if part is type(self) else part for part in args), *rest

    return reduced
