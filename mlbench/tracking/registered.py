"""A registered version as an artifact again: what a study promoted, fetched back to be measured."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.artifacts
from mlflow.models import Model

from mlbench.disk import OutsideError, inside
from mlbench.errors import InputError
from mlbench.records import Artifact, Recipe
from mlbench.tracking import names
from mlbench.tracking.calls import doing, first_line
from mlbench.tracking.champion import Champion
from mlbench.tracking.load import load_study
from mlbench.workloads.onnx_data import check_model

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_MODEL = "models:/"
_FORMATS = {"onnx": "onnx", "pytorch": "pt2", "torchscript": "torchscript"}
"""Format of the artifact that a form of logged model holds; the form ``mlbench`` holds any, as it was."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A version of a registered model that a study of mlbench promoted.

    Attributes:
        model_id: Its logged model.
        form: Form of the logged model; see :mod:`mlbench.tracking.forms`.
        recipe: How the arm was built and served.
        artifact: As it was measured, in the format in which it was logged; without files yet.
        study, arm: Where it was measured.
    """

    champion: Champion
    model_id: str
    form: str
    recipe: Recipe
    artifact: Artifact
    study: str
    arm: str


def find_registered(tracker: Tracker, champion: Champion) -> Registered:
    """What is known of the champion, from the study that promoted it.

    Raises:
        InputError: It was not promoted by mlbench, or in a form that cannot become an artifact again.
        TrackingError: MLflow refused.
    """
    what = f"version {champion.version} of '{champion.model_name}'"
    with doing(f"read {what}"):
        version = tracker.client.get_model_version(champion.model_name, str(champion.version))
        tags, source = version.tags, str(version.source)
        if names.RUN not in tags or names.ARM not in tags or not source.startswith(_MODEL):
            raise InputError(
                f"incumbent: {what} cannot take part: it was not promoted by mlbench, so how it is served is not "
                "known; leave out incumbent=true, or promote a study's winner first"
            )
        model_id = source.removeprefix(_MODEL)
        form = tracker.client.get_logged_model(model_id).tags.get(names.MODEL_FORM, "")
    study = load_study(tracker, tags[names.RUN]).study
    arm = study.arm(tags[names.ARM])
    if arm.artifact is None or (form != "mlbench" and form not in _FORMATS):
        raise InputError(
            f"incumbent: {what} cannot take part: its model is logged as '{form}', and {', '.join(_FORMATS)} and "
            "mlbench can be measured again; leave out incumbent=true"
        )
    artifact = replace(arm.artifact, path="", format=_FORMATS.get(form, arm.artifact.format))
    return Registered(champion, model_id, form, arm.recipe, artifact, study.name, arm.name)


def fetch(tracker: Tracker, registered: Registered, out: Path) -> Artifact:
    """The artifact with its files, taken from the logged model into an empty directory.

    Raises:
        InputError: The logged model is none of mlbench's, or does not fit into memory.
        TrackingError: MLflow refused, or the logged model has lost a file.
    """
    with (
        doing(f"fetch the model {registered.model_id}"),
        tempfile.TemporaryDirectory(prefix="mlbench-model-") as folder,
    ):
        local = Path(
            mlflow.artifacts.download_artifacts(
                artifact_uri=f"{_MODEL}{registered.model_id}", dst_path=folder, tracking_uri=tracker.location.uri
            )
        )
        try:
            source = _files(local, registered.form)
        except (OutsideError, KeyError, TypeError, AttributeError, StopIteration) as error:
            raise InputError(
                f"incumbent: the logged model {registered.model_id} is not one that mlbench wrote: {error}"
            ) from error
        if source.is_dir():
            shutil.copytree(source, out, dirs_exist_ok=True)
            entry = registered.artifact.entry
        else:
            shutil.copyfile(source, out / source.name)
            entry = source.name
        if registered.artifact.format == "onnx":
            _check_fits(out, entry, registered.model_id)
    return replace(registered.artifact, path=str(out), entry=entry)


def _check_fits(folder: Path, entry: str, model_id: str) -> None:
    try:
        check_model(inside(folder, entry))
    except OSError:
        raise  # it has lost a file
    except Exception as error:  # limits, names that lead out, and protobuf's own have no common base
        raise InputError(f"incumbent: the logged model {model_id} is not read: {first_line(error)}") from error


def _files(local: Path, form: str) -> Path:
    """The artifact's own file, or directory of files, in a downloaded model."""
    flavors: dict[str, Any] = Model.load(str(local)).flavors
    if form == "onnx":
        graph = inside(local, str(flavors["onnx"]["data"]))
        return graph if graph.is_file() else graph.parent
    if form == "pytorch":
        return inside(local, f"{flavors['pytorch']['model_data']}/model.pt2")
    kept = flavors["python_function"]["artifacts"]
    return inside(local, str(next(iter(kept.values()))["path"]))


__all__ = ["Registered", "fetch", "find_registered"]
