"""An MLflow model as a directory: kept whole in the store, and served through pyfunc where nothing else serves it."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mlflow.models import Model

from mlbench.config import ModelConfig
from mlbench.disk import files_in, sha256
from mlbench.errors import InputError
from mlbench.records import Artifact
from mlbench.runtimes.pyfunc_runtime import ENTRY, FORMAT, flavor_of
from mlbench.variants.as_pyfunc import LOGGED
from mlbench.workloads import Data, Progress
from mlbench.workloads.outputs import fitted
from mlbench.workloads.torch_factory import ArtifactStore

_WHERE = "workload.model"
_VERSION = 1
_BY_MLFLOW = "registered_model_meta"  # MLflow writes it beside a model that it has downloaded


def pyfunc_model(
    config: ModelConfig, output: str | None, place: Path, data: Data, store: ArtifactStore, progress: Progress
) -> Artifact:
    """The model as a ``pyfunc`` artifact.

    Raises:
        InputError: The user does not say that its code may run, it cannot be loaded, or it does not fit the data.
    """
    flavors = Model.load(str(place)).flavors
    if not config.trust:
        raise InputError(
            f"{_WHERE}.path: {config.path} has the flavour {flavor_of(flavors)}, which is served through MLflow's "
            "pyfunc, and loading it runs whatever code is in the model; if you know where it is from, say "
            f"{_WHERE}.trust=true"
        )
    _require_order(config, place, data)
    key: dict[str, Any] = {
        "kind": "model",
        "source": "mlflow_pyfunc",
        "version": _VERSION,
        "files": digest_of_model(place),
        "output": output,
        "inputs": [asdict(spec) for spec in data.info.inputs],
        "classes": len(data.info.classes),
        "task": data.train.task,
        "libraries": {"mlflow": version("mlflow")},
    }

    def make(out: Path) -> Artifact:
        meta = {"flavor": flavor_of(flavors), **({"output": output} if output is not None else {})}
        try:
            return fitted(replace(_directory(place, data, out), meta=meta), data)
        except InputError as error:
            raise InputError([f"{text}{_advice(flavors, text)}" for text in error.problems]) from error

    return store.build(key, make, progress)


def with_directory(
    artifact: Artifact, output: str | None, place: Path, data: Data, store: ArtifactStore, progress: Progress
) -> Artifact:
    """A native artifact that knows where the MLflow model is kept that it was made from, for the step ``as_pyfunc``."""
    digest = digest_of_model(place)
    kept = store.build({"kind": "mlflow_model", "files": digest}, lambda out: _directory(place, data, out), progress)
    return replace(artifact, meta={**artifact.meta, LOGGED: {"path": kept.path, "digest": digest, "output": output}})


def digest_of_model(place: Path) -> str:
    """SHA-256 over the names and contents of the model's files."""
    files = [(name, sha256(place / name)) for name in files_in(place) if name != _BY_MLFLOW]
    return hashlib.sha256("\n".join(f"{name} {digest}" for name, digest in files).encode()).hexdigest()


def _directory(place: Path, data: Data, out: Path) -> Artifact:
    shutil.copytree(place, out, dirs_exist_ok=True, ignore=shutil.ignore_patterns(_BY_MLFLOW))
    return Artifact(
        digest="", format=FORMAT, path=str(out), entry=ENTRY, inputs=data.info.inputs, outputs=(), size_bytes=0
    )


def _require_order(config: ModelConfig, place: Path, data: Data) -> None:
    """Columns of one table are taken in the signature's order, so the data must have them in that order.

    Raises:
        InputError: It has the same names in another order.
    """
    schema = Model.load(str(place)).get_input_schema()  # type: ignore[no-untyped-call]  # untyped in MLflow
    if schema is None or schema.is_tensor_spec() or not schema.has_input_names() or len(data.info.inputs) != 1:
        return
    wanted = schema.input_names()
    ours = [name for name in data.info.columns if name in wanted]
    if len(ours) == len(wanted) > 1 and ours != wanted:
        raise InputError(
            f"{_WHERE}.path: {config.path} takes the columns {', '.join(wanted)}, and the data has them in another "
            "order; workload.data.options.inputs is the list of them, each an input by its own name"
        )


def _advice(flavors: Mapping[str, Any], problem: str) -> str:
    """How the usual misfit is put right: models of scikit-learn's kind answer with labels unless they are told."""
    method = flavors["python_function"].get("predict_fn", "predict")
    if "classes need" not in problem or method != "predict":
        return ""
    return (
        "; scores are needed, not labels (scikit-learn's kind of model gives them when it is logged with "
        "pyfunc_predict_fn='predict_proba')"
    )
