"""Torch modules as files, without pickle: weights as safetensors and the structure as a difference to the factory.

A module is rebuilt by calling its factory again. Pruning changes shapes and a few plain attributes (``out_channels``,
``in_features`` ...); both are kept as data, so that loading runs no code besides the factory that the user named.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbench.errors import WorkerError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mlbench.records import Artifact

WEIGHTS = "weights.safetensors"
STRUCTURE = "structure.json"
_SCHEMA = 1
_TUPLE = "tuple"


def import_factory(path: str) -> Callable[..., Any]:
    """The function that ``package.module:function`` names. This imports, and so runs, the user's own code.

    Raises:
        WorkerError: It cannot be imported.
    """
    module, _, name = path.partition(":")
    try:
        found = getattr(importlib.import_module(module), name)
    except Exception as error:  # the user's module may raise anything while it is imported
        raise WorkerError(f"factory '{path}' cannot be imported: {type(error).__name__}: {error}") from error
    if not callable(found):
        raise WorkerError(f"factory '{path}' is not a function")
    function: Callable[..., Any] = found
    return function


def build_module(factory: str, args: Mapping[str, Any]) -> nn.Module:
    """A new module from its factory, in evaluation mode.

    Raises:
        WorkerError: The factory fails, or does not return a ``torch.nn.Module``.
    """
    from torch import nn

    function = import_factory(factory)
    try:
        module = function(**args)
    except Exception as error:  # the user's function may raise anything
        raise WorkerError(f"factory '{factory}' failed: {type(error).__name__}: {error}") from error
    if not isinstance(module, nn.Module):
        raise WorkerError(f"factory '{factory}' returned {type(module).__name__}, not a torch.nn.Module")
    return module.eval()


def save_module(module: nn.Module, out: Path, factory: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Write ``weights.safetensors`` and ``structure.json`` into ``out``, and prove that they read back the same.

    Args:
        module: A module whose layers are those that the factory makes; shapes and plain attributes may differ.
        out: Existing directory.
        factory: ``package.module:function``.
        args: The factory's keyword arguments, JSON-ready.

    Returns:
        What :class:`mlbench.records.Artifact` needs as ``meta``.

    Raises:
        WorkerError: The module cannot be described this way; the message says why.
    """
    from safetensors.torch import save_file

    reference = build_module(factory, args)
    _require_same_layers(module, reference)
    named = _tensors(module)
    first: dict[int, str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in named.items():
        if id(tensor) in first:
            aliases[name] = first[id(tensor)]
        else:
            first[id(tensor)] = name
    weights = {name: named[name].detach().to("cpu").clone().contiguous() for name in first.values()}
    save_file(weights, out / WEIGHTS)
    structure = {
        "schema": _SCHEMA,
        "factory": factory,
        "args": dict(args),
        "attributes": _changed_attributes(module, reference),
        "aliases": aliases,
        "removed": sorted(set(_tensors(reference)) - set(named)),
        "buffers": sorted(name for name, _ in module.named_buffers(remove_duplicate=False)),
    }
    (out / STRUCTURE).write_text(json.dumps(structure, indent=2, sort_keys=True, allow_nan=False), encoding="utf-8")
    _require_equal(module, _load(out, factory, args))
    return {"factory": factory, "args": dict(args)}


def load_module(artifact: Artifact) -> nn.Module:
    """The module of a ``torch_module`` artifact, on the CPU and in evaluation mode.

    Raises:
        WorkerError: A file is missing or damaged, or the factory no longer makes the module that was saved.
    """
    try:
        factory, args = artifact.meta["factory"], artifact.meta["args"]
    except KeyError as error:
        raise WorkerError(f"artifact {artifact.digest[:12]} does not say which factory makes its module") from error
    return _load(Path(artifact.path), factory, args)


def _load(directory: Path, factory: str, args: Mapping[str, Any]) -> nn.Module:
    import torch

    weights = _read_weights(directory / WEIGHTS)
    structure = _read_structure(directory / STRUCTURE)
    module = build_module(factory, args)
    try:
        for path, changes in structure["attributes"].items():
            layer = module.get_submodule(path)
            for key, value in changes.items():
                setattr(layer, key, _from_json(value))
        for name in structure["removed"]:
            owner, leaf = _owner(module, name)
            setattr(owner, leaf, None)
        buffers = set(structure["buffers"])
        with torch.no_grad():
            for name, tensor in weights.items():
                _assign(module, name, tensor, is_buffer=name in buffers)
        for name, other in structure["aliases"].items():
            owner, leaf = _owner(module, name)
            source, source_leaf = _owner(module, other)
            setattr(owner, leaf, getattr(source, source_leaf))
    except (AttributeError, KeyError, TypeError) as error:
        raise WorkerError(f"{directory} does not fit what factory '{factory}' makes now: {error}") from error
    return module.eval()


def _read_weights(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        weights: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise WorkerError(f"{path} cannot be read as safetensors: {error}") from error
    return weights


def _read_structure(path: Path) -> dict[str, Any]:
    try:
        structure: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise WorkerError(f"{path} cannot be read: {error}") from error
    if structure.get("schema") != _SCHEMA:
        raise WorkerError(f"{path} has schema {structure.get('schema')}, but this mlbench reads {_SCHEMA}")
    return structure


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, leaf = name.rpartition(".")
    return module.get_submodule(path), leaf


def _assign(module: nn.Module, name: str, tensor: torch.Tensor, *, is_buffer: bool) -> None:
    """Put a saved tensor into the module, in memory of its own (what safetensors returns may be a file mapping)."""
    import torch

    owner, leaf = _owner(module, name)
    present = getattr(owner, leaf, None)
    if isinstance(present, torch.Tensor) and present.shape == tensor.shape and present.dtype == tensor.dtype:
        present.copy_(tensor)
        return
    fresh = torch.empty_like(tensor).copy_(tensor)
    if is_buffer and present is None:
        owner.register_buffer(leaf, fresh)
    elif is_buffer:
        setattr(owner, leaf, fresh)
    else:
        trainable = present.requires_grad if isinstance(present, torch.Tensor) else tensor.is_floating_point()
        setattr(owner, leaf, torch.nn.Parameter(fresh, requires_grad=trainable))


def _tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """All parameters and buffers (persistent or not) by name; shared ones under each of their names."""
    parameters: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    return {**parameters, **dict(module.named_buffers(remove_duplicate=False))}


def _layers(module: nn.Module) -> dict[str, nn.Module]:
    return dict(module.named_modules(remove_duplicate=False))


def _require_same_layers(module: nn.Module, reference: nn.Module) -> None:
    ours = {path: type(layer) for path, layer in _layers(module).items()}
    theirs = {path: type(layer) for path, layer in _layers(reference).items()}
    if ours != theirs:
        names = sorted(path for path in ours.keys() | theirs.keys() if ours.get(path) is not theirs.get(path))
        raise WorkerError(
            f"the module has other layers than its factory makes ({', '.join(names[:3])}), so it cannot be saved as a "
            "difference to it"
        )
    stateful = [name for name in module.state_dict() if name.rpartition(".")[2] == "_extra_state"]
    if stateful:
        raise WorkerError(
            f"layer '{stateful[0].rpartition('.')[0]}' keeps extra state, which cannot be saved as tensors"
        )


def _changed_attributes(module: nn.Module, reference: nn.Module) -> dict[str, dict[str, Any]]:
    """Plain public attributes (numbers, text, tuples of them) of each layer that differ from the factory's."""
    theirs = _layers(reference)
    changed = {}
    for path, layer in _layers(module).items():
        fresh = _plain_attributes(theirs[path])
        diff = {
            key: _to_json(value)
            for key, value in _plain_attributes(layer).items()
            if key not in fresh or fresh[key] != value
        }
        if diff:
            changed[path] = diff
    return changed


def _plain_attributes(layer: nn.Module) -> dict[str, Any]:
    return {
        key: value
        for key, value in vars(layer).items()
        if not key.startswith("_") and key != "training" and _is_plain(value)
    }


def _is_plain(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return all(_is_plain(item) for item in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _to_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return {_TUPLE: [_to_json(item) for item in value]}
    return [_to_json(item) for item in value] if isinstance(value, list) else value


def _from_json(value: Any) -> Any:
    if isinstance(value, dict):
        return tuple(_from_json(item) for item in value[_TUPLE])
    return [_from_json(item) for item in value] if isinstance(value, list) else value


def _require_equal(module: nn.Module, again: nn.Module) -> None:
    import torch

    saved, read = _tensors(module), _tensors(again)
    for name in saved.keys() | read.keys():
        ours, theirs = saved.get(name), read.get(name)
        if ours is None or theirs is None or not torch.equal(ours.detach().cpu(), theirs):
            raise WorkerError(f"'{name}' does not read back as it was saved")
    if _changed_attributes(module, again):
        raise WorkerError("the module's attributes do not read back as they were saved")
