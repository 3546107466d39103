"""PyTorch: eager modules and TorchScript."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.options import Option, option_problems, read_options

if TYPE_CHECKING:
    from collections.abc import Callable

    import torch

OPTIONS: Mapping[str, Option] = {
    "matmul_precision": Option("highest", ("highest", "high", "medium")),
    "channels_last": Option(default=False, values=(True, False)),
}


class TorchRuntime:
    """Serves ``torch_module`` (eager) and ``torchscript`` artifacts.

    Options: ``matmul_precision`` (``torch.set_float32_matmul_precision``; ``medium`` also takes linear layers to
    oneDNN, which matters on AMD) and ``channels_last`` (memory layout of the weights of eager modules).
    """

    name = "torch"
    formats: tuple[str, ...] = ("torch_module", "torchscript")

    def import_library(self) -> None:
        """Import torch, and what reads its weights."""
        import safetensors.torch  # noqa: F401 - the import is the point

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences."""
        return option_problems(OPTIONS, options)

    def load(self, artifact: Artifact, settings: RuntimeSettings) -> TorchSession:
        """Load a module and set the threads of this process.

        Raises:
            WorkerError: The artifact or the settings cannot be served.
        """
        import torch

        found = self.check_options(settings.options)
        if found:
            raise WorkerError("; ".join(found))
        options = read_options(OPTIONS, settings.options)
        if settings.device == "cuda" and not torch.cuda.is_available():
            raise WorkerError("runtime.device is cuda, but torch finds no CUDA device here")
        torch.set_num_threads(settings.threads)
        _set_inter_threads(settings.inter_threads)
        torch.set_float32_matmul_precision(options["matmul_precision"])
        if artifact.format == "torchscript":
            if options["channels_last"]:
                raise WorkerError("runtime.options: channels_last is for eager modules; a TorchScript graph is fixed")
            module: Any = _load_script(artifact, settings.device)
        else:
            from mlbench.runtimes.torch_module import load_module

            module = load_module(artifact).to(settings.device)
            if options["channels_last"]:
                module = module.to(memory_format=torch.channels_last)
        return TorchSession(module, artifact, settings, options)


def _set_inter_threads(count: int) -> None:
    import torch

    if torch.get_num_interop_threads() == count:
        return
    try:
        torch.set_num_interop_threads(count)
    except RuntimeError:
        # possible once per process, before parallel work; ``effective`` states the number in force
        return


def _load_script(artifact: Artifact, device: str) -> Any:
    import torch

    engine = artifact.meta.get("quantized_engine")
    if engine is not None:
        if engine not in torch.backends.quantized.supported_engines:
            raise WorkerError(f"the artifact was quantized for torch's engine '{engine}', which this CPU does not have")
        torch.backends.quantized.engine = engine
    path = Path(artifact.path) / artifact.entry
    try:
        return torch.jit.load(path, map_location=device).eval()  # type: ignore[no-untyped-call]  # untyped in torch
    except (RuntimeError, ValueError, OSError) as error:
        raise WorkerError(f"{path} cannot be loaded as TorchScript: {str(error).strip().splitlines()[0]}") from error


class TorchSession:
    """A loaded torch model; calls run in inference mode and end when the device is done."""

    def __init__(self, module: Any, artifact: Artifact, settings: RuntimeSettings, options: Mapping[str, Any]) -> None:
        import torch

        self._module = module
        self._artifact = artifact
        self._device = settings.device
        self._options = options
        self._names = [spec.name for spec in artifact.inputs]
        self._inference_mode = torch.inference_mode
        self._synchronize: Callable[[], None] | None = torch.cuda.synchronize if settings.device == "cuda" else None

    def prepare(self, batch: Batch) -> tuple[torch.Tensor, ...]:
        """Tensors on the device, in the order of the artifact's inputs."""
        import torch

        absent = [name for name in self._names if name not in batch]
        if absent:
            raise WorkerError(f"the batch has no input '{absent[0]}'; it has {', '.join(batch)}")
        arrays = [np.require(batch[name], requirements=["C", "W"]) for name in self._names]
        return tuple(torch.from_numpy(array).to(self._device) for array in arrays)

    def run(self, prepared: tuple[torch.Tensor, ...]) -> Any:
        """One call of the model."""
        with self._inference_mode():
            result = self._module(*prepared)
        if self._synchronize is not None:
            self._synchronize()
        return result

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The result's tensors as numpy arrays."""
        if isinstance(result, Mapping):
            result = tuple(result.values())
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(tensor.detach().cpu().numpy() for tensor in tensors)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force."""
        import torch

        blas = re.search(r"BLAS_INFO=(\w+)", torch.__config__.show())
        found: dict[str, Scalar] = {
            "runtime": "torch",
            "version": torch.__version__,
            "format": self._artifact.format,
            "device": self._device,
            "threads": torch.get_num_threads(),
            "inter_threads": torch.get_num_interop_threads(),
            "precision": self._precision(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "channels_last": self._options["channels_last"],
            "blas": blas.group(1) if blas else "unknown",
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
        if self._device == "cuda":
            found["gpu"] = torch.cuda.get_device_name()
        if "quantized_engine" in self._artifact.meta:
            found["quantized_engine"] = torch.backends.quantized.engine
        return found

    def _precision(self) -> str:
        """``int8`` where the recipe quantized, otherwise the dtypes of the floating-point weights."""
        stated = self._artifact.meta.get("precision")
        if stated is not None:
            return str(stated)
        kinds = {str(weight.dtype).removeprefix("torch.") for weight in self._module.parameters()}
        return ", ".join(sorted(kinds)) or "unknown"
