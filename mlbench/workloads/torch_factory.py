"""A torch module from a factory function: trained here, or with weights from a file, kept in the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mlbench.config import ModelConfig
from mlbench.disk import sha256
from mlbench.errors import InputError, MlbenchError
from mlbench.records import Artifact, TensorSpec
from mlbench.workloads import Data, Progress
from mlbench.workloads.factory import check_factory, source_digest
from mlbench.workloads.outputs import misfit, specs

if TYPE_CHECKING:
    from torch import nn

_WHERE = "workload.model"
_VERSION = 2
_PROBE_ROWS = 2


class ArtifactStore(Protocol):
    """What a model source needs of :class:`mlbench.variants.store.Store`."""

    def build(
        self, key: Mapping[str, Any], make: Callable[[Path], Artifact], progress: Progress | None = None
    ) -> Artifact:
        """The artifact of that key, made if it is not there."""
        ...


class TorchFactory:
    """``factory: package.module:function`` is called with ``args`` and must return a ``torch.nn.Module``.

    The module takes the workload's inputs in order. ``train`` trains it here, deterministically, on the training
    split; ``weights`` loads a state dict (``.safetensors``, or a file that ``torch.save`` wrote, tensors only).
    """

    format = "torch_module"

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; imports neither torch nor the factory's module."""
        found = check_factory(config.factory, config.args)
        if config.path is not None:
            found.append(f"{_WHERE}.path is for other sources; 'weights' names a file of trained weights")
        if config.train is None and config.weights is None:
            found.append(f"{_WHERE} needs 'train' or 'weights': an untrained model is not worth comparing")
        if config.train is not None and config.weights is not None:
            found.append(f"{_WHERE} has both 'train' and 'weights'; give one of them")
        if config.weights is not None and not Path(config.weights).expanduser().is_file():
            found.append(f"{_WHERE}.weights: {config.weights} does not exist")
        return found

    def build(self, config: ModelConfig, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
        """The model as a ``torch_module`` artifact, trained if the configuration says so.

        Raises:
            InputError: The configuration is wrong, or the model does not fit the data.
        """
        found = self.check(config)
        if found or config.factory is None:
            raise InputError(found)
        factory, args = config.factory, config.args
        key: dict[str, Any] = {
            "kind": "model",
            "source": "torch_factory",
            "version": _VERSION,
            "factory": factory,
            "code": source_digest(factory),
            "args": args,
            "inputs": [asdict(spec) for spec in data.info.inputs],
            "classes": len(data.info.classes),
            "task": data.train.task,
            "libraries": {"torch": version("torch")},
        }
        if config.train is not None:
            key |= {"train": asdict(config.train), "data": data.info.digest}
        if config.weights is not None:
            key["weights"] = sha256(Path(config.weights).expanduser())
        return store.build(key, lambda out: _make(config, factory, data, out, progress), progress)


def _make(config: ModelConfig, factory: str, data: Data, out: Path, progress: Progress) -> Artifact:
    from mlbench.runtimes.torch_module import WEIGHTS, build_module, save_module
    from mlbench.workloads.training import TrainingError, deterministic, train

    training: dict[str, Any] = {}
    try:
        with deterministic(config.train.seed if config.train else 0):
            module = build_module(factory, config.args)
        if config.weights is not None:
            _load_weights(module, Path(config.weights).expanduser())
        outputs = _outputs(module, data, factory)
        if config.train is not None:
            label = f"training {factory.partition(':')[2]}"
            training = asdict(train(module, data.train, data.validation, config.train, progress, label=label))
        meta = save_module(module, out, factory, config.args)
    except TrainingError as error:
        raise InputError(f"{_WHERE}.train: {error}") from error
    except MlbenchError as error:
        raise error if isinstance(error, InputError) else InputError(f"{_WHERE}: {error}") from error
    parameters = sum(parameter.numel() for parameter in module.parameters())
    return Artifact(
        digest="",
        format=TorchFactory.format,
        path=str(out),
        entry=WEIGHTS,
        inputs=data.info.inputs,
        outputs=outputs,
        size_bytes=0,
        meta={**meta, "parameters": parameters, "training": training},
    )


def _load_weights(module: nn.Module, path: Path) -> None:
    import pickle

    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"{_WHERE}.weights: {path} cannot be read as tensors only: {reason}") from error
    if not isinstance(state, Mapping):
        raise InputError(f"{_WHERE}.weights: {path} holds {type(state).__name__}, not a state dict")
    try:
        module.load_state_dict(state)
    except RuntimeError as error:
        reason = "; ".join(line.strip() for line in str(error).splitlines()[1:])
        raise InputError(f"{_WHERE}.weights: {path} does not fit the model: {reason}") from error


def _outputs(module: nn.Module, data: Data, factory: str) -> tuple[TensorSpec, ...]:
    """Names, dtypes and shapes of what the model gives for real inputs.

    Raises:
        InputError: The model fails on the data, or its first output is not what the task reads.
    """
    from mlbench.workloads.training import call

    try:
        results = call(module, {name: array[:_PROBE_ROWS] for name, array in data.validation.inputs.items()})
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        shapes = ", ".join(f"{spec.name} {list(spec.shape[1:])}" for spec in data.info.inputs)
        raise InputError(f"{_WHERE}.factory: what '{factory}' makes fails on the data ({shapes}): {error}") from error
    reason = misfit(results[0].shape, _PROBE_ROWS, data)
    if reason is not None:
        raise InputError(f"{_WHERE}: {reason}")
    return specs([(result.dtype.name, result.shape) for result in results], data.train.task)
