"""The workload's MLflow model as it was logged, through pyfunc: what MLflow's own wrapper costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.runtimes.pyfunc_runtime import ENTRY, FORMAT, flavor_of
from mlbench.variants import BuildContext, Built
from mlbench.variants.closeness import checked
from mlbench.variants.files import take_over
from mlbench.variants.served import served

LOGGED = "logged"
_BY_PYFUNC = ("predict", "predict_proba")  # methods of an estimator that MLflow's wrapper can call


@dataclass(frozen=True, slots=True)
class AsPyfuncParams:
    """How closely it must answer, and which model it is.

    Attributes:
        tolerance: Largest allowed difference to the native model's first output, as a share of the largest one.
        model: SHA-256 of the MLflow model's files; found out, whatever is set here.
    """

    tolerance: Annotated[float, Gt(0)] = 1e-3
    model: str | None = None


class AsPyfunc:
    """Takes the MLflow model that the workload's model was made from; it must answer alike."""

    name = "as_pyfunc"
    version = 1
    params: type[Any] = AsPyfuncParams
    accepts: tuple[str, ...] = ()
    produces: str | None = FORMAT
    libraries: tuple[str, ...] = ("mlflow",)
    reads_data = True

    def resolve(self, params: AsPyfuncParams, context: BuildContext) -> AsPyfuncParams:
        """With the digest of the model.

        Raises:
            BuildError: The workload's model is not from MLflow, or loading it is not permitted.
        """
        return replace(params, model=_logged(context)["digest"])

    def apply(self, artifact: Artifact, params: AsPyfuncParams, context: BuildContext, out: Path) -> Built:
        """Take the directory over and compare.

        Raises:
            BuildError: Another step came before, pyfunc cannot answer for this task, or it answers differently.
        """
        logged = _logged(context)
        if artifact.digest != context.workload.source.digest:
            raise BuildError(self.name, "it takes the model as it was logged, so it comes before every other step")
        if not (Path(logged["path"]) / ENTRY).is_file():
            raise BuildError(self.name, f"the MLflow model is no longer in {logged['path']}")
        take_over(replace(artifact, path=logged["path"]), out)
        changed = _method(artifact, out)
        meta = {"flavor": changed["flavor"], "precision": artifact.meta.get("precision", "unknown")}
        if logged["output"] is not None:
            meta["output"] = logged["output"]
        built = Built(FORMAT, ENTRY, meta=meta, outputs=artifact.outputs[:1])
        with (
            served(artifact, None, context, out) as reference,
            served(artifact, built, context, out) as result,
        ):
            changed |= checked(
                self.name,
                "wrapped",
                _first(result),
                _first(reference),
                artifact,
                context.workload.data.validation,
                params.tolerance,
                every_length=False,
            )
        return replace(built, changed=changed)


def _logged(context: BuildContext) -> dict[str, Any]:
    """Where the MLflow model is kept that the workload's model was made from."""
    logged: dict[str, Any] | None = context.workload.source.meta.get(LOGGED)
    if logged is not None:
        return logged
    if context.workload.info.model.get("source") != "mlflow":
        raise BuildError(AsPyfunc.name, "the workload's model is not from MLflow (workload.model.source=mlflow)")
    if not context.workload.info.model.get("trust"):
        raise BuildError(
            AsPyfunc.name,
            "loading a model through pyfunc runs whatever code is in it; if you know where it is from, say "
            "workload.model.trust=true",
        )
    raise BuildError(
        AsPyfunc.name, "there is nothing to wrap: the workload's model is served through pyfunc already, or cannot be"
    )


def _method(artifact: Artifact, out: Path) -> dict[str, Any]:
    """Let the wrapper call the method that the native arm calls; what was changed for it.

    Raises:
        BuildError: MLflow's wrapper cannot call that method.
    """
    import yaml

    file = out / ENTRY
    described = yaml.safe_load(file.read_text(encoding="utf-8"))
    wrapper = described["flavors"]["python_function"]
    method, wanted = wrapper.get("predict_fn", "predict"), artifact.meta.get("method")
    changed = {"flavor": flavor_of(described["flavors"]), "method": wanted or method, "method_as_logged": method}
    if wanted is None or wanted == method:
        return changed
    if wanted not in _BY_PYFUNC:
        raise BuildError(AsPyfunc.name, f"MLflow's wrapper cannot call {wanted}, which gives this model's scores")
    wrapper["predict_fn"] = wanted
    file.unlink()  # it may be a hard link to the model that is kept
    file.write_text(yaml.safe_dump(described, sort_keys=False), encoding="utf-8")
    return changed


def _first(answer: Callable[[dict[str, Any]], tuple[Any, ...]]) -> Callable[[dict[str, Any]], tuple[Any, ...]]:
    """The output that the task reads: wrappers of some flavours give no other."""
    return lambda inputs: answer(inputs)[:1]
