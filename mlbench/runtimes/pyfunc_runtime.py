"""Any MLflow model through MLflow's own wrapper, pyfunc: what ``mlflow models serve`` calls.

pyfunc checks every input against the model's signature and turns it into what the flavour takes, often by way of a
pandas DataFrame. That is part of every call and therefore of what is timed. This is the one runtime whose worker
imports MLflow, and pandas with it: their memory is part of what pyfunc costs.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems
from mlbench.runtimes.sklearn_runtime import with_jobs

FORMAT = "pyfunc"
ENTRY = "MLmodel"
INCLUDES = "pyfunc's schema checks and conversions"
OPTIONS: Mapping[str, Option] = {}
_NUMBERS = "fiub"
_TORCH = frozenset({"pytorch", "transformers", "sentence_transformers"})  # flavours that compute with it


def _pyfunc() -> Any:
    """The one place where a worker imports MLflow."""
    import mlflow.pyfunc

    return mlflow.pyfunc


class PyfuncRuntime:
    """Serves ``pyfunc`` artifacts: directories of MLflow models with the flavour ``python_function``.

    Loading one runs the code in it. ``threads`` fixes the pools of OpenMP, BLAS and torch, and what models that mlbench
    has logged have of their own; what another model sets by itself (``n_jobs``, the session of ``mlflow.onnx``) stays
    as it was logged.
    """

    name = "pyfunc"
    formats: tuple[str, ...] = (FORMAT,)

    def import_library(self) -> None:
        """Import MLflow's pyfunc. A process that is measured sends no usage data."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        _pyfunc()

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences; there are none to set."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that the device is the CPU.

        Raises:
            WorkerError: It is another one.
        """
        if settings.device != "cpu":
            raise WorkerError(
                f"pyfunc leaves the device to the model, so runtime.device must be cpu, not '{settings.device}'"
            )

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> PyfuncSession:
        """Load the model as MLflow does.

        Raises:
            WorkerError: The model or the settings cannot be served.
        """
        self.check_available(settings)
        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        try:
            model = _loaded(artifact.path, settings.threads)
        except Exception as error:  # the model's own code raises what it likes
            reason = next(iter(str(error).strip().splitlines()), "")
            raise WorkerError(f"pyfunc cannot load the model: {type(error).__name__}: {reason}") from error
        if "torch" in sys.modules:  # the model's own flavour has imported it
            sys.modules["torch"].set_num_threads(settings.threads)
        return PyfuncSession(model, artifact, settings)


def _loaded(path: str, threads: int) -> Any:
    """The model, with this number of threads where it keeps one that can be set."""
    pyfunc = _pyfunc()
    logged = pyfunc.Model.load(path).flavors.get("python_function", {}).get("config") or {}
    config: dict[str, Any] = {"threads": threads} if "threads" in logged else {}
    if "threads" in logged.get("settings", {}):  # what mlbench's own runtimes serve
        config["settings"] = {**logged["settings"], "threads": threads}
    model = pyfunc.load_model(path, suppress_warnings=True, model_config=config or None)
    estimator = getattr(_wrapped(model), "sklearn_model", None)
    if estimator is not None and hasattr(estimator, "served_threads"):  # mlbench has logged it
        estimator.served_threads = threads
        with_jobs(estimator, threads)
    return model


def _wrapped(model: Any) -> Any:
    """What the flavour has made; MLflow says nothing of it in public."""
    return getattr(model, "_model_impl", None)


class PyfuncSession:
    """A loaded model, called with arrays: pyfunc makes what the flavour takes of them, within the call."""

    def __init__(self, model: Any, artifact: Artifact, settings: RuntimeSettings) -> None:
        self._model = model
        self._artifact = artifact
        self._settings = settings
        self._schema = model.metadata.get_input_schema()
        self._names = [spec.name for spec in artifact.inputs]

    def prepare(self, batch: Batch) -> Any:
        """Arrays, alone or by name, in the types that the model's signature wants."""
        absent = [name for name in self._names if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        return arrays_for(self._schema, {name: np.ascontiguousarray(batch[name]) for name in self._names})

    def run(self, prepared: Any) -> Any:
        """One call of pyfunc."""
        return self._model.predict(prepared)

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """What pyfunc returned as arrays, the output that the task reads in front."""
        return arrays_of(result, self._artifact.meta.get("output"))

    def effective(self) -> dict[str, Scalar]:
        """What is really in force."""
        import mlflow

        flavors = self._model.metadata.flavors
        wrapper = flavors["python_function"]
        torch = sys.modules.get("torch")
        session = getattr(_wrapped(self._model), "rt", None)  # that of mlflow.onnx
        if session is not None:
            threads = session.get_session_options().intra_op_num_threads  # 0 is as many as there are cores
        else:
            threads = self._settings.threads if torch is None else torch.get_num_threads()
        return {
            "runtime": "pyfunc",
            "version": mlflow.__version__,
            "format": self._artifact.format,
            "device": "cpu",
            "threads": threads,
            "precision": str(self._artifact.meta.get("precision", "unknown")),
            "flavor": flavor_of(flavors),
            "method": str(wrapper.get("predict_fn", "predict")),
            "signature": "none"
            if self._schema is None
            else ("tensors" if self._schema.is_tensor_spec() else "columns"),
            "includes": INCLUDES,
            "logged_with": str(self._model.metadata.mlflow_version),
        }

    def libraries(self, call: Callable[[], Any]) -> dict[str, Scalar]:
        """What the model's own library computes matrix products with, as an arm says that has it without pyfunc.

        Absent where nothing here can tell.
        """
        from mlbench.runtimes.blas import numpy_blas, torch_blas

        if "torch" in sys.modules and _TORCH.intersection(self._model.metadata.flavors):
            return torch_blas(call)
        return numpy_blas() if find_spec("threadpoolctl") is not None else {}


def flavor_of(flavors: Mapping[str, Any]) -> str:
    """The model's own flavours; ``python_function`` where it is a Python class and nothing else."""
    return ", ".join(sorted(set(flavors) - {"python_function"})) or "python_function"


def arrays_for(schema: Any, batch: Mapping[str, npt.NDArray[Any]]) -> Any:
    """The batch as pyfunc takes it with this signature: one array, or arrays by name.

    Args:
        schema: Inputs of an MLflow signature; None where the model has none.
        batch: Arrays by input name, first axis items.

    Raises:
        WorkerError: The signature asks for what the batch does not have.
    """
    if schema is None:
        return next(iter(batch.values())) if len(batch) == 1 else dict(batch)
    if not schema.has_input_names():
        if len(batch) != 1:
            raise WorkerError(f"the model's signature takes one array, but the data has the inputs {', '.join(batch)}")
        ((name, array),) = batch.items()
        return _as_type(name, array, _kind(schema.inputs[0]))
    if schema.is_tensor_spec():
        wanted = schema.input_names()
        given = dict(zip(wanted, batch.values(), strict=True)) if len(wanted) == len(batch) == 1 else batch
        _require(wanted, given)
        return {spec.name: _as_type(spec.name, given[spec.name], _kind(spec)) for spec in schema.inputs}
    columns = _columns(schema, batch)
    return {
        spec.name: _as_type(spec.name, columns[spec.name], _kind(spec))
        for spec in schema.inputs
        if spec.name in columns
    }


def _columns(schema: Any, batch: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Columns by name: inputs of the data, or the columns of its only table in the order of the signature."""
    names = schema.input_names()
    tables = [array for array in batch.values() if array.ndim == 2 and array.shape[1] == len(names)]
    if len(batch) == 1 and tables and not set(names) & set(batch):
        return {name: np.ascontiguousarray(tables[0][:, index]) for index, name in enumerate(names)}
    _require(schema.required_input_names(), batch)
    wide = [name for name in names if name in batch and batch[name].size != len(batch[name])]
    if wide:
        raise WorkerError(f"the model's signature takes single columns, but input '{wide[0]}' has several")
    return {name: batch[name].reshape(-1) for name in names if name in batch}


def _require(names: list[str], batch: Mapping[str, Any]) -> None:
    absent = [name for name in names if name not in batch]
    if absent:
        raise WorkerError(
            f"the model's signature asks for {', '.join(map(str, names))}, but the data has no input '{absent[0]}'; it "
            f"has {', '.join(batch)}, and workload.data.options.inputs names them"
        )


def _kind(spec: Any) -> np.dtype[Any]:
    """The numpy type of a column or tensor of a signature."""
    kind = spec.type
    if isinstance(kind, np.dtype):
        return kind
    to_numpy = getattr(kind, "to_numpy", None)
    if to_numpy is None:
        raise WorkerError(f"the model's signature has {kind} for '{spec.name}', and only plain columns can be given")
    found: np.dtype[Any] = to_numpy()
    return found


def _as_type(name: str, array: npt.NDArray[Any], kind: np.dtype[Any]) -> npt.NDArray[Any]:
    """The same values in the signature's type.

    Raises:
        WorkerError: They are not the same in that type.
    """
    if kind.kind not in _NUMBERS:
        raise WorkerError(f"the model's signature wants {kind} for '{name}', and the data has numbers")
    cast = array.astype(kind)
    if not np.array_equal(cast, array):
        raise WorkerError(f"the model's signature wants {kind} for '{name}', but some values of the data are none")
    return cast


def arrays_of(result: Any, first: str | None = None) -> tuple[npt.NDArray[np.generic], ...]:
    """What a model returned through pyfunc as arrays, whatever it is: arrays, by name or not, tables, lists.

    Args:
        result: The answer to a batch.
        first: Name of the output (or column of a table) that comes first, and of a table alone.

    Raises:
        WorkerError: There is no such output, or it is not numbers.
    """
    named = hasattr(result, "columns") or isinstance(result, Mapping)
    if first is not None and named and first not in result:
        raise WorkerError(f"the model has no output '{first}'; it has {', '.join(map(str, result))}")
    if hasattr(result, "columns"):  # a table of pandas, which need not be imported to be asked
        parts = [result if first is None else result[first]]
    elif isinstance(result, Mapping):
        names = [name for name in result if name != first]
        parts = [result[name] for name in ([] if first is None else [first]) + names]
    else:
        parts = list(result) if isinstance(result, tuple) else [result]
    arrays = tuple(np.asarray(part.toarray() if hasattr(part, "toarray") else part) for part in parts)
    if arrays and arrays[0].dtype.kind not in _NUMBERS:
        raise WorkerError(
            "the model answers with text or objects instead of numbers"
            + (f"; it has the outputs {', '.join(map(str, result))}" if named else "")
        )
    return arrays
