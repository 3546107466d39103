"""A PyTorch model out of MLflow: an exported program or TorchScript as it is, a pickled module where it is trusted."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import mlflow.pytorch
from mlflow.exceptions import MlflowException

from mlbench.config import ModelConfig
from mlbench.disk import OutsideError, inside, sha256
from mlbench.errors import InputError, WorkerError
from mlbench.records import Artifact
from mlbench.tracking.calls import first_line, quiet
from mlbench.tracking.import_path import import_path_kept
from mlbench.workloads import Data, Progress
from mlbench.workloads.outputs import fitted
from mlbench.workloads.torch_factory import ArtifactStore

if TYPE_CHECKING:
    from torch import nn

_WHERE = "workload.model"
_VERSION = 1
_PROGRAM, _PICKLED = "model.pt2", "model.pth"  # what MLflow calls them
_CODE = "code"


def torch_model(
    config: ModelConfig, place: Path, flavor: Mapping[str, Any], data: Data, store: ArtifactStore, progress: Progress
) -> Artifact:
    """The model as a ``pt2``, ``torchscript`` or ``torch_module`` artifact.

    Args:
        config: The workload's model; ``trust`` permits to unpickle, and to load TorchScript.
        place: The MLflow model's directory.
        flavor: What its ``MLmodel`` says of the flavour ``pytorch``.
        data: What the model must fit.
        store: Where the artifact is kept.
        progress: Told what is done.

    Raises:
        InputError: It runs code and the user does not trust it, cannot be loaded, or does not fit the data.
    """
    try:
        folder = inside(place, str(flavor.get("model_data", "data")))
    except OutsideError as error:
        raise InputError(f"{_WHERE}.path: {config.path} is no MLflow model: its 'model_data': {error}") from error
    program, pickled = folder / _PROGRAM, folder / _PICKLED
    if program.is_file():
        if not config.trust and not free_of_pickles(program):
            raise InputError(_untrusted(config.path, "an exported program with pickled parts"))
        return _taken_over(program, "pt2", data, store, progress)
    if not pickled.is_file():
        raise InputError(f"{_WHERE}.path: {config.path} has neither {_PROGRAM} nor {_PICKLED} in its data")
    if _is_script(pickled):
        if not config.trust:
            raise InputError(_untrusted(config.path, "TorchScript, a program of its own"))
        return _taken_over(pickled, "torchscript", data, store, progress)
    if not config.trust:
        raise InputError(_untrusted(config.path, "a pickled PyTorch module"))
    key = _key("torch_module", pickled, data)
    return store.build(key, lambda out: _module(config, place, flavor, data, out), progress)


def _untrusted(uri: str | None, what: str) -> str:
    return (
        f"{_WHERE}.path: {uri} is {what}, and reading one runs whatever code is in it; if you know where it is from, "
        f"say {_WHERE}.trust=true, or log the model with serialization_format='pt2', which needs no trust"
    )


def _key(form: str, file: Path, data: Data) -> dict[str, Any]:
    return {
        "kind": "model",
        "source": "mlflow_pytorch",
        "version": _VERSION,
        "format": form,
        "file": sha256(file),
        "inputs": [asdict(spec) for spec in data.info.inputs],
        "classes": len(data.info.classes),
        "task": data.train.task,
        "libraries": {"torch": version("torch")},
    }


def free_of_pickles(program: Path) -> bool:
    """Whether MLflow's own check finds nothing in an exported program that torch would unpickle without restriction."""
    check = getattr(mlflow.pytorch, "_validate_pt2_archive_is_pickle_free", None)
    if check is None:  # an older MLflow, or a later one that has it elsewhere: then nothing is known
        return False
    try:
        check(str(program))
    except MlflowException:
        return False
    return True


def _is_script(file: Path) -> bool:
    """Whether a ``.pth`` file is TorchScript, whose unpickler makes nothing but tensors and TorchScript's own types."""
    if not zipfile.is_zipfile(file):
        return False
    with zipfile.ZipFile(file) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _taken_over(file: Path, form: str, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
    def make(out: Path) -> Artifact:
        shutil.copyfile(file, out / file.name)
        return fitted(
            Artifact(
                digest="",
                format=form,
                path=str(out),
                entry=file.name,
                inputs=data.info.inputs,
                outputs=(),
                size_bytes=0,
            ),
            data,
        )

    return store.build(_key(form, file, data), make, progress)


def _module(config: ModelConfig, place: Path, flavor: Mapping[str, Any], data: Data, out: Path) -> Artifact:
    from mlbench.runtimes.torch_module import WEIGHTS, save_module
    from mlbench.workloads.skeletons import FACTORY, skeleton

    code = place / str(flavor[_CODE]) if flavor.get(_CODE) else None
    with import_path_kept():
        module = _unpickled(config, place)
        try:
            meta = save_module(module, out, FACTORY, {"pickled": skeleton(module, code)})
        except WorkerError as error:
            raise InputError(f"{_WHERE}.path: {config.path}: {error}") from error
    made = Artifact(
        digest="",
        format="torch_module",
        path=str(out),
        entry=WEIGHTS,
        inputs=data.info.inputs,
        outputs=(),
        size_bytes=0,
        meta={**meta, "parameters": sum(parameter.numel() for parameter in module.parameters())},
    )
    return fitted(made, data)


def _unpickled(config: ModelConfig, place: Path) -> nn.Module:
    from torch import nn

    try:
        with quiet():
            module = mlflow.pytorch.load_model(str(place), map_location="cpu")
    except Exception as error:  # unpickling raises what it likes
        raise InputError(
            f"{_WHERE}.path: {config.path} cannot be loaded: {type(error).__name__}: {first_line(error)}"
        ) from error
    if not isinstance(module, nn.Module):
        raise InputError(f"{_WHERE}.path: {config.path} holds {type(module).__name__}, not a torch.nn.Module")
    return module.eval()
