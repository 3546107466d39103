"""The coordinator: starts the workers of a trial, passes the turn from one to the next, and collects what they say.

It sleeps in a blocking read while a worker measures, and exactly one worker runs at any time: before the next one is
spoken to, the threads of the last one are asleep. A worker that dies or hangs takes nothing with it: another trial is
measured in the place of its trial, with fresh workers for all arms, and the others go on. Nothing that was measured is
lost: whatever ends the measurement early, the turns so far are returned, and so are those that do not count.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import numpy.typing as npt

from mlbench.errors import RefusedError, WorkerError, WorkerGoneError
from mlbench.measurement.cpus import trial_cpus
from mlbench.measurement.gathered import Gathered
from mlbench.measurement.limits import Limits
from mlbench.measurement.process import (
    IMPORT_TIMEOUT_S,
    Launcher,
    WorkerHandle,
    WorkerProcess,
    arm_message,
    save_inputs,
)
from mlbench.probes import Probe
from mlbench.probes.readings import Readings
from mlbench.records import (
    Arm,
    Collation,
    Condition,
    ConditionKey,
    LostTrial,
    Measurement,
    Plan,
    Predictions,
    Refusal,
    Round,
    Turn,
    WorkerReport,
)

P = ParamSpec("P")

Settled = Callable[[int, Measurement], bool]
"""Asked at every look (from 1) but the last whether what was measured so far is enough."""

Reporter = Callable[[int, float], None]
"""Called between rounds with the number (from 0) of the plan's trial and the share of all rounds that is done."""

TrialOver = Callable[[int, Measurement], None]
"""Called between trials, with the number (from 0) of the one that is over and what was measured in it."""


@dataclass(slots=True)
class _Live:
    """One worker of the current trial, and what it has said so far."""

    arm: Arm
    handle: WorkerHandle
    said: dict[str, Any] = field(default_factory=dict)
    warmup_ns: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, dtype=np.int64))
    groups: dict[ConditionKey, int] = field(default_factory=dict)
    slowest_s: dict[ConditionKey, float] = field(default_factory=dict)
    peak_mib: dict[str, float] = field(default_factory=dict)
    gpu: dict[str, float] = field(default_factory=dict)

    def loss(self, trial: int, error: WorkerError) -> LostTrial:
        """That this worker gave no complete trial; where it is gone, with the signal and the most memory it had."""
        if not isinstance(error, WorkerGoneError):
            return LostTrial(self.arm.name, trial, str(error))
        said = max((*self.peak_mib.values(), self.said.get("load_peak_mib", 0.0)))
        peak, at_least = (said or None, "at least ") if error.peak_mib is None else (error.peak_mib, "")
        memory = "" if peak is None else f"; its peak memory was {at_least}{peak:.0f} MiB"
        return LostTrial(self.arm.name, trial, f"{error}{memory}", error.signal, peak)


class Coordinator:
    """Measures one plan.

    Args:
        plan: The order of work.
        arms: The arms of the plan.
        inputs: Input arrays of the test items, by input name (first axis: items); what the collation begins with, where
            it begins with something else.
        labels: True class indices of the same items.
        probes: Available probes, already started.
        limits: How long workers may take; one that takes longer is ended, and its trial is lost.
        launch: Starts a worker; a real process unless a test says otherwise.
        report: Told about progress, between rounds only.
        settled: Whether a look ends the measurement; asked only where the plan has looks.
        trial_over: Given every trial when its workers are gone.
        before: Trials of this plan that were measured earlier, as ``trial_over`` was given them.
        lost: Told of every loss when its trial is over, also where another trial takes its place.
        retry: Measure another trial in the place of one in which a worker died or hung; once for each arm.
        collation: What the workers do to the items of each batch.
    """

    def __init__(
        self,
        plan: Plan,
        arms: Sequence[Arm],
        inputs: Mapping[str, npt.NDArray[Any]],
        labels: npt.NDArray[np.int64],
        probes: Sequence[Probe] = (),
        limits: Limits | None = None,
        launch: Launcher = WorkerProcess,
        report: Reporter = lambda _trial, _share: None,
        settled: Settled = lambda _look, _measured: False,
        trial_over: TrialOver = lambda _trial, _part: None,
        before: Sequence[Measurement] = (),
        lost: Callable[[LostTrial], None] = lambda _loss: None,
        *,
        retry: bool = True,
        collation: Collation | None = None,
    ) -> None:
        self._plan = plan
        self._arms = {arm.name: arm for arm in arms}
        self._inputs = inputs
        self._labels = labels
        self._readings = Readings(probes)
        self._limits = limits or Limits()
        self._launch = launch
        self._report = report
        self._settled = settled
        self._trial_over = trial_over
        self._lost = lost
        self._retry = retry
        self._collation = collation or Collation()
        self._gathered = Gathered(before)
        self._live: dict[str, _Live] = {}
        self._rounds_done = 0

    def run(self, absent: Mapping[str, str] | None = None, energy_source: str = "absent") -> Measurement:
        """Measure every trial of the plan, or as much as there was until an interruption (``complete`` is False).

        Args:
            absent: Metrics that no probe can give here, with the reason, for the record.
            energy_source: Which counters the energy figures come from, for the record.

        Raises:
            MlbenchError: The inputs cannot be written for the workers.
        """
        complete = True
        with tempfile.TemporaryDirectory(prefix="mlbench-") as directory:
            save_inputs(Path(directory), self._inputs, self._collation)
            try:
                for place in range(self._plan.trials):
                    while not self._gathered.is_done(place):
                        self._trial(self._gathered.number(place), place, directory)
                    if self._gives_up() or self._ends(place + 1):
                        break
            except KeyboardInterrupt:
                complete = False
            finally:
                self._stop_all()
        measured = self._gathered.measured(self._plan)
        return replace(measured, energy_source=energy_source, absent=dict(absent or {}), complete=complete)

    def _gives_up(self) -> bool:
        """Measure no more where the baseline cannot be measured: there is nothing to compare the others with."""
        baseline = self._plan.baseline
        if baseline not in self._gathered.broken:
            return False
        self._gathered.abandon(self._plan, f"not measured, because {baseline} never got through a trial")
        return True

    def _ends(self, trials: int) -> bool:
        """Whether so many trials are all there will be, because a look that the plan has found them enough."""
        if trials not in self._plan.looks:
            return False
        look = self._plan.looks.index(trials) + 1
        ended = self._plan.ended_at(look)
        if look < len(self._plan.looks) and not self._settled(look, self._gathered.measured(ended)):
            return False
        self._plan = ended
        return True

    def _trial(self, trial: int, place: int, directory: str) -> None:
        """One trial, in the place of one of the plan: in its order, and on its CPUs."""
        self._rounds_done = sum(self._gathered.is_done(planned.trial) for planned in self._plan.schedule)
        for threads in self._plan.thread_counts:
            self._generation(trial, place, threads, directory)
        self._gathered.over(self._plan, trial, retry=self._retry)
        for loss in self._gathered.untold():
            self._lost(loss)
        self._trial_over(trial, self._gathered.part(self._plan, trial))

    def _generation(self, trial: int, place: int, threads: int | None, directory: str) -> None:
        """Fresh workers, and every condition of a trial that they serve: all of them, or those of one thread count."""
        conditions = [condition for condition in self._plan.conditions if condition.threads == threads]
        try:
            for name, arm in self._arms.items():
                if name not in self._gathered.broken:
                    serving = _with_threads(arm, threads)
                    self._live[name] = _Live(serving, self._launch(serving))
            self._import(trial)
            # from here on one worker at a time: loading is measured too
            for live in list(self._live.values()):
                self._guard(trial, live, self._load, place, live, conditions[0], directory)
            for condition in conditions:
                self._condition(trial, place, condition, first=condition is conditions[0])
            for live in list(self._live.values()):
                self._guard(trial, live, self._finish, trial, live, threads)
        finally:
            self._stop_all()

    def _condition(self, trial: int, place: int, condition: Condition, *, first: bool) -> None:
        for live in list(self._live.values()):
            self._guard(trial, live, self._warm_up, live, condition, first)
        for planned in self._plan.schedule:
            if planned.trial == place and planned.key == condition.key:
                self._round(replace(planned, trial=trial), place, condition)

    def _import(self, trial: int) -> None:
        """Let the runtimes be imported at the same time: this is not measured, and it is most of a trial's start."""
        for live in list(self._live.values()):
            self._guard(trial, live, self._ask_import, live)
        for live in list(self._live.values()):
            self._guard(trial, live, self._imported, live)

    def _ask_import(self, live: _Live) -> None:
        settings = arm_message(live.arm)["settings"]
        live.handle.post("import", format=live.arm.artifact.format, settings=settings)

    def _imported(self, live: _Live) -> None:
        live.said.update(live.handle.answer(IMPORT_TIMEOUT_S)[0])

    def _guard(self, trial: int, live: _Live, action: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do it; a worker that fails is ended, its trial marked lost, and the other arms go on."""
        try:
            action(*args, **kwargs)
        except WorkerError as error:
            self._gathered.lose(live.loss(trial, error), gone=isinstance(error, WorkerGoneError))
            live.handle.stop()
            del self._live[live.arm.name]

    def _load(self, place: int, live: _Live, condition: Condition, directory: str) -> None:
        cpus = trial_cpus(self._plan.cpus, place, live.arm.settings.threads)
        begins = self._collation.begins
        collation = {"trim": self._collation.trim, "begins": begins, "originals": len(self._inputs) if begins else 0}
        live.handle.post(
            "load", inputs=directory, cpus=cpus, **collation, **_call(condition.key), **arm_message(live.arm)
        )
        live.said.update(live.handle.answer(self._limits.unknown_s)[0])
        live.handle.settle()

    def _warm_up(self, live: _Live, condition: Condition, first: bool) -> None:  # noqa: FBT001 - called through _guard
        """The whole warm-up at a worker's first condition, a few calls at every further one.

        A further condition that the arm cannot serve is noted with the reason and left out; its others go on.
        """
        name, key = live.arm.name, condition.key
        if (name, key) in self._gathered.refused:
            return
        calls, seconds = (self._plan.warmup_calls, self._plan.warmup_seconds) if first else (condition.calls, 0.0)
        live.handle.post(
            "warm_up", calls=calls, seconds=seconds, min_value_ns=self._plan.min_value_ns, **_call(condition.key)
        )
        first_s = live.said["first_call_ms"] / 1e3
        limit, call_limit = seconds + self._limits.unsure(calls, first_s), self._limits.unsure(1, first_s)
        try:
            header, arrays = live.handle.answer(limit, call_limit)
        except RefusedError as error:
            if first:
                raise
            refusal = Refusal(name, key.batch_size, str(error), key.input_length, key.threads)
            self._gathered.refused[name, key] = refusal
            return
        live.handle.settle()
        live.groups[key] = header["group"]
        live.slowest_s[key] = _slowest_s(arrays["warmup_ns"])
        if first:
            live.warmup_ns = arrays["warmup_ns"]

    def _round(self, planned: Round, place: int, condition: Condition) -> None:
        for position, name in enumerate(planned.order):
            live = self._live.get(name)
            if live is not None and condition.key in live.groups:
                self._guard(planned.trial, live, self._turn, live, planned, position, condition)
        self._rounds_done += 1
        self._report(place, self._rounds_done / len(self._plan.schedule))

    def _turn(self, live: _Live, planned: Round, position: int, condition: Condition) -> None:
        key, group = condition.key, live.groups[condition.key]
        limit = self._limits.calls(condition.discard + condition.calls * group, live.slowest_s[key])
        self._readings.begin()
        own = time.process_time_ns()  # every thread of this process, whatever else runs in it
        live.handle.post("turn", discard=condition.discard, calls=condition.calls, group=group, **_call(key))
        header, arrays = live.handle.answer(limit, self._limits.call(live.slowest_s[key]))
        own = time.process_time_ns() - own
        hardware = {name: float(value) for name, value in header["hardware"].items()}
        hardware |= self._readings.end(live.handle.pid)
        settled = live.handle.settle()
        hardware |= {"coordinator_ms": own / 1e6, "settle_ms": settled.ms, "awake": float(not settled.asleep)}
        live.peak_mib[key.short] = hardware["peak_rss_mib"]
        for name in ("gpu_allocated_peak_mib", "gpu_call_ms"):
            if name in hardware:
                live.gpu[f"{name}@{key.short}"] = hardware[name]
        self._gathered.turns.append(
            Turn(
                trial=planned.trial,
                round=planned.round,
                position=position,
                arm=live.arm.name,
                batch_size=key.batch_size,
                start_ns=header["start_ns"],
                end_ns=header["end_ns"],
                cpu_ns=header["cpu_ns"],
                wall_ns=header["wall_ns"],
                discarded_ns=arrays["discarded_ns"],
                timed_ns=arrays["timed_ns"],
                group=group,
                hardware=hardware,
                input_length=key.input_length,
                threads=key.threads,
            )
        )

    def _finish(self, trial: int, live: _Live, threads: int | None) -> None:
        """After the last turn: predictions once per arm, then the worker's report."""
        name = live.arm.name
        if name not in self._gathered.predictions:
            self._gathered.predictions[name] = self._predict(live)
        live.handle.post("report")
        live.said.update(live.handle.answer(self._limits.unknown_s)[0])
        self._gathered.workers.append(
            WorkerReport(
                arm=name,
                trial=trial,
                pid=live.handle.pid,
                load_ms=live.said["load_ms"],
                compile_ms=live.said.get("compile_ms"),
                first_call_ms=live.said["first_call_ms"],
                import_rss_mib=live.said["import_rss_mib"],
                load_peak_mib=live.said["load_peak_mib"],
                load_rss_mib=live.said["load_rss_mib"],
                load_uss_mib=live.said["load_uss_mib"],
                peak_mib=dict(live.peak_mib),
                gpu=dict(live.gpu),
                warmup_ns=live.warmup_ns,
                cpus=tuple(live.said["cpus"]),
                effective={**live.said["effective"], **self._placement(live)},
                modules=tuple(live.said["modules"]),
                threads=threads,
            )
        )

    def _placement(self, live: _Live) -> dict[str, Any]:
        """Where the parts of the arm's model run, asked of its first worker. One that ends over it has lost nothing."""
        known = {worker.arm for worker in self._gathered.workers}
        if not live.said.get("placement") or live.arm.name in known:
            return {}
        try:
            live.handle.post("placement")
            found: dict[str, Any] = live.handle.answer(self._limits.unknown_s)[0]["effective"]
        except WorkerError as error:
            return {"nodes": f"unknown: {error}"}
        return found

    def _predict(self, live: _Live) -> Predictions:
        served = max(live.groups, key=lambda key: key.batch_size)
        live.handle.post("predict", batch_size=served.batch_size)
        calls, slowest_s = math.ceil(len(self._labels) / served.batch_size), live.slowest_s[served]
        # the items are as long as they are, which may be longer than in the turns; the last batch may be compiled for
        limit, call_limit = self._limits.unsure(calls, slowest_s), self._limits.unsure(1, slowest_s)
        outputs = live.handle.answer(limit, call_limit)[1]["outputs"]
        return Predictions(live.arm.name, outputs, self._labels)

    def _stop_all(self) -> None:
        for live in self._live.values():
            live.handle.stop()
        self._live.clear()


def _with_threads(arm: Arm, threads: int | None) -> Arm:
    return arm if threads is None else replace(arm, settings=replace(arm.settings, threads=threads))


def _slowest_s(warmup_ns: npt.NDArray[np.int64]) -> float:
    """Of the second half, where compiling and caches are behind it."""
    return float(warmup_ns[len(warmup_ns) // 2 :].max()) / 1e9


def _call(key: ConditionKey) -> dict[str, Any]:
    """What one call is given, for the wire."""
    return {"batch_size": key.batch_size, "input_length": key.input_length}
