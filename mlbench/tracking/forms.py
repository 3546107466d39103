"""The forms in which an artifact becomes an MLflow model, the leanest first, and the proof that it still answers alike.

=============  ====================================================================================================
form           what serves it where it is loaded
=============  ====================================================================================================
onnx           ``mlflow.onnx``: onnxruntime
pytorch        ``mlflow.pytorch`` in torch's exported-program format (no pickle, no source code): torch
sklearn        ``mlflow.sklearn`` (cloudpickle): scikit-learn
torchscript    a small script logged with the model: torch
mlbench        the runtime that measured it: mlbench and that runtime's library
=============  ====================================================================================================
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import mlflow
import mlflow.pyfunc
import numpy as np
import numpy.typing as npt
from mlflow.models import Model, ModelSignature
from mlflow.models.model import MLMODEL_FILE_NAME
from mlflow.types.schema import Schema
from mlflow.types.schema import TensorSpec as TensorColumn

from mlbench.errors import MlbenchError
from mlbench.masking import redacted
from mlbench.records import Artifact, RuntimeSettings, TensorSpec, to_dict
from mlbench.runtimes.kept import settings_kept
from mlbench.runtimes.loading import open_session
from mlbench.runtimes.onnx_runtime import OPTIONS as ONNX_OPTIONS
from mlbench.runtimes.options import read_options
from mlbench.runtimes.torch_runtime import OPTIONS as TORCH_OPTIONS
from mlbench.tracking.import_path import SERVED, by_own_name, import_path_kept
from mlbench.workloads.onnx_data import is_split

Example = Mapping[str, npt.NDArray[Any]]

_LEVELS = {"disable": 0, "basic": 1, "extended": 2, "layout": 3, "all": 99}
_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
_TOLERANCE = 1e-3
_FREE_AXIS = 2  # torch.export takes an axis of size 1 as fixed
_NUMPY_ONLY = ("mlflow", "numpy")
_TORCH_DEFAULTS = read_options(TORCH_OPTIONS, {})


class UnfitError(MlbenchError):
    """An artifact does not go into this form, or answers differently in it."""


@dataclass(frozen=True, slots=True)
class Content:
    """What there is to log: an artifact, how it was served, and a few real items."""

    artifact: Artifact
    settings: RuntimeSettings
    example: Example


@dataclass(frozen=True, slots=True)
class Form:
    """One way to make an MLflow model.

    Attributes:
        save: Writes the model into a directory that does not exist yet.
        libraries: Distributions that serving needs, pinned to the versions here.
    """

    name: str
    save: Callable[[Content, Path, dict[str, Any]], None]
    libraries: tuple[str, ...]


def forms(artifact: Artifact, settings: RuntimeSettings) -> tuple[Form, ...]:
    """Forms to try for this artifact as it was served, the leanest first."""
    lean = _LEAN.get(artifact.format)
    full = replace(_MLBENCH, libraries=(*_MLBENCH.libraries, *_beside(artifact)))
    return (full,) if lean is None or not _fits(lean, artifact, settings) else (lean, full)


def _fits(lean: Form, artifact: Artifact, settings: RuntimeSettings) -> bool:
    """Whether a lean form can say all that the settings say."""
    if lean.name == "onnx":
        asked = read_options(ONNX_OPTIONS, settings.options)
        disabled = asked["graph_level"] == "disable"  # its level is 0, which mlflow.onnx takes for unset
        return not disabled and all(
            asked[name] == ONNX_OPTIONS[name].default for name in ("io_binding", "memory_arena")
        )
    if lean.name == "sklearn":
        return True
    plain = settings.inter_threads == 1 and read_options(TORCH_OPTIONS, settings.options) == _TORCH_DEFAULTS
    # mlflow.pytorch answers single arrays only
    return plain and (lean.name != "pytorch" or len(artifact.inputs) == 1)


def _beside(artifact: Artifact) -> tuple[str, ...]:
    """What serving this artifact by mlbench needs besides what it always needs."""
    torchao = ("torchao",) if artifact.meta.get("torchao") else ()
    return (*_BESIDES.get(artifact.format, ()), *torchao)


def needs(content: Content) -> str:
    """What no requirements file can say that the model needs where it is loaded, to answer as fast as it was measured.

    Empty for nothing.
    """
    artifact, python = content.artifact, content.settings.python
    if python is not None:
        return f"the versions of {python}, which measured it: the requirements are those of the Python that logged it"
    if artifact.format == "pyfunc":
        return f"what the model that is wrapped needs itself ({artifact.meta['flavor']}): its own requirements.txt"
    if artifact.format == "aoti":
        cpu = artifact.meta.get("cpu_capability", "those of the one that it was compiled on")
        return f"a CPU with the vector instructions that it was compiled for: {cpu}"
    if "compile" in artifact.meta:
        return "a C++ compiler: torch.compile runs at the first call with each shape, which takes seconds"
    return ""


def save_verified(form: Form, content: Content, path: Path) -> Model:
    """Write the model and prove that it answers like the artifact, for one item and for all of the example.

    Args:
        form: One of :func:`forms`.
        content: What to log.
        path: Directory to write, not there yet.

    Raises:
        UnfitError: The artifact does not go into this form, or the model answers differently.
    """
    model = Model()
    options = {
        "mlflow_model": model,
        "signature": signature(content.artifact),
        "pip_requirements": requirements(form.libraries),
        "metadata": {"mlbench.artifact": content.artifact.digest, "mlbench.threads": content.settings.threads},
    }
    try:
        with ExitStack() as stack:
            stack.enter_context(settings_kept())
            stack.enter_context(import_path_kept())
            if content.artifact.format == "torchscript":
                stack.enter_context(_native_warnings_away())
            form.save(content, path, options)
            _require_same_answers(content, path)
    except UnfitError:
        raise
    except Exception as error:  # exporters and runtimes raise what they like; the next form may do
        reason = next(iter(str(error).strip().splitlines()), "")
        raise UnfitError(f"{type(error).__name__}: {reason}") from error
    return model


def signature(artifact: Artifact) -> ModelSignature:
    """Inputs and outputs as MLflow describes them; a single one is a plain array, several are arrays by name."""
    return ModelSignature(inputs=_schema(artifact.inputs), outputs=_schema(artifact.outputs))


def _schema(specs: tuple[TensorSpec, ...]) -> Schema:
    named = len(specs) > 1
    return Schema(
        [
            TensorColumn(
                np.dtype(spec.dtype),
                tuple(-1 if size is None else size for size in spec.shape),
                spec.name if named else None,
            )
            for spec in specs
        ]
    )


def requirements(libraries: tuple[str, ...]) -> list[str]:
    """Requirements pinned to what is installed here, without local version labels, which no index serves."""
    found = []
    for name in libraries:
        try:
            found.append(f"{name}=={version(name).partition('+')[0]}")
        except PackageNotFoundError:
            continue  # another distribution of the same library, such as onnxruntime-gpu
    return found


def example_for(artifact: Artifact, given: Example | None) -> Example:
    """The given items, or made-up ones where there are none: at least two, every free axis two long."""
    if given is not None and all(spec.name in given and len(given[spec.name]) > 1 for spec in artifact.inputs):
        return {spec.name: np.ascontiguousarray(given[spec.name]) for spec in artifact.inputs}
    generator = np.random.default_rng(0)
    made: dict[str, npt.NDArray[Any]] = {}
    for spec in artifact.inputs:
        shape = tuple(_FREE_AXIS if size is None else size for size in spec.shape)
        kind = np.dtype(spec.dtype)
        made[spec.name] = (generator.random(shape) if kind.kind == "f" else np.zeros(shape)).astype(kind)
    return made


# ---------------------------------------------------------------------------------------------------------------------
# the forms


def _save_onnx(content: Content, path: Path, options: dict[str, Any]) -> None:
    import mlflow.onnx
    import onnx

    settings, artifact = content.settings, content.artifact
    spinning = "1" if settings.options.get("allow_spinning", False) else "0"
    file = Path(artifact.path) / artifact.entry
    mlflow.onnx.save_model(
        onnx.load(file),
        path,
        onnx_execution_providers=settings.options.get("providers") or _PROVIDERS[settings.device],
        onnx_session_options={
            "intra_op_num_threads": settings.threads,
            "inter_op_num_threads": settings.inter_threads,
            "graph_optimization_level": _LEVELS[settings.options.get("graph_level", "all")],
            "extra_session_config": {
                "session.intra_op.allow_spinning": spinning,
                "session.inter_op.allow_spinning": spinning,
            },
        },
        save_as_external_data=is_split(file),
        input_example=_as_input(content.example),
        **options,
    )


def _save_pytorch(content: Content, path: Path, options: dict[str, Any]) -> None:
    import mlflow.pytorch

    from mlbench.runtimes.torch_module import load_module

    mlflow.pytorch.save_model(
        load_module(content.artifact),
        path,
        serialization_format="pt2",
        input_example=_as_input(content.example),
        code_paths=[str(SERVED)],
        **options,
    )
    # this flavour keeps no number of threads, so that a loader of ours comes before its own
    model = options["mlflow_model"]
    config = {"threads": content.settings.threads, "device": content.settings.device}
    model.flavors[mlflow.pyfunc.FLAVOR_NAME] |= {mlflow.pyfunc.MAIN: SERVED.stem, mlflow.pyfunc.MODEL_CONFIG: config}
    model.save(str(path / MLMODEL_FILE_NAME))


def _save_sklearn(content: Content, path: Path, options: dict[str, Any]) -> None:
    import mlflow.sklearn

    from mlbench.runtimes.sklearn_runtime import load_estimator, with_jobs

    estimator, threads = load_estimator(content.artifact), content.settings.threads
    with_jobs(estimator, threads)
    # MLflow's default evaluator knows estimators by MLflow's own loader, so that what is ours is in the pickle
    with by_own_name(SERVED) as served:
        mlflow.sklearn.save_model(
            served.Served(estimator, threads),
            path,
            pyfunc_predict_fn=content.artifact.meta["method"],
            serialization_format="cloudpickle",
            input_example=_as_input(content.example),
            code_paths=[str(SERVED)],
            **options,
        )


def _save_torchscript(content: Content, path: Path, options: dict[str, Any]) -> None:
    artifact = content.artifact
    mlflow.pyfunc.save_model(
        path,
        python_model=str(Path(__file__).with_name("served_torchscript.py")),
        artifacts={"model": str(Path(artifact.path) / artifact.entry)},
        model_config={
            "inputs": [spec.name for spec in artifact.inputs],
            "outputs": [spec.name for spec in artifact.outputs],
            "quantized_engine": artifact.meta.get("quantized_engine"),
            "threads": content.settings.threads,
        },
        input_example=_as_input(content.example),
        **options,
    )


def _save_mlbench(content: Content, path: Path, options: dict[str, Any]) -> None:
    described = {"artifact": to_dict(replace(content.artifact, path="")), "settings": to_dict(content.settings)}
    if redacted(described) != described:
        raise UnfitError("a secret is among the arguments that it is made with, and secrets are not kept")
    mlflow.pyfunc.save_model(
        path,
        python_model=str(Path(__file__).with_name("served_artifact.py")),
        artifacts={"files": content.artifact.path},
        model_config=described,
        input_example=_as_input(content.example),
        **options,
    )


_LEAN = {
    "onnx": Form("onnx", _save_onnx, (*_NUMPY_ONLY, "onnx", "onnxruntime")),
    "torch_module": Form("pytorch", _save_pytorch, (*_NUMPY_ONLY, "torch")),
    "sklearn": Form("sklearn", _save_sklearn, (*_NUMPY_ONLY, "scikit-learn")),
    "torchscript": Form("torchscript", _save_torchscript, (*_NUMPY_ONLY, "torch")),
}
_BESIDES = {"executorch": ("executorch",), "openvino": ("openvino",), "sklearn": ("scikit-learn",)}
_MLBENCH = Form("mlbench", _save_mlbench, (*_NUMPY_ONLY, "mlflow-mlbench", "torch", "onnxruntime"))


# ---------------------------------------------------------------------------------------------------------------------
# the proof


def _require_same_answers(content: Content, path: Path) -> None:
    loaded = mlflow.pyfunc.load_model(str(path))
    session = open_session(content.artifact, content.settings)
    rows = len(next(iter(content.example.values())))
    for count in (1, rows):
        batch = {name: np.ascontiguousarray(array[:count]) for name, array in content.example.items()}
        expected = session.outputs(session.run(session.prepare(batch)))
        answer = loaded.predict(_as_input(batch))
        values = list(answer.values()) if isinstance(answer, Mapping) else [answer]
        if len(values) != len(expected):
            raise UnfitError(f"it gives {len(values)} outputs instead of {len(expected)}")
        for mine, theirs in zip(values, expected, strict=True):
            _require_close(np.asarray(mine), np.asarray(theirs), count)


def _require_close(mine: npt.NDArray[Any], theirs: npt.NDArray[Any], count: int) -> None:
    scale = max(1.0, float(np.abs(theirs.astype(np.float64)).max(initial=0.0)))
    if mine.shape != theirs.shape or not np.allclose(mine, theirs, rtol=_TOLERANCE, atol=_TOLERANCE * scale):
        raise UnfitError(f"at batch size {count} it answers differently from the artifact that was measured")


def _as_input(batch: Example) -> Any:
    return next(iter(batch.values())) if len(batch) == 1 else dict(batch)


@contextmanager
def _native_warnings_away() -> Iterator[None]:
    """Torch warns of its deprecated quantized tensors from C++, past Python, on the file descriptor itself."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


__all__ = [
    "Content",
    "Form",
    "UnfitError",
    "example_for",
    "forms",
    "needs",
    "requirements",
    "save_verified",
    "signature",
]
