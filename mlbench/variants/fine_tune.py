"""Short training after a step that costs accuracy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Lt

from mlbench.config import TrainConfig
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built


@dataclass(frozen=True, slots=True)
class FineTuneParams:
    """How long and how fast. What is not given is taken from the workload's own training, where it was trained here.

    Attributes:
        keep_zeros: Weights of layers that are exactly zero stay zero; null is yes after a step that made them so.
    """

    epochs: Annotated[int, Ge(1)] = 6
    learning_rate: Annotated[float, Gt(0)] = 1e-3
    batch_size: Annotated[int, Ge(1)] | None = None
    weight_decay: Annotated[float, Ge(0)] | None = None
    label_smoothing: Annotated[float, Ge(0), Lt(1)] | None = None
    max_shift: Annotated[int, Ge(0)] | None = None
    seed: int | None = None
    keep_zeros: bool | None = None


_TRAINING = tuple(item.name for item in fields(TrainConfig))


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
        own: Mapping[str, Any] = context.workload.info.model.get("train") or {}
        defaults = TrainConfig()
        unset = [name for name in _TRAINING if getattr(params, name) is None]
        return replace(params, **{name: own.get(name, getattr(defaults, name)) for name in unset})

    def apply(self, artifact: Artifact, params: FineTuneParams, context: BuildContext, out: Path) -> Built:
        """Train and save."""
        from mlbench.runtimes.torch_module import WEIGHTS, load_module, save_module
        from mlbench.variants.evidence import score
        from mlbench.variants.sparsify import Zeros, sparse
        from mlbench.workloads.training import Hooks, call, train

        data = context.workload.data
        module = load_module(artifact)
        before = score(call(module, data.validation.inputs)[0], data.validation)
        config = TrainConfig(**{name: getattr(params, name) for name in _TRAINING})
        keep = sparse(artifact) if params.keep_zeros is None else params.keep_zeros
        zeros = Zeros(module) if keep else None
        report = train(
            module,
            data.train,
            data.validation,
            config,
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
