"""From a torch module to an ONNX file, proved against the source on real inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import Outputs, checked, first_rows, sequences
from mlbench.variants.onnx_files import FILE, outputs_of
from mlbench.variants.quiet import Captured, quiet
from mlbench.workloads import onnx_data

if TYPE_CHECKING:
    from torch import nn

    from mlbench.workloads import Split

_LOGGERS = ("torch", "onnxscript", "onnx_ir", "onnx", "optimum", "transformers", "torchao", "root")
_HUGGING_FACE = "mlbench.workloads.encoders:"
_AXES = ("batch", "length")


@dataclass(frozen=True, slots=True)
class ExportOnnxParams:
    """How the file is written.

    Attributes:
        exporter: ``dynamo`` is ``torch.onnx.export(dynamo=True)``, for any model; ``optimum`` is Optimum's, for Hugging
            Face models: ONNX Runtime's fusions know attention as it writes it.
        opset: ONNX operator set.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    exporter: Literal["dynamo", "optimum"] = "dynamo"
    opset: Annotated[int, Ge(18), Le(25)] = 20
    tolerance: Annotated[float, Gt(0)] = 1e-4


class ExportOnnx(Step):
    """One ONNX file with the workload's names for inputs and outputs; the batch, and the length of sequences, are free.

    Weights of more than 1 GiB lie in a file beside it.

    ONNX Runtime must give the source's outputs, within the tolerance, for several batch sizes of validation items.
    """

    name = "export_onnx"
    version = 3
    params: type[Any] = ExportOnnxParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = (
        "torch", "onnx", "onnxscript", "onnxruntime", "optimum", "optimum-onnx", "transformers",
    )  # fmt: skip
    reads_data = True

    def apply(self, artifact: Artifact, params: ExportOnnxParams, context: BuildContext, out: Path) -> Built:
        """Export and compare.

        Raises:
            BuildError: The exporter's own message, it is not for this model, it wrote another opset than was asked for,
                ONNX Runtime refuses the file, or the outputs differ by more than the tolerance.
        """
        import onnx

        from mlbench.runtimes.torch_module import load_module
        from mlbench.workloads.training import call

        data, path = context.workload.data, out / FILE
        module = load_module(artifact)
        captured = _export(module, artifact, data.train, params, path)
        graph = onnx.load(path, load_external_data=False)
        opset = next(item.version for item in graph.opset_import if item.domain in ("", "ai.onnx"))
        if opset != params.opset:
            raise BuildError(
                self.name, f"opset {params.opset} was asked for, but the exporter wrote {opset}{_told(captured)}"
            )
        answers = _loaded(path, params)
        found = checked(
            self.name,
            "exported",
            answers,
            lambda inputs: call(module, inputs),
            artifact,
            data.validation,
            params.tolerance,
        )
        kinds = sorted({str(weight.dtype).removeprefix("torch.") for weight in module.parameters()})
        changed = {"opset": opset, "nodes": len(graph.graph.node), **found}
        return Built("onnx", FILE, changed, {"precision": ", ".join(kinds)})


def _loaded(path: Path, params: ExportOnnxParams) -> Outputs:
    try:
        return outputs_of(path)
    except Exception as error:  # onnxruntime's errors have no common base
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise BuildError(
            ExportOnnx.name, f"onnxruntime does not take what was exported with opset {params.opset}: {first}"
        ) from error


def _told(captured: Captured) -> str:
    said = captured.last()
    return f" (before that: {said})" if said else ""


def _export(module: nn.Module, artifact: Artifact, train: Split, params: ExportOnnxParams, path: Path) -> Captured:
    """Write the file; returns what the exporter said besides."""
    optimum = params.exporter == "optimum"
    factory = str(artifact.meta.get("factory"))
    if optimum and not factory.startswith(_HUGGING_FACE):
        raise BuildError(
            ExportOnnx.name,
            f"exporter is optimum, which exports Hugging Face models (workload.model.source=huggingface), but this one "
            f"is made by {factory}; leave exporter out",
        )
    split = _weight_bytes(module) > onnx_data.SINGLE_FILE_LIMIT
    with quiet(*_LOGGERS) as captured:
        try:
            if optimum:
                _by_optimum(artifact, train, params.opset, path)
                if split:
                    _split(path)
            else:
                _by_dynamo(module, artifact, train, params.opset, path, split=split)
        except Exception as error:  # the exporters' errors have no common base
            raise BuildError(ExportOnnx.name, f"{error}{_told(captured)}") from error
    return captured


def _by_dynamo(module: nn.Module, artifact: Artifact, train: Split, opset: int, path: Path, *, split: bool) -> None:
    import torch

    dims = [torch.export.Dim(name) for name in _AXES]
    torch.onnx.export(
        module,
        tuple(_example(artifact, train).values()),
        path,
        dynamo=True,
        external_data=split,
        opset_version=opset,
        input_names=[spec.name for spec in artifact.inputs],
        output_names=[spec.name for spec in artifact.outputs],
        dynamic_shapes=tuple({axis: dims[axis] for axis in axes} for axes in _free(artifact).values()),
        verbose=False,
    )


def _by_optimum(artifact: Artifact, train: Split, opset: int, path: Path) -> None:
    """Optimum's exporter, on the module that stands around the Hugging Face model.

    It leaves traces in what it exports, so the module is another one than answers are compared with.
    """
    from optimum.exporters.onnx import OnnxConfig, export
    from optimum.utils import NormalizedConfig

    from mlbench.registry import load
    from mlbench.runtimes.torch_module import load_module

    per_token = load("task", train.task).labels == "token"
    taken = {name: {axis: _AXES[axis] for axis in axes} for name, axes in _free(artifact).items()}
    given = {spec.name: {0: _AXES[0]} for spec in artifact.outputs}
    if per_token:
        given[artifact.outputs[0].name] = dict(enumerate(_AXES))

    class Config(OnnxConfig):  # type: ignore[misc]  # optimum publishes no types
        """The workload's inputs and outputs, and training items instead of what Optimum makes up."""

        NORMALIZED_CONFIG_CLASS = NormalizedConfig
        inputs: ClassVar[dict[str, dict[int, str]]] = taken
        outputs: ClassVar[dict[str, dict[int, str]]] = given

        def generate_dummy_inputs(self, **_shapes: Any) -> dict[str, Any]:
            """Two training items."""
            return _example(artifact, train)

    module: Any = load_module(artifact)
    module.config = module.model.config
    export(module, Config(module.config), path, opset=opset, disable_dynamic_axes_fix=True)


def _example(artifact: Artifact, train: Split) -> dict[str, Any]:
    """Two training items, as tensors by input."""
    import torch

    rows = first_rows(train.inputs, 2)
    return {spec.name: torch.from_numpy(rows[spec.name].copy()) for spec in artifact.inputs}


def _free(artifact: Artifact) -> dict[str, tuple[int, ...]]:
    """The free axes of each input: that of the items, and that of a sequence's length."""
    long = sequences(artifact)
    return {spec.name: (0, 1) if spec.name in long else (0,) for spec in artifact.inputs}


def _weight_bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _split(path: Path) -> None:
    """Put the weights of a file into one beside it, as it is named here."""
    import onnx

    model = onnx.load(path)
    for made in path.parent.glob(f"{path.name}*"):
        made.unlink()
    onnx_data.save(model, path, split=True)
