"""A model out of MLflow as the workload's model, by URI: registered versions, aliases, and models of runs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.models import Model

from mlbench.config import ModelConfig
from mlbench.disk import OutsideError, inside
from mlbench.errors import InputError
from mlbench.records import Artifact
from mlbench.runtimes.kept import settings_kept
from mlbench.tracking import logged_text
from mlbench.tracking.calls import first_line, quiet
from mlbench.tracking.import_path import SERVED, by_own_name
from mlbench.tracking.logged_pyfunc import pyfunc_model, with_directory
from mlbench.tracking.logged_torch import torch_model
from mlbench.workloads import Data, Progress, RawData
from mlbench.workloads.huggingface_model import HuggingFaceOptions
from mlbench.workloads.onnx_file import OnnxFile
from mlbench.workloads.options import parse, problems
from mlbench.workloads.sklearn_factory import SklearnFactory
from mlbench.workloads.torch_factory import ArtifactStore

_WHERE = "workload.model"
_SCHEMES = ("models:/", "runs:/", "mlflow-artifacts:/", "file:/", "s3://", "gs://", "http://", "https://")
_PYFUNC = "python_function"
_SKOPS = "skops"


@dataclass(frozen=True, slots=True)
class LoggedOptions:
    """How the model is used.

    Attributes:
        output: Which output the task reads, of an ONNX model or through pyfunc: its name; None is the first.
        huggingface: Options of :class:`mlbench.workloads.huggingface_model.HuggingFaceOptions`, for the flavour
            transformers.
    """

    output: str | None = None
    huggingface: dict[str, Any] = field(default_factory=dict)


class LoggedModel:
    """``path`` is a URI that MLflow understands: ``models:/name@alias``, ``models:/name/3``, ``runs:/<id>/model``.

    It is downloaded from the study's tracking store and served natively, as what it is, where it has one of the
    flavours ``onnx``, ``sklearn``, ``pytorch`` and ``transformers``; otherwise through pyfunc. What runs code when it
    is loaded takes ``trust: true``.
    """

    format: str | None = None  # known when the model is there

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; nothing is downloaded."""
        found = [
            f"{_WHERE}.{name} is for other sources; a model in MLflow is named by 'path'"
            for name in ("factory", "weights", "train")
            if getattr(config, name) is not None
        ]
        wrong = problems(LoggedOptions, config.options, f"{_WHERE}.options")
        found += wrong
        if not wrong and config.options.get("huggingface"):
            found += problems(HuggingFaceOptions, config.options["huggingface"], f"{_WHERE}.options.huggingface")
        if config.path is None:
            found.append(f"{_WHERE}.path is missing; it names the model: models:/<name>@<alias>, or runs:/<id>/<path>")
        elif not config.path.startswith(_SCHEMES):
            found.append(f"{_WHERE}.path: '{config.path}' is no URI of a model, such as models:/<name>@<alias>")
        return found

    def encode(self, config: ModelConfig, raw: RawData, classes: tuple[str, ...] | None, task: str) -> RawData:
        """The data as a transformers pipeline takes it; all other models take it as it is. Downloads the model.

        Raises:
            InputError: The model cannot be had, or the data is not what it can take.
        """
        assert config.path is not None  # checked before
        options: LoggedOptions = parse(LoggedOptions, config.options, f"{_WHERE}.options")
        _forget(config.path)
        place, flavors = _fetched(config.path)
        if _chosen(flavors) != logged_text.FLAVOR:
            return raw
        flavor = flavors[logged_text.FLAVOR]
        return logged_text.encode(config, options.huggingface, place, flavor, raw, classes, task)

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
        try:
            place, flavors = _fetched(config.path)
            return _built(config, options, place, flavors, data, store, progress)
        finally:
            _forget(config.path)


_NATIVE = ("onnx", "sklearn", "pytorch", logged_text.FLAVOR)
_DOWNLOADS: dict[str, tuple[tempfile.TemporaryDirectory[str], Path]] = {}  # fetched by encode() for build(), by URI


def _fetched(uri: str) -> tuple[Path, Mapping[str, Any]]:
    """The model's directory and flavours. The data and the model are of one download: an alias may move in between."""
    if uri not in _DOWNLOADS:
        folder = tempfile.TemporaryDirectory(prefix="mlbench-model-")
        try:
            _DOWNLOADS[uri] = folder, _downloaded(uri, folder.name)
        except InputError:
            folder.cleanup()
            raise
    place = _DOWNLOADS[uri][1]
    return place, _flavors(place, uri)


def _forget(uri: str) -> None:
    if uri in _DOWNLOADS:
        _DOWNLOADS.pop(uri)[0].cleanup()


def _chosen(flavors: Mapping[str, Any]) -> str | None:
    """The flavour that is served natively, the leanest first; None where there is none."""
    return next((name for name in _NATIVE if name in flavors), None)


def _built(
    config: ModelConfig,
    options: LoggedOptions,
    place: Path,
    flavors: Mapping[str, Any],
    data: Data,
    store: ArtifactStore,
    progress: Progress,
) -> Artifact:
    if not set(flavors) & {*_NATIVE, _PYFUNC}:
        raise InputError(
            f"{_WHERE}.path: {config.path} has the flavours {', '.join(sorted(flavors)) or 'none'}; what is served "
            f"here are {', '.join(_NATIVE)}, and {_PYFUNC} for all others"
        )
    native = _chosen(flavors)
    if options.huggingface and native != logged_text.FLAVOR:
        raise InputError(f"{_WHERE}.options.huggingface: {config.path} is no transformers pipeline")
    if options.output is not None and native not in (None, "onnx"):
        raise InputError(f"{_WHERE}.options.output: a model of the flavour {native} has no named outputs")
    if native is None:
        return pyfunc_model(config, options.output, place, data, store, progress)
    if native == logged_text.FLAVOR:
        flavor = flavors[native]
        return logged_text.text_model(config, options.huggingface, place, flavor, data, store, progress)
    made = _native(native, config, options, place, flavors[native], data, store, progress)
    if not config.trust or _PYFUNC not in flavors:
        return made
    return with_directory(made, options.output, place, data, store, progress)


def _native(
    name: str,
    config: ModelConfig,
    options: LoggedOptions,
    place: Path,
    flavor: Mapping[str, Any],
    data: Data,
    store: ArtifactStore,
    progress: Progress,
) -> Artifact:
    """The model as what it is, without MLflow's wrapper."""
    if name == "onnx":
        plain = replace(
            config, path=str(_named(place, flavor, "data", config.path)), options={"output": options.output}
        )
        return OnnxFile().build(plain, data, store, progress)
    if name == "pytorch":
        return torch_model(config, place, flavor, data, store, progress)
    return _estimator(config, place, flavor, data, store, progress)


def _downloaded(uri: str, folder: str) -> Path:
    try:
        with quiet():
            return Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=folder))
    except (MlflowException, OSError) as error:
        raise InputError(f"{_WHERE}.path: {uri} cannot be downloaded: {first_line(error)}") from error


def _flavors(place: Path, uri: str) -> Mapping[str, Any]:
    try:
        flavors: Mapping[str, Any] = Model.load(str(place)).flavors
    except Exception as error:  # MLflow lets through whatever is wrong in the model's own file
        raise InputError(f"{_WHERE}.path: {uri} is no MLflow model: {first_line(error)}") from error
    return flavors if isinstance(flavors, Mapping) else {}


def _named(place: Path, flavor: Any, key: str, uri: str | None) -> Path:
    """The file that the flavour names; it lies in the model's directory, whatever the model says."""
    try:
        return inside(place, str(flavor[key]))
    except (OutsideError, KeyError, TypeError) as error:
        raise InputError(f"{_WHERE}.path: {uri} is no MLflow model: its '{key}': {error}") from error


def _estimator(
    config: ModelConfig, place: Path, flavor: Mapping[str, Any], data: Data, store: ArtifactStore, progress: Progress
) -> Artifact:
    if flavor.get("serialization_format") != _SKOPS:
        if not config.trust:
            raise InputError(_untrusted(config.path, "a scikit-learn model, so a pickle"))
        return _fitted(config, _named(place, flavor, "pickled_model", config.path), data, store, progress)
    if flavor.get("skops_trusted_types") and not config.trust:
        raise InputError(_untrusted(config.path, "a scikit-learn model that names further types to be trusted"))
    with tempfile.TemporaryDirectory(prefix="mlbench-model-") as folder:
        return _fitted(config, _from_skops(config, place, flavor, Path(folder)), data, store, progress)


def _untrusted(uri: str | None, what: str) -> str:
    return (
        f"{_WHERE}.path: {uri} is {what}, and reading one runs whatever code is in it; if you know where it is from, "
        f"say {_WHERE}.trust=true"
    )


def _fitted(config: ModelConfig, path: Path, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
    plain = replace(config, path=None, options={}, weights=str(path), trust=True)
    with settings_kept(), by_own_name(SERVED):  # one that mlbench has logged asks for that module
        return SklearnFactory().build(plain, data, store, progress)


def _from_skops(config: ModelConfig, place: Path, flavor: Mapping[str, Any], folder: Path) -> Path:
    """The estimator as joblib writes it, which is how mlbench keeps every other one.

    skops makes types that it knows, and those that it is told. MLflow would take them from the model itself, and put
    the model's own directory of code on the import path first, so it is not asked.
    """
    import joblib
    import skops.io

    file = _named(place, flavor, "pickled_model", config.path)
    try:
        estimator = skops.io.load(file, trusted=flavor.get("skops_trusted_types") if config.trust else None)
    except Exception as error:  # skops refuses in its own ways
        raise InputError(f"{_WHERE}.path: {config.path} cannot be loaded: {first_line(error)}") from error
    path = folder / "estimator.joblib"
    joblib.dump(estimator, path)
    return path
