"""A step that makes a variant truly slower by a stated share: the self-check of a benchmark."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Gt, Le

from mlbench.records import Artifact
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.files import take_over


@dataclass(frozen=True, slots=True)
class DelayParams:
    """``percent``: work added to every call, in percent of the call's own duration."""

    percent: Annotated[float, Gt(0), Le(1000)]


class Delay(Step):
    """Adds a true, stated share of CPU work to each call. The model and its answers stay the same."""

    name = "delay"
    version = 1
    params: type[Any] = DelayParams
    accepts: tuple[str, ...] = ()
    produces: str | None = None
    libraries: tuple[str, ...] = ()
    reads_data = False

    def apply(self, artifact: Artifact, params: DelayParams, context: BuildContext, out: Path) -> Built:  # noqa: ARG002
        """The same files, hard-linked where the file system can; the runtime reads ``delay_percent`` from the meta."""
        take_over(artifact, out)
        percent = params.percent + artifact.meta.get("delay_percent", 0.0)
        return Built(
            artifact.format,
            artifact.entry,
            changed={"delay_percent": percent},
            meta={**artifact.meta, "delay_percent": percent},
        )
