"""Short training after a step that costs accuracy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.retraining import TrainingParams, explicit, training


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuneParams(TrainingParams):
    """How long and how fast. What is null is taken from the workload's own training, where it was trained here.

    Attributes:
        keep_zeros: Weights of layers that are exactly zero stay zero; null is yes after a step that made them so.
    """

    keep_zeros: bool | None = None


class FineTune:
    """Trains the module further on the training split, deterministically, with the workload's own training loop."""

    name = "fine_tune"
    version = 1
    params: type[Any] = FineTuneParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_module"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: FineTuneParams, context: BuildContext) -> FineTuneParams:
        """Every value explicit: the recipe's, or the workload's training's, or the default."""
        return explicit(params, context)

    def apply(self, artifact: Artifact, params: FineTuneParams, context: BuildContext, out: Path) -> Built:
        """Train and save."""
        from mlbench.runtimes.torch_module import WEIGHTS, load_module, save_module
        from mlbench.variants.evidence import score
        from mlbench.variants.sparsify import Zeros, sparse
        from mlbench.workloads.training import Hooks, call, train

        data = context.workload.data
        module = load_module(artifact)
        before = score(call(module, data.validation.inputs)[0], data.validation)
        keep = sparse(artifact) if params.keep_zeros is None else params.keep_zeros
        zeros = Zeros(module) if keep else None
        report = train(
            module,
            data.train,
            data.validation,
            training(params),
            context.progress,
            label=self.name,
            threads=context.threads,
            hooks=Hooks(after_step=zeros.restore) if zeros is not None else None,
        )
        meta = save_module(module, out, artifact.meta["factory"], artifact.meta["args"])
        changed = {
            "rows": report.rows,
            "loss": report.loss,
            **({"zeros_kept": zeros.count} if zeros is not None else {}),
            **{f"validation_{name}_before": value for name, value in before.items()},
            **{f"validation_{name}": value for name, value in report.validation.items()},
        }
        return Built("torch_module", WEIGHTS, changed, {**meta, "parameters": artifact.meta.get("parameters")})
