"""scikit-learn estimators, answered by the method that gives the most: probabilities, scores, or numbers."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems

FORMAT = "sklearn"
METHODS = ("predict_proba", "decision_function", "predict")
OPTIONS: Mapping[str, Option] = {}


def method_of(estimator: Any, *, numbers: bool) -> str:
    """The method that answers for this estimator: ``predict`` for numbers, else the first that there is.

    Raises:
        WorkerError: It gives no score for each class, so nothing but the class itself could be known.
    """
    if numbers:
        return "predict"
    found = next((name for name in METHODS[:2] if hasattr(estimator, name)), None)
    if found is None:
        raise WorkerError(
            f"{type(estimator).__name__} has neither predict_proba nor decision_function, so it gives no scores"
        )
    return found


def answer(estimator: Any, method: str, table: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """One call: (items, columns) in; (items, classes), or (items,) for numbers, out."""
    found = getattr(estimator, method)(table)
    if isinstance(found, list):  # several labels per item: one table of two columns for each class
        return np.column_stack([columns[:, 1] for columns in found])
    return np.asarray(found)


def load_estimator(artifact: Artifact) -> Any:
    """The estimator of a ``sklearn`` artifact, from mlbench's own store.

    Raises:
        WorkerError: The file is damaged, or was written by another version of its library.
    """
    import joblib

    path = Path(artifact.path) / artifact.entry
    try:
        return joblib.load(path)
    except Exception as error:  # unpickling raises what it likes
        raise WorkerError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error


def with_jobs(estimator: Any, threads: int) -> bool:
    """Put the number of threads into every ``n_jobs`` of the estimator and its parts; whether it has any."""
    jobs = [name for name in estimator.get_params() if name == "n_jobs" or name.endswith("__n_jobs")]
    estimator.set_params(**dict.fromkeys(jobs, threads))
    return bool(jobs)


class SklearnRuntime:
    """Serves ``sklearn`` artifacts; ``threads`` is put into the estimator's own ``n_jobs`` and its libraries' pools."""

    name = "sklearn"
    formats: tuple[str, ...] = (FORMAT,)

    def import_library(self) -> None:
        """Import scikit-learn."""
        importlib.import_module("sklearn")

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences; there are none to set."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that the device is the CPU.

        Raises:
            WorkerError: It is another one.
        """
        if settings.device != "cpu":
            raise WorkerError(f"scikit-learn runs on the cpu, not on '{settings.device}'")

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> SklearnSession:
        """Load the estimator.

        Raises:
            WorkerError: The artifact or the settings cannot be served.
        """
        self.check_available(settings)
        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        estimator = load_estimator(artifact)
        return SklearnSession(estimator, artifact, settings, with_jobs=with_jobs(estimator, settings.threads))


class SklearnSession:
    """A loaded estimator. Several inputs stand side by side, in call order, as columns of one table."""

    def __init__(self, estimator: Any, artifact: Artifact, settings: RuntimeSettings, *, with_jobs: bool) -> None:
        from threadpoolctl import threadpool_limits

        self._estimator = estimator
        self._artifact = artifact
        self._settings = settings
        self._with_jobs = with_jobs
        self._names = [spec.name for spec in artifact.inputs]
        self._method = artifact.meta["method"]
        self._limits = threadpool_limits(settings.threads)  # for as long as the session lives

    def prepare(self, batch: Batch) -> npt.NDArray[Any]:
        """One table, (items, columns)."""
        absent = [name for name in self._names if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        return as_table([batch[name] for name in self._names])

    def run(self, prepared: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """One call of the model."""
        return answer(self._estimator, self._method, prepared)

    def outputs(self, result: npt.NDArray[Any]) -> tuple[npt.NDArray[np.generic], ...]:
        """The scores or numbers."""
        return (result,)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force."""
        import sklearn

        return {
            "runtime": "sklearn",
            "version": sklearn.__version__,
            "format": self._artifact.format,
            "device": "cpu",
            "threads": self._settings.threads,
            "n_jobs": self._settings.threads if self._with_jobs else None,
            "estimator": str(self._artifact.meta["estimator"]),
            "method": self._method,
            "precision": "float64",
        }

    def libraries(self, call: Callable[[], Any]) -> dict[str, Scalar]:  # noqa: ARG002 - no call is needed to know
        """What its matrix products are computed with, where it has any."""
        from mlbench.runtimes.blas import numpy_blas

        return numpy_blas()


def as_table(arrays: list[npt.NDArray[Any]]) -> npt.NDArray[Any]:
    """Inputs side by side, each item flat: (items, columns), contiguous."""
    flat = [array.reshape(len(array), -1) for array in arrays]
    return np.ascontiguousarray(flat[0] if len(flat) == 1 else np.concatenate(flat, axis=1))
