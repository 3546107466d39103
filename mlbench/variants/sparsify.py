"""Unstructured pruning: single weights become zero. The model stays as large and as slow as it was, and says so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Gt, Lt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step

if TYPE_CHECKING:
    import torch
    from torch import nn

NO_SPEED_UP = (
    "zeros are stored and multiplied like any other number by every runtime here: expect neither a smaller file nor "
    "faster calls; prune_structured removes whole channels instead"
)
_CAPABILITY = (8, 0)  # Ampere, the first with 2:4 kernels


@dataclass(frozen=True, slots=True)
class PruneUnstructuredParams:
    """How much becomes zero, and how it is chosen.

    Attributes:
        ratio: Share of the weights of linear layers and convolutions.
        scope: ``local`` takes the share from every layer, ``global`` the smallest weights of all layers.
    """

    ratio: Annotated[float, Gt(0), Lt(1)]
    scope: Literal["local", "global"] = "global"


@dataclass(frozen=True, slots=True)
class PruneSemiStructuredParams:
    """Nothing to choose: the two smallest of each four weights become zero."""


class PruneUnstructured(Step):
    """The smallest weights become zero, by magnitude. The masks are removed: what is left are plain weights."""

    name = "prune_unstructured"
    version = 1
    params: type[Any] = PruneUnstructuredParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_module"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def apply(self, artifact: Artifact, params: PruneUnstructuredParams, context: BuildContext, out: Path) -> Built:
        """Prune and save.

        Raises:
            BuildError: There is nothing to prune, or so little that no weight would become zero.
        """
        from mlbench.runtimes.torch_module import load_module

        module = load_module(artifact)
        before = zeros_of(module)
        if not before:
            raise BuildError(self.name, "the model has no convolution or linear layer to prune")
        prune_magnitude(module, params.ratio, params.scope)
        if zeros_of(module) == before:
            raise BuildError(self.name, f"no weight became zero with ratio {params.ratio}")
        return saved(artifact, module, context, out, {**sparsity(module), "notice": NO_SPEED_UP})


class PruneSemiStructured:
    """2:4 sparsity of linear layers, for the sparse kernels of CUDA devices; there is nothing to gain elsewhere."""

    name = "prune_semi_structured"
    version = 1
    params: type[Any] = PruneSemiStructuredParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_tuned"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: PruneSemiStructuredParams, context: BuildContext) -> PruneSemiStructuredParams:  # noqa: ARG002
        """Nothing is chosen, but the device must be there.

        Raises:
            BuildError: There is no CUDA device with kernels for it.
        """
        import torch

        if not torch.cuda.is_available() or torch.cuda.get_device_capability() < _CAPABILITY:
            raise BuildError(
                self.name,
                "2:4 sparsity has kernels only for CUDA devices of compute capability 8.0 or later, and torch finds "
                "none here; on a CPU prune_structured makes a model faster",
            )
        return params

    def apply(self, artifact: Artifact, params: PruneSemiStructuredParams, context: BuildContext, out: Path) -> Built:  # noqa: ARG002 - nothing to choose
        """Prune and save in float16, which the kernels want; the runtime packs the weights on the device.

        Raises:
            BuildError: No layer has a shape that the kernels take.
        """
        import torch
        from torch import nn

        from mlbench.runtimes.torch_module import load_module, save_module

        module = load_module(artifact)
        layers = {
            name: layer
            for name, layer in module.named_modules()
            if isinstance(layer, nn.Linear) and fits_semi_structured(layer)
        }
        if not layers:
            raise BuildError(
                self.name, "no linear layer has a width that the kernels take (outputs by 32s, inputs by 64s)"
            )
        with torch.no_grad():
            for layer in layers.values():
                layer.weight.mul_(two_of_four(layer.weight))
        built = saved(artifact, module, context, out, {**sparsity(module), "packed_layers": list(layers)})
        save_module(module.half(), out, artifact.meta["factory"], artifact.meta["args"])
        tuning = {"weights": "float16", "autocast": None, "channels_last": False, "semi_structured": list(layers)}
        return Built("torch_tuned", built.entry, built.changed, {**built.meta, "tuning": tuning})


class Zeros:
    """The weights of linear layers and convolutions that are zero now, to be kept so.

    Attributes:
        count: How many there are.
    """

    def __init__(self, module: nn.Module) -> None:
        self._masks = [(weight, weight.detach() != 0) for _, weight in prunable(module)]
        self.count = int(sum((~mask).sum() for _, mask in self._masks))

    def restore(self) -> None:
        """Zero again whatever training has moved away from zero."""
        import torch

        with torch.no_grad():
            for weight, mask in self._masks:
                weight.mul_(mask)


def sparse(artifact: Artifact) -> bool:
    """Whether a step has made single weights zero."""
    return any(step.changed.get("sparsity") for step in artifact.steps)


def prunable(module: nn.Module) -> list[tuple[str, torch.Tensor]]:
    """Weights of linear layers and convolutions, by the layer's name."""
    from torch import nn

    layers = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the base of all convolutions has no public name
    return [(name, layer.weight) for name, layer in module.named_modules() if isinstance(layer, layers)]


def prune_magnitude(module: nn.Module, ratio: float, scope: str) -> None:
    """Make the smallest weights zero, in place, so that their share is ``ratio``; the masks are removed at once."""
    from torch.nn.utils import prune

    pairs = [(module.get_submodule(name), "weight") for name, _ in prunable(module)]
    if scope == "global":
        prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=ratio)
    for layer, name in pairs:
        if scope == "local":
            prune.l1_unstructured(layer, name, amount=ratio)  # type: ignore[no-untyped-call]  # untyped in torch
        prune.remove(layer, name)  # type: ignore[no-untyped-call]  # untyped in torch


def two_of_four(weight: torch.Tensor) -> torch.Tensor:
    """1 at the two largest magnitudes of each four neighbours along the inputs, else 0; shape as ``weight``."""
    import torch

    groups = weight.detach().abs().reshape(weight.shape[0], -1, 4)
    mask = torch.zeros_like(groups).scatter_(2, groups.topk(2, dim=2).indices, 1.0)
    return mask.reshape(weight.shape)


def fits_semi_structured(layer: nn.Linear) -> bool:
    """Whether torch's 2:4 kernels take the layer in float16."""
    return layer.out_features % 32 == 0 and layer.in_features % 64 == 0


def zeros_of(module: nn.Module) -> dict[str, int]:
    """Zeros of each linear layer and convolution."""
    return {name: int((weight == 0).sum()) for name, weight in prunable(module)}


def sparsity(module: nn.Module) -> dict[str, Any]:
    """Share of zeros: over all linear layers and convolutions, and of each."""
    counts, weights = zeros_of(module), prunable(module)
    total = sum(weight.numel() for _, weight in weights)
    return {
        "sparsity": round(sum(counts.values()) / total, 4),
        "sparsity_by_layer": {name: round(counts[name] / weight.numel(), 4) for name, weight in weights},
    }


def saved(artifact: Artifact, module: nn.Module, context: BuildContext, out: Path, changed: dict[str, Any]) -> Built:
    """The module's files, with its agreement with the artifact beside what changed."""
    from mlbench.runtimes.torch_module import WEIGHTS, load_module, save_module
    from mlbench.variants.evidence import against_source
    from mlbench.workloads.training import call, deterministic

    original = load_module(artifact)
    with deterministic(0, context.threads):
        found = against_source(
            lambda inputs: call(original, inputs)[0],
            lambda inputs: call(module, inputs)[0],
            context.workload.data.validation,
        )
    meta = save_module(module, out, artifact.meta["factory"], artifact.meta["args"])
    count = sum(weight.numel() for weight in module.parameters())
    return Built("torch_module", WEIGHTS, {**changed, **found}, {**meta, "parameters": count})
