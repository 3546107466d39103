"""From a scikit-learn estimator to an ONNX file, proved against the source on real items."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Ge, Gt, Le

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.onnx_files import FILE

_BATCHES = (1, 2, 7, 32)


@dataclass(frozen=True, slots=True)
class ExportSklearnParams:
    """How the file is written.

    Attributes:
        opset: ONNX operator set.
        tolerance: Largest allowed difference of a score to the source's, as a share of the largest (at least 1).
        beyond: Share of the validation items that may differ by more: trees compare with thresholds in float32 there,
            and an item that lies on one goes the other way.
    """

    opset: Annotated[int, Ge(15), Le(23)] = 18
    tolerance: Annotated[float, Gt(0)] = 1e-3
    beyond: Annotated[float, Ge(0), Le(1)] = 0.01


class ExportSklearnOnnx(Step):
    """Converts with skl2onnx: scores only, without the output of labels; free batch axis."""

    name = "export_sklearn_onnx"
    version = 2
    params: type[Any] = ExportSklearnParams
    accepts: tuple[str, ...] = ("sklearn",)
    produces: str | None = "onnx"
    libraries: tuple[str, ...] = ("scikit-learn", "skl2onnx", "onnx", "onnxruntime")
    reads_data = True

    def apply(self, artifact: Artifact, params: ExportSklearnParams, context: BuildContext, out: Path) -> Built:
        """Convert and compare.

        Raises:
            BuildError: The converter's own message, several inputs, or scores that differ too much.
        """
        import onnx

        from mlbench.runtimes.sklearn_runtime import load_estimator

        if len(artifact.inputs) != 1 or len(artifact.inputs[0].shape) != 2:
            shapes = ", ".join(f"{spec.name} {list(spec.shape[1:])}" for spec in artifact.inputs)
            raise BuildError(self.name, f"one input of columns can be converted, but the model takes {shapes}")
        estimator = load_estimator(artifact)
        model = _convert(estimator, artifact, params.opset)
        onnx.save(model, out / FILE)
        changed = _compare(estimator, artifact, out / FILE, context, params)
        changed |= {"opset": params.opset, "nodes": len(model.graph.node)}
        return Built("onnx", FILE, changed, {"precision": "float32"})


def _convert(estimator: Any, artifact: Artifact, opset: int) -> Any:
    from skl2onnx import to_onnx
    from skl2onnx.common.data_types import FloatTensorType

    (spec,) = artifact.inputs
    wants_scores = artifact.meta["method"] == "predict_proba"
    options = {id(estimator): {"zipmap": False}} if wants_scores else None
    try:
        model = to_onnx(
            estimator,
            initial_types=[(spec.name, FloatTensorType([None, spec.shape[1]]))],
            options=options,
            target_opset={"": opset, "ai.onnx.ml": 3},
        )
    except Exception as error:  # the converter's errors have no common base
        advice = ""
        if "HistGradientBoosting" in repr(estimator):
            advice = (
                "; histogram gradient boosting cannot be converted beside protobuf 7 or newer: use GradientBoosting, "
                "or an environment with protobuf<7"
            )
        raise BuildError(ExportSklearnOnnx.name, f"{type(error).__name__}: {error}{advice}") from error
    scores = model.graph.output[-1]
    scores_only = type(scores)()
    scores_only.CopyFrom(scores)
    del model.graph.output[:]
    model.graph.output.append(scores_only)
    return model


def _compare(
    estimator: Any, artifact: Artifact, path: Path, context: BuildContext, params: ExportSklearnParams
) -> dict[str, Any]:
    """The share of items beyond the tolerance in a batch of any size, and agreement on the validation split."""
    import numpy as np

    from mlbench.runtimes.sklearn_runtime import answer, as_table
    from mlbench.variants.closeness import first_rows, real_sizes
    from mlbench.variants.evidence import against_source
    from mlbench.variants.onnx_files import answer_of

    validation, method = context.workload.data.validation, artifact.meta["method"]
    result = answer_of(path)

    def reference(inputs: dict[str, Any]) -> Any:
        return answer(estimator, method, as_table([inputs[spec.name] for spec in artifact.inputs]))

    sizes = real_sizes((*_BATCHES, len(validation)), validation)
    differences = np.zeros(len(validation))  # of each item the largest that it has in any batch
    for size in sizes:
        inputs = first_rows(validation.inputs, size)
        theirs, mine = reference(inputs), result(inputs)
        if mine.reshape(len(mine), -1).shape != theirs.reshape(len(theirs), -1).shape:
            raise BuildError(
                ExportSklearnOnnx.name,
                f"the converted model gives shape {list(mine.shape)} for {size} items, not {list(theirs.shape)}",
            )
        found = np.abs(mine.reshape(theirs.shape).astype(np.float64) - theirs).reshape(size, -1).max(axis=1)
        differences[:size] = np.maximum(differences[:size], found)
    within = differences <= params.tolerance * max(1.0, float(np.abs(theirs).max()))
    beyond = 1 - float(within.mean())  # what is not a number is not within
    if beyond > params.beyond:
        raise BuildError(
            ExportSklearnOnnx.name,
            f"{100 * beyond:.1f} % of the validation items differ from the source by more than the tolerance "
            f"{params.tolerance:g} (up to {differences.max():.3g})",
        )
    evidence = against_source(reference, lambda inputs: result(inputs).reshape(theirs.shape), validation)
    return {**evidence, "beyond_tolerance": beyond, "checked_batch_sizes": list(sizes)}
