"""Structured pruning: whole channels are removed, so that the model is really smaller and faster."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Lt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step

if TYPE_CHECKING:
    import torch
    from torch import nn

_EXAMPLE_ROWS = 2


@dataclass(frozen=True, slots=True)
class PruneStructuredParams:
    """How much is removed, and how.

    Attributes:
        ratio: Share of the channels to remove (torch-pruning's ``pruning_ratio``).
        round_to: Channels left are a multiple of this; kernels work in blocks of 8 or 16.
        scope: ``local`` removes the share from every layer, ``global`` the least important channels of all layers.
        norm: Order p of the channel weights' norm that ranks their importance.
    """

    ratio: Annotated[float, Gt(0), Lt(1)]
    round_to: Annotated[int, Ge(1)] = 8
    scope: Literal["local", "global"] = "local"
    norm: Annotated[int, Ge(1)] = 2


class PruneStructured(Step):
    """Removes channels by dependency graph with torch-pruning (group magnitude importance).

    The layers whose output is the model's output are kept as they are. Accuracy falls; let ``fine_tune`` follow.
    """

    name = "prune_structured"
    version = 1
    params: type[Any] = PruneStructuredParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_module"
    libraries: tuple[str, ...] = ("torch", "torch-pruning")
    reads_data = True

    def apply(self, artifact: Artifact, params: PruneStructuredParams, context: BuildContext, out: Path) -> Built:
        """Prune and save.

        Raises:
            BuildError: Nothing could be removed, or what is left does not work.
        """
        import numpy as np
        import torch

        from mlbench.runtimes.torch_module import WEIGHTS, load_module, save_module
        from mlbench.variants.evidence import against_source
        from mlbench.workloads.training import call, deterministic

        original, module = load_module(artifact), load_module(artifact)
        train = context.workload.data.train
        example = tuple(torch.from_numpy(np.array(array[:_EXAMPLE_ROWS])) for array in train.inputs.values())
        with deterministic(0, context.threads):
            kept = output_layers(module, example)
            before = _facts(module, example)
            _prune(module, example, kept, params)
            after = _facts(module, example)
            if after["parameters"] == before["parameters"]:
                raise BuildError(
                    self.name, f"nothing could be removed with ratio {params.ratio} and round_to {params.round_to}"
                )
            found = against_source(
                lambda inputs: call(original, inputs)[0],
                lambda inputs: call(module, inputs)[0],
                context.workload.data.validation,
            )
            meta = save_module(module, out, artifact.meta["factory"], artifact.meta["args"])
        changed = {
            "parameters_before": before["parameters"],
            "parameters": after["parameters"],
            "parameters_removed_share": round(1 - after["parameters"] / before["parameters"], 4),
            "macs_before": before["macs"],
            "macs": after["macs"],
            "widths": narrowed(before["widths"], after["widths"]),
            "kept_layers": kept,
            **found,
        }
        return Built("torch_module", WEIGHTS, changed, {**meta, "parameters": after["parameters"]})


def output_layers(module: nn.Module, example: tuple[torch.Tensor, ...]) -> list[str]:
    """Names of the layers that may not lose outputs: those whose output the model returns, and the last one run."""
    import torch
    from torch import nn

    from mlbench.workloads.training import output_tensors

    seen: list[tuple[str, int]] = []
    alive: list[Any] = []  # keeps tensors, so that no identity is used twice

    def watch(name: str) -> Any:
        def hook(_module: nn.Module, _inputs: Any, output: Any) -> None:
            seen.append((name, id(output)))
            alive.append(output)

        return hook

    layers = (nn.Linear, nn.modules.conv._ConvNd)  # noqa: SLF001 - the base of all convolutions has no public name
    hooks = [
        layer.register_forward_hook(watch(name)) for name, layer in module.named_modules() if isinstance(layer, layers)
    ]
    try:
        with torch.no_grad():
            outputs = {id(tensor) for tensor in output_tensors(module(*example))}
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise BuildError(PruneStructured.name, "the model has no convolution or linear layer to prune")
    return sorted({name for name, identity in seen if identity in outputs} | {seen[-1][0]})


def _prune(
    module: nn.Module, example: tuple[torch.Tensor, ...], kept: list[str], params: PruneStructuredParams
) -> None:
    import torch_pruning

    from mlbench.variants.quiet import quiet

    with quiet("torch_pruning"):
        pruner = torch_pruning.pruner.BasePruner(
            module,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=params.norm),
            pruning_ratio=params.ratio,
            global_pruning=params.scope == "global",
            ignored_layers=[module.get_submodule(name) for name in kept],
            round_to=params.round_to,
        )
        pruner.step()
    module.zero_grad(set_to_none=True)


def _facts(module: nn.Module, example: tuple[torch.Tensor, ...]) -> dict[str, Any]:
    """Parameters, multiply-accumulates per item, and output width of each weighted layer."""
    import torch_pruning

    from mlbench.variants.quiet import quiet

    one = tuple(tensor[:1] for tensor in example)
    with quiet("torch_pruning"):
        macs, parameters = torch_pruning.utils.count_ops_and_params(module, one)
    return {"parameters": int(parameters), "macs": int(macs), "widths": widths(module)}


def widths(module: nn.Module) -> dict[str, int]:
    """Output width of each weighted layer, by name."""
    return {
        name: int(getattr(layer, key))
        for name, layer in module.named_modules()
        for key in ("out_channels", "out_features")
        if hasattr(layer, key)
    }


def narrowed(before: dict[str, int], after: dict[str, int]) -> dict[str, list[int]]:
    """Widths before and after, of the layers where they differ."""
    return {name: [before[name], width] for name, width in after.items() if width != before[name]}
