"""From a torch module to an ONNX file, proved against the source on real inputs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import BATCH_SIZES, require_close
from mlbench.variants.onnx_files import FILE, outputs_of
from mlbench.workloads.onnx_data import SINGLE_FILE_LIMIT

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


class ExportOnnx(Step):
    """Exports with ``torch.onnx.export(dynamo=True)``: one file, free batch axis, the workload's input names.

    Weights of more than 1 GiB lie in a file beside it.

    ONNX Runtime must give the source's outputs, within the tolerance, for several batch sizes of validation items.
    """

    name = "export_onnx"
    version = 2
    params: type[Any] = ExportOnnxParams
    accepts: tuple[str, ...] = ("torch_module",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("torch", "onnx", "onnxscript", "onnxruntime")
    reads_data = True

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
        lengths = lengths_to_check(artifact, context.workload.data.validation)
        outputs = outputs_of(path)
        difference = max(
            require_close(
                self.name,
                "exported",
                outputs,
                lambda inputs: call(module, inputs),
                cut(context.workload.data.validation, artifact, length),
                params.tolerance,
            )
            for length in lengths or (0,)
        )
        graph = onnx.load(path, load_external_data=False)
        changed = {
            "opset": next(item.version for item in graph.opset_import if item.domain in ("", "ai.onnx")),
            "nodes": len(graph.graph.node),
            "max_abs_diff": difference,
            "checked_batch_sizes": list(BATCH_SIZES),
            **({"checked_lengths": list(lengths)} if lengths else {}),
        }
        kinds = sorted({str(weight.dtype).removeprefix("torch.") for weight in module.parameters()})
        return Built("onnx", FILE, changed, {"precision": ", ".join(kinds)})


def sequences(artifact: Artifact) -> tuple[str, ...]:
    """Inputs whose second axis is free: a length that may vary between calls."""
    return tuple(spec.name for spec in artifact.inputs if spec.shape[1:2] == (None,))


def lengths_to_check(artifact: Artifact, validation: Split) -> tuple[int, ...]:
    """Lengths to check: the data's own, half of it, and a short one; none where no axis is free."""
    free = sequences(artifact)
    if not free:
        return ()
    whole = validation.inputs[free[0]].shape[1]
    return tuple(sorted({whole, max(2, whole // 2), min(whole, 5)}))


def cut(validation: Split, artifact: Artifact, length: int) -> Split:
    """The split with its sequences cut to a length; 0 is as it is."""
    if not length:
        return validation
    free = sequences(artifact)
    inputs = {name: array[:, :length] if name in free else array for name, array in validation.inputs.items()}
    return replace(validation, inputs=inputs)


def _weight_bytes(module: nn.Module) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


def _export(module: nn.Module, artifact: Artifact, train: Split, params: ExportOnnxParams, path: Path) -> None:
    import numpy as np
    import torch

    from mlbench.variants.quiet import quiet

    example = tuple(torch.from_numpy(np.array(array[:2])) for array in train.inputs.values())
    dims = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length")}
    free = sequences(artifact)
    with quiet(*_LOGGERS) as captured:
        try:
            torch.onnx.export(
                module,
                example,
                path,
                dynamo=True,
                external_data=_weight_bytes(module) > SINGLE_FILE_LIMIT,
                opset_version=params.opset,
                input_names=[spec.name for spec in artifact.inputs],
                output_names=[spec.name for spec in artifact.outputs],
                dynamic_shapes=tuple(
                    {axis: dims[axis] for axis in ((0, 1) if spec.name in free else (0,))} for spec in artifact.inputs
                ),
                verbose=False,
            )
        except Exception as error:  # the exporter's errors have no common base
            said = captured.last()
            raise BuildError(ExportOnnx.name, f"{error}{f' (before that: {said})' if said else ''}") from error
