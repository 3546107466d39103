"""The same ONNX graph in fewer nodes: ONNX Runtime's own passes, fusions for transformers, and onnxslim."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import checked
from mlbench.variants.onnx_files import FILE, gained, operators, outputs_of, source_of
from mlbench.workloads.onnx_data import data_file, is_split

_LOGGERS = ("onnxruntime", "onnx", "onnxslim", "optimum", "transformers", "torch", "torchao", "root")
_OUTSIDE = "session.optimized_model_external_initializers"

_GPU = "CUDAExecutionProvider"

ModelType = Literal["bert", "bart", "clip", "gpt2", "t5", "vit"]


@dataclass(frozen=True, slots=True)
class OptimizeOnnxParams:
    """How far ONNX Runtime goes.

    Attributes:
        level: ``basic`` keeps to ONNX's own operators, ``extended`` also fuses into ONNX Runtime's.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    level: Literal["basic", "extended"] = "extended"
    tolerance: Annotated[float, Gt(0)] = 1e-4


@dataclass(frozen=True, slots=True)
class SlimOnnxParams:
    """How exact the result must be.

    Attributes:
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    tolerance: Annotated[float, Gt(0)] = 1e-4


@dataclass(frozen=True, slots=True)
class FuseOnnxParams:
    """Which graph is looked for.

    Attributes:
        model_type: Family of the transformer, in the words of ``onnxruntime.transformers``.
        level: Optimum's: ``O1`` basic passes, ``O2`` extended passes and fusions, ``O3`` also an approximated GELU,
            ``O4`` also float16, for GPUs only.
        heads: Attention heads; 0 lets the tool find out.
        hidden_size: Width of the attention; 0 lets the tool find out.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    model_type: ModelType = "bert"
    level: Literal["O1", "O2", "O3", "O4"] = "O2"
    heads: Annotated[int, Ge(0)] = 0
    hidden_size: Annotated[int, Ge(0)] = 0
    tolerance: Annotated[float, Gt(0)] = 1e-3


class OptimizeOnnx(Step):
    """ONNX Runtime's graph optimizations, done once instead of at every load.

    What depends on the processor (memory layouts) is left to loading, so that the file fits every machine.
    """

    name = "optimize_onnx"
    version = 2
    params: type[Any] = OptimizeOnnxParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime")
    reads_data = True

    def apply(self, artifact: Artifact, params: OptimizeOnnxParams, context: BuildContext, out: Path) -> Built:
        """Optimize, count, compare.

        Raises:
            BuildError: ONNX Runtime's own message, or the outputs differ by more than the tolerance.
        """
        import onnxruntime as ort

        def make(source: Path, target: Path) -> None:
            options = ort.SessionOptions()
            options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_ENABLE_{params.level.upper()}")
            options.optimized_model_filepath = str(target)
            if is_split(source):
                options.add_session_config_entry(f"{_OUTSIDE}_file_name", data_file(target))
                options.add_session_config_entry(f"{_OUTSIDE}_min_size_in_bytes", "1024")
            options.log_severity_level = 3
            ort.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])

        return _rewrite(self.name, artifact, context, out, params.tolerance, make)


class SlimOnnx(Step):
    """Folds constants and removes what is redundant, with onnxslim; the operators stay ONNX's own."""

    name = "slim_onnx"
    version = 2
    params: type[Any] = SlimOnnxParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxslim")
    reads_data = True

    def apply(self, artifact: Artifact, params: SlimOnnxParams, context: BuildContext, out: Path) -> Built:
        """Slim, count, compare.

        Raises:
            BuildError: onnxslim's own message, or the outputs differ by more than the tolerance.
        """

        def make(source: Path, target: Path) -> None:
            import onnxslim

            with chdir(target.parent):  # the tool removes a file of that name from the working directory
                onnxslim.slim(str(source), str(target), save_as_external_data=is_split(source))

        return _rewrite(self.name, artifact, context, out, params.tolerance, make)


class FuseOnnx(Step):
    """Fuses attention, layer normalization and GELU of a transformer: Optimum's levels, ONNX Runtime's fusions.

    O4 is O3 in float16, whose kernels are those of GPUs; elsewhere it is refused.
    """

    name = "fuse_onnx"
    version = 2
    params: type[Any] = FuseOnnxParams
    accepts: tuple[str, ...] = ("onnx",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("onnx", "onnxruntime", "optimum", "optimum-onnx")
    reads_data = True

    def resolve(self, params: FuseOnnxParams, context: BuildContext) -> FuseOnnxParams:  # noqa: ARG002 - protocol
        """Nothing depends on the machine, besides that O4 needs a GPU.

        Raises:
            BuildError: O4 without one.
        """
        import onnxruntime as ort

        if params.level == "O4" and _GPU not in ort.get_available_providers():
            raise BuildError(
                self.name,
                f"level O4 is O3 in float16, for GPUs only, and this onnxruntime has no {_GPU}; take O3 on the CPU, "
                "and convert_onnx_fp16 after it where half the size is what you want",
            )
        return params

    def apply(self, artifact: Artifact, params: FuseOnnxParams, context: BuildContext, out: Path) -> Built:
        """Fuse, count, compare.

        Raises:
            BuildError: Nothing was fused, the tool's own message, or the outputs differ by more than the tolerance.
        """
        found: dict[str, int] = {}

        def make(source: Path, target: Path) -> None:
            from onnxruntime.transformers.optimizer import optimize_model
            from optimum.onnxruntime.configuration import AutoOptimizationConfig

            config = getattr(AutoOptimizationConfig, params.level)()
            model = optimize_model(
                str(source),
                model_type=params.model_type,
                num_heads=params.heads,
                hidden_size=params.hidden_size,
                optimization_options=config.create_fusion_options(params.model_type),
                opt_level=config.optimization_level,
                only_onnxruntime=not config.enable_transformers_specific_optimizations,
            )
            if params.level == "O4":
                model.convert_float_to_float16(keep_io_types=True)
            model.save_model_to_file(str(target), use_external_data_format=is_split(source))
            if params.level != "O1":
                found.update(sorted(model.get_fused_operator_statistics().items()))

        built = _rewrite(self.name, artifact, context, out, params.tolerance, make)
        if params.level == "O4":
            built.meta["precision"] = "float16"
        if params.level != "O1":
            fused = {name: count for name, count in found.items() if count}
            if not fused:
                raise BuildError(self.name, f"nothing was fused; the graph does not look like a {params.model_type}")
            built.changed["fused_nodes"] = fused
            if not any("Attention" in name for name in fused):
                built.changed["notice"] = (
                    f"no attention was fused as {params.model_type}; the exporter writes it in a form that "
                    "ONNX Runtime's fusion does not know"
                )
        return built


def _rewrite(
    step: str,
    artifact: Artifact,
    context: BuildContext,
    out: Path,
    tolerance: float,
    make: Callable[[Path, Path], None],
) -> Built:
    """Let a tool write the graph anew, and hold its answers against the source's."""
    from mlbench.variants.quiet import quiet

    source, target = source_of(artifact).absolute(), (out / FILE).absolute()
    with quiet(*_LOGGERS) as captured:
        try:
            make(source, target)
        except Exception as error:  # the tools raise what they like
            said = captured.last(3)
            raise BuildError(step, f"{type(error).__name__}: {error}{f' ({said})' if said else ''}") from error
    before, after = operators(source), operators(target)
    validation = context.workload.data.validation
    found = checked(step, "rewritten", outputs_of(target), outputs_of(source), artifact, validation, tolerance)
    changed: dict[str, Any] = {
        "nodes_before": sum(before.values()),
        "nodes": sum(after.values()),
        "new_operators": gained(before, after),
        **found,
    }
    return Built("onnx", FILE, changed, dict(artifact.meta))
