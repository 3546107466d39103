"""Pruning in stages: a little at a time, with training in between that stops when the validation items say so."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.prune import narrowed, output_layers, widths
from mlbench.variants.retraining import TrainingParams, explicit, training
from mlbench.variants.sparsify import NO_SPEED_UP, Zeros, prunable, prune_magnitude, saved, sparsity

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mlbench.workloads import Split


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneIterativeParams(TrainingParams):
    """How much, in how many stages, and how long is trained after each. What is null is the workload's own training's.

    Attributes:
        ratio: Share that is removed in the end: channels, or single weights.
        kind: ``structured`` removes whole channels, ``unstructured`` zeroes single weights.
        stages: Each removes its part.
        epochs: At most so many after each stage.
        patience: Training of a stage ends when the validation loss has not improved for so many epochs; the best
            weights are kept.
        round_to: Channels left are a multiple of this.
    """

    ratio: Annotated[float, Gt(0), Lt(1)]
    kind: Literal["structured", "unstructured"] = "structured"
    stages: Annotated[int, Ge(2), Le(20)] = 3
    patience: Annotated[int, Ge(1)] = 2
    round_to: Annotated[int, Ge(1)] = 8


class PruneIterative:
    """Prunes in stages and trains after each, until the validation loss no longer falls. Never sees the test split."""

    name = "prune_iterative"
    version = 2
    params: type[Any] = PruneIterativeParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_module"
    libraries: tuple[str, ...] = ("torch", "torch-pruning")
    reads_data = True

    def resolve(self, params: PruneIterativeParams, context: BuildContext) -> PruneIterativeParams:
        """Every value explicit: the recipe's, or the workload's training's, or the default."""
        return explicit(params, context)

    def apply(self, artifact: Artifact, params: PruneIterativeParams, context: BuildContext, out: Path) -> Built:
        """Prune, train, and so on; then save.

        Raises:
            BuildError: Nothing could be removed.
        """
        from mlbench.runtimes.torch_module import load_module
        from mlbench.workloads.training import deterministic

        module = load_module(artifact)
        before, wide = sum(weight.numel() for weight in module.parameters()), widths(module)
        if not prunable(module):
            raise BuildError(self.name, "the model has no convolution or linear layer to prune")
        with deterministic(0, context.threads):
            prune = _pruner(module, artifact, params, context)
        stages = []
        for stage in range(1, params.stages + 1):
            with deterministic(0, context.threads):
                prune(stage)
            label = f"{self.name}: stage {stage}/{params.stages}"
            stages.append({"stage": stage, **_facts(module, params), **_recover(module, params, context, label)})
        after = sum(weight.numel() for weight in module.parameters())
        changed: dict[str, Any] = {"stages": stages, "parameters_before": before, "parameters": after}
        if params.kind == "structured" and after == before:
            raise BuildError(
                self.name, f"nothing could be removed with ratio {params.ratio} and round_to {params.round_to}"
            )
        if params.kind == "unstructured":
            changed |= {**sparsity(module), "notice": NO_SPEED_UP}
        else:
            changed["widths"] = narrowed(wide, widths(module))
        return saved(artifact, module, context, out, changed)


def _facts(module: nn.Module, params: PruneIterativeParams) -> dict[str, Any]:
    if params.kind == "unstructured":
        return {"sparsity": sparsity(module)["sparsity"]}
    return {"parameters": sum(weight.numel() for weight in module.parameters())}


def _pruner(module: nn.Module, artifact: Artifact, params: PruneIterativeParams, context: BuildContext) -> Any:
    """A function of the stage that prunes in place up to the stage's share of the whole ratio."""
    import torch

    from mlbench.variants.closeness import first_rows
    from mlbench.variants.quiet import quiet

    if params.kind == "unstructured":
        return lambda stage: prune_magnitude(module, params.ratio * stage / params.stages, "global")
    import torch_pruning

    rows = first_rows(context.workload.data.train.inputs, 2)
    example = tuple(torch.from_numpy(rows[spec.name].copy()) for spec in artifact.inputs)
    kept = output_layers(module, example)
    with quiet("torch_pruning"):
        pruner = torch_pruning.pruner.BasePruner(
            module,
            example,
            importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
            pruning_ratio=params.ratio,
            iterative_steps=params.stages,
            ignored_layers=[module.get_submodule(name) for name in kept],
            round_to=params.round_to,
        )

    def prune(_stage: int) -> None:
        with quiet("torch_pruning"):
            pruner.step()
        module.zero_grad(set_to_none=True)

    return prune


def _recover(module: nn.Module, params: PruneIterativeParams, context: BuildContext, label: str) -> dict[str, Any]:
    """Train until the validation loss has not improved for ``patience`` epochs, and take the best weights."""
    from mlbench.workloads.training import Hooks, train

    data = context.workload.data
    zeros = Zeros(module) if params.kind == "unstructured" else None
    best = _Best(module, data.validation, params.patience)
    report = train(
        module,
        data.train,
        data.validation,
        training(params),
        context.progress,
        label=label,
        threads=context.threads,
        hooks=Hooks(after_step=zeros.restore if zeros is not None else None, after_epoch=best.after_epoch),
    )
    best.restore()
    return {"epochs": report.epochs, "best_epoch": best.epoch, "validation_loss": best.loss}


class _Best:
    """The weights with the lowest validation loss so far; epoch 0 is before training.

    Attributes:
        epoch: Of the best weights.
        loss: Their validation loss.
    """

    def __init__(self, module: nn.Module, validation: Split, patience: int) -> None:
        self._module, self._validation, self._patience = module, validation, patience
        self.epoch, self.loss = 0, self._measure()
        self._weights = self._copy()

    def after_epoch(self, epoch: int) -> bool:
        """Whether training ends: no improvement for ``patience`` epochs."""
        loss = self._measure()
        if loss < self.loss:
            self.epoch, self.loss, self._weights = epoch, loss, self._copy()
        return epoch - self.epoch >= self._patience

    def restore(self) -> None:
        """Put the best weights back."""
        self._module.load_state_dict(self._weights)

    def _copy(self) -> dict[str, torch.Tensor]:
        return {name: tensor.detach().clone() for name, tensor in self._module.state_dict().items()}

    def _measure(self) -> float:
        import torch

        from mlbench.workloads.training import call, task_loss

        outputs = torch.from_numpy(call(self._module, self._validation.inputs)[0].copy())
        labels = torch.from_numpy(self._validation.labels.copy())
        return float(task_loss(self._validation.task)(outputs, labels, 0.0))
