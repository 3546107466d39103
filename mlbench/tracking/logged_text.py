"""A transformers pipeline out of MLflow as the Hugging Face model that it was made of: one folder, without MLflow."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlbench.config import ModelConfig
from mlbench.disk import OutsideError, inside
from mlbench.errors import InputError
from mlbench.records import Artifact
from mlbench.workloads import Data, Progress, RawData
from mlbench.workloads.huggingface_model import HuggingFaceModel
from mlbench.workloads.torch_factory import ArtifactStore

FLAVOR = "transformers"
_WHERE = "workload.model"
_BINARY, _NAME, _REVISION = "model_binary", "source_model_name", "source_model_revision"  # keys of MLflow's flavour
_FOLDER = "mlbench-whole"


def encode(
    config: ModelConfig,
    options: Mapping[str, Any],
    place: Path,
    flavor: Mapping[str, Any],
    raw: RawData,
    classes: tuple[str, ...] | None,
    task: str,
) -> RawData:
    """The data as the model takes it, by its own tokenizer or processor.

    Raises:
        InputError: It is no pipeline that can be taken apart, or the data is not what it takes.
    """
    with _by_its_uri(config, place):
        return HuggingFaceModel().encode(_plain(config, options, place, flavor), raw, classes, task)


def text_model(
    config: ModelConfig,
    options: Mapping[str, Any],
    place: Path,
    flavor: Mapping[str, Any],
    data: Data,
    store: ArtifactStore,
    progress: Progress,
) -> Artifact:
    """The pipeline's model as a ``torch_module`` artifact.

    Raises:
        InputError: It is no pipeline that can be taken apart, has no head for the task, or does not fit the data.
    """
    with _by_its_uri(config, place):
        return HuggingFaceModel().build(_plain(config, options, place, flavor), data, store, progress)


def _plain(config: ModelConfig, options: Mapping[str, Any], place: Path, flavor: Mapping[str, Any]) -> ModelConfig:
    """The same model as a Hugging Face source has it: a folder, or a hub id at the commit that MLflow recorded."""
    what = f"{_WHERE}.path: {config.path} is a transformers pipeline for '{flavor.get('task', 'no stated task')}'"
    if "peft_adaptor" in flavor:
        raise InputError(f"{what} with an adapter beside its weights (PEFT); merge the two before it is logged")
    if _BINARY in flavor:
        return replace(config, source="huggingface", path=str(_whole(place, flavor)), options=dict(options))
    if _REVISION not in flavor or flavor.get("tokenizer_name", flavor[_NAME]) != flavor[_NAME]:
        raise InputError(f"{what} whose parts are not all in MLflow; log it with its weights (save_pretrained=True)")
    named = {**options, "revision": flavor[_REVISION]}
    return replace(config, source="huggingface", path=flavor[_NAME], options=named)


def _whole(place: Path, flavor: Mapping[str, Any]) -> Path:
    """One folder of what MLflow keeps in several; the model's own files win."""
    folder = place / _FOLDER
    if folder.is_dir():
        return folder
    named = [*(f"components/{name}" for name in flavor.get("components", ())), str(flavor[_BINARY])]
    try:
        parts = [inside(place, name) for name in named]  # whatever the model says, they lie in its directory
    except OutsideError as error:
        raise InputError(f"{_WHERE}.path: {place / _FOLDER} is no MLflow model: its parts: {error}") from error
    for part in parts:
        if part.is_dir():
            shutil.copytree(part, folder, dirs_exist_ok=True)
    return folder


@contextmanager
def _by_its_uri(config: ModelConfig, place: Path) -> Iterator[None]:
    """Sentences name the model as the user does, not the temporary folder that it lies in."""
    try:
        yield
    except InputError as error:
        raise InputError([text.replace(str(place / _FOLDER), str(config.path)) for text in error.problems]) from error
