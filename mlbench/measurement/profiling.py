"""The profile pass: after everything is measured, where the time of some arms' calls goes (docs/method.md, "Why").

Every arm gets a fresh worker. They import their runtimes at the same time and are profiled one after the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mlbench.errors import MlbenchError, WorkerError
from mlbench.measurement.mixing import mixed
from mlbench.measurement.process import (
    IMPORT_TIMEOUT_S,
    Launcher,
    WorkerHandle,
    WorkerProcess,
    arm_message,
    save_inputs,
)
from mlbench.records import Arm, ConditionKey, OperatorTime, Plan, Profile

TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Profiles:
    """What came of the pass: profiles by arm, and why an arm has none."""

    taken: dict[str, tuple[Profile, ...]] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)


def take_profiles(
    plan: Plan,
    arms: Sequence[Arm],
    inputs: Mapping[str, npt.NDArray[Any]],
    *,
    trim: str = "",
    timeout_s: float = TIMEOUT_S,
    launch: Launcher = WorkerProcess,
) -> Profiles:
    """Profile a handful of calls of each arm at the headline batch size and at the largest.

    An arm that cannot be profiled says why, and the others go on. An interruption, or a full disk, ends the pass and
    nothing else: everything is measured by now.

    Args:
        plan: Of the measurement: batch sizes, input length, threads and CPUs.
        arms: Which arms.
        inputs: Input arrays of the test items, by input name (first axis: items); tokens, also where texts were timed.
        trim: As :attr:`mlbench.records.Collation.trim`.
        timeout_s: A worker that gives no answer for so long is ended.
        launch: Starts a worker; a real process unless a test says otherwise.
    """
    at = plan.latency_at
    serving = {arm.name: _serving(arm, at) for arm in arms}
    sizes = tuple(dict.fromkeys((at.batch_size, plan.throughput_at.batch_size)))
    found, live = Profiles(), dict[str, WorkerHandle]()
    try:
        with tempfile.TemporaryDirectory(prefix="mlbench-") as directory:
            chosen = mixed(len(next(iter(inputs.values()))))[: max(sizes)]  # the first items of what was timed
            save_inputs(Path(directory), {name: array[chosen] for name, array in inputs.items()})
            order = {"inputs": directory, "batch_sizes": sizes, "input_length": at.input_length, "trim": trim}
            for name, arm in serving.items():
                live[name] = launch(arm)
                with _or_absent(found, name):
                    live[name].post("import", format=arm.artifact.format, settings=arm_message(arm)["settings"])
            for name in [name for name in serving if name not in found.absent]:
                arm, handle = serving[name], live[name]
                with _or_absent(found, name):
                    handle.answer(IMPORT_TIMEOUT_S)
                    handle.post("profile", cpus=plan.cpus[: arm.settings.threads], **order, **arm_message(arm))
                    said = handle.answer(timeout_s)[0]["profiles"]
                    found.taken[name] = tuple(_profile(item, at.input_length) for item in said)
                handle.stop()
    except (KeyboardInterrupt, MlbenchError, OSError) as error:  # such as a disk that is full
        reason = "the profile pass was interrupted" if isinstance(error, KeyboardInterrupt) else str(error)
        left = [name for name in serving if name not in found.taken and name not in found.absent]
        found.absent.update(dict.fromkeys(left, reason))
    finally:
        for handle in live.values():
            handle.stop()
    return found


@contextmanager
def _or_absent(found: Profiles, name: str) -> Iterator[None]:
    """Whatever the worker cannot do is the reason why the arm has no profile."""
    try:
        yield
    except WorkerError as error:
        found.absent[name] = str(error)


def _serving(arm: Arm, at: ConditionKey) -> Arm:
    """The arm with the threads of the headline condition."""
    return arm if at.threads is None else replace(arm, settings=replace(arm.settings, threads=at.threads))


def _profile(said: Mapping[str, Any], input_length: int | None) -> Profile:
    operators = tuple(OperatorTime(**item) for item in said["operators"])
    return Profile(**{**said, "operators": operators, "input_length": input_length})
