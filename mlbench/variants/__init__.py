"""Variants: recipe steps and the content-addressed store that keeps what they build."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlbench.records import Artifact, TensorSpec
from mlbench.workloads import Progress, Workload


@dataclass(frozen=True, slots=True)
class BuildContext:
    """What a step may use besides the artifact and its parameters."""

    workload: Workload
    progress: Progress
    threads: int = 2


@dataclass(frozen=True, slots=True)
class Built:
    """What a step wrote into its output directory.

    Attributes:
        format, entry: As in :class:`mlbench.records.Artifact`.
        changed: Evidence of what the step did (counts, shares, errors against its input).
        meta: What the runtime needs besides the files.
        inputs, outputs: Only where the step changed them.
    """

    format: str
    entry: str
    changed: dict[str, Any] = field(default_factory=dict)
    meta: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[TensorSpec, ...] | None = None
    outputs: tuple[TensorSpec, ...] | None = None


class Step(Protocol):
    """One transformation of an artifact. Implementations are stateless classes without constructor arguments.

    They may inherit from this class, which gives them :meth:`resolve`, or only look like it.

    Modules of steps import heavy libraries inside ``apply``, because configuration is validated through ``params``
    and ``accepts`` before anything starts.

    Attributes:
        name: Short name in recipes.
        version: Raised when the step's result changes for the same input; part of the store's key.
        params: Frozen dataclass type of the step's parameters (validated like all configuration).
        accepts: Artifact formats it can take; empty means any.
        produces: Format it makes, or None when the format stays.
        libraries: Distributions whose versions are part of the store's key.
        reads_data: Whether the result depends on the workload's data besides the artifact; part of the key then.
    """

    name: str
    version: int
    params: type[Any]
    accepts: tuple[str, ...]
    produces: str | None
    libraries: tuple[str, ...]
    reads_data: bool

    def resolve(self, params: Any, context: BuildContext) -> Any:  # noqa: ARG002 - for those who need it
        """The parameters with everything explicit that depends on this machine or workload; recorded, and keyed.

        Unless a step says otherwise, nothing does: the parameters as they are given.

        Raises:
            BuildError: A parameter cannot be had here.
        """
        return params

    def apply(self, artifact: Artifact, params: Any, context: BuildContext, out: Path) -> Built:
        """Build into the empty directory ``out``.

        Raises:
            BuildError: The step cannot do this; the message is the tool's own.
        """
        ...


__all__ = ["BuildContext", "Built", "Step"]
