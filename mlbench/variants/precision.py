"""Fewer bits for a torch module's arithmetic, and another memory layout."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.closeness import require_finite

if TYPE_CHECKING:
    from torch import nn

# CPU flags that mean arithmetic in that type, and not conversion back and forth
_NATIVE = {
    "bfloat16": {"avx512_bf16", "amx_bf16", "bf16"},
    "float16": {"avx512_fp16", "amx_fp16", "asimdhp"},
}

Half = Literal["bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class PrecisionParams:
    """What changes; one of them must.

    Attributes:
        weights: Type of the floating-point weights.
        autocast: Type that linear layers and convolutions compute in while the weights keep theirs; null is theirs.
        channels_last: Convolution weights with their channels last in memory; null is where the model has convolutions
            over images.
    """

    weights: Literal["float32", "bfloat16", "float16"] = "float32"
    autocast: Half | None = None
    channels_last: bool | None = False


class Precision:
    """Weights or arithmetic in bfloat16 or float16, convolutions with channels last.

    Inputs and outputs stay as the workload has them; casting them is part of every timed call.
    """

    name = "precision"
    version = 1
    params: type[Any] = PrecisionParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torch_tuned"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: PrecisionParams, context: BuildContext) -> PrecisionParams:  # noqa: ARG002 - protocol
        """Nothing depends on the machine.

        Raises:
            BuildError: Nothing would change, or the parameters contradict each other.
        """
        if params == PrecisionParams():
            raise BuildError(self.name, "nothing changes; give weights, autocast or channels_last")
        if params.autocast is not None and params.weights != "float32":
            raise BuildError(self.name, f"autocast is for weights in float32, but they are to be {params.weights}")
        return params

    def apply(self, artifact: Artifact, params: PrecisionParams, context: BuildContext, out: Path) -> Built:
        """Convert, save, and compare through the runtime.

        Raises:
            BuildError: The model has no weights to convert, or its answers overflow.
        """
        import torch

        from mlbench.runtimes.torch_module import WEIGHTS, load_module, save_module
        from mlbench.runtimes.torch_tuned import TUNING
        from mlbench.variants.evidence import against_source
        from mlbench.variants.served import served

        module = load_module(artifact)
        before = sum(weight.nbytes for weight in module.parameters())
        if not before:
            raise BuildError(self.name, "the model has no weights")
        images = sum(weight.ndim == 4 for weight in module.parameters())
        if params.channels_last and not images:
            raise BuildError(self.name, "channels_last is for convolutions over images, and the model has none")
        channels_last = bool(images) if params.channels_last is None else params.channels_last
        if not channels_last and params.weights == "float32" and params.autocast is None:
            raise BuildError(self.name, "nothing changes; the model has no convolutions over images")
        module = module.to(getattr(torch, params.weights))
        meta = save_module(module, out, artifact.meta["factory"], artifact.meta["args"])
        tuning = {"weights": params.weights, "autocast": params.autocast, "channels_last": channels_last}
        built = Built("torch_tuned", WEIGHTS, {}, {**meta, TUNING: tuning})
        validation = context.workload.data.validation
        with served(artifact, None, context, out) as source, served(artifact, built, context, out) as result:

            def answered(inputs: dict[str, Any]) -> Any:
                outputs = result(inputs)[0]
                require_finite(self.name, outputs)
                return outputs

            found = against_source(lambda inputs: source(inputs)[0], answered, validation)
        built.changed.update(
            {
                "weight_bytes_before": before,
                "weight_bytes": sum(weight.nbytes for weight in module.parameters()),
                "layers_computing_in": _computed_in(built, artifact, out, context),
                **found,
            }
        )
        notice = _slow(params)
        if notice:
            built.changed["notice"] = notice
        return built


def _slow(params: PrecisionParams) -> str:
    """What this CPU cannot compute in, as a sentence; empty where it can."""
    from mlbench.variants.cpu import cpu_flags

    wanted = params.autocast or params.weights
    if wanted not in _NATIVE or cpu_flags() & _NATIVE[wanted]:
        return ""
    return f"this CPU has no {wanted} arithmetic; torch converts or emulates it, which can be several times slower"


def _computed_in(built: Built, artifact: Artifact, out: Path, context: BuildContext) -> dict[str, int]:
    """Linear layers and convolutions by the type that their output has in a real call."""
    from dataclasses import replace

    import torch
    from torch import nn

    from mlbench.runtimes.torch_tuned import load_tuned
    from mlbench.variants.closeness import first_rows

    module = load_tuned(replace(artifact, format=built.format, path=str(out), meta=built.meta))
    kinds: Counter[str] = Counter()

    def see(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> None:
        kinds[str(output.dtype).removeprefix("torch.")] += 1

    for layer in module.modules():
        if isinstance(layer, (nn.Linear, nn.modules.conv._ConvNd)):  # noqa: SLF001 - the base has no public name
            layer.register_forward_hook(see)
    rows = first_rows(context.workload.data.validation.inputs, 2)
    with torch.inference_mode():
        module(*(torch.from_numpy(rows[spec.name]) for spec in artifact.inputs))
    return dict(sorted(kinds.items()))
