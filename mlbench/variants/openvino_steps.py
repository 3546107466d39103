"""OpenVINO: conversion from ONNX, int8 through NNCF, and compressed weights."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import checked, require_finite
from mlbench.variants.served import served

FILE = "model.xml"
_LOGGERS = ("openvino", "nncf", "root")
_LAYERS = ("Convolution", "GroupConvolution", "MatMul", "ConvolutionBackpropData")
_CONVERTING = "FakeQuantize"  # what becomes of a quantizer between two layers that compute in int8
_PACKED = ("i8", "u8", "i4", "u4")
_NO_STATISTICS = "NNCF_CI"  # the only switch that NNCF has against sending usage statistics


@dataclass(frozen=True, slots=True)
class ConvertOpenVinoParams:
    """How weights are stored.

    Attributes:
        weights: Type on disk; float16 halves the file and is widened while loading.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    weights: Literal["float32", "float16"] = "float32"
    tolerance: Annotated[float, Gt(0)] = 1e-3


@dataclass(frozen=True, slots=True)
class QuantizeOpenVinoParams:
    """How ranges are found.

    Attributes:
        model_type: ``transformer`` spares what attention is sensitive in; ``auto`` looks whether the graph has
            attention and no convolutions.
        preset: ``performance`` has symmetric activations, ``mixed`` asymmetric ones.
        calibration_rows: Items of the training split, stratified; all of them when it has fewer.
    """

    model_type: Literal["auto", "none", "transformer"] = "auto"
    preset: Literal["performance", "mixed"] = "mixed"
    calibration_rows: Annotated[int, Ge(1)] = 256


@dataclass(frozen=True, slots=True)
class CompressOpenVinoParams:
    """How weights are packed.

    Attributes:
        bits: Bits of one weight.
        symmetric: Without a zero point.
        group_size: Weights that share a scale, for 4 bits; a layer whose width it does not divide stays at 8.
        ratio: Share of the layers that are packed into 4 bits, the rest into 8.
    """

    bits: Literal[4, 8] = 8
    symmetric: bool = False
    group_size: Literal[16, 32, 64, 128] = 64
    ratio: Annotated[float, Gt(0), Le(1)] = 1.0


class ConvertOpenVino(Step):
    """An ONNX file as OpenVINO's own model; the answers stay, within the tolerance, at several batch sizes."""

    name = "convert_openvino"
    version = 2
    params: type[Any] = ConvertOpenVinoParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "openvino"
    libraries: tuple[str, ...] = ("openvino",)
    reads_data = True

    def apply(self, artifact: Artifact, params: ConvertOpenVinoParams, context: BuildContext, out: Path) -> Built:
        """Convert and compare.

        Raises:
            BuildError: OpenVINO's own message, or the outputs differ by more than the tolerance.
        """
        import openvino as ov

        with _words(self.name):
            model = ov.Core().read_model(Path(artifact.path) / artifact.entry)
            _fold_constants(model)
            ov.save_model(model, out / FILE, compress_to_fp16=params.weights == "float16")
        built = Built("openvino", FILE, {}, dict(artifact.meta))
        validation = context.workload.data.validation
        with served(artifact, None, context, out) as source, served(artifact, built, context, out) as result:
            found = checked(self.name, "converted", result, source, artifact, validation, params.tolerance)
        built.changed.update({"operators": len(model.get_ops()), **found})
        return built


class QuantizeOpenVino(Step):
    """Int8 weights and activations through NNCF, calibrated on training items."""

    name = "quantize_openvino"
    version = 2
    params: type[Any] = QuantizeOpenVinoParams
    accepts: tuple[str, ...] = ("openvino",)
    produces: str | None = "openvino"
    libraries: tuple[str, ...] = ("openvino", "nncf")
    reads_data = True

    def apply(self, artifact: Artifact, params: QuantizeOpenVinoParams, context: BuildContext, out: Path) -> Built:
        """Calibrate, quantize, count, compare.

        Raises:
            BuildError: No layer was quantized, or NNCF's own message.
        """
        import openvino as ov

        from mlbench.variants.evidence import calibration, stratified_rows

        data = context.workload.data
        model = ov.Core().read_model(Path(artifact.path) / artifact.entry)
        kinds = _kinds(model)
        model_type = _model_type(kinds) if params.model_type == "auto" else params.model_type
        rows = stratified_rows(data.train, params.calibration_rows)
        names = [port.get_any_name() for port in model.inputs]
        count = len(rows[names[0]])
        items = [{name: rows[name][index : index + 1] for name in names} for index in range(count)]
        with _words(self.name), _nncf() as nncf:
            quantized = nncf.quantize(
                model,
                nncf.Dataset(items),
                subset_size=count,
                preset=nncf.QuantizationPreset(params.preset),
                model_type=nncf.ModelType.TRANSFORMER if model_type == "transformer" else None,
            )
            ov.save_model(quantized, out / FILE, compress_to_fp16=False)
        layers = _quantized_layers(quantized)
        if not layers:
            raise BuildError(self.name, "no layer was quantized; the model has none that NNCF knows")
        built = Built("openvino", FILE, {}, {**artifact.meta, "precision": "int8"})
        built.changed.update(
            {
                "quantized_nodes": layers,
                "layers": _layers(kinds),
                "converting_nodes": {_CONVERTING: _kinds(quantized)[_CONVERTING] - kinds[_CONVERTING]},
                "model_type": model_type,
                **calibration(data.train, params.calibration_rows),
                **_evidence(self.name, artifact, built, context, out),
            }
        )
        if model_type == "none" and _model_type(kinds) == "transformer":
            built.changed["notice"] = (
                "the graph looks like a transformer, whose accuracy suffers without model_type: transformer"
            )
        return built


class CompressOpenVino:
    """Weights in 8 or 4 bits through NNCF; activations stay in floating point, or are quantized on the fly."""

    name = "compress_openvino"
    version = 2
    params: type[Any] = CompressOpenVinoParams
    accepts: tuple[str, ...] = ("openvino",)
    produces: str | None = "openvino"
    libraries: tuple[str, ...] = ("openvino", "nncf")
    reads_data = True

    def resolve(self, params: CompressOpenVinoParams, context: BuildContext) -> CompressOpenVinoParams:  # noqa: ARG002
        """What does not count for 8 bits is set to its default, so that it makes no other artifact."""
        return params if params.bits == 4 else replace(params, group_size=64, ratio=1.0)

    def apply(self, artifact: Artifact, params: CompressOpenVinoParams, context: BuildContext, out: Path) -> Built:
        """Pack, count, compare.

        Raises:
            BuildError: No weight was packed, or NNCF's own message.
        """
        import openvino as ov

        model = ov.Core().read_model(Path(artifact.path) / artifact.entry)
        mode = f"INT{params.bits}_{'SYM' if params.symmetric else 'ASYM'}"
        with _words(self.name), _nncf() as nncf:
            options = {"group_size": params.group_size, "ratio": params.ratio} if params.bits == 4 else {}
            packed = nncf.compress_weights(model, mode=getattr(nncf.CompressWeightsMode, mode), **options)
            ov.save_model(packed, out / FILE, compress_to_fp16=False)
        weights = _packed_weights(packed)
        if not weights:
            raise BuildError(self.name, "no weight was compressed; the model has none that NNCF knows")
        built = Built("openvino", FILE, {}, {**artifact.meta, "precision": f"int{params.bits} weights"})
        built.changed.update(
            {
                "packed_weights": weights,
                "quantized_nodes": _packed_layers(packed),
                "layers": _layers(_kinds(model)),
                **_evidence(self.name, artifact, built, context, out),
            }
        )
        return built


@contextmanager
def _words(step: str) -> Iterator[None]:
    """Keep the tools off the terminal, and turn what they raise into the step's failure, in their words."""
    from mlbench.variants.quiet import quiet

    with quiet(*_LOGGERS):
        try:
            yield
        except Exception as error:  # OpenVINO and NNCF raise what they like
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise BuildError(step, f"{type(error).__name__}: {'; '.join(lines[-2:])}") from error


@contextmanager
def _nncf() -> Iterator[Any]:
    """NNCF, without the usage statistics that it would send: whoever runs mlbench was not asked."""
    before = os.environ.get(_NO_STATISTICS)
    os.environ[_NO_STATISTICS] = "1"
    try:
        import nncf

        yield nncf
    finally:
        if before is None:
            os.environ.pop(_NO_STATISTICS, None)
        else:
            os.environ[_NO_STATISTICS] = before


def _fold_constants(model: Any) -> None:
    """What can be computed now is; NNCF fails on some graphs otherwise."""
    from openvino.passes import ConstantFolding, Manager

    manager = Manager()
    manager.register_pass(ConstantFolding())
    manager.run_passes(model)


def _kinds(model: Any) -> Counter[str]:
    """Operators by type."""
    return Counter(node.get_type_name() for node in model.get_ops())


def _layers(kinds: Counter[str]) -> dict[str, int]:
    return {kind: kinds[kind] for kind in _LAYERS if kinds[kind]}


def _model_type(kinds: Counter[str]) -> str:
    attention = kinds["Softmax"] + kinds["ScaledDotProductAttention"]
    return "transformer" if attention and not kinds["Convolution"] else "none"


def _quantized_layers(model: Any) -> dict[str, int]:
    """Layers whose activations pass a quantizer, by operator."""
    counts: Counter[str] = Counter()
    for node in model.get_ops():
        if node.get_type_name() in _LAYERS:
            source = node.input_value(0).get_node()
            while source.get_type_name() in ("MaxPool", "Reshape", "Squeeze", "Transpose", "Unsqueeze"):
                source = source.input_value(0).get_node()
            counts[node.get_type_name()] += source.get_type_name() == _CONVERTING
    return {kind: count for kind, count in sorted(counts.items()) if count}


def _packed_weights(model: Any) -> dict[str, int]:
    """Numbers stored in 4 or 8 bits, by type."""
    import math

    counts: Counter[str] = Counter()
    for node in model.get_ops():
        kind = node.get_output_element_type(0).get_type_name() if node.get_output_size() else ""
        if node.get_type_name() == "Constant" and kind in _PACKED:
            counts[kind] += math.prod(node.get_output_shape(0))
    return dict(sorted(counts.items()))


def _packed_layers(model: Any) -> dict[str, int]:
    """Layers whose weights are stored in 4 or 8 bits, by operator."""
    counts = Counter(
        node.get_type_name()
        for node in model.get_ops()
        if node.get_type_name() in _LAYERS and any(_stored(port.get_node()) in _PACKED for port in node.input_values())
    )
    return dict(sorted(counts.items()))


def _stored(node: Any) -> str:
    """The type in which the constant is stored that a layer reads, behind what widens it; empty for no constant."""
    while node.get_type_name() in ("Convert", "Multiply", "Reshape", "Subtract", "Transpose"):
        node = node.input_value(0).get_node()
    return str(node.get_output_element_type(0).get_type_name()) if node.get_type_name() == "Constant" else ""


def _evidence(step: str, artifact: Artifact, built: Built, context: BuildContext, out: Path) -> dict[str, float]:
    from mlbench.variants.evidence import against_source

    validation = context.workload.data.validation
    with served(artifact, None, context, out) as source, served(artifact, built, context, out) as result:
        require_finite(step, result(validation.inputs)[0])
        return against_source(lambda inputs: source(inputs)[0], lambda inputs: result(inputs)[0], validation)
