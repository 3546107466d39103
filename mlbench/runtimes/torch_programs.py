"""Compiled torch: ``torch.compile`` in this process, exported programs (``.pt2``), and AOTInductor's packages."""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch

from mlbench.disk import is_private
from mlbench.errors import WorkerError
from mlbench.records import Artifact, Scalar

COMPILE = "compile"
CPU_CAPABILITY = "cpu_capability"
TORCHAO = "torchao"
PROGRAM_SUFFIX = ".pt2"
_CACHE = "TORCHINDUCTOR_CACHE_DIR"
# inductor's counters of layers whose frozen weights were packed for the processor, over all graphs
_COMPILATIONS = 10_000  # more than there are shapes and modules in any process
_PACKED = re.compile(r"(mkldnn_(conv|linear)_weight_pack|q(conv|linear)_weight_prepack)_matcher_count")


def require_compiler() -> str:
    """The C++ compiler that inductor finds.

    Raises:
        WorkerError: There is none, or others can write where it keeps what it compiles; nothing falls back to eager
            calls.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    _require_private_cache()
    try:
        return str(get_cpp_compiler())
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkerError(
            f"torch.compile needs a C++ compiler, and none works here ({reason}); install g++, or name one in CXX"
        ) from error


def _require_private_cache() -> None:
    """See that inductor's cache is this user's own: its place has a fixed name, and what lies there is run."""
    from torch._inductor.runtime.cache_dir_utils import default_cache_dir

    place = Path(os.environ.get(_CACHE) or default_cache_dir())
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        private = is_private(place)
    except OSError as error:
        raise WorkerError(f"torch.compile cannot keep what it compiles in {place}: {error.strerror}") from error
    if not private:
        raise WorkerError(
            f"torch.compile would run what lies in {place}, where others can write: remove it, or name another "
            f"directory in {_CACHE}"
        )


class Compiled:
    """A module, compiled when a shape is new; the whole of it in one graph, or an error.

    Inductor reads ``freezing`` from its global configuration while it compiles (given as an option of
    ``torch.compile`` it has no effect), so it is set around the first call with each shape, and only there.

    Args:
        module: What is compiled.
        options: ``freezing`` and ``dynamic``, as the ``compile`` step resolved them.

    Raises:
        WorkerError: There is no C++ compiler.
    """

    def __init__(self, module: Any, options: Mapping[str, Any]) -> None:
        require_compiler()
        self.module = module
        self._freezing = options["freezing"]
        self._shapes: set[tuple[torch.Size, ...]] = set()
        # fullgraph: a part that cannot be compiled is an error, not an eager call
        self._call: Callable[..., Any] = torch.compile(module, fullgraph=True, dynamic=options["dynamic"])

    def __call__(self, *inputs: torch.Tensor) -> Any:
        """The module's answer."""
        shapes = tuple(tensor.shape for tensor in inputs)
        if shapes in self._shapes:
            return self._call(*inputs)
        from torch._dynamo import config as dynamo
        from torch._inductor import config

        # one thread compiles, the worker's own: a pool of compiler processes would outlive the compilation. Dynamo
        # counts the compilations of all modules of a class together, and gives up after 8 of them
        with (
            config.patch(freezing=self._freezing, compile_threads=1),
            dynamo.patch(recompile_limit=_COMPILATIONS, accumulated_recompile_limit=_COMPILATIONS),
        ):
            result = self._call(*inputs)
        self._shapes.add(shapes)
        return result

    def parameters(self) -> Iterator[torch.nn.Parameter]:
        """The module's parameters."""
        parameters: Iterator[torch.nn.Parameter] = self.module.parameters()
        return parameters


def packed_layers() -> int:
    """Layers whose frozen weights inductor has packed in this process, over all graphs; 0 where nothing is frozen."""
    from torch._dynamo.utils import counters

    return sum(count for name, count in counters["inductor"].items() if _PACKED.fullmatch(name))


def compiled_facts() -> dict[str, Scalar]:
    """What torch.compile has done in this process."""
    from torch._dynamo.utils import counters

    return {
        "compiled": "inductor",
        "compiled_graphs": int(counters["stats"]["unique_graphs"]),
        "packed_layers": packed_layers(),
        "cxx": require_compiler(),
    }


def load_program(artifact: Artifact) -> Any:
    """The module of an exported program (``.pt2``).

    Raises:
        WorkerError: The file cannot be read as an exported program, or torchao, which knows its operators, is missing.
    """
    if artifact.meta.get(TORCHAO):
        try:
            importlib.import_module("torchao.quantization.pt2e.quantize_pt2e")  # registers the operators
        except ImportError as error:
            raise WorkerError(
                "the program was quantized with torchao, which is not installed: pip install 'mlflow-mlbench[torchao]'"
            ) from error
    path = Path(artifact.path) / artifact.entry
    try:
        return torch.export.load(path).module()
    except Exception as error:  # torch raises what it likes for a damaged archive
        raise WorkerError(f"{path} cannot be loaded as an exported program: {_first_line(error)}") from error


def load_package(artifact: Artifact) -> Any:
    """The compiled model of an ``aoti`` artifact; no compiler is needed to load it.

    Raises:
        WorkerError: It was compiled for another kind of CPU, or cannot be loaded.
    """
    import torch._inductor

    own = torch.backends.cpu.get_cpu_capability()
    wanted = artifact.meta.get(CPU_CAPABILITY, own)
    if wanted != own:
        raise WorkerError(f"the package was compiled for a CPU with {wanted}, but this one has {own}")
    path = Path(artifact.path) / artifact.entry
    try:
        return torch._inductor.aoti_load_package(str(path))  # noqa: SLF001 - torch's documented entry point
    except Exception as error:  # torch raises what it likes for a damaged archive
        raise WorkerError(f"{path} cannot be loaded as an AOTInductor package: {_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
