"""From a torch module to an ONNX file, proved against the source on real inputs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built

if TYPE_CHECKING:
    from torch import nn

    from mlbench.workloads import Split

FILE = "model.onnx"
_CHECKED_BATCHES = (1, 2, 7, 32)
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

        module = load_module(artifact)
        path = out / FILE
        _export(module, artifact, context.workload.data.train, params, path)
        difference = _compare(module, path, context.workload.data.validation, params.tolerance)
        graph = onnx.load(path)
        changed = {
            "opset": next(item.version for item in graph.opset_import if item.domain in ("", "ai.onnx")),
            "nodes": len(graph.graph.node),
            "max_abs_diff": difference,
            "checked_batch_sizes": list(_CHECKED_BATCHES),
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


def _compare(module: nn.Module, path: Path, validation: Split, tolerance: float) -> float:
    """Largest absolute difference of any output, over several batch sizes.

    Raises:
        BuildError: It is too large, or a batch size is not answered.
    """
    import numpy as np
    import onnxruntime as ort

    from mlbench.workloads.training import call

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    known = {item.name for item in session.get_inputs()}
    worst = 0.0
    for size in _CHECKED_BATCHES:
        inputs = {name: np.ascontiguousarray(array[:size]) for name, array in validation.inputs.items()}
        results = session.run(None, {name: array for name, array in inputs.items() if name in known})
        for ours, theirs in zip(results, call(module, inputs), strict=True):
            if ours.shape != theirs.shape:
                raise BuildError(
                    ExportOnnx.name,
                    f"the exported model gives shape {list(ours.shape)} for {size} items, not {list(theirs.shape)}",
                )
            difference = float(np.abs(ours.astype(np.float64) - theirs.astype(np.float64)).max())
            if not difference <= tolerance * max(1.0, float(np.abs(theirs).max())):
                raise BuildError(
                    ExportOnnx.name,
                    f"the exported model's outputs differ from the source's by up to {difference:.3g} at batch size "
                    f"{size}, more than the tolerance {tolerance:g}",
                )
            worst = max(worst, difference)
    return worst
