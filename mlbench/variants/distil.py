"""Training from the baseline's answers: a smaller model learns what the larger one says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt, Le

from mlbench.errors import BuildError
from mlbench.records import IGNORED, Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.retraining import TrainingParams, explicit, training

if TYPE_CHECKING:
    import torch
    from torch import nn

    from mlbench.workloads.training import BatchLoss


@dataclass(frozen=True, slots=True, kw_only=True)
class DistilParams(TrainingParams):
    """How long, how fast, and from whom. What is null is taken from the workload's own training.

    Attributes:
        teacher_share: Share of the loss that compares with the baseline's answers; the rest compares with the labels.
        temperature: Both answers are divided by it before they are compared, where they are scores of classes.
    """

    teacher_share: Annotated[float, Gt(0), Le(1)] = 0.9
    temperature: Annotated[float, Gt(0)] = 2.0


class Distil:
    """Trains the module on the training split towards the outputs of the workload's own model, deterministically."""

    name = "distil"
    version = 1
    params: type[Any] = DistilParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_module"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: DistilParams, context: BuildContext) -> DistilParams:
        """Every value explicit: the recipe's, or the workload's training's, or the default.

        Raises:
            BuildError: The workload's own model is no torch module, or the task has nothing but the teacher to learn.
        """
        if context.workload.source.format != "torch_module":
            raise BuildError(
                self.name, f"the baseline is {context.workload.source.format}; only a torch module can teach"
            )
        if context.workload.data.train.task == "embedding" and params.teacher_share < 1:
            raise BuildError(self.name, "an embedding is learned from the teacher alone: teacher_share must be 1")
        return explicit(params, context)

    def apply(self, artifact: Artifact, params: DistilParams, context: BuildContext, out: Path) -> Built:
        """Train and save.

        Raises:
            BuildError: The two models' outputs are not of one shape.
        """
        from mlbench.runtimes.torch_module import load_module
        from mlbench.variants.evidence import agreement, score
        from mlbench.variants.sparsify import Zeros, saved, sparse, sparsity
        from mlbench.workloads.training import Hooks, call, train

        data = context.workload.data
        teacher, module = load_module(context.workload.source), load_module(artifact)
        wanted, before = call(teacher, data.validation.inputs)[0], call(module, data.validation.inputs)[0]
        if wanted.shape != before.shape:
            raise BuildError(
                self.name,
                f"the teacher's output has shape {list(wanted.shape[1:])}, the model's {list(before.shape[1:])}",
            )
        zeros = Zeros(module) if sparse(artifact) else None
        report = train(
            module,
            data.train,
            data.validation,
            training(params),
            context.progress,
            label=self.name,
            threads=context.threads,
            hooks=Hooks(_loss(teacher, data.train.task, params), zeros.restore if zeros is not None else None),
        )
        after = call(module, data.validation.inputs)[0]
        changed: dict[str, Any] = {"rows": report.rows, "loss": report.loss}
        if zeros is not None:
            changed |= sparsity(module)
        for when, outputs in (("_before", before), ("", after)):
            found = agreement(wanted, outputs, data.validation.task)
            changed |= {f"teacher_{name}{when}": value for name, value in found.items()}
        built = saved(artifact, module, context, out, changed)
        built.changed.update({f"validation_{name}": value for name, value in score(after, data.validation).items()})
        return built


def _loss(teacher: nn.Module, task: str, params: DistilParams) -> BatchLoss:
    """The share of the teacher's loss and of the task's own, for one batch."""
    import torch

    from mlbench.registry import load
    from mlbench.workloads.training import output_tensors, task_loss

    kind = load("task", task).labels if task != "embedding" else "number"
    own = task_loss(task) if params.teacher_share < 1 else None

    def loss(batch: list[torch.Tensor], outputs: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            wanted = output_tensors(teacher(*batch))[0]
        total = params.teacher_share * teacher_loss(kind, outputs, wanted, labels, params.temperature)
        if own is not None:
            total = total + (1 - params.teacher_share) * own(outputs, labels, params.label_smoothing or 0.0)
        return total

    return loss


def teacher_loss(
    kind: str, outputs: torch.Tensor, wanted: torch.Tensor, labels: torch.Tensor, temperature: float
) -> torch.Tensor:
    """How far outputs are from the teacher's, as a scalar.

    Scores of classes (also of each token that counts): Kullback-Leibler divergence at the temperature, times its square
    so that gradients keep their size (Hinton et al. 2015). Independent classes, or one score: cross-entropy with the
    teacher's probabilities. Numbers and embeddings: mean squared difference.
    """
    from torch.nn import functional

    if kind == "number":
        return functional.mse_loss(outputs, wanted)
    if kind == "multi_hot" or (kind == "class" and (outputs.ndim == 1 or outputs.shape[1] == 1)):
        return functional.binary_cross_entropy_with_logits(outputs / temperature, (wanted / temperature).sigmoid())
    if kind == "token":
        counting = labels.flatten() != IGNORED
        outputs, wanted = outputs.flatten(0, 1)[counting], wanted.flatten(0, 1)[counting]
    return temperature**2 * functional.kl_div(
        functional.log_softmax(outputs / temperature, dim=-1),
        functional.log_softmax(wanted / temperature, dim=-1),
        reduction="batchmean",
        log_target=True,
    )
