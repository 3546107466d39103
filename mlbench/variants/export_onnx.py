"""From a torch module to an ONNX file, proved against the source on real inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built
from mlbench.variants.closeness import BATCH_SIZES, require_close
from mlbench.variants.onnx_files import FILE, outputs_of

if TYPE_CHECKING:
    from torch import nn

    from mlbench.workloads import Split

_LOGGERS = ("torch", "onnxscript", "onnx_ir", "onnx")


@dataclass(frozen=True, slots=True)
class ExportOnnxParams:
    """How the file is written.

    Attributes:
        opset: ONNX operator set.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1).
    """

    opset: Annotated[int, Ge(18), Le(25)] = 20
    tolerance: Annotated[float, Gt(0)] = 1e-4


class ExportOnnx:
    """Exports with ``torch.onnx.export(dynamo=True)``: one file, free batch axis, the workload's input names.

    ONNX Runtime must give the source's outputs, within the tolerance, for several batch sizes of validation items.
    """

    name = "export_onnx"
    version = 1
    params: type[Any] = ExportOnnxParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("torch", "onnx", "onnxscript", "onnxruntime")
    reads_data = True

    def resolve(self, params: ExportOnnxParams, context: BuildContext) -> ExportOnnxParams:  # noqa: ARG002 - protocol
        """Nothing depends on the machine."""
        return params

    def apply(self, artifact: Artifact, params: ExportOnnxParams, context: BuildContext, out: Path) -> Built:
        """Export and compare.

        Raises:
            BuildError: The exporter's own message, or the outputs differ by more than the tolerance.
        """
        import onnx

        from mlbench.runtimes.torch_module import load_module
        from mlbench.workloads.training import call

        module = load_module(artifact)
        path = out / FILE
        _export(module, artifact, context.workload.data.train, params, path)
        difference = require_close(
            self.name,
            "exported",
            outputs_of(path),
            lambda inputs: call(module, inputs),
            context.workload.data.validation,
            params.tolerance,
        )
        graph = onnx.load(path)
        changed = {
            "opset": next(item.version for item in graph.opset_import if item.domain in ("", "ai.onnx")),
            "nodes": len(graph.graph.node),
            "max_abs_diff": difference,
            "checked_batch_sizes": list(BATCH_SIZES),
        }
        kinds = sorted({str(weight.dtype).removeprefix("torch.") for weight in module.parameters()})
        return Built("onnx", FILE, changed, {"precision": ", ".join(kinds)})


def _export(module: nn.Module, artifact: Artifact, train: Split, params: ExportOnnxParams, path: Path) -> None:
    import numpy as np
    import torch

    from mlbench.variants.quiet import quiet

    example = tuple(torch.from_numpy(np.array(array[:2])) for array in train.inputs.values())
    batch = torch.export.Dim("batch")
    with quiet(*_LOGGERS) as captured:
        try:
            torch.onnx.export(
                module,
                example,
                path,
                dynamo=True,
                external_data=False,
                opset_version=params.opset,
                input_names=[spec.name for spec in artifact.inputs],
                output_names=[spec.name for spec in artifact.outputs],
                dynamic_shapes=tuple({0: batch} for _ in example),
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common base
            said = captured.last()
            raise BuildError(ExportOnnx.name, f"{error}{f' (before that: {said})' if said else ''}") from error
