"""PyTorch: eager and compiled modules, exported programs, AOTInductor packages, TorchScript."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Profile, RuntimeSettings, Scalar
from mlbench.runtimes import Batch
from mlbench.runtimes.cuda import CudaDevice
from mlbench.runtimes.options import Option, option_problems, read_options
from mlbench.runtimes.profiling import Ran, profile_of, timed, warmed

if TYPE_CHECKING:
    import torch

OPTIONS: Mapping[str, Option] = {
    "matmul_precision": Option("highest", ("highest", "high", "medium")),
    "channels_last": Option(default=False, values=(True, False)),
}
_MODULES = ("torch_module", "torch_tuned")


class TorchRuntime:
    """Serves modules, exported programs (``pt2``), AOTInductor packages (``aoti``) and ``torchscript``.

    A module is ``torch_module``, or ``torch_tuned`` with what its recipe says of precision, layout and compilation.

    Options: ``matmul_precision`` (``torch.set_float32_matmul_precision``; ``medium`` also takes linear layers to
    oneDNN, which matters on AMD) and ``channels_last`` (memory layout of the weights of eager modules).
    """

    name = "torch"
    formats: tuple[str, ...] = ("torch_module", "torch_tuned", "pt2", "aoti", "torchscript")

    def import_library(self) -> None:
        """Import torch, and what reads its weights."""
        import safetensors.torch  # noqa: F401 - the import is the point

    def check_options(self, options: Mapping[str, Any]) -> list[str]:
        """Problems of the options, as sentences."""
        return option_problems(OPTIONS, options)

    def check_available(self, settings: RuntimeSettings) -> None:
        """See that there is a CUDA device where one is asked for.

        Raises:
            WorkerError: There is none.
        """
        if settings.device != "cuda":
            return
        import torch

        if not torch.cuda.is_available():
            raise WorkerError("runtime.device is cuda, but torch finds no CUDA device here")

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
        self.check_available(settings)
        torch.set_num_threads(settings.threads)
        _set_inter_threads(settings.inter_threads)
        torch.set_float32_matmul_precision(options["matmul_precision"])
        if options["channels_last"] and artifact.format not in _MODULES:
            raise WorkerError(f"runtime.options: channels_last is for modules; the graph of {artifact.format} is fixed")
        module = _load(artifact, settings.device, options)
        compilation = artifact.meta.get("compile")
        if compilation is not None:
            return CompiledSession(module, artifact, settings, compilation)
        return TorchSession(module, artifact, settings)

    def profile(self, artifact: Artifact, settings: RuntimeSettings, batches: Sequence[Batch]) -> list[Profile]:
        """Where the time of a call goes on the CPU, for each batch, by torch's profiler.

        Raises:
            WorkerError: The artifact or the settings cannot be served, or run on another device.
        """
        if settings.device != "cpu":
            raise WorkerError(f"torch's calls are profiled on the CPU only, and these run on {settings.device}")
        session = self.load(artifact, settings)
        return [session.profile(batch) for batch in batches]


def _load(artifact: Artifact, device: str, options: Mapping[str, Any]) -> Any:
    """Whatever answers when called with the inputs."""
    import torch

    if artifact.format == "torchscript":
        return _load_script(artifact, device)
    if artifact.format in ("pt2", "aoti"):
        from mlbench.runtimes.torch_programs import load_package, load_program

        if device != "cpu":
            raise WorkerError(f"{artifact.format} artifacts are built for the CPU, but runtime.device is {device}")
        return (load_program if artifact.format == "pt2" else load_package)(artifact)
    from mlbench.runtimes.torch_tuned import load_tuned, pack_semi_structured

    module = load_tuned(artifact).to(device)
    packed = artifact.meta.get("tuning", {}).get("semi_structured")
    if packed:
        pack_semi_structured(module, packed, device)
    if options["channels_last"]:
        module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
    return module


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

    def __init__(self, module: Any, artifact: Artifact, settings: RuntimeSettings) -> None:
        import torch

        self._module = module
        self._artifact = artifact
        self._device = settings.device
        self._names = [spec.name for spec in artifact.inputs]
        self._inference_mode = torch.inference_mode
        self.device: CudaDevice | None = CudaDevice(torch.cuda, self._answer) if settings.device == "cuda" else None

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
        result = self._answer(prepared)
        if self.device is not None:
            self.device.synchronize()
        return result

    def _answer(self, prepared: tuple[torch.Tensor, ...]) -> Any:
        """The module's answer; on a device it may still be under way."""
        with self._inference_mode():
            return self._module(*prepared)

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """The result's tensors as numpy arrays."""
        if isinstance(result, Mapping):
            result = tuple(result.values())
        tensors = result if isinstance(result, (tuple, list)) else (result,)
        return tuple(_array(tensor) for tensor in tensors)

    def profile(self, batch: Batch) -> Profile:
        """A few calls under torch's profiler."""
        from torch.profiler import ProfilerActivity, profile

        call = partial(self.run, self.prepare(batch))
        calls = warmed(call)
        took: list[float] = []
        ran: list[list[Ran]] = []
        for _ in range(calls):
            with profile(activities=[ProfilerActivity.CPU]) as taken:
                took.append(timed(call))
            ran.append([Ran(row.key, row.count, row.self_cpu_time_total / 1e3) for row in taken.key_averages()])
        return profile_of("PyTorch's profiler", len(next(iter(batch.values()))), took, ran)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force."""
        import torch

        from mlbench.runtimes.torch_tuned import autocast_type

        found: dict[str, Scalar] = {
            "runtime": "torch",
            "version": torch.__version__,
            "format": self._artifact.format,
            "device": self._device,
            "threads": torch.get_num_threads(),
            "inter_threads": torch.get_num_interop_threads(),
            "precision": self._precision(),
            "matmul_precision": torch.get_float32_matmul_precision(),
            "channels_last": self._channels_last(),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
        if self._device == "cuda":
            found["gpu"] = torch.cuda.get_device_name()
        autocast = autocast_type(self._module)
        if autocast:
            found["autocast"] = autocast
        if self._artifact.format == "aoti":
            found["compiled"] = "aot_inductor"
        if "quantized_engine" in self._artifact.meta:
            found["quantized_engine"] = torch.backends.quantized.engine
        return found

    def libraries(self, call: Callable[[], Any]) -> dict[str, Scalar]:
        """What its matrix products are computed with, see :func:`mlbench.runtimes.blas.torch_blas`."""
        from mlbench.runtimes.blas import torch_blas

        return torch_blas(call) if self._device == "cpu" else {}

    def _precision(self) -> str:
        """The weights' own types, unless the recipe states one: quantized layers and packages have none to see."""
        from mlbench.runtimes.torch_tuned import weight_types

        stated = self._artifact.meta.get("precision")
        if stated is not None:
            return str(stated)
        return (weight_types(self._module) if hasattr(self._module, "parameters") else "") or "unknown"

    def _channels_last(self) -> bool:
        from mlbench.runtimes.torch_tuned import has_channels_last

        return hasattr(self._module, "parameters") and has_channels_last(self._module)


class CompiledSession(TorchSession):
    """A session whose module is compiled, in this process, for the first batch of each kind of shape."""

    def __init__(
        self, module: Any, artifact: Artifact, settings: RuntimeSettings, compilation: Mapping[str, Any]
    ) -> None:
        from mlbench.runtimes.torch_programs import Compiled

        super().__init__(module, artifact, settings)
        self._compilation = compilation
        self._module = Compiled(module, compilation)

    def compile(self, prepared: tuple[torch.Tensor, ...]) -> None:
        """Compile for a batch of this shape, which takes seconds, so that no call has to."""
        self.run(prepared)

    def effective(self) -> dict[str, Scalar]:
        """What is really in force, and what was compiled so far."""
        from mlbench.runtimes.torch_programs import compiled_facts

        return {**super().effective(), **compiled_facts(), "freezing": self._compilation["freezing"]}


def _array(tensor: torch.Tensor) -> npt.NDArray[np.generic]:
    """A tensor for numpy, which has no bfloat16."""
    import torch

    tensor = tensor.detach().cpu()
    array: npt.NDArray[np.generic] = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return array
