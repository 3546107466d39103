"""A model measured where it is: one process, one model, calls one after the other.

That is what an evaluation inside a notebook can honestly have. There is no second arm beside it, no fresh process and
no verdict, so the figures say how this model answered in this process, its conversion of inputs and schema checks
included, and are named ``pyfunc/...``: they are not those of a study.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.environment import environment
from mlbench.errors import InputError, WorkerError
from mlbench.measurement.clock import Clock, MonotonicClock
from mlbench.measurement.memory import memory_mib
from mlbench.metrics import PERCENTILES
from mlbench.records import Estimate, Scalar, to_dict
from mlbench.statistics import min_samples, percentile
from mlbench.tracking import names
from mlbench.tracking.content import rounded
from mlbench.tracking.plugins.answers import quality
from mlbench.tracking.plugins.settings import EvaluatorSettings

IN_PROCESS = "in the evaluating process, through pyfunc: conversion of inputs and schema checks are part of every call"
SERVED = "through MLflow's scoring server in a process of its own: HTTP and JSON are part of every call"
_PREFIX = "pyfunc"
_MEDIAN = {"p50": 0.5}
_MIB = 1 << 20

Batch = Any
Times = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Findings:
    """What was found: estimates by public name, and the reason for each figure that could not be had.

    Attributes:
        how: In what way it was measured, in a sentence.
        effective: How many calls of how many items.
    """

    how: str
    metrics: dict[str, Estimate]
    absent: dict[str, str]
    effective: dict[str, Scalar] = field(default_factory=dict)

    def numbers(self) -> dict[str, float]:
        """Every value by name, and the bounds of its interval with ``_low`` and ``_high`` appended."""
        found: dict[str, float] = {}
        for name, estimate in self.metrics.items():
            ends = {"": estimate.value, "_low": estimate.low, "_high": estimate.high}
            found |= {names.metric_key(name + end): rounded(value) for end, value in ends.items() if value is not None}
        return found

    def record(self) -> dict[str, Any]:
        """All of it as plain values, with the machine and the versions."""
        return {
            "how": self.how,
            "metrics": {name: to_dict(estimate) for name, estimate in self.metrics.items()},
            "absent": self.absent,
            "effective": self.effective,
            "environment": environment(),
        }


def measure(
    model: Any,
    features: Any,
    labels: Any,
    settings: EvaluatorSettings,
    *,
    answer_column: str | None = None,
    clock: Clock | None = None,
) -> Findings:
    """Time the model's ``predict``, look at this process's memory, and score the answers.

    Args:
        model: Anything with ``predict``; MLflow wraps functions so.
        features: Data frame or array, first axis items.
        labels: One per item, or None.
        settings: How much.
        answer_column: The column of the answer that is the prediction, where there are several.
        clock: Read around every call.

    Raises:
        InputError: There is no model or no item.
    """
    if model is None:
        raise InputError("evaluator 'mlbench' measures a model: give `model`, stored predictions have no speed")
    if len(features) == 0:
        raise InputError("evaluator 'mlbench': the dataset has no rows")
    clock = clock or MonotonicClock()
    served = hasattr(model, "pid")
    first, latency = timed(model.predict, features, settings.batch_size, settings, clock)
    _, bulk = timed(model.predict, features, settings.throughput_batch_size, settings, clock)
    metrics, absent = _speed(first, latency, bulk, settings)
    if served:
        reason = "the model runs in a scoring server of its own"
        absent |= {"process_rss_mib": reason, "process_peak_rss_mib": reason}
    else:
        found, reasons = _memory()
        metrics |= found
        absent |= reasons
    size = getattr(getattr(model, "metadata", None), "model_size_bytes", None)
    if size:
        metrics["model_size_mib"] = Estimate(size / _MIB, unit="MiB", method="size of the model's files")
    else:
        absent["model_size_mib"] = "the model is not stored in MLflow, or does not tell its size"
    if settings.task != "none":
        scored, reasons = quality(model.predict, features, labels, settings, answer_column)
        metrics |= scored
        absent |= reasons
    return Findings(
        SERVED if served else IN_PROCESS,
        {f"{_PREFIX}/{name}": estimate for name, estimate in metrics.items()},
        {f"{_PREFIX}/{name}": reason for name, reason in absent.items()},
        {
            "batch_size": settings.batch_size,
            "calls": len(latency),
            "throughput_batch_size": settings.throughput_batch_size,
            "throughput_calls": len(bulk),
            "warmup_calls": settings.warmup_calls,
        },
    )


def timed(
    predict: Callable[[Batch], Any], features: Any, size: int, settings: EvaluatorSettings, clock: Clock
) -> tuple[int, Times]:
    """The first call, and the timed calls after the warm-up, all in nanoseconds, shape (calls,).

    Batches are cut before the clock starts and follow the rows of the data, from the beginning again at its end.
    """
    batches = batches_of(features, size, settings.calls)
    deadline = clock.now_ns() + int(settings.max_seconds * 1e9)
    times: list[int] = []
    with _no_collection():
        for number in range(settings.warmup_calls + settings.calls):
            begun = clock.now_ns()
            if times and begun > deadline:
                break
            predict(batches[number % len(batches)])
            times.append(clock.now_ns() - begun)
    # a model that used up its time while warming up has at least its last call to show
    kept = times[settings.warmup_calls :] or times[-1:]
    return times[0], np.array(kept, dtype=np.int64)


def batches_of(features: Any, size: int, most: int) -> list[Batch]:
    """At most so many batches of exactly that many rows, which run through the data."""
    rows = len(features)
    distinct = min(most, -(-rows // size))
    found = []
    for number in range(distinct):
        chosen = (np.arange(size) + number * size) % rows
        found.append(features.iloc[chosen].reset_index(drop=True) if hasattr(features, "iloc") else features[chosen])
    return found


def _speed(
    first: int, latency: Times, bulk: Times, settings: EvaluatorSettings
) -> tuple[dict[str, Estimate], dict[str, str]]:
    metrics: dict[str, Estimate] = {
        "first_call_ms": Estimate(first / 1e6, n=1, unit="ms", method="the one first call"),
    }
    absent: dict[str, str] = {}
    for name, level in (_MEDIAN | PERCENTILES).items():
        found = percentile(latency / 1e6, level, unit="ms")
        if found is None:
            absent[f"{name}_ms"] = _unsupported(latency, level, settings)
        else:
            metrics[f"{name}_ms"] = found
    middle = percentile(bulk / 1e9, 0.5)
    if middle is None or middle.low is None or middle.high is None:
        absent["samples_per_s"] = _unsupported(bulk, 0.5, settings)
    else:
        size = settings.throughput_batch_size
        bounds = size / middle.high, size / middle.low
        metrics["samples_per_s"] = Estimate(size / middle.value, *bounds, n=len(bulk), unit="1/s", method=middle.method)
    return metrics, absent


def _unsupported(calls: Sequence[int] | Times, level: float, settings: EvaluatorSettings) -> str:
    why = f"max_seconds={settings.max_seconds:g}" if len(calls) < settings.calls else "calls"
    return f"{len(calls)} calls do not support it: at least {min_samples(level)} are needed ({why})"


def _memory() -> tuple[dict[str, Estimate], dict[str, str]]:
    """Of this process, with everything else that is in it; and why not, where the kernel does not say."""
    found, absent = {}, {}
    for name, field_ in (("process_rss_mib", "VmRSS"), ("process_peak_rss_mib", "VmHWM")):
        try:
            found[name] = Estimate(memory_mib(field_), unit="MiB", method="this whole process")
        except (OSError, WorkerError):
            absent[name] = f"this system does not say: no {field_} in /proc/self/status"
    return found, absent


@contextmanager
def _no_collection() -> Iterator[None]:
    """Garbage collection rests while calls are timed, where it was on."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


__all__ = ["IN_PROCESS", "SERVED", "Findings", "batches_of", "measure", "timed"]
