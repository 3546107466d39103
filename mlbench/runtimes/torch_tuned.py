"""A torch module and how it is called: precision, autocast, memory layout. The wrapping is part of every timed call.

Inputs come and outputs go as the workload has them (float32), so that every arm is handed the same arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mlbench.errors import WorkerError
from mlbench.runtimes.torch_module import load_module
from mlbench.runtimes.torch_programs import PROGRAM_SUFFIX, Compiled, load_program

if TYPE_CHECKING:
    from mlbench.records import Artifact

TUNING = "tuning"
FULL = "float32"
_AUTOCAST = "wrap_with_autocast"  # how torch.export writes a part of a graph that is under autocast


class Tuned(nn.Module):
    """Casts inputs to the weights' type, calls the module, and casts outputs back to float32.

    Args:
        module: What answers.
        weights: Type of its floating-point weights.
        autocast: Type that operators compute in while the weights keep theirs; None is theirs.
    """

    def __init__(self, module: nn.Module, weights: torch.dtype, autocast: torch.dtype | None) -> None:
        super().__init__()
        self.module = module
        self.weights_type = weights
        self.autocast_type = autocast

    def forward(self, *inputs: torch.Tensor) -> Any:
        """The module's outputs; floating-point ones in float32."""
        cast = [tensor.to(self.weights_type) if tensor.is_floating_point() else tensor for tensor in inputs]
        if self.autocast_type is None:
            return _full(self.module(*cast))
        with torch.autocast(cast[0].device.type, self.autocast_type):
            result = self.module(*cast)
        return _full(result)


def _full(result: Any) -> Any:
    if isinstance(result, torch.Tensor):
        return result.float() if result.is_floating_point() else result
    values = result.values() if isinstance(result, Mapping) else result
    return tuple(_full(item) for item in values)


def load_tuned(artifact: Artifact) -> nn.Module:
    """The module of a ``torch_module`` or ``torch_tuned`` artifact, wrapped as its ``tuning`` says, on the CPU.

    An exported program that is to be compiled is ``torch_tuned`` too; whatever its tuning was is inside it.

    Raises:
        WorkerError: It cannot be loaded.
    """
    if artifact.entry.endswith(PROGRAM_SUFFIX):
        program: nn.Module = load_program(artifact)
        return program
    module = load_module(artifact)
    tuning = artifact.meta.get(TUNING, {})
    if tuning.get("channels_last"):
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    weights, autocast = tuning.get("weights", FULL), tuning.get("autocast")
    if weights == FULL and autocast is None:
        return module
    return Tuned(module, getattr(torch, weights), getattr(torch, autocast) if autocast else None).eval()


def pack_semi_structured(module: nn.Module, layers: list[str], device: str) -> None:
    """Give the named layers of the tuned module torch's packed 2:4 weights, on the device.

    Raises:
        WorkerError: The device has no kernels for them.
    """
    if device != "cuda":
        raise WorkerError(f"2:4 sparsity is served on CUDA devices only, but runtime.device is {device}")
    inner: nn.Module = module.module if isinstance(module, Tuned) else module
    for name in layers:
        layer = inner.get_submodule(name)
        weight: torch.Tensor = layer.get_parameter("weight").detach()
        layer.weight = nn.Parameter(torch.sparse.to_sparse_semi_structured(weight), requires_grad=False)


def autocast_type(module: Any) -> str:
    """Type that operators compute in under autocast when the module is called; empty where none do.

    An exported program has autocast in its graph. Of a package nothing can be seen.
    """
    inner = module.module if isinstance(module, Compiled) else module
    if isinstance(inner, torch.fx.GraphModule):
        parts = [part for part in inner.modules() if isinstance(part, torch.fx.GraphModule)]
        nodes = [node for part in parts for node in part.graph.nodes if str(node.target) == _AUTOCAST]
        kinds = {kind for _device, kind, enabled, *_rest in (node.args for node in nodes) if enabled}
    else:
        kinds = {inner.autocast_type} if isinstance(inner, Tuned) else set()
    return ", ".join(sorted(str(kind).removeprefix("torch.") for kind in kinds - {None}))


def weight_types(module: nn.Module) -> str:
    """Types of the floating-point weights, as they are."""
    kinds = {str(weight.dtype).removeprefix("torch.") for weight in module.parameters()}
    return ", ".join(sorted(kinds))


def has_channels_last(module: nn.Module) -> bool:
    """Whether a convolution's weights really lie with their channels last."""
    return any(
        weight.ndim == 4
        and weight.shape[1] > 1
        and weight.is_contiguous(memory_format=torch.channels_last)
        and not weight.is_contiguous()
        for weight in module.parameters()
    )
