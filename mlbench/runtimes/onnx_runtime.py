"""ONNX Runtime."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Profile, RuntimeSettings, Scalar
from mlbench.registry import suggest
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems, read_options
from mlbench.runtimes.profiling import Ran, profile_of, timed, warmed

OPTIONS: Mapping[str, Option] = {
    "graph_level": Option("all", ("disable", "basic", "extended", "layout", "all")),
    "providers": Option(None, texts=True),
    "allow_spinning": Option(default=False, values=(True, False)),
    "io_binding": Option(default=False, values=(True, False)),
    "memory_arena": Option(default=True, values=(True, False)),
}
_LEVELS = {
    "disable": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "layout": "ORT_ENABLE_LAYOUT",
    "all": "ORT_ENABLE_ALL",
}
_PROVIDERS = {"cpu": ["CPUExecutionProvider"], "cuda": ["CUDAExecutionProvider", "CPUExecutionProvider"]}
_ERRORS_ONLY = 3
_CONTROL = ("If", "Loop", "Scan")
_KERNEL = "_kernel_time"


class OnnxRuntime:
    """Serves ``onnx`` artifacts.

    Options: ``graph_level`` (graph optimisation: disable, basic, extended, layout, all), ``providers`` (execution
    providers by name, in order; by default those of the device), ``allow_spinning`` (idle threads spin; off by
    default, because a spinning arm takes CPU from the one that is measured), ``io_binding`` (inputs and outputs are
    bound before the call, which leaves outputs where they are computed) and ``memory_arena`` (memory on the CPU is kept
    for the next call).
    """

    name = "onnxruntime"
    formats: tuple[str, ...] = ("onnx",)

    def import_library(self) -> None:
        """Import onnxruntime."""
        import onnxruntime  # noqa: F401 - the import is the point

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that the execution providers are in this build; the CPU's always is.

        Raises:
            WorkerError: One is not.
        """
        asked = settings.options.get("providers")
        if asked is None and settings.device == "cpu":
            return
        import onnxruntime as ort

        _providers(asked, settings.device, ort.get_available_providers())

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> OnnxSession:
        """Open an inference session.

        Raises:
            WorkerError: The file or the settings cannot be served.
        """
        return self._open(artifact, settings)

    def profile(self, artifact: Artifact, settings: RuntimeSettings, batches: Sequence[Batch]) -> list[Profile]:
        """Where the time of a call goes, for each batch, from sessions of their own that are profiled.

        Raises:
            WorkerError: The file or the settings cannot be served.
        """
        with tempfile.TemporaryDirectory(prefix="mlbench-profile-") as folder:
            return [
                self._open(artifact, settings, f"{folder}/{number}").profile(batch)
                for number, batch in enumerate(batches)
            ]

    def _open(self, artifact: Artifact, settings: RuntimeSettings, profile_to: str = "") -> OnnxSession:
        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        options = read_options(OPTIONS, settings.options)
        kind = BoundOnnxSession if options["io_binding"] else OnnxSession
        return kind(*_start(artifact, settings, options, profile_to), artifact, settings, options)


def _start(
    artifact: Artifact, settings: RuntimeSettings, options: Mapping[str, Any], profile_to: str = ""
) -> tuple[Any, Any]:
    """ONNX Runtime's own session and its options; with a prefix of a path, one that writes a profile there.

    Raises:
        WorkerError: The file or the settings cannot be served.
    """
    import onnxruntime as ort

    providers = _providers(options["providers"], settings.device, ort.get_available_providers())
    session_options = ort.SessionOptions()
    session_options.intra_op_num_threads = settings.threads
    session_options.inter_op_num_threads = settings.inter_threads
    session_options.graph_optimization_level = getattr(ort.GraphOptimizationLevel, _LEVELS[options["graph_level"]])
    session_options.enable_cpu_mem_arena = options["memory_arena"]
    session_options.log_severity_level = _ERRORS_ONLY
    if profile_to:
        session_options.enable_profiling = True
        session_options.profile_file_prefix = profile_to
    spinning = "1" if options["allow_spinning"] else "0"
    session_options.add_session_config_entry("session.intra_op.allow_spinning", spinning)
    session_options.add_session_config_entry("session.inter_op.allow_spinning", spinning)
    path = Path(artifact.path) / artifact.entry
    try:
        session = ort.InferenceSession(str(path), session_options, providers=providers)
    except Exception as error:  # onnxruntime's exceptions have no common base
        reason = str(error).strip().splitlines()[0]
        raise WorkerError(f"{path} cannot be loaded by onnxruntime: {reason}") from error
    refused = [name for name in providers if name not in session.get_providers()]
    if refused:
        raise WorkerError(f"onnxruntime could not start {refused[0]} and would run on {session.get_providers()[0]}")
    return session, session_options


def _providers(asked: list[str] | None, device: str, available: list[str]) -> list[str]:
    """Execution providers, in order.

    Raises:
        WorkerError: One of them is not in this build of onnxruntime.
    """
    wanted = list(asked) if asked is not None else _PROVIDERS[device]
    for name in wanted:
        if name not in available:
            raise WorkerError(
                f"this onnxruntime has no execution provider '{name}'; {suggest(name, available)} "
                f"(available: {', '.join(available)})"
            )
    return wanted


class OnnxSession:
    """A loaded ONNX model; every output is fetched, as numpy arrays, within the call."""

    def __init__(
        self,
        session: Any,
        session_options: Any,
        artifact: Artifact,
        settings: RuntimeSettings,
        options: Mapping[str, Any],
    ) -> None:
        self._session = session
        self._session_options = session_options
        self._artifact = artifact
        self._settings = settings
        self._options = options
        self._names = [item.name for item in session.get_inputs()]

    def prepare(self, batch: Batch) -> Any:
        """Contiguous arrays by input name."""
        return self._arrays(batch)

    def _arrays(self, batch: Batch) -> dict[str, npt.NDArray[Any]]:
        absent = [name for name in self._names if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        return {name: np.ascontiguousarray(batch[name]) for name in self._names}

    def run(self, prepared: Any) -> Any:
        """One call of the model."""
        return self._session.run(None, prepared)

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The outputs, in order."""
        return tuple(result)

    def profile(self, batch: Batch) -> Profile:
        """A few calls under the profiler that the session was opened with; it answers no more afterwards."""
        call = partial(self.run, self.prepare(batch))
        calls = warmed(call)
        took = [timed(call) for _ in range(calls)]
        events = json.loads(Path(self._session.end_profiling()).read_text(encoding="utf-8"))
        rows = len(next(iter(batch.values())))
        return profile_of("ONNX Runtime's profiler", rows, took, _last(events, calls))

    def placement(self, prepared: Any) -> dict[str, Scalar]:
        """How many nodes of the graph each execution provider runs, from one call of a second session, profiled.

        Args:
            prepared: What the call is given, by :meth:`prepare`.
        """
        with tempfile.TemporaryDirectory(prefix="mlbench-profile-") as folder:
            second, _ = _start(self._artifact, self._settings, self._options, f"{folder}/nodes")
            second.run(None, self._given(prepared))
            events = json.loads(Path(second.end_profiling()).read_text(encoding="utf-8"))
        return {"nodes": _nodes(events)}

    def _given(self, prepared: Any) -> Any:
        """The arrays of a prepared batch, by input name."""
        return prepared

    def effective(self) -> dict[str, Scalar]:
        """What is really in force. ``precision`` is that of the file's weights, as the recipe's steps left them.

        Kernels may compute in another: on the CPU, float16 is cast to float32 and back where there is no kernel for it.
        """
        import onnxruntime as ort

        return {
            "runtime": "onnxruntime",
            "version": ort.__version__,
            "format": self._artifact.format,
            "device": self._settings.device,
            "providers": ", ".join(self._session.get_providers()),
            "threads": self._session_options.intra_op_num_threads,
            "inter_threads": self._session_options.inter_op_num_threads,
            "graph_level": self._options["graph_level"],
            "allow_spinning": self._options["allow_spinning"],
            "io_binding": self._options["io_binding"],
            "memory_arena": self._session_options.enable_cpu_mem_arena,
            "precision": str(self._artifact.meta.get("precision", "unknown")),
        }


class _Bound(NamedTuple):
    """A batch whose arrays are bound to a session."""

    binding: Any
    arrays: dict[str, npt.NDArray[Any]]


class BoundOnnxSession(OnnxSession):
    """A session whose batches are bound before they are timed; outputs stay on the device until they are asked for.

    An answer is good until the same batch is called again, which writes to the same place.
    """

    def prepare(self, batch: Batch) -> _Bound:
        """The batch on the device, bound, with the outputs left to be placed there by the first call."""
        import onnxruntime as ort

        arrays = self._arrays(batch)
        binding = self._session.io_binding()
        for name, array in arrays.items():
            binding.bind_ortvalue_input(name, ort.OrtValue.ortvalue_from_numpy(array, self._settings.device, 0))
        for item in self._session.get_outputs():
            binding.bind_output(item.name, self._settings.device)
        return _Bound(binding, arrays)

    def run(self, prepared: _Bound) -> Any:
        """One call of the model."""
        self._session.run_with_iobinding(prepared.binding)
        return prepared.binding

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The outputs, in order, fetched from where they are."""
        return tuple(result.copy_outputs_to_cpu())

    def _given(self, prepared: _Bound) -> Any:
        return prepared.arrays


def _nodes(events: Sequence[Mapping[str, Any]]) -> str:
    """Nodes by execution provider, from the events of a profile of one call: ``CPUExecutionProvider: 37``.

    A node that is run several times, in a loop, counts once; one of a branch that is not taken does not count.
    """
    found = {
        (event["name"], event["args"].get("node_index"), event["args"].get("provider", "unknown"))
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL)
    }
    counts = Counter(provider for _, _, provider in found)
    return ", ".join(f"{provider}: {counts[provider]}" for provider in sorted(counts)) or "none"


def _last(events: Sequence[Mapping[str, Any]], calls: int) -> list[list[Ran]]:
    """The operators of each of the last calls of a session, from the events of its profile.

    Control flow is left out: what it runs is there by itself.
    """
    runs = [event for event in events if event.get("cat") == "Session" and event["name"] == "model_run"]
    windows = sorted((event["ts"], event["ts"] + event["dur"]) for event in runs)[-calls:]
    kernels = [
        event
        for event in events
        if event.get("cat") == "Node" and event["name"].endswith(_KERNEL) and event["args"]["op_name"] not in _CONTROL
    ]
    return [
        [
            Ran(event["args"]["op_name"], 1, event["dur"] / 1e3, event["args"].get("provider", ""))
            for event in kernels
            if begin <= event["ts"] <= end
        ]
        for begin, end in windows
    ]
