"""From a recipe to an artifact: checked before anything starts, then built step by step through the store."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

from mlbench.disk import files_in
from mlbench.errors import BuildError, InputError, MlbenchError
from mlbench.records import Artifact, Recipe, StepRecord, StepSpec, to_dict
from mlbench.registry import entries, find, load
from mlbench.runtimes.loading import check_runtime
from mlbench.variants import BuildContext, Built, Step
from mlbench.variants.store import Store, digest_of
from mlbench.workloads import Progress, Workload
from mlbench.workloads.options import parse, problems

_DELAY = "delay_percent"

T = TypeVar("T")


def check(recipe: Recipe, source_format: str) -> list[str]:
    """Problems of a recipe, as sentences; cheap: imports no runtime and no tool.

    Names of steps and parameters, parameter values, what is not installed, whether each step takes what the one before
    it makes, and whether the runtime serves the result.

    Args:
        recipe: The recipe as the user wrote it.
        source_format: Format of the workload's own model.
    """
    found: list[str] = []
    current: str | None = source_format
    for number, spec in enumerate(recipe.steps, start=1):
        where = f"variant '{recipe.name}': step {number} '{spec.name}'"
        try:
            entry = find("step", spec.name)
        except InputError as error:
            found += [f"variant '{recipe.name}': step {number}: {sentence}" for sentence in error.problems]
            current = None  # what an unknown step makes is unknown
            continue
        reason = entry.missing()
        if reason is not None:
            found.append(f"{where} {reason}")
            current = None
            continue
        step: Step = load("step", spec.name)()
        found += problems(step.params, spec.params, where)
        if current is not None and step.accepts and current not in step.accepts:
            found.append(f"{where} needs {_artifact(step.accepts)}, but gets {current}{_advice(current, step.accepts)}")
        current = step.produces or current
    found += [f"variant '{recipe.name}': {sentence}" for sentence in check_runtime(current, recipe.runtime)]
    return found


def _artifact(formats: tuple[str, ...]) -> str:
    article = "an" if formats[0][0] in "aeiou" else "a"
    return f"{article} {' or '.join(formats)} artifact"


def _advice(current: str, wanted: tuple[str, ...]) -> str:
    """What the user could do: a built-in step that turns the one format into the other, if there is one."""
    for name, entry in entries("step").items():
        if entry.missing() is not None:
            continue
        step: Step = load("step", name)()
        if step.produces in wanted and (not step.accepts or current in step.accepts):
            return f": put {name} before it"
    return ": it must come earlier in the recipe"


def build(recipe: Recipe, workload: Workload, store: Store, progress: Progress) -> Artifact:
    """Build a recipe's artifact; what an earlier recipe has built already, also in part, comes from the store.

    Args:
        recipe: A recipe without problems (see :func:`check`).
        workload: The model and the data.
        store: Where each step's result is kept.
        progress: Told what is being built.

    Returns:
        The last step's artifact; for a recipe without steps the workload's own.

    Raises:
        BuildError: A step could not do it; the message is the tool's own.
        InputError: The recipe has problems.
    """
    found = check(recipe, workload.source.format)
    if found:
        raise InputError(found)
    artifact = workload.source
    for number, spec in enumerate(recipe.steps, start=1):
        prefix = f"building {recipe.name}, step {number} of {len(recipe.steps)}"
        context = BuildContext(workload, partial(_tell, progress, prefix))
        artifact = _advance(spec, artifact, context, store)
    return artifact


def _tell(progress: Progress, prefix: str, text: str) -> None:
    progress(f"{prefix}: {text}")


def _advance(spec: StepSpec, artifact: Artifact, context: BuildContext, store: Store) -> Artifact:
    """The artifact after one more step, from the store or built now."""
    step: Step = load("step", spec.name)()
    params = _guarded(step, lambda: _params(step, spec.params, context))
    key = _key(step, params, artifact, context.workload)
    fingerprint = _guarded(step, lambda: digest_of(key))
    return store.build(key, lambda out: _apply(step, params, fingerprint, artifact, context, out), context.progress)


def _params(step: Step, params: Mapping[str, Any], context: BuildContext) -> Any:
    return step.resolve(parse(step.params, params, f"step '{step.name}'"), context)


def _key(step: Step, params: Any, artifact: Artifact, workload: Workload) -> dict[str, Any]:
    key: dict[str, Any] = {
        "kind": "step",
        "step": step.name,
        "version": step.version,
        "params": asdict(params),
        "input": artifact.digest,
        "libraries": {name: _version(name) for name in step.libraries},
    }
    if step.reads_data:
        key["data"] = workload.info.data.digest
    return key


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "absent"


def _apply(step: Step, params: Any, fingerprint: str, artifact: Artifact, context: BuildContext, out: Path) -> Artifact:
    context.progress(step.name)
    begin = time.perf_counter()
    built = _guarded(step, lambda: _proved(step, step.apply(artifact, params, context, out), out))
    record = StepRecord(step.name, asdict(params), fingerprint, built.changed, round(time.perf_counter() - begin, 3))
    delay = {_DELAY: artifact.meta[_DELAY]} if _DELAY in artifact.meta else {}
    return Artifact(
        digest=fingerprint,
        format=built.format,
        path=str(out),
        entry=built.entry,
        inputs=built.inputs or artifact.inputs,
        outputs=built.outputs or artifact.outputs,
        size_bytes=0,
        steps=(*artifact.steps, record),
        meta={**delay, **built.meta},
    )


def _proved(step: Step, built: Built, out: Path) -> Built:
    """What a step has built, as something that the store can keep: its file is there, its record can be written.

    Raises:
        BuildError: It is not; numbers in the record that are not finite are what the result answers with.
    """
    if built.entry not in files_in(out):
        raise BuildError(step.name, f"it was built without its file {built.entry}")
    record = {**built.meta, **built.changed}
    to_dict(StepRecord(step.name, {}, "", record))  # raises what the store would
    odd = [name for name, value in record.items() if not _finite(value)]
    if odd:
        raise BuildError(
            step.name, f"the result answers with values that are not finite (NaN or infinity): {', '.join(odd)}"
        )
    return built


def _finite(value: Any) -> bool:
    """Whether no number in a value is NaN or infinite, which JSON cannot hold."""
    try:
        json.dumps(value, allow_nan=False, default=str)
    except ValueError:
        return False
    return True


def _guarded(step: Step, call: Callable[[], T]) -> T:
    """Run a step's own code; whatever a tool raises becomes a BuildError with the tool's words."""
    try:
        return call()
    except (BuildError, InputError):
        raise
    except MlbenchError as error:
        raise BuildError(step.name, str(error)) from error
    except Exception as error:  # tools raise what they like; it fails this arm only
        raise BuildError(step.name, f"{type(error).__name__}: {error}") from error
