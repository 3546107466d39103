"""Int8 inside PyTorch through torchao: linear layers, or a whole exported graph. ``compile`` makes it fast."""

from __future__ import annotations

import platform
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.quiet import quiet, words

if TYPE_CHECKING:
    from torch import fx, nn

_FILE = "model.pt2"
_LOGGERS = ("torch", "torchao")
_CALIBRATION_BATCH = 32
_LAYERS = {"aten.linear.default": "linear", "aten.conv1d.default": "conv1d", "aten.conv2d.default": "conv2d"}
_PRECISION = {"dynamic_int8": "int8", "weight_int8": "int8 weights"}


@dataclass(frozen=True, slots=True)
class QuantizeTorchaoParams:
    """What is quantized.

    Attributes:
        mode: ``dynamic_int8`` has int8 weights and quantizes activations in every call; ``weight_int8`` has int8
            weights and computes in floating point: smaller, not faster.
    """

    mode: Literal["dynamic_int8", "weight_int8"] = "dynamic_int8"


@dataclass(frozen=True, slots=True)
class QuantizePt2eParams:
    """How activations are calibrated.

    Attributes:
        calibration_rows: Items of the training split, stratified; all of them when it has fewer.
    """

    calibration_rows: Annotated[int, Ge(1)] = 256


class QuantizeTorchao(Step):
    """Linear layers with int8 weights (torchao's ``quantize_``), exported as one program."""

    name = "quantize_torchao"
    version = 2
    params: type[Any] = QuantizeTorchaoParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "pt2"
    libraries: tuple[str, ...] = ("torch", "torchao")
    reads_data = True

    def apply(self, artifact: Artifact, params: QuantizeTorchaoParams, context: BuildContext, out: Path) -> Built:
        """Quantize, count, export, compare.

        Raises:
            BuildError: No layer was quantized, or the tool's own message.
        """
        import torch

        from mlbench.runtimes.torch_module import load_module
        from mlbench.variants.compile_torch import exported
        from mlbench.variants.evidence import weighted_layers

        module = load_module(artifact)
        layers = weighted_layers(module)
        with words(self.name, *_LOGGERS):
            from torchao.quantization import (
                Int8DynamicActivationInt8WeightConfig,
                Int8WeightOnlyConfig,
                quantize_,
            )

            dynamic = params.mode == "dynamic_int8"
            quantize_(module, Int8DynamicActivationInt8WeightConfig() if dynamic else Int8WeightOnlyConfig())
            counts = _quantized_layers(module)
            if not counts:
                raise BuildError(self.name, "no layer was quantized; the model has no linear layer that torchao takes")
            torch.export.save(exported(module, artifact, context), out / _FILE)
        built = Built("pt2", _FILE, {}, {"precision": _PRECISION[params.mode], "torchao": True})
        built.changed.update({"quantized_nodes": counts, "layers": layers, **_evidence(artifact, built, context, out)})
        return built


class QuantizePt2e:
    """A whole graph in static int8 (torchao's PT2E with the quantizer for x86), calibrated on training items.

    What it makes computes in float32 with rounded values; ``compile`` with ``freezing`` turns that into int8 kernels.
    """

    name = "quantize_pt2e"
    version = 2
    params: type[Any] = QuantizePt2eParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "pt2"
    libraries: tuple[str, ...] = ("torch", "torchao")
    reads_data = True

    def resolve(self, params: QuantizePt2eParams, context: BuildContext) -> QuantizePt2eParams:  # noqa: ARG002
        """Nothing depends on the machine, besides that its kernels are for x86.

        Raises:
            BuildError: This is another processor.
        """
        if platform.machine().lower() not in ("x86_64", "amd64"):
            raise BuildError(self.name, f"its int8 kernels are for x86, and this is {platform.machine()}")
        return params

    def apply(self, artifact: Artifact, params: QuantizePt2eParams, context: BuildContext, out: Path) -> Built:
        """Calibrate, convert, count, export, compare.

        Raises:
            BuildError: No layer was quantized, or the tool's own message.
        """
        import torch

        from mlbench.runtimes.torch_module import load_module
        from mlbench.variants.compile_torch import exported
        from mlbench.variants.evidence import calibration, stratified_rows

        rows = stratified_rows(context.workload.data.train, params.calibration_rows)
        tensors = tuple(torch.from_numpy(rows[spec.name]) for spec in artifact.inputs)
        with words(self.name, *_LOGGERS), torch.no_grad():
            program = exported(load_module(artifact), artifact, context).module()
            converted = calibrate_and_convert(program, x86_quantizer(), tensors)
            every, quantized = _layers(converted.graph)
            if not quantized:
                raise BuildError(self.name, "no layer was quantized; the graph has none that the quantizer knows")
            torch.export.save(exported(converted, artifact, context), out / _FILE)
        built = Built("pt2", _FILE, {}, {"precision": "int8", "torchao": True})
        built.changed.update(
            {
                "quantized_nodes": quantized,
                "layers": every,
                "converting_nodes": _converting(converted.graph),
                **calibration(context.workload.data.train, params.calibration_rows),
                **_evidence(artifact, built, context, out),
            }
        )
        left = {kind: every[kind] - quantized.get(kind, 0) for kind in every if every[kind] > quantized.get(kind, 0)}
        if left:
            said = ", ".join(f"{count} {kind}" for kind, count in left.items())
            built.changed["notice"] = f"these layers stay in float32, because the quantizer does not know them: {said}"
        return built


def _quantized_layers(module: nn.Module) -> dict[str, int]:
    """Layers whose weight is one of torchao's tensors, by torch's class."""
    from mlbench.variants.evidence import torch_class

    counts = Counter(
        torch_class(layer)
        for layer in module.modules()
        if type(getattr(layer, "weight", None)).__module__.startswith("torchao")
    )
    return dict(sorted(counts.items()))


def x86_quantizer() -> Any:
    """Torchao's quantizer for inductor on x86, in static int8."""
    from torchao.quantization.pt2e.quantizer import x86_inductor_quantizer as x86

    quantizer = x86.X86InductorQuantizer()
    return quantizer.set_global(x86.get_default_x86_inductor_quantization_config())


def calibrate_and_convert(program: Any, quantizer: Any, tensors: tuple[Any, ...]) -> Any:
    """The program with quantizers put in where ``quantizer`` wants them, their ranges found on the items given."""
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    prepared = prepare_pt2e(program, quantizer)
    for start in range(0, len(tensors[0]), _CALIBRATION_BATCH):
        prepared(*(tensor[start : start + _CALIBRATION_BATCH] for tensor in tensors))
    return convert_pt2e(prepared)


def _layers(graph: fx.Graph) -> tuple[dict[str, int], dict[str, int]]:
    """Linear layers and convolutions by kind: all of them, and those that take a dequantized activation."""
    every: Counter[str] = Counter()
    quantized: Counter[str] = Counter()
    for node in graph.nodes:
        kind = _LAYERS.get(str(node.target))
        if kind is None:
            continue
        every[kind] += 1
        if "dequantize" in str(getattr(node.args[0], "target", "")):
            quantized[kind] += 1
    return dict(sorted(every.items())), dict(sorted(quantized.items()))


def _converting(graph: fx.Graph) -> dict[str, int]:
    """Nodes that quantize or dequantize, by operator without its library."""
    names = [str(node.target).split(".") for node in graph.nodes if node.op == "call_function"]
    found = Counter(name[1] for name in names if len(name) > 1 and "quantize" in name[1])
    return dict(sorted(found.items()))


def _evidence(artifact: Artifact, built: Built, context: BuildContext, out: Path) -> dict[str, float]:
    from mlbench.variants.evidence import against_source
    from mlbench.variants.served import served

    with (
        quiet(*_LOGGERS),
        served(artifact, None, context, out) as source,
        served(artifact, built, context, out) as result,
    ):
        return against_source(
            lambda inputs: source(inputs)[0], lambda inputs: result(inputs)[0], context.workload.data.validation
        )
