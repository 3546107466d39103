"""Smaller weights in an ONNX file: float16, or blocks of 4 or 8 bits."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import require_finite
from mlbench.variants.onnx_files import FILE, answer_of, layers, operators, source_of
from mlbench.workloads.onnx_data import is_split, save

_LOGGERS = ("onnxruntime", "onnx", "torch", "torchao", "root")


@dataclass(frozen=True, slots=True)
class ConvertOnnxFp16Params:
    """What stays in float32.

    Attributes:
        keep_operators: Operators that are not converted, besides those that the tool never converts.
    """

    keep_operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class QuantizeOnnxWeightsParams:
    """How weights are packed.

    Attributes:
        bits: Bits of one weight.
        block_size: Weights that share a scale.
        symmetric: Without a zero point: smaller and faster, a little less exact.
        accuracy_level: What the kernel computes in: 1 float32, 4 int8 activations, 0 its own choice.
        embeddings: Also the tables that tokens are looked up in (4 bits only).
    """

    bits: Literal[4, 8] = 8
    block_size: Literal[16, 32, 64, 128, 256] = 32
    symmetric: bool = True
    accuracy_level: Annotated[int, Ge(0), Le(4)] = 4
    embeddings: bool = False


class ConvertOnnxFp16(Step):
    """Weights and arithmetic in float16; inputs and outputs stay as they were.

    A CPU without float16 arithmetic converts back and forth: the file is half as large, the calls are no faster.
    """

    name = "convert_onnx_fp16"
    version = 1
    params: type[Any] = ConvertOnnxFp16Params
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime")
    reads_data = True

    def apply(self, artifact: Artifact, params: ConvertOnnxFp16Params, context: BuildContext, out: Path) -> Built:
        """Convert, count, compare.

        Raises:
            BuildError: No weight was converted, the tool's own message, or the answers overflow.
        """
        from mlbench.variants.cpu import cpu_flags
        from mlbench.variants.evidence import against_source
        from mlbench.variants.quiet import quiet

        source, target = source_of(artifact), out / FILE
        with quiet(*_LOGGERS) as captured:
            try:
                _to_fp16(source, target, params.keep_operators)
            except Exception as error:  # the tool raises what it likes
                said = captured.last(3)
                raise BuildError(self.name, f"{type(error).__name__}: {error}{f' ({said})' if said else ''}") from error
        before, after = _weight_kinds(source), _weight_kinds(target)
        converted = after.get("float16", 0) - before.get("float16", 0)
        if converted <= 0:
            raise BuildError(self.name, "no weight was converted; the graph has none in float32 that could be")
        validation = context.workload.data.validation
        answer = answer_of(target)
        require_finite(self.name, answer(validation.inputs))
        changed: dict[str, Any] = {
            "weights_converted": converted,
            "weights_kept_float32": after.get("float32", 0),
            "casts": operators(target).get("Cast", 0) - operators(source).get("Cast", 0),
            **against_source(answer_of(source), answer, validation),
        }
        if not cpu_flags() & {"avx512_fp16", "amx_fp16", "asimdhp"}:
            changed["notice"] = (
                "this CPU has no float16 arithmetic, so ONNX Runtime converts back and forth: expect half the size, "
                "and no speed-up on the CPU"
            )
        return Built("onnx", FILE, changed, {**artifact.meta, "precision": "float16"})


class QuantizeOnnxWeights:
    """Weights of linear layers in blocks of 4 or 8 bits (``MatMulNBits``); activations stay in floating point."""

    name = "quantize_onnx_weights"
    version = 2
    params: type[Any] = QuantizeOnnxWeightsParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime")
    reads_data = True

    def resolve(self, params: QuantizeOnnxWeightsParams, context: BuildContext) -> QuantizeOnnxWeightsParams:  # noqa: ARG002
        """Nothing depends on the machine.

        Raises:
            BuildError: The parameters contradict each other.
        """
        if params.embeddings and params.bits != 4:
            raise BuildError(self.name, "embeddings are quantized with bits: 4 only")
        return params

    def apply(self, artifact: Artifact, params: QuantizeOnnxWeightsParams, context: BuildContext, out: Path) -> Built:
        """Pack, count, compare.

        Raises:
            BuildError: No layer was packed, or the tool's own message.
        """
        from mlbench.variants.evidence import against_source
        from mlbench.variants.quiet import quiet

        source, target = source_of(artifact), out / FILE
        with quiet(*_LOGGERS) as captured:
            try:
                _to_blocks(source, target, params)
            except Exception as error:  # the tool raises what it likes
                said = captured.last(3)
                raise BuildError(self.name, f"{type(error).__name__}: {error}{f' ({said})' if said else ''}") from error
        packed = {name: count for name, count in operators(target).items() if name in _PACKED}
        if not packed:
            raise BuildError(self.name, "no layer was quantized; the graph has no linear layer with constant weights")
        validation = context.workload.data.validation
        changed = {
            "quantized_nodes": packed,
            "layers": layers(operators(source)),
            "bits": params.bits,
            **against_source(answer_of(source), answer_of(target), validation),
        }
        return Built("onnx", FILE, changed, {**artifact.meta, "precision": f"int{params.bits} weights"})


_PACKED = ("MatMulNBits", "GatherBlockQuantized")


def _to_fp16(source: Path, target: Path, keep: tuple[str, ...]) -> None:
    import onnx
    from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

    split = is_split(source)
    model = convert_float_to_float16(
        _with_shapes(source, target) if split else onnx.load(source),
        keep_io_types=True,
        disable_shape_infer=split,
        op_block_list=[*DEFAULT_OP_BLOCK_LIST, *keep],
    )
    save(model, target, split=split)


def _with_shapes(source: Path, target: Path) -> Any:
    """A model beyond 2 GiB with the shapes and types of everything in it, which can be inferred between files only."""
    import onnx
    from onnx.external_data_helper import load_external_data_for_model

    inferred = target.with_name("shapes.onnx")
    onnx.shape_inference.infer_shapes_path(source, inferred)
    model = onnx.load(inferred, load_external_data=False)
    inferred.unlink()
    load_external_data_for_model(model, str(source.parent))
    return model


def _to_blocks(source: Path, target: Path, params: QuantizeOnnxWeightsParams) -> None:
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
    from onnxruntime.quantization.onnx_model import ONNXModel
    from onnxruntime.quantization.quant_utils import QuantFormat

    model = ONNXModel(onnx.load(source))
    model.replace_gemm_with_matmul()  # exporters write linear layers as Gemm, which has no packed form
    quantizer = MatMulNBitsQuantizer(
        model.model,
        bits=params.bits,
        block_size=params.block_size,
        is_symmetric=params.symmetric,
        accuracy_level=params.accuracy_level,
        quant_format=QuantFormat.QOperator,
        op_types_to_quantize=("MatMul", "Gather") if params.embeddings else ("MatMul",),
    )
    quantizer.process()
    save(quantizer.model.model, target, split=is_split(source))


def _weight_kinds(path: Path) -> dict[str, int]:
    """Weights (numbers, not tensors) of the file by type."""
    import math

    import onnx

    counts: Counter[str] = Counter()
    for item in onnx.load(path, load_external_data=False).graph.initializer:
        counts[onnx.TensorProto.DataType.Name(item.data_type).lower()] += math.prod(item.dims)
    return {"float32" if name == "float" else name: count for name, count in counts.items()}
