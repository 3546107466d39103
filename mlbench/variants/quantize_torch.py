"""Static int8 inside PyTorch."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built

if TYPE_CHECKING:
    import torch
    from torch import nn

_FILE = "model.ts"
_CALIBRATION_BATCH = 32
_CHECKED_BATCHES = (1, 3, 32)
_QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")

Engine = Literal["auto", "x86", "fbgemm", "onednn", "qnnpack"]


@dataclass(frozen=True, slots=True)
class QuantizeTorchInt8Params:
    """How activations are calibrated.

    Attributes:
        calibration_rows: Items of the training split, stratified; all of them when it has fewer.
        engine: Kernels of ``torch.backends.quantized``; ``auto`` is what torch prefers on this CPU.
    """

    calibration_rows: Annotated[int, Ge(1)] = 256
    engine: Engine = "auto"


class QuantizeTorchInt8:
    """Quantizes weights and activations to int8 with torch.ao's FX graph mode and freezes the result as TorchScript.

    torch.ao.quantization is deprecated in torch in favour of torchao, whose int8 needs a C++ compiler to be fast; the
    record says so. Modules that FX cannot trace fail with the tool's own message.
    """

    name = "quantize_torch_int8"
    version = 2
    params: type[Any] = QuantizeTorchInt8Params
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "torchscript"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: QuantizeTorchInt8Params, context: BuildContext) -> QuantizeTorchInt8Params:  # noqa: ARG002
        """The engine by name.

        Raises:
            BuildError: This CPU, or this build of torch, does not have the engine.
        """
        import torch

        supported = [name for name in torch.backends.quantized.supported_engines if name != "none"]
        if not supported:
            raise BuildError(self.name, "this build of torch has no engine for quantized models")
        if params.engine == "auto":
            order: tuple[Engine, ...] = ("x86", "fbgemm", "qnnpack", "onednn")
            return replace(params, engine=next(name for name in order if name in supported))
        if params.engine not in supported:
            raise BuildError(self.name, f"engine '{params.engine}' is not supported here; {', '.join(supported)} are")
        return params

    def apply(self, artifact: Artifact, params: QuantizeTorchInt8Params, context: BuildContext, out: Path) -> Built:
        """Calibrate, convert, trace, freeze, and compare with the source.

        Raises:
            BuildError: Nothing was quantized, or torch has no torch.ao any more.
        """
        import torch

        from mlbench.runtimes.torch_module import load_module
        from mlbench.variants.evidence import against_source, calibration, stratified_rows, weighted_layers
        from mlbench.variants.quiet import quiet
        from mlbench.workloads.training import call, deterministic

        data = context.workload.data
        original = load_module(artifact)
        rows = stratified_rows(data.train, params.calibration_rows)
        tensors = tuple(torch.from_numpy(array) for array in rows.values())
        engine = torch.backends.quantized.engine
        with quiet("torch"), deterministic(0, context.threads, strict=False):
            torch.backends.quantized.engine = params.engine
            try:
                quantized = self._quantize(load_module(artifact), tensors, params.engine)
                counts = _count(quantized)
                if not counts:
                    raise BuildError(self.name, "no layer was quantized; the model has none that torch.ao knows")
                scripted = _script(quantized, tuple(tensor[:2] for tensor in tensors))
                _require_any_batch(scripted, quantized, tensors)
                scripted.save(str(out / _FILE))
                found = against_source(
                    lambda inputs: call(original, inputs)[0],
                    lambda inputs: call(scripted, inputs)[0],
                    data.validation,
                )
            finally:
                torch.backends.quantized.engine = engine
        changed = {
            "quantized_nodes": dict(sorted(counts.items())),
            "layers": weighted_layers(original),
            **calibration(data.train, params.calibration_rows),
            "deprecated": "torch.ao.quantization",
            **found,
        }
        return Built("torchscript", _FILE, changed, {"precision": "int8", "quantized_engine": params.engine})

    def _quantize(self, module: nn.Module, tensors: tuple[torch.Tensor, ...], engine: str) -> nn.Module:
        import torch

        try:
            from torch.ao.quantization import get_default_qconfig_mapping
            from torch.ao.quantization.quantize_fx import convert_fx, prepare_fx
        except ImportError as error:
            raise BuildError(
                self.name,
                f"torch {torch.__version__} no longer has torch.ao.quantization ({error}); use an earlier torch or an "
                "ONNX variant",
            ) from error
        prepared = prepare_fx(module, get_default_qconfig_mapping(engine), tuple(tensor[:1] for tensor in tensors))
        with torch.no_grad():
            for start in range(0, len(tensors[0]), _CALIBRATION_BATCH):
                prepared(*(tensor[start : start + _CALIBRATION_BATCH] for tensor in tensors))
        converted: nn.Module = convert_fx(prepared)
        return converted


def _count(module: nn.Module) -> Counter[str]:
    """Quantized layers that have weights, by class name."""
    return Counter(
        type(layer).__name__
        for layer in module.modules()
        if type(layer).__module__.startswith(_QUANTIZED) and hasattr(layer, "weight")
    )


def _script(module: nn.Module, example: tuple[torch.Tensor, ...]) -> Any:
    import torch

    with torch.no_grad():
        return torch.jit.freeze(torch.jit.trace(module, example).eval())  # type: ignore[no-untyped-call]  # untyped


def _require_any_batch(scripted: Any, module: nn.Module, tensors: tuple[torch.Tensor, ...]) -> None:
    """A trace may have frozen the batch size; it must answer as the module does for others.

    Raises:
        BuildError: It does not.
    """
    import torch

    from mlbench.workloads.training import output_tensors

    with torch.inference_mode():
        for size in _CHECKED_BATCHES:
            batch = tuple(tensor[:size] for tensor in tensors)
            pairs = zip(output_tensors(scripted(*batch)), output_tensors(module(*batch)), strict=True)
            if not all(
                ours.shape == theirs.shape and torch.allclose(ours, theirs, atol=1e-5) for ours, theirs in pairs
            ):
                raise BuildError(QuantizeTorchInt8.name, f"the traced graph answers differently for a batch of {size}")
