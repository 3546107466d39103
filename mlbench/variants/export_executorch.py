"""ExecuTorch programs for XNNPACK: float32, or int8 through PT2E; the operators that were delegated are counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from annotated_types import Ge, Gt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import BATCH_SIZES, checked, require_finite
from mlbench.variants.evidence import against_source, calibration, stratified_rows
from mlbench.variants.quiet import words
from mlbench.variants.served import served

if TYPE_CHECKING:
    from torch import fx

Counts = dict[str, int]

FILE = "model.pte"
_LOGGERS = ("torch", "torchao", "executorch", "root")
_CONVERSIONS = "quantized_decomposed."
_LAYERS = {
    "aten.convolution.default": "convolution",
    "aten.linear.default": "linear",
    "aten.addmm.default": "linear",
    "aten.mm.default": "matmul",
    "aten.bmm.default": "matmul",
}


@dataclass(frozen=True, slots=True)
class ExportExecutorchParams:
    """What the program computes in, and how much it takes at once.

    Attributes:
        precision: ``int8`` has int8 weights and calibrated activations; ``int8_dynamic`` has int8 weights in linear
            layers and quantizes their activations in every call.
        per_channel: A scale for each output channel of the weights instead of one per tensor.
        calibration_rows: Items of the training split, stratified; all of them when it has fewer.
        max_batch: Items of one call at most; the program's memory is laid out for so many.
        tolerance: For float32: largest allowed difference to the source's outputs, as a share of the largest of them
            (at least 1).
    """

    precision: Literal["float32", "int8", "int8_dynamic"] = "float32"
    per_channel: bool = True
    calibration_rows: Annotated[int, Ge(1)] = 256
    max_batch: Annotated[int, Ge(2)] = 32
    tolerance: Annotated[float, Gt(0)] = 1e-3


@dataclass(frozen=True, slots=True)
class Lowered:
    """What the exporter made.

    Attributes:
        program: The file's content.
        delegated, others: Operators by name: XNNPACK's, and those of ExecuTorch's own kernels.
        layers, quantized: Convolutions, linear layers and matrix products, by kind: all, and those of XNNPACK that take
            a dequantized activation.
        max_batch: Items of a call that the program has memory for.
    """

    program: bytes
    delegated: Counts
    others: Counts
    layers: Counts
    quantized: Counts
    max_batch: int


class ExportExecutorch(Step):
    """A module as an ExecuTorch program whose operators are XNNPACK's as far as it has them."""

    name = "export_executorch"
    version = 2
    params: type[Any] = ExportExecutorchParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "executorch"
    libraries: tuple[str, ...] = ("torch", "torchao", "executorch")
    reads_data = True

    def apply(self, artifact: Artifact, params: ExportExecutorchParams, context: BuildContext, out: Path) -> Built:
        """Export, delegate, count, compare.

        Raises:
            BuildError: No operator was delegated, no layer was quantized, the program is for fewer items than asked
                for, the outputs differ by more than the tolerance, or the exporter's own message.
        """
        with words(self.name, *_LOGGERS):
            lowered = lower(artifact, params, context)
        _require_done(lowered, params)
        (out / FILE).write_bytes(lowered.program)
        delegated, others = sum(lowered.delegated.values()), sum(lowered.others.values())
        precision = "float32" if params.precision == "float32" else "int8"
        meta = {"precision": precision, "operators": f"{delegated} XNNPACK, {others} ExecuTorch"}
        changed: dict[str, Any] = {
            "delegated_share": delegated / (delegated + others),
            "delegated_operators": dict(lowered.delegated),
            "other_operators": dict(lowered.others),
            "max_batch": params.max_batch,
        }
        built = Built("executorch", FILE, changed, meta)
        if params.precision == "float32":
            changed.update(self._difference(artifact, built, params, context, out))
        else:
            changed.update({"quantized_nodes": dict(lowered.quantized), "layers": dict(lowered.layers)})
            if params.precision == "int8":
                changed.update(calibration(context.workload.data.train, params.calibration_rows))
            changed.update(self._evidence(artifact, built, params, context, out))
        if notice := _notice(lowered, params):
            changed["notice"] = notice
        return built

    def _difference(
        self, artifact: Artifact, built: Built, params: ExportExecutorchParams, context: BuildContext, out: Path
    ) -> dict[str, Any]:
        validation = context.workload.data.validation
        sizes = tuple(size for size in BATCH_SIZES if size <= params.max_batch)
        with (
            served(artifact, None, context, out) as source,
            served(artifact, built, context, out, params.max_batch) as result,
        ):
            return checked(self.name, "exported", result, source, artifact, validation, params.tolerance, sizes)

    def _evidence(
        self, artifact: Artifact, built: Built, params: ExportExecutorchParams, context: BuildContext, out: Path
    ) -> dict[str, float]:
        validation = context.workload.data.validation
        with (
            served(artifact, None, context, out) as source,
            served(artifact, built, context, out, params.max_batch) as result,
        ):
            require_finite(self.name, result(validation.inputs)[0])
            return against_source(lambda inputs: source(inputs)[0], lambda inputs: result(inputs)[0], validation)


def lower(artifact: Artifact, params: ExportExecutorchParams, context: BuildContext) -> Lowered:
    """Export the module, quantize it where that is asked for, and give XNNPACK what it takes.

    Raises:
        Exception: Whatever torch, torchao and executorch raise.
    """
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower
    from executorch.extension.pybindings import _C

    from mlbench.runtimes.executorch_runtime import METHOD
    from mlbench.runtimes.torch_module import load_module
    from mlbench.variants.compile_torch import exported

    with torch.no_grad():
        program = exported(load_module(artifact), artifact, context, params.max_batch)
        if params.precision != "float32":
            quantized = _quantized(program.module(), artifact, params, context)
            program = exported(quantized, artifact, context, params.max_batch)
        edge = to_edge_transform_and_lower(program, partitioner=[XnnpackPartitioner()])
        graph = edge.exported_program().graph_module
        counts = counted(graph.graph, [part.original_module.graph for part in _parts(graph)])
        content = bytes(edge.to_executorch().buffer)  # which rewrites the graph, so it was counted before
    # what the file says itself: the exporter may plan for less than it was given as the bound
    most = _C._load_program_from_buffer(content).method_meta(METHOD).input_tensor_meta(0).sizes()[0]  # noqa: SLF001
    return Lowered(content, *counts, most)


def counted(graph: fx.Graph, parts: Sequence[fx.Graph]) -> tuple[Counts, Counts, Counts, Counts]:
    """Operators that were delegated, others, layers, quantized layers: see :class:`Lowered`.

    Quantizing and dequantizing are no operators of their own where they were delegated: XNNPACK fuses them.

    Args:
        graph: What is left to ExecuTorch.
        parts: What was delegated.
    """
    delegated, layers, quantized = Counter[str](), Counter[str](), Counter[str]()
    for part in parts:
        delegated += _operators(part)
        every, some = layers_of(part)
        layers += every
        quantized += some
    delegated = Counter({name: count for name, count in delegated.items() if not name.startswith(_CONVERSIONS)})
    layers += layers_of(graph)[0]
    return _sorted(delegated), _sorted(_operators(graph)), _sorted(layers), _sorted(quantized)


def _sorted(found: Counter[str]) -> Counts:
    return dict(sorted(found.items()))


def _operators(graph: fx.Graph) -> Counter[str]:
    """Operators by name; what only moves values around in the graph, and calls of a delegate, is none."""
    return Counter(
        _name(node).removesuffix(".default")
        for node in graph.nodes
        if node.op == "call_function" and "." in _name(node) and not _name(node).startswith("sym_size")
    )


def layers_of(graph: fx.Graph) -> tuple[Counter[str], Counter[str]]:
    """Convolutions, linear layers and matrix products by kind: all, and those that take a dequantized activation."""
    every: Counter[str] = Counter()
    quantized: Counter[str] = Counter()
    for node in graph.nodes:
        kind = _LAYERS.get(_name(node)) if node.op == "call_function" else None
        if kind is None:
            continue
        every[kind] += 1
        activation = node.args[1] if _name(node) == "aten.addmm.default" else node.args[0]
        if activation.op == "call_function" and "dequantize" in _name(activation):
            quantized[kind] += 1
    return every, quantized


def _name(node: fx.Node) -> str:
    return str(getattr(node.target, "__name__", node.target))


def _parts(graph: fx.GraphModule) -> Iterator[Any]:
    """What was given to a backend, each part with the graph that it had before."""
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            part = getattr(graph, node.target)
            if hasattr(part, "backend_id"):
                yield part


def _quantized(program: Any, artifact: Artifact, params: ExportExecutorchParams, context: BuildContext) -> Any:
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )

    from mlbench.variants.quantize_torchao import calibrate_and_convert

    dynamic = params.precision == "int8_dynamic"
    config = get_symmetric_quantization_config(is_per_channel=params.per_channel, is_dynamic=dynamic)
    quantizer = XNNPACKQuantizer()
    if dynamic:  # XNNPACK's convolutions with ranges found at run time are no part of what is offered
        quantizer.set_module_type(torch.nn.Linear, config)
    else:
        quantizer.set_global(config)
    rows = stratified_rows(context.workload.data.train, params.calibration_rows)
    return calibrate_and_convert(
        program, quantizer, tuple(torch.from_numpy(rows[spec.name]) for spec in artifact.inputs)
    )


def _require_done(lowered: Lowered, params: ExportExecutorchParams) -> None:
    if lowered.max_batch < params.max_batch:
        raise BuildError(
            ExportExecutorch.name,
            f"max_batch is {params.max_batch}, but ExecuTorch laid the program out for {lowered.max_batch} items",
        )
    if not lowered.delegated:
        raise BuildError(
            ExportExecutorch.name,
            f"no operator was delegated to XNNPACK; all {sum(lowered.others.values())} would run on ExecuTorch's "
            "portable kernels, which are not made to be fast",
        )
    if params.precision != "float32" and not lowered.quantized:
        raise BuildError(ExportExecutorch.name, "no layer was quantized; the graph has none that the quantizer knows")


def _notice(lowered: Lowered, params: ExportExecutorchParams) -> str:
    """What will disappoint, as a sentence; empty where nothing is known to."""
    if params.precision != "float32":
        left = {kind: count - lowered.quantized.get(kind, 0) for kind, count in lowered.layers.items()}
        said = ", ".join(f"{count} {kind}" for kind, count in left.items() if count)
        if said:
            return f"these layers stay in float32: {said}"
    inside, outside = sum(lowered.delegated.values()), sum(lowered.others.values())
    if outside > inside:
        return (
            f"XNNPACK has {inside} of {inside + outside} operators; the others run on ExecuTorch's portable kernels, "
            "which are not made to be fast"
        )
    return ""
