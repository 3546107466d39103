"""What a step has built, asked for answers through the runtime that will serve it: the check is of what is measured."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.kept import settings_kept
from mlbench.variants import BuildContext, Built

if TYPE_CHECKING:
    from mlbench.variants.closeness import Outputs

BATCH = 32


@contextmanager
def served(
    artifact: Artifact, built: Built | None, context: BuildContext, out: Path, batch_size: int = BATCH
) -> Iterator[Outputs]:
    """A function from inputs to every output, in batches of at most ``batch_size`` items.

    Args:
        artifact: The step's input; with ``built`` None it is asked itself.
        built: What the step has made of it.
        context: Gives the number of threads.
        out: Where the step has built.
        batch_size: Items of one call at most.

    Raises:
        WorkerError: The runtime cannot load it, in its words.
    """
    import numpy as np

    from mlbench.runtimes.loading import open_session

    if built is not None:
        artifact = replace(
            artifact,
            format=built.format,
            path=str(out),
            entry=built.entry,
            meta=built.meta,
            inputs=built.inputs or artifact.inputs,
            outputs=built.outputs or artifact.outputs,
        )
    with settings_kept():
        session = open_session(artifact, RuntimeSettings(threads=context.threads))

        def answer(inputs: dict[str, Any]) -> tuple[Any, ...]:
            rows = len(next(iter(inputs.values())))
            parts = []
            for start in range(0, rows, batch_size):
                batch = {
                    name: np.ascontiguousarray(array[start : start + batch_size]) for name, array in inputs.items()
                }
                parts.append(session.outputs(session.run(session.prepare(batch))))
            return tuple(np.concatenate(column) for column in zip(*parts, strict=True))

        yield answer
