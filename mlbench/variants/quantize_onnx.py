"""Int8 for ONNX Runtime, through Optimum's presets, calibration and quantizer."""

from __future__ import annotations

from collections import Counter
from contextlib import chdir
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.cpu import instruction_set
from mlbench.variants.onnx_files import FILE, answer_of, layers, operators
from mlbench.workloads.onnx_data import data_file, is_split

_LOGGERS = ("optimum", "transformers", "onnxruntime", "torch", "torchao", "root")
_CALIBRATION_BATCH = 32
_WITHOUT_VNNI = ("avx2", "avx512")
_HISTOGRAM_BINS = {"entropy": 128, "percentile": 2048}
_QUANTIZED_BINS = 128
_CONVERTING = ("DequantizeLinear", "DynamicQuantizeLinear", "QuantizeLinear")

InstructionSet = Literal["auto", "avx2", "avx512", "avx512_vnni", "arm64", "ppc64le"]
WeightType = Literal["auto", "int8", "uint8"]


@dataclass(frozen=True, slots=True)
class QuantizeOnnxDynamicParams:
    """How weights are quantized.

    Attributes:
        per_channel: A scale for each output channel instead of one per tensor; costs little, keeps accuracy.
        instruction_set: Optimum's preset; ``auto`` is this CPU's.
        weight_type: ``auto`` is the preset's. ONNX Runtime's int8 convolutions are slow where VNNI is missing.
        reduce_range: Weights of 7 instead of 8 bits; null is no.
    """

    per_channel: bool = True
    instruction_set: InstructionSet = "auto"
    weight_type: WeightType = "auto"
    reduce_range: bool | None = None


@dataclass(frozen=True, slots=True)
class QuantizeOnnxStaticParams:
    """How weights and activations are quantized.

    Attributes:
        per_channel: A scale for each output channel instead of one per tensor; costs little, keeps accuracy.
        calibration: How activation ranges are found: ``minmax``, ``entropy`` or ``percentile``.
        calibration_rows: Items of the training split, stratified; all of them when it has fewer.
        percentile: Share of the activations inside the range, in percent; for ``percentile`` only.
        instruction_set: Optimum's preset; ``auto`` is this CPU's.
        weight_type: ``auto`` is int8, which ONNX Runtime's fast kernels take.
        reduce_range: Weights of 7 instead of 8 bits; null is yes where the CPU has no VNNI and weights are int8,
            because products of 8 bits saturate there.
    """

    per_channel: bool = True
    calibration: Literal["minmax", "entropy", "percentile"] = "minmax"
    calibration_rows: Annotated[int, Ge(1)] = 256
    percentile: Annotated[float, Ge(50)] = 99.999
    instruction_set: InstructionSet = "auto"
    weight_type: WeightType = "auto"
    reduce_range: bool | None = None


class QuantizeOnnxDynamic:
    """Int8 weights; activations are quantized at run time, by their own range in each call. Good for linear layers."""

    name = "quantize_onnx_dynamic"
    version = 2
    params: type[Any] = QuantizeOnnxDynamicParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
    reads_data = True

    def resolve(self, params: QuantizeOnnxDynamicParams, context: BuildContext) -> QuantizeOnnxDynamicParams:  # noqa: ARG002
        """Preset, weight type and range by name.

        Raises:
            BuildError: Optimum has no preset for this CPU.
        """
        preset = _preset(self.name, params.instruction_set)
        weights = params.weight_type
        if weights == "auto":
            weights = "uint8" if preset == "avx2" else "int8"  # as Optimum's presets
        return replace(params, instruction_set=preset, weight_type=weights, reduce_range=bool(params.reduce_range))

    def apply(self, artifact: Artifact, params: QuantizeOnnxDynamicParams, context: BuildContext, out: Path) -> Built:
        """Prepare the graph, quantize, count, compare.

        Raises:
            BuildError: Nothing was quantized, or the tool's own message.
        """
        return _quantize(self.name, artifact, params, context, out)


class QuantizeOnnxStatic:
    """Int8 weights and activations with ranges calibrated on training items, as QDQ nodes. Good for convolutions."""

    name = "quantize_onnx_static"
    version = 3
    params: type[Any] = QuantizeOnnxStaticParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
    reads_data = True

    def resolve(self, params: QuantizeOnnxStaticParams, context: BuildContext) -> QuantizeOnnxStaticParams:  # noqa: ARG002
        """Preset, weight type and range by name.

        Raises:
            BuildError: Optimum has no preset for this CPU.
        """
        preset = _preset(self.name, params.instruction_set)
        weights = "int8" if params.weight_type == "auto" else params.weight_type
        reduce_range = params.reduce_range
        if reduce_range is None:
            reduce_range = weights == "int8" and preset in _WITHOUT_VNNI
        return replace(params, instruction_set=preset, weight_type=weights, reduce_range=reduce_range)

    def apply(self, artifact: Artifact, params: QuantizeOnnxStaticParams, context: BuildContext, out: Path) -> Built:
        """Prepare the graph, calibrate, quantize, count, compare.

        Raises:
            BuildError: Nothing was quantized, or the tool's own message.
        """
        return _quantize(self.name, artifact, params, context, out)


def _unsuited(operators: dict[str, int], *, static: bool) -> str:
    """The rule for which graphs which way is made, where this graph is of the other kind; otherwise empty.

    Convolutions have no fast kernel for ranges found at run time; attention has activations whose range a calibration
    does not catch.
    """
    convolutions = sum(count for name, count in operators.items() if "Conv" in name)
    if not static and convolutions:
        return (
            f"the graph has {convolutions} convolutions, which are often slower with ranges found at run time than in "
            "float32; quantize_onnx_static is made for them"
        )
    if static and not convolutions and operators.get("Softmax", 0) + operators.get("Attention", 0):
        return (
            "the graph is a transformer, whose accuracy often suffers from calibrated ranges; quantize_onnx_dynamic "
            "with per_channel is made for it"
        )
    return ""


def _preset(step: str, asked: InstructionSet) -> Any:
    if asked != "auto":
        return asked
    found = instruction_set()
    if found is None:
        raise BuildError(step, "Optimum has no preset for this CPU; name the nearest one with instruction_set")
    return found


def _quantize(
    step: str,
    artifact: Artifact,
    params: QuantizeOnnxDynamicParams | QuantizeOnnxStaticParams,
    context: BuildContext,
    out: Path,
) -> Built:
    from mlbench.variants.evidence import against_source, calibration, stratified_rows
    from mlbench.variants.quiet import quiet

    work = (out / "work").absolute()
    (work / "out").mkdir(parents=True)
    prepared = work / FILE  # Optimum names its result after it
    source = (Path(artifact.path) / artifact.entry).absolute()
    data = context.workload.data
    changed: dict[str, Any] = {}
    with quiet(*_LOGGERS) as captured:
        try:
            split = is_split(source)
            changed["symbolic_shapes"] = _prepare(source, prepared, split=split)
            ranges, config = None, _config(params)
            if isinstance(params, QuantizeOnnxStaticParams):
                rows = stratified_rows(data.train, params.calibration_rows)
                changed |= calibration(data.train, params.calibration_rows)
                ranges = _calibrate(prepared, rows, params, config, work)
            from optimum.onnxruntime import ORTQuantizer

            with chdir(work / "out"):  # weights of the same name in the working directory are in the way
                ORTQuantizer(prepared).quantize(
                    config, Path.cwd(), "", calibration_tensors_range=ranges, use_external_data_format=split
                )
        except Exception as error:  # Optimum and ONNX Runtime raise what they like
            said = captured.last(3)
            raise BuildError(step, f"{type(error).__name__}: {error}{f' ({said})' if said else ''}") from error
    for made in (work / "out").glob(f"{FILE}*"):  # with its weights beside it, where they are
        made.rename(out / made.name)
    changed["quantized_nodes"] = count_quantized(out / FILE)
    if not changed["quantized_nodes"]:
        raise BuildError(step, "no node was quantized; the graph has none that ONNX Runtime's quantizer knows")
    changed |= against_source(answer_of(source), answer_of(out / FILE), data.validation)
    before, after = operators(source), operators(out / FILE)
    changed["layers"] = layers(before)
    changed["converting_nodes"] = {name: count for name, count in after.items() if name in _CONVERTING}
    notice = _unsuited(before, static=isinstance(params, QuantizeOnnxStaticParams))
    if notice:
        changed["notice"] = notice
    _remove(work)
    return Built("onnx", FILE, changed, {"precision": "int8"})


def _prepare(source: Path, target: Path, *, split: bool = False) -> bool:
    """Shape inference and graph optimisation that quantization wants; whether symbolic shapes could be inferred."""
    from onnxruntime.quantization.shape_inference import quant_pre_process

    source, target = source.resolve(), target.resolve()
    beside: dict[str, Any] = {}
    if split:
        beside = {"save_as_external_data": True, "all_tensors_to_one_file": True}
        beside["external_data_location"] = data_file(target)
    with chdir(target.parent):  # where inference fails, the tool leaves the whole model in the working directory
        try:
            quant_pre_process(source, target, **beside)
        except Exception as error:  # the tool raises a bare Exception; only this one has a way round
            if "symbolic shape" not in str(error).lower():
                raise
            quant_pre_process(source, target, skip_symbolic_shape=True, **beside)
            return False
    return True


def _config(params: QuantizeOnnxDynamicParams | QuantizeOnnxStaticParams) -> Any:
    """Optimum's preset for the instruction set, with the resolved weight type and range."""
    from onnxruntime.quantization import QuantType
    from optimum.onnxruntime.configuration import AutoQuantizationConfig

    static = isinstance(params, QuantizeOnnxStaticParams)
    preset = getattr(AutoQuantizationConfig, params.instruction_set)
    config = preset(is_static=static, per_channel=params.per_channel)
    config.weights_dtype = QuantType.QInt8 if params.weight_type == "int8" else QuantType.QUInt8
    config.reduce_range = params.reduce_range
    return config


def _calibrate(prepared: Path, rows: dict[str, Any], params: QuantizeOnnxStaticParams, config: Any, work: Path) -> Any:
    """Ranges of all activations. Optimum's quantizer takes any iterable of one mapping per item."""
    from onnxruntime.quantization import CalibrationMethod
    from optimum.onnxruntime import ORTQuantizer
    from optimum.onnxruntime.configuration import CalibrationConfig

    methods = {
        "minmax": CalibrationMethod.MinMax,
        "entropy": CalibrationMethod.Entropy,
        "percentile": CalibrationMethod.Percentile,
    }
    count = len(next(iter(rows.values())))
    calibration = CalibrationConfig(
        dataset_name="training split",
        dataset_config_name="stratified",
        dataset_split="train",
        dataset_num_samples=count,
        method=methods[params.calibration],
        num_bins=_HISTOGRAM_BINS.get(params.calibration),
        num_quantized_bins=_QUANTIZED_BINS if params.calibration == "entropy" else None,
        percentile=params.percentile if params.calibration == "percentile" else None,
    )
    return ORTQuantizer(prepared).fit(
        [{name: array[index] for name, array in rows.items()} for index in range(count)],
        calibration,
        onnx_augmented_model_name=str(work / "augmented.onnx"),
        operators_to_quantize=config.operators_to_quantize,
        batch_size=_CALIBRATION_BATCH,
        use_external_data_format=is_split(prepared),
    )


def count_quantized(path: Path) -> dict[str, int]:
    """Nodes that compute in int8, by operator: integer operators, and those whose inputs and weights are dequantized.

    A dequantized bias, or dequantized weights alone, do not count.
    """
    import onnx

    nodes = onnx.load(path, load_external_data=False).graph.node
    dequantized = {output for node in nodes if node.op_type == "DequantizeLinear" for output in node.output}
    counts: Counter[str] = Counter()
    for node in nodes:
        integer = node.op_type.endswith("Integer") or node.op_type.startswith(("QLinear", "QGemm"))
        converts = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if integer or (not converts and set(node.input[:2]) <= dequantized):
            counts[node.op_type] += 1
    return dict(sorted(counts.items()))


def _remove(directory: Path) -> None:
    import shutil

    shutil.rmtree(directory)
