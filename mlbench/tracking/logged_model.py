"""A model out of MLflow as the workload's model, by URI: registered versions, aliases, and models of runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from mlbench.config import ModelConfig
from mlbench.errors import InputError
from mlbench.records import Artifact
from mlbench.tracking.calls import first_line, quiet
from mlbench.workloads import Data, Progress
from mlbench.workloads.onnx_file import OnnxFile
from mlbench.workloads.options import parse, problems
from mlbench.workloads.sklearn_factory import SklearnFactory
from mlbench.workloads.torch_factory import ArtifactStore

_WHERE = "workload.model"
_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/", "file:/", "s3://", "gs://", "http://", "https://")


@dataclass(frozen=True, slots=True)
class LoggedOptions:
    """Which output of an ONNX model the task reads: its name; None is the first."""

    output: str | None = None


class LoggedModel:
    """``path`` is a URI that MLflow understands: ``models:/name@alias``, ``models:/name/3``, ``runs:/<id>/model``.

    It is downloaded from the study's tracking store and served natively, as what it is: the flavours ``onnx`` and
    ``sklearn``. A scikit-learn model is a pickle and takes ``trust: true``.
    """

    format: str | None = None  # known when the model is there

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; nothing is downloaded."""
        found = [
            f"{_WHERE}.{name} is for other sources; a model in MLflow is named by 'path'"
            for name in ("factory", "weights", "train")
            if getattr(config, name) is not None
        ]
        found += problems(LoggedOptions, config.options, f"{_WHERE}.options")
        if config.path is None:
            found.append(f"{_WHERE}.path is missing; it names the model: models:/<name>@<alias>, or runs:/<id>/<path>")
        elif not config.path.startswith(_SCHEMES):
            found.append(f"{_WHERE}.path: '{config.path}' is no URI of a model, such as models:/<name>@<alias>")
        return found

    def build(self, config: ModelConfig, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
        """The model as an artifact of its own format.

        Raises:
            InputError: It cannot be had, has no flavour that is served here, or does not fit the data.
        """
        found = self.check(config)
        if found or config.path is None:
            raise InputError(found)
        options: LoggedOptions = parse(LoggedOptions, config.options, f"{_WHERE}.options")
        progress(f"downloading {config.path}")
        with tempfile.TemporaryDirectory(prefix="mlbench-model-") as folder:
            place = _downloaded(config.path, folder)
            flavors = _flavors(place, config.path)
            if "onnx" in flavors:
                plain = replace(config, path=str(place / flavors["onnx"]["data"]), options={"output": options.output})
                return OnnxFile().build(plain, data, store, progress)
            if "sklearn" in flavors:
                return _estimator(config, place / flavors["sklearn"]["pickled_model"], data, store, progress)
        served = ", ".join(sorted(set(flavors) - {"python_function"})) or "python_function alone"
        raise InputError(
            f"{_WHERE}.path: {config.path} has the flavours {served}; those served here are onnx and sklearn"
        )


def _downloaded(uri: str, folder: str) -> Path:
    try:
        with quiet():
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        raise InputError(f"{_WHERE}.path: {uri} cannot be downloaded: {first_line(error)}") from error


def _flavors(place: Path, uri: str) -> Mapping[str, Any]:
    try:
        flavors: Mapping[str, Any] = Model.load(str(place)).flavors
    except (MlflowException, OSError) as error:
        raise InputError(f"{_WHERE}.path: {uri} is no MLflow model: {first_line(error)}") from error
    return flavors


def _estimator(config: ModelConfig, path: Path, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
    if not config.trust:
        raise InputError(
            f"{_WHERE}.path: {config.path} is a scikit-learn model, so a pickle, and reading one runs whatever code is "
            f"in it; if you know where it is from, say {_WHERE}.trust=true"
        )
    return SklearnFactory().build(replace(config, path=None, options={}, weights=str(path)), data, store, progress)
