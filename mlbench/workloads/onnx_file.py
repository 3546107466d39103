"""An ONNX file as the workload's model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from mlbench.config import ModelConfig
from mlbench.errors import InputError
from mlbench.outside import LimitError
from mlbench.records import Artifact
from mlbench.registry import suggest
from mlbench.workloads import Data, Progress
from mlbench.workloads.onnx_data import check_model, digest, save
from mlbench.workloads.options import parse, problems
from mlbench.workloads.outputs import misfit, specs
from mlbench.workloads.torch_factory import ArtifactStore

FILE = "model.onnx"
_WHERE = "workload.model"
_VERSION = 1
_PROBE_ROWS = 2


@dataclass(frozen=True, slots=True)
class OnnxOptions:
    """Which output the task reads: its name; None is the first."""

    output: str | None = None


class OnnxFile:
    """``path`` names the file. Its inputs are those of the data, by name; weights beside the file are read too."""

    format = "onnx"

    def check(self, config: ModelConfig) -> list[str]:
        """Problems of the configuration, as sentences; the file is not read."""
        found = [
            f"{_WHERE}.{name} is for other sources; an ONNX file is named by 'path'"
            for name in ("factory", "weights", "train")
            if getattr(config, name) is not None
        ]
        found += problems(OnnxOptions, config.options, f"{_WHERE}.options")
        if config.path is None:
            return [*found, f"{_WHERE}.path is missing; it names the ONNX file"]
        if not Path(config.path).expanduser().is_file():
            found.append(f"{_WHERE}.path: {config.path} does not exist")
        return found

    def build(self, config: ModelConfig, data: Data, store: ArtifactStore, progress: Progress) -> Artifact:
        """The file as an ``onnx`` artifact, with the output that the task reads in front.

        Raises:
            InputError: The configuration is wrong, the file is damaged, too large, or does not fit the data.
        """
        found = self.check(config)
        if found or config.path is None:
            raise InputError(found)
        path = Path(config.path).expanduser()
        options: OnnxOptions = parse(OnnxOptions, config.options, f"{_WHERE}.options")
        model = _read(path)
        key: dict[str, Any] = {
            "kind": "model",
            "source": "onnx",
            "version": _VERSION,
            "file": digest(path),
            "output": options.output,
            "inputs": [asdict(spec) for spec in data.info.inputs],
            "classes": len(data.info.classes),
            "task": data.train.task,
            "libraries": {"onnx": version("onnx"), "onnxruntime": version("onnxruntime")},
        }
        return store.build(key, lambda out: _make(model, options.output, path, data, out), progress)


def _read(path: Path) -> Any:
    import onnx

    try:
        check_model(path)
        model = onnx.load(path)
        onnx.checker.check_model(str(path))  # by its path: a model beyond 2 GiB cannot be handed over
    except LimitError as error:
        raise InputError(f"{_WHERE}.path: {path} is not read: {error}") from error
    except Exception as error:  # protobuf, the checker and missing weights have no common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{_WHERE}.path: {path} is not a valid ONNX file: {reason}") from error
    return model


def _make(model: Any, output: str | None, path: Path, data: Data, out: Path) -> Artifact:
    import onnx

    _put_first(model, output, path)
    save(model, out / FILE)
    results = _answers(out / FILE, path, data)
    reason = misfit(results[0].shape, _PROBE_ROWS, data)
    if reason is not None:
        names = ", ".join(item.name for item in model.graph.output)
        raise InputError(
            f"{_WHERE}: {reason}; its outputs are {names}, and {_WHERE}.options.output names the one to read"
        )
    kinds = sorted({onnx.TensorProto.DataType.Name(tensor.data_type).lower() for tensor in model.graph.initializer})
    floats = [kind for kind in kinds if kind in ("float", "float16", "bfloat16", "int8", "uint8")]
    outputs = specs([(result.dtype.name, result.shape) for result in results], data.train.task)
    return Artifact(
        digest="",
        format="onnx",
        path=str(out),
        entry=FILE,
        inputs=data.info.inputs,
        outputs=outputs,
        size_bytes=0,
        meta={"precision": ", ".join("float32" if kind == "float" else kind for kind in floats) or "unknown"},
    )


def _put_first(model: Any, output: str | None, path: Path) -> None:
    if output is None:
        return
    outputs = {item.name: item for item in model.graph.output}
    if output not in outputs:
        raise InputError(f"{_WHERE}.options.output: {path.name} has no output '{output}'; {suggest(output, outputs)}")
    ordered = [outputs[output], *(item for name, item in outputs.items() if name != output)]
    kept = [type(item).FromString(item.SerializeToString()) for item in ordered]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def _answers(file: Path, path: Path, data: Data) -> list[np.ndarray[Any, Any]]:
    """Every output for the first items of the validation split."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    try:
        session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's exceptions have no common base
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise InputError(f"{_WHERE}.path: {path.name} cannot be loaded by onnxruntime: {reason}") from error
    wanted = [item.name for item in session.get_inputs()]
    absent = [name for name in wanted if name not in data.validation.inputs]
    if absent:
        raise InputError(
            f"{_WHERE}.path: {path.name} takes the inputs {', '.join(wanted)}, but the data has "
            f"{', '.join(data.validation.inputs)}; workload.data.options.inputs names them"
        )
    feed = {name: np.ascontiguousarray(data.validation.inputs[name][:_PROBE_ROWS]) for name in wanted}
    try:
        return [np.asarray(result) for result in session.run(None, feed)]
    except Exception as error:  # as above
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        shapes = ", ".join(f"{name} {array.dtype} {list(array.shape[1:])}" for name, array in feed.items())
        raise InputError(f"{_WHERE}.path: {path.name} fails on the data ({shapes}): {reason}") from error
