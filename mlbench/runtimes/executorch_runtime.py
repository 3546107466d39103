"""ExecuTorch on the CPU: programs (``.pte``) whose operators are XNNPACK's, with the threads that are asked for.

Its Python binding cannot be loaded without torch's own libraries, so torch is in the worker's memory too. The binding
is imported by itself: the package that ExecuTorch documents (``executorch.runtime``) takes the whole exporter along.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from contextlib import redirect_stderr
from importlib.metadata import version
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems

if TYPE_CHECKING:
    import torch

OPTIONS: Mapping[str, Option] = {}
BACKEND = "XnnpackBackend"
METHOD = "forward"
OPERATORS = "operators"
_LOADED: WeakSet[ExecutorchSession] = WeakSet()
"""The programs of this process, which keep the address of the pool that they were loaded with."""


class Executorch:
    """Serves ``executorch`` artifacts. There are no options: a program is fixed when it is built."""

    name = "executorch"
    formats: tuple[str, ...] = ("executorch",)

    def import_library(self) -> None:
        """Import the binding, and torch, whose libraries it is linked against."""
        _binding()

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences; there are none to set."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that the device is the CPU.

        Raises:
            WorkerError: It is another one.
        """
        if settings.device != "cpu":
            raise WorkerError(f"the executorch runtime serves on the CPU, but runtime.device is {settings.device}")

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> ExecutorchSession:
        """Load the program, with a pool of as many threads as the settings say.

        Raises:
            WorkerError: The file or the settings cannot be served.
        """
        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        self.check_available(settings)
        binding = _binding()
        if not binding._is_available(BACKEND):  # noqa: SLF001 - the binding has no public names for these
            raise WorkerError(f"this build of executorch has no {BACKEND}, which the program was built for")
        _set_threads(binding, settings.threads)
        path = Path(artifact.path) / artifact.entry
        try:
            program = binding._load_program(str(path))  # noqa: SLF001
            return ExecutorchSession(binding, program, artifact)
        except RuntimeError as error:
            lines = [line.strip() for line in str(error).splitlines() if line.strip()]
            raise WorkerError(f"{path} cannot be loaded by executorch: {lines[0] if lines else error}") from error


class ExecutorchSession:
    """A loaded program; inputs are copied into its memory and outputs out of it within the call, as it always does."""

    def __init__(self, binding: Any, program: Any, artifact: Artifact) -> None:
        _LOADED.add(self)
        self._binding = binding
        self._program = program  # the method lives in its memory
        self._method = program.load_method(METHOD)
        self._artifact = artifact
        meta = program.method_meta(METHOD)
        self._largest = {
            spec.name: tuple(meta.input_tensor_meta(index).sizes()) for index, spec in enumerate(artifact.inputs)
        }

    def prepare(self, batch: Batch) -> list[torch.Tensor]:
        """Tensors, in the order of the artifact's inputs.

        Raises:
            WorkerError: An input is missing, or larger than the program was built for.
        """
        import torch

        absent = [name for name in self._largest if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        for name, largest in self._largest.items():
            _require_room(name, batch[name].shape, largest)
        return [torch.from_numpy(np.require(batch[name], requirements=["C", "W"])) for name in self._largest]

    def run(self, prepared: list[torch.Tensor]) -> Any:
        """One call of the model."""
        return self._method(prepared)

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The outputs, in order."""
        return tuple(tensor.numpy() for tensor in result)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force; of its operators what the exporter counted, which is fixed in the file."""
        import torch

        counted = self._artifact.meta.get(OPERATORS)
        return {
            "runtime": "executorch",
            "version": version("executorch"),
            "torch": torch.__version__,
            "format": self._artifact.format,
            "device": "cpu",
            "threads": self._binding._threadpool_get_thread_count(),  # noqa: SLF001
            "precision": self._artifact.meta.get("precision", "float32"),
            "backend": BACKEND,
            **({} if counted is None else {"operators": counted}),
            "max_batch": next(iter(self._largest.values()))[0],
        }


def _set_threads(binding: Any, wanted: int) -> None:
    """Let the process's pool have so many threads; another pool under a loaded program would crash its next call."""
    with redirect_stderr(StringIO()):  # it tells of every pool that it makes, by Python's own stream
        threads = binding._threadpool_get_thread_count()  # noqa: SLF001
        if threads == wanted:
            return
        if _LOADED:
            gc.collect()
        if _LOADED:
            raise WorkerError(
                f"this process has an ExecuTorch program loaded with {threads} threads, and cannot load another one "
                f"with {wanted}: ExecuTorch has one pool, which cannot change under a program"
            )
        binding._unsafe_reset_threadpool(wanted)  # noqa: SLF001
        threads = binding._threadpool_get_thread_count()  # noqa: SLF001
    if threads != wanted:
        raise WorkerError(f"executorch has {threads} threads in its pool, though {wanted} were asked for")


def _binding() -> Any:
    """ExecuTorch's native module."""
    import torch  # noqa: F401 - it brings the libraries that the binding is linked against
    from executorch.extension.pybindings import _C

    return _C


def _require_room(name: str, shape: tuple[int, ...], largest: tuple[int, ...]) -> None:
    if len(shape) != len(largest):
        raise WorkerError(f"input '{name}' has {len(shape)} axes, but the program takes {len(largest)}")
    if shape[0] > largest[0]:
        raise WorkerError(
            f"the program has memory for {largest[0]} items in a call, not {shape[0]}: the step export_executorch "
            "builds it for max_batch items"
        )
    for axis, (size, most) in enumerate(zip(shape, largest, strict=True)):
        if size > most:
            raise WorkerError(
                f"the program has memory for {most} along axis {axis} of '{name}', not {size}: it is built for the "
                "longest item of the training split"
            )
