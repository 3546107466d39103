"""Compiled torch: in the worker (``torch.compile``), as an exported program, or ahead of time (AOTInductor)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from annotated_types import Gt

from mlbench.errors import BuildError
from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.closeness import BATCH_SIZES, Outputs, checked, first_rows
from mlbench.variants.files import take_over
from mlbench.variants.served import served

if TYPE_CHECKING:
    from torch import nn

_LOGGERS = ("torch",)
_PROGRAM = "model.pt2"
_EXACT, _ROUNDED = 1e-3, 5e-2  # float32 reordered; types of 8 to 11 significant bits


@dataclass(frozen=True, slots=True)
class CompileParams:
    """How inductor compiles.

    Attributes:
        freezing: Weights become constants of the compiled code, packed for the processor; more memory, faster
            convolutions.
        dynamic: false compiles anew for every batch size, true once for all; null is torch's own way, which compiles
            for the first size, and at the second one for all others.
        tolerance: Largest allowed difference to the source's outputs, as a share of the largest of them (at least 1);
            null is 0.001, or 0.05 where the arithmetic has fewer bits than float32.
    """

    freezing: bool = False
    dynamic: bool | None = None
    tolerance: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True, slots=True)
class ExportTorchParams:
    """How exact the result must be.

    Attributes:
        tolerance: As for ``compile``.
    """

    tolerance: Annotated[float, Gt(0)] | None = None


@dataclass(frozen=True, slots=True)
class AotInductorParams:
    """Where the package is to run, and how exact the result must be.

    Attributes:
        cpu: Vector instructions that are compiled for, in torch's words; ``auto`` is this CPU's, and no other can be.
        tolerance: As for ``compile``.
    """

    cpu: str = "auto"
    tolerance: Annotated[float, Gt(0)] | None = None


class Compile:
    """Marks a module or program to be compiled by ``torch.compile`` when it is loaded, in one graph or not at all.

    Building it compiles once, which proves that it works here and fills inductor's cache on disk. Every worker then
    compiles before its first call; the time is recorded apart.
    """

    name = "compile"
    version = 3
    params: type[Any] = CompileParams
    accepts: tuple[str, ...] = ("torch_module", "torch_tuned", "pt2")
    produces: str | None = "torch_tuned"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: CompileParams, context: BuildContext) -> CompileParams:  # noqa: ARG002 - protocol
        """Nothing depends on the machine, besides that it must have a compiler.

        Raises:
            BuildError: There is no C++ compiler.
        """
        _require_compiler()
        return params

    def apply(self, artifact: Artifact, params: CompileParams, context: BuildContext, out: Path) -> Built:
        """Take the files over, compile, compare.

        Raises:
            BuildError: The compiler's own message, or the outputs differ by more than the tolerance.
        """
        from torch._dynamo.utils import counters

        from mlbench.runtimes.torch_programs import COMPILE, packed_layers

        take_over(artifact, out)
        compilation = {"freezing": params.freezing, "dynamic": params.dynamic}
        built = Built("torch_tuned", artifact.entry, {}, {**artifact.meta, COMPILE: compilation})
        graphs, packed = counters["stats"]["unique_graphs"], packed_layers()
        sizes = BATCH_SIZES if params.dynamic is not False else (BATCH_SIZES[0], BATCH_SIZES[-1])
        validation, tolerance = context.workload.data.validation, _tolerance(artifact, params.tolerance)
        with _sides(artifact, built, context, out) as (result, source):
            begin = time.perf_counter()
            result(first_rows(validation.inputs, sizes[0]))  # the first call compiles
            seconds = time.perf_counter() - begin
            found = checked(
                self.name, "compiled", result, source, artifact, validation, tolerance, sizes, every_length=False
            )
        built.changed.update(
            {
                "graphs": counters["stats"]["unique_graphs"] - graphs,
                "packed_layers": packed_layers() - packed,
                "compile_s": round(seconds, 3),
                **found,
            }
        )
        return built


class ExportTorch(Step):
    """``torch.export``: one traced graph with a free batch axis, without Python code, saved as ``.pt2``."""

    name = "export_torch"
    version = 2
    params: type[Any] = ExportTorchParams
    accepts: tuple[str, ...] = ("torch_module", "torch_tuned")
    produces: str | None = "pt2"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def apply(self, artifact: Artifact, params: ExportTorchParams, context: BuildContext, out: Path) -> Built:
        """Trace, save, compare.

        Raises:
            BuildError: The exporter's own message, or the outputs differ by more than the tolerance.
        """
        import torch

        from mlbench.runtimes.torch_programs import COMPILE
        from mlbench.runtimes.torch_tuned import load_tuned
        from mlbench.variants.quiet import quiet

        if COMPILE in artifact.meta:
            raise BuildError(self.name, "a module that is compiled when it is loaded cannot be exported; compile last")
        module = load_tuned(artifact)
        with quiet(*_LOGGERS) as captured:
            try:
                program = exported(module, artifact, context)
                torch.export.save(program, out / _PROGRAM)
            except Exception as error:  # the exporter's errors have no common base
                said = captured.last()
                raise BuildError(self.name, f"{error}{f' (before that: {said})' if said else ''}") from error
        built = Built("pt2", _PROGRAM, {}, _carried(artifact))
        found = _compared(self.name, "exported", artifact, built, context, out, params.tolerance)
        built.changed.update({"nodes": len(program.graph.nodes), **found})
        return built


class AotInductor:
    """An exported program compiled ahead of time to a shared library; loading it needs neither compiler nor factory."""

    name = "aot_inductor"
    version = 2
    params: type[Any] = AotInductorParams
    accepts: tuple[str, ...] = ("pt2",)
    produces: str | None = "aoti"
    libraries: tuple[str, ...] = ("torch",)
    reads_data = True

    def resolve(self, params: AotInductorParams, context: BuildContext) -> AotInductorParams:  # noqa: ARG002 - protocol
        """This CPU's vector instructions by name.

        Raises:
            BuildError: Another CPU is asked for, or there is no C++ compiler.
        """
        import torch

        _require_compiler(self.name)
        own = torch.backends.cpu.get_cpu_capability()
        if params.cpu not in ("auto", own):
            raise BuildError(self.name, f"cpu is {params.cpu}, but only this CPU's {own} can be compiled for here")
        return replace(params, cpu=own)

    def apply(self, artifact: Artifact, params: AotInductorParams, context: BuildContext, out: Path) -> Built:
        """Compile and compare.

        Raises:
            BuildError: The compiler's own message, or the outputs differ by more than the tolerance.
        """
        import torch
        import torch._inductor

        from mlbench.runtimes.torch_programs import COMPILE, CPU_CAPABILITY
        from mlbench.runtimes.torch_tuned import weight_types
        from mlbench.variants.quiet import quiet

        if COMPILE in artifact.meta:
            raise BuildError(self.name, "the program is compiled when it is loaded already; leave compile out")
        program = torch.export.load(Path(artifact.path) / artifact.entry)
        begin = time.perf_counter()
        with quiet(*_LOGGERS) as captured, torch.no_grad():
            try:
                torch._inductor.aoti_compile_and_package(program, package_path=str(out / _PROGRAM))  # noqa: SLF001
            except Exception as error:  # inductor's errors have no common base
                said = captured.last()
                raise BuildError(self.name, f"{error}{f' (before that: {said})' if said else ''}") from error
        seconds = time.perf_counter() - begin
        precision = artifact.meta.get("precision") or weight_types(program.module())
        meta = {**_carried(artifact), "precision": precision, CPU_CAPABILITY: params.cpu}
        built = Built("aoti", _PROGRAM, {}, meta)
        found = _compared(self.name, "compiled", artifact, built, context, out, params.tolerance)
        built.changed.update({"compile_s": round(seconds, 3), **found})
        return built


def exported(module: nn.Module, artifact: Artifact, context: BuildContext, max_batch: int | None = None) -> Any:
    """The module as an exported program, traced on two training items, with the artifact's free axes free.

    With ``max_batch`` they have bounds: so many items, and along other axes the size that they have in the data. It is
    then traced on so many items: torch takes convolutions of few images for a case of their own, which has a bound
    below what is asked for.
    """
    import inspect

    import numpy as np
    import torch

    train = context.workload.data.train
    rows = np.arange(max_batch or 2) % len(train)
    example = tuple(torch.from_numpy(train.inputs[spec.name][rows]) for spec in artifact.inputs)
    batch = torch.export.Dim("batch", max=max_batch)

    def free(axis: int, size: int) -> Any:
        if axis == 0:
            return batch
        return torch.export.Dim.AUTO if max_batch is None else torch.export.Dim.AUTO(max=size)

    axes: tuple[Any, ...] = tuple(
        {axis: free(axis, tensor.shape[axis]) for axis, size in enumerate(spec.shape) if size is None}
        for spec, tensor in zip(artifact.inputs, example, strict=True)
    )
    parameters = inspect.signature(module.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in parameters):
        axes = (axes,)
    with torch.no_grad():
        return torch.export.export(module, example, dynamic_shapes=axes)


def _require_compiler(step: str = Compile.name) -> None:
    from mlbench.errors import WorkerError
    from mlbench.runtimes.torch_programs import require_compiler

    try:
        require_compiler()
    except WorkerError as error:
        raise BuildError(step, str(error)) from error


def _carried(artifact: Artifact) -> dict[str, Any]:
    """What a runtime wants to know of a graph: how its arithmetic was chosen."""
    return {key: artifact.meta[key] for key in ("tuning", "precision", "torchao") if key in artifact.meta}


def _compared(
    step: str,
    what: str,
    artifact: Artifact,
    built: Built,
    context: BuildContext,
    out: Path,
    tolerance: float | None,
) -> dict[str, Any]:
    """The answers beside those of what it was made from, at several batch sizes and lengths, for the record."""
    with _sides(artifact, built, context, out) as (result, source):
        return checked(
            step, what, result, source, artifact, context.workload.data.validation, _tolerance(artifact, tolerance)
        )


@contextmanager
def _sides(artifact: Artifact, built: Built, context: BuildContext, out: Path) -> Iterator[tuple[Outputs, Outputs]]:
    """What was built, and what it was made from, each through the runtime that serves it."""
    from mlbench.variants.quiet import quiet

    with (
        quiet(*_LOGGERS),
        served(artifact, None, context, out) as source,
        served(artifact, built, context, out) as result,
    ):
        yield result, source


def _tolerance(artifact: Artifact, asked: float | None) -> float:
    """The tolerance that was asked for, or the usual one for the arithmetic that the artifact computes in."""
    if asked is not None:
        return asked
    tuning = artifact.meta.get("tuning", {})
    exact = tuning.get("weights", "float32") == "float32" and not tuning.get("autocast")
    return _EXACT if exact and "precision" not in artifact.meta else _ROUNDED
