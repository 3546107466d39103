"""How many weights an artifact has, and how many of them are not zero, read from its files."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Artifact
from mlbench.variants.quiet import quiet

if TYPE_CHECKING:
    import torch

Count = tuple[int, int]
"""Weights, and how many of them are not zero."""

Array = npt.NDArray[Any]

_WEIGHTS: dict[str, tuple[tuple[int, int | None, int], ...]] = {
    # which inputs may be quantized weights, where their zero points are, and along which axis those run
    "DequantizeLinear": ((0, 2, 1),),
    "QLinearConv": ((3, 5, 0), (8, None, 0)),
    "ConvInteger": ((1, 3, 0),),
    "QLinearMatMul": ((3, 5, -1),),
    "MatMulInteger": ((1, 3, -1),),
}
_DESCRIBING = {
    # inputs that describe other tensors: scales, zero points, and running statistics of the data
    "DequantizeLinear": (1, 2),
    "QuantizeLinear": (1, 2),
    "QLinearConv": (1, 2, 4, 5, 6, 7),
    "QLinearMatMul": (1, 2, 4, 5, 6, 7),
    "ConvInteger": (2, 3),
    "MatMulInteger": (2, 3),
    "BatchNormalization": (3, 4),
}
_FROZEN = "_frozen_param"  # how PT2E names what it has folded
_PACKED = ("MatMulNBits", "GatherBlockQuantized")


def counted(artifact: Artifact) -> Artifact:
    """The artifact with its weights counted, or with the reason why they cannot be."""
    count = _FORMATS.get(artifact.format)
    if count is None:
        return replace(artifact, uncounted=f"files of the format {artifact.format} do not show their weights")
    try:
        with quiet("torch", "torchao"):
            parameters, nonzero = count(artifact)
    except Exception as error:  # noqa: BLE001 - libraries raise what they like, and a count is worth no failure
        return replace(artifact, uncounted=f"the weights cannot be counted ({error})")
    if not parameters:
        return replace(artifact, uncounted="no weights were found in its files")
    return replace(artifact, parameters=parameters, nonzero=nonzero)


def _module(artifact: Artifact) -> Count:
    from mlbench.runtimes.torch_tuned import load_tuned

    return _tensors(load_tuned(artifact).parameters())


def _program(artifact: Artifact) -> Count:
    from mlbench.runtimes.torch_programs import load_program

    program = load_program(artifact)
    if any(_FROZEN in name for name, _ in program.named_buffers()):
        raise ValueError(
            "its quantized weights lie beside the original ones, and the program does not tell which it uses"
        )
    return _tensors(program.parameters())


def _script(artifact: Artifact) -> Count:
    """Parameters, and what a frozen graph holds as constants: tensors, and the packed weights of quantized layers."""
    import torch

    module = torch.jit.load(str(Path(artifact.path) / artifact.entry), map_location="cpu")  # type: ignore[no-untyped-call]  # untyped
    return _tensors((*module.parameters(), *_constants(module.graph)))


def _constants(graph: Any) -> Iterator[torch.Tensor]:
    for node in graph.findAllNodes("prim::Constant", recurse=True):
        if not node.hasAttribute("value"):
            continue
        kind = node.kindOf("value")
        if kind == "t" and node.t("value").is_floating_point():
            yield node.t("value")
        elif kind == "ival" and hasattr(node.ival("value"), "unpack"):
            yield from (part for part in node.ival("value").unpack() if hasattr(part, "dequantize"))


def _tensors(tensors: Iterable[torch.Tensor]) -> Count:
    found = [tensor.detach() for tensor in tensors if tensor.dim()]
    plain = [tensor if _is_plain(tensor) else tensor.dequantize() for tensor in found]
    return sum(tensor.numel() for tensor in plain), sum(int(tensor.count_nonzero()) for tensor in plain)


def _is_plain(tensor: torch.Tensor) -> bool:
    """Neither quantized by torch itself nor a library's own kind of tensor, such as torchao's."""
    import torch

    return type(tensor) in (torch.Tensor, torch.nn.Parameter) and not tensor.is_quantized


def _onnx(artifact: Artifact) -> Count:
    """Initializers that are neither shapes, nor scales and zero points, nor running statistics.

    A quantized weight is zero where it equals its zero point.
    """
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(Path(artifact.path) / artifact.entry).graph
    packed = {node.op_type for node in graph.node} & set(_PACKED)
    if packed:
        raise ValueError(f"{min(packed)} packs several weights into a byte")
    values = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    points: dict[str, Array] = {}
    described: set[str] = set()
    for node in graph.node:
        points |= _zero_points(node, values)
        described.update(node.input[place] for place in _DESCRIBING.get(node.op_type, ()) if place < len(node.input))
    parameters = nonzero = 0
    for name, value in values.items():
        if value.ndim and name not in described and (name in points or _is_float(value)):
            parameters += value.size
            nonzero += int(np.count_nonzero(value.astype(np.float32) != points.get(name, np.float32(0))))
    return parameters, nonzero


def _zero_points(node: Any, values: dict[str, Array]) -> dict[str, Array]:
    """What stands for zero in the quantized weights that a node reads, by their name."""
    found: dict[str, Array] = {}
    for place, zero, axis in _WEIGHTS.get(node.op_type, ()):
        name = node.input[place] if place < len(node.input) else ""
        if name not in values or _is_float(values[name]):
            continue
        given = node.input[zero] if zero is not None and zero < len(node.input) else ""
        point = values[given].astype(np.float32) if given in values else np.zeros((), np.float32)
        if point.size > 1:
            along = next((item.i for item in node.attribute if item.name == "axis"), axis) % values[name].ndim
            point = point.reshape([-1 if index == along else 1 for index in range(values[name].ndim)])
        found[name] = point.reshape(()) if point.size == 1 else point
    return found


def _is_float(value: Array) -> bool:
    return value.dtype.name.startswith(("float", "bfloat"))


_FORMATS: dict[str, Callable[[Artifact], Count]] = {
    "torch_module": _module,
    "torch_tuned": _module,
    "pt2": _program,
    "torchscript": _script,
    "onnx": _onnx,
}
