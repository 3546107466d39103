"""Compiled torch: ``torch.compile`` in this process, exported programs (``.pt2``), and AOTInductor's packages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Scalar

COMPILE = "compile"
CPU_CAPABILITY = "cpu_capability"


def require_compiler() -> str:
    """The C++ compiler that inductor finds.

    Raises:
        WorkerError: There is none; nothing falls back to eager calls.
    """
    from torch._inductor.cpp_builder import get_cpp_compiler

    try:
        return str(get_cpp_compiler())
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise WorkerError(
            f"torch.compile needs a C++ compiler, and none works here ({reason}); install g++, or name one in CXX"
        ) from error


def compile_module(module: Any, options: Mapping[str, Any]) -> Callable[..., Any]:
    """The module, compiled when it is first called; the whole of it in one graph, or an error.

    Args:
        module: What is compiled.
        options: ``freezing`` and ``dynamic``, as the ``compile`` step resolved them.

    Raises:
        WorkerError: There is no C++ compiler.
    """
    require_compiler()
    compiled: Callable[..., Any] = torch.compile(
        module,
        fullgraph=True,  # a part that cannot be compiled is an error, not an eager call
        dynamic=options["dynamic"],
        # one thread compiles, the worker's own: a pool of compiler processes would outlive the compilation
        options={"freezing": options["freezing"], "compile_threads": 1},
    )
    return compiled


def compiled_facts() -> dict[str, Scalar]:
    """What torch.compile has done in this process."""
    from torch._dynamo.utils import counters

    return {
        "compiled": "inductor",
        "compiled_graphs": int(counters["stats"]["unique_graphs"]),
        "cxx": require_compiler(),
    }


def load_program(artifact: Artifact) -> Any:
    """The module of a ``pt2`` artifact.

    Raises:
        WorkerError: The file cannot be read as an exported program.
    """
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
