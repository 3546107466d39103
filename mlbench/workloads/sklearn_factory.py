"""A scikit-learn estimator: fitted here, or read from a file that the user trusts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mlbench.config import ModelConfig
from mlbench.errors import InputError, MlbenchError
from mlbench.records import Artifact
from mlbench.registry import load
from mlbench.workloads import Data, Progress, Split
from mlbench.workloads.factory import check_factory, source_digest
from mlbench.workloads.outputs import misfit, specs
from mlbench.workloads.torch_factory import ArtifactStore

FILE = "model.joblib"
_WHERE = "workload.model"
_VERSION = 1
_PROBE_ROWS = 2


class SklearnFactory:
    """``factory: package.module:function`` is called with ``args`` and must return a scikit-learn estimator.

    It is fitted on the training split. Or ``weights`` names a file of a fitted one, written by joblib or pickle;
    reading such a file runs whatever code is in it, so it takes ``trust: true``.
    """

    format = "sklearn"

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; imports neither scikit-learn nor the factory's module."""
        if config.train is not None:
            return [f"{_WHERE}.train is for torch; a scikit-learn estimator has its settings in 'args'"]
        if config.weights is None:
            return check_factory(config.factory, config.args)
        if config.factory is not None:
            return [f"{_WHERE} has both 'factory' and 'weights'; a file holds the whole estimator, so give one of them"]
        if not Path(config.weights).expanduser().is_file():
            return [f"{_WHERE}.weights: {config.weights} does not exist"]
        return untrusted(config)

    def build(self, config: ModelConfig, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
        """The estimator as a ``sklearn`` artifact.

        Raises:
            InputError: The configuration is wrong, or the estimator does not fit the data.
        """
        found = self.check(config)
        if found:
            raise InputError(found)
        key: dict[str, Any] = {
            "kind": "model",
            "source": "sklearn",
            "version": _VERSION,
            "inputs": [asdict(spec) for spec in data.info.inputs],
            "classes": len(data.info.classes),
            "task": data.train.task,
            "libraries": {"scikit-learn": version("scikit-learn"), "joblib": version("joblib")},
        }
        if config.weights is not None:
            path = Path(config.weights).expanduser()
            key["weights"] = hashlib.sha256(path.read_bytes()).hexdigest()
            return store.build(key, lambda out: _make(lambda: _read(path), data, out), progress)
        assert config.factory is not None
        factory, args = config.factory, config.args
        key |= {"factory": factory, "code": source_digest(factory), "args": args, "data": data.info.digest}

        def fit() -> Any:
            progress(f"fitting {factory.partition(':')[2]}")
            return _fitted(factory, args, data.train)

        return store.build(key, lambda out: _make(fit, data, out), progress)


def untrusted(config: ModelConfig) -> list[str]:
    """A sentence where a pickled file would be read without the user's word that it is safe."""
    if config.trust:
        return []
    return [
        (
            f"{_WHERE}.weights: {config.weights} is a pickle, and reading one runs whatever code is in it; if you know "
            f"where it is from, say {_WHERE}.trust=true"
        )
    ]


def _read(path: Path) -> Any:
    import joblib

    try:
        return joblib.load(path)
    except Exception as error:  # unpickling raises what it likes
        raise InputError(f"{_WHERE}.weights: {path} cannot be read: {type(error).__name__}: {error}") from error


def _fitted(factory: str, args: dict[str, Any], train: Split) -> Any:
    from mlbench.runtimes.sklearn_runtime import as_table
    from mlbench.runtimes.torch_module import import_factory

    try:
        estimator = import_factory(factory)(**args)
    except MlbenchError as error:
        raise InputError(f"{_WHERE}: {error}") from error
    except Exception as error:  # the user's function may raise anything
        raise InputError(f"{_WHERE}: factory '{factory}' failed: {type(error).__name__}: {error}") from error
    if not hasattr(estimator, "fit") or not hasattr(estimator, "get_params"):
        raise InputError(f"{_WHERE}: factory '{factory}' returned {type(estimator).__name__}, not an estimator")
    try:
        return estimator.fit(as_table(list(train.inputs.values())), train.labels)
    except (ValueError, TypeError) as error:
        raise InputError(f"{_WHERE}: what '{factory}' makes cannot be fitted on the data: {error}") from error


def _make(get: Callable[[], Any], data: Data, out: Path) -> Artifact:
    import joblib

    from mlbench.runtimes.sklearn_runtime import FORMAT, answer, as_table, method_of

    estimator = get()
    if data.train.task in ("embedding", "token_classification"):
        raise InputError(f"workload.task: a scikit-learn estimator does not serve the task '{data.train.task}'")
    table = as_table([array[:_PROBE_ROWS] for array in data.validation.inputs.values()])
    try:
        method = method_of(estimator, numbers=load("task", data.train.task).labels == "number")
        result = answer(estimator, method, table)
    except (MlbenchError, ValueError, TypeError, AttributeError) as error:
        raise InputError(f"{_WHERE}: the estimator does not answer the data: {error}") from error
    if data.train.task == "classification" and result.ndim == 1 and len(data.info.classes) == 2:
        raise InputError(f"{_WHERE}: the estimator gives one score per item; for two classes use workload.task=binary")
    reason = misfit(result.shape, _PROBE_ROWS, data)
    if reason is not None:
        raise InputError(f"{_WHERE}: {reason}")
    joblib.dump(estimator, out / FILE)
    return Artifact(
        digest="",
        format=FORMAT,
        path=str(out),
        entry=FILE,
        inputs=data.info.inputs,
        outputs=specs([(np.asarray(result).dtype.name, result.shape)], data.train.task),
        size_bytes=0,
        meta={"method": method, "estimator": type(estimator).__name__},
    )
