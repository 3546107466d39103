"""OpenVINO on the CPU, with everything explicit that its defaults would choose by the machine."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Profile, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems, read_options
from mlbench.runtimes.profiling import Ran, profile_of, timed, warmed

OPTIONS: Mapping[str, Option] = {
    "precision": Option("f32", ("f32", "bf16", "f16")),
    "hint": Option("latency", ("latency", "throughput", "none")),
    "streams": Option(None, number=True),
}
_NAMES = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}
_HEAVY = ("Convolution", "Deconvolution", "FullyConnected", "GroupConvolution", "MatMul", "ScaledDotProductAttention")


class OpenVino:
    """Serves ``openvino`` artifacts.

    Options: ``precision`` of floating-point arithmetic (OpenVINO's own default is bfloat16 on some CPUs, without a
    word), ``hint`` (``latency``, ``throughput`` or ``none``) and ``streams`` (requests served side by side; one, unless
    the hint is ``throughput``, which chooses).
    """

    name = "openvino"
    formats: tuple[str, ...] = ("openvino",)

    def import_library(self) -> None:
        """Import openvino."""
        import openvino  # noqa: F401 - the import is the point

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that OpenVINO computes in the precision on this CPU, from a model of one operator; it always does in f32.

        Raises:
            WorkerError: It does not, or another device is asked for.
        """
        _require_cpu(settings)
        options = read_options(OPTIONS, settings.options)
        if options["precision"] == OPTIONS["precision"].default:
            return
        import openvino as ov
        from openvino import opset13 as operators

        value = operators.parameter([1], np.float32)
        model = ov.Model([operators.relu(value)], [value], "one operator")
        try:
            compiled = ov.Core().compile_model(model, "CPU", _properties(options, settings.threads))
        except RuntimeError as error:
            raise WorkerError(f"openvino cannot have these settings here: {_last_line(error)}") from error
        _require_precision(compiled, options["precision"])

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> OpenVinoSession:
        """Compile the model for the CPU.

        Raises:
            WorkerError: The files or the settings cannot be served.
        """
        return self._open(artifact, settings, {})

    def profile(self, artifact: Artifact, settings: RuntimeSettings, batches: Sequence[Batch]) -> list[Profile]:
        """Where the time of a call goes, for each batch, from OpenVINO's counters.

        Raises:
            WorkerError: The files or the settings cannot be served.
        """
        session = self._open(artifact, settings, {"PERF_COUNT": True})
        return [session.profile(batch) for batch in batches]

    def _open(self, artifact: Artifact, settings: RuntimeSettings, more: Mapping[str, Any]) -> OpenVinoSession:
        import openvino as ov

        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        _require_cpu(settings)
        options = read_options(OPTIONS, settings.options)
        path = Path(artifact.path) / artifact.entry
        try:
            compiled = ov.Core().compile_model(str(path), "CPU", {**_properties(options, settings.threads), **more})
        except RuntimeError as error:
            raise WorkerError(f"{path} cannot be loaded by openvino: {_last_line(error)}") from error
        _require_precision(compiled, options["precision"])
        return OpenVinoSession(compiled, artifact)


def _last_line(error: RuntimeError) -> str:
    """What an exception of OpenVINO comes down to: above it stands where in its code it was raised."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _require_cpu(settings: RuntimeSettings) -> None:
    if settings.device != "cpu":
        raise WorkerError(f"the openvino runtime serves on the CPU, but runtime.device is {settings.device}")


def _require_precision(compiled: Any, asked: str) -> None:
    """See that a compiled model computes in the precision that was asked for."""
    found = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    if found != asked:
        raise WorkerError(f"runtime.options: precision is {asked}, but openvino computes in {found} on this CPU")


def _properties(options: Mapping[str, Any], threads: int) -> dict[str, Any]:
    """OpenVINO's properties for the options; the worker's CPUs are fixed from outside, so its own pinning is off."""
    properties: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": options["precision"],
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,
    }
    if options["hint"] != "none":
        properties["PERFORMANCE_HINT"] = options["hint"].upper()
    if options["streams"] is not None or options["hint"] != "throughput":
        properties["NUM_STREAMS"] = str(options["streams"] or 1)
    return properties


class OpenVinoSession:
    """A compiled OpenVINO model; every output is fetched, as numpy arrays, within the call."""

    def __init__(self, compiled: Any, artifact: Artifact) -> None:
        self._compiled = compiled
        self._request = compiled.create_infer_request()
        self._artifact = artifact
        self._names = [port.get_any_name() for port in compiled.inputs]
        self._count = len(compiled.outputs)

    def prepare(self, batch: Batch) -> dict[str, npt.NDArray[Any]]:
        """Contiguous arrays by input name."""
        absent = [name for name in self._names if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        return {name: np.ascontiguousarray(batch[name]) for name in self._names}

    def run(self, prepared: dict[str, npt.NDArray[Any]]) -> Any:
        """One call of the model."""
        return self._request.infer(prepared, share_inputs=True)

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The outputs, in order."""
        return tuple(result[index] for index in range(self._count))

    def profile(self, batch: Batch) -> Profile:
        """A few calls with the counters that the model was compiled with."""
        call = partial(self.run, self.prepare(batch))
        calls = warmed(call)
        took: list[float] = []
        ran: list[list[Ran]] = []
        for _ in range(calls):
            took.append(timed(call))
            ran.append(
                [
                    Ran(item.node_type, 1, item.real_time.total_seconds() * 1e3, item.exec_type)
                    for item in self._request.profiling_info
                    if item.status.name == "EXECUTED"
                ]
            )
        return profile_of("OpenVINO's counters", len(next(iter(batch.values()))), took, ran)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force, read from the compiled model."""
        import openvino as ov

        asked = self._compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
        stated = self._artifact.meta.get("precision", "float32")
        return {
            "runtime": "openvino",
            "version": ov.get_version().partition("-")[0],
            "format": self._artifact.format,
            "device": "cpu",
            "threads": self._compiled.get_property("INFERENCE_NUM_THREADS"),
            "streams": self._compiled.get_property("NUM_STREAMS"),
            "hint": str(self._compiled.get_property("PERFORMANCE_HINT")).lower(),
            "precision": _NAMES.get(asked, asked) if stated in _NAMES.values() else stated,
            "inference_precision": asked,
            "kernels": _kernels(self._compiled),
            "cpu_pinning": self._compiled.get_property("ENABLE_CPU_PINNING"),
        }


def _kernels(compiled: Any) -> str:
    """Convolutions and matrix products by the type that their kernels really compute in: ``i8: 5, f32: 1``."""
    counts: Counter[str] = Counter()
    for node in compiled.get_runtime_model().get_ops():
        facts = node.get_rt_info()
        if facts["layerType"].value in _HEAVY:
            counts[facts["runtimePrecision"].value] += 1
    return ", ".join(f"{kind}: {count}" for kind, count in counts.most_common()) or "none"
