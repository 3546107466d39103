"""The coordinator: starts the workers of a trial, passes the turn from one to the next, and collects what they say.

It sleeps in a blocking read while a worker measures, and exactly one worker runs at any time: before the next one is
spoken to, the threads of the last one are asleep. Nothing that was measured is lost: whatever ends the measurement
early, the turns so far are returned.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ParamSpec

import numpy as np
import numpy.typing as npt

from mlbench.errors import RefusedError, WorkerError
from mlbench.measurement.cpus import trial_cpus
from mlbench.measurement.process import IMPORT_TIMEOUT_S, Launcher, WorkerHandle, WorkerProcess, arm_message
from mlbench.probes import Probe
from mlbench.probes.readings import Readings
from mlbench.records import (
    Arm,
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
"""Called between rounds with the trial's number (from 0) and the share of all rounds that is done."""

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
    peak_mib: dict[str, float] = field(default_factory=dict)
    gpu: dict[str, float] = field(default_factory=dict)


class Coordinator:
    """Measures one plan.

    Args:
        plan: The order of work.
        arms: The arms of the plan.
        inputs: Input arrays of the test items, by input name (first axis: items).
        labels: True class indices of the same items.
        probes: Available probes, already started.
        turn_timeout_s: A worker that gives no answer for so long is ended; its trial is lost.
        launch: Starts a worker; a real process unless a test says otherwise.
        report: Told about progress, between rounds only.
        settled: Whether a look ends the measurement; asked only where the plan has looks.
        trial_over: Given every trial when its workers are gone.
        before: Trials of this plan that were measured earlier, as ``trial_over`` was given them.
    """

    def __init__(
        self,
        plan: Plan,
        arms: Sequence[Arm],
        inputs: Mapping[str, npt.NDArray[Any]],
        labels: npt.NDArray[np.int64],
        probes: Sequence[Probe] = (),
        turn_timeout_s: float = 300.0,
        launch: Launcher = WorkerProcess,
        report: Reporter = lambda _trial, _share: None,
        settled: Settled = lambda _look, _measured: False,
        trial_over: TrialOver = lambda _trial, _part: None,
        before: Sequence[Measurement] = (),
    ) -> None:
        self._plan = plan
        self._arms = {arm.name: arm for arm in arms}
        self._inputs = inputs
        self._labels = labels
        self._readings = Readings(probes)
        self._timeout = turn_timeout_s
        self._launch = launch
        self._report = report
        self._settled = settled
        self._trial_over = trial_over
        self._turns: list[Turn] = []
        self._workers: list[WorkerReport] = []
        self._predictions: dict[str, Predictions] = {}
        self._lost: list[LostTrial] = []
        self._refused: dict[tuple[str, ConditionKey], Refusal] = {}
        self._live: dict[str, _Live] = {}
        self._broken: set[str] = set()
        self._rounds_done = 0
        self._told = 0  # predictions that were handed over with a finished trial
        self._done: set[int] = set()
        for part in before:
            self._take(part)

    def run(self, absent: Mapping[str, str] | None = None, energy_source: str = "absent") -> Measurement:
        """Measure every trial of the plan, or as much as there was until an interruption (``complete`` is False).

        Args:
            absent: Metrics that no probe can give here, with the reason, for the record.
            energy_source: Which counters the energy figures come from, for the record.
        """
        complete = True
        with tempfile.TemporaryDirectory(prefix="mlbench-") as directory:
            for index, array in enumerate(self._inputs.values()):
                np.save(Path(directory) / f"{index}.npy", array)
            try:
                for trial in range(self._plan.trials):
                    if trial not in self._done:
                        for threads in self._plan.thread_counts:
                            self._generation(trial, threads, directory)
                        self._trial_over(trial, self._part(trial))
                    if self._ends(trial + 1):
                        break
            except KeyboardInterrupt:
                complete = False
            finally:
                self._stop_all()
        return replace(
            self._measured(self._plan), energy_source=energy_source, absent=dict(absent or {}), complete=complete
        )

    def _measured(self, plan: Plan) -> Measurement:
        """The trials of a plan that may have ended at a look: a study that was resumed may hold more than that."""
        last = plan.trials
        return Measurement(
            plan=plan,
            turns=tuple(sorted((turn for turn in self._turns if turn.trial < last), key=lambda turn: turn.trial)),
            workers=tuple(sorted((item for item in self._workers if item.trial < last), key=lambda item: item.trial)),
            predictions=tuple(self._predictions.values()),
            lost=tuple(loss for loss in self._lost if loss.trial < last),
            refused=tuple(self._refused.values()),
        )

    def _ends(self, trials: int) -> bool:
        """Whether so many trials are all there will be, because a look that the plan has found them enough."""
        if trials not in self._plan.looks:
            return False
        look = self._plan.looks.index(trials) + 1
        ended = self._plan.ended_at(look)
        if look < len(self._plan.looks) and not self._settled(look, self._measured(ended)):
            return False
        self._plan = ended
        return True

    def _generation(self, trial: int, threads: int | None, directory: str) -> None:
        """Fresh workers, and every condition of a trial that they serve: all of them, or those of one thread count."""
        conditions = [condition for condition in self._plan.conditions if condition.threads == threads]
        try:
            for name, arm in self._arms.items():
                if name not in self._broken:
                    serving = _with_threads(arm, threads)
                    self._live[name] = _Live(serving, self._launch(serving))
            self._import(trial)
            # from here on one worker at a time: loading is measured too
            for live in list(self._live.values()):
                self._guard(trial, live, self._load, trial, live, conditions[0], directory)
            for condition in conditions:
                self._condition(trial, condition, first=condition is conditions[0])
            for live in list(self._live.values()):
                self._guard(trial, live, self._finish, trial, live, threads)
        finally:
            self._stop_all()

    def _condition(self, trial: int, condition: Condition, *, first: bool) -> None:
        for live in list(self._live.values()):
            self._guard(trial, live, self._warm_up, live, condition, first)
        for planned in self._plan.schedule:
            if planned.trial == trial and planned.key == condition.key:
                self._round(planned, condition)

    def _take(self, part: Measurement) -> None:
        """Go on from a trial that was measured earlier."""
        self._done |= {turn.trial for turn in part.turns} | {loss.trial for loss in part.lost}
        self._turns += part.turns
        self._workers += part.workers
        self._lost += part.lost
        for item in part.predictions:
            self._predictions.setdefault(item.arm, item)
        self._refused |= {(refusal.arm, refusal.key): refusal for refusal in part.refused}
        self._told = len(self._predictions)
        self._broken = {loss.arm for loss in self._lost} - {worker.arm for worker in self._workers}
        self._rounds_done = sum(planned.trial in self._done for planned in self._plan.schedule)

    def _part(self, trial: int) -> Measurement:
        """What was measured in the trial that is just over."""
        told, self._told = self._told, len(self._predictions)
        return Measurement(
            plan=self._plan,
            turns=tuple(turn for turn in self._turns if turn.trial == trial),
            workers=tuple(worker for worker in self._workers if worker.trial == trial),
            predictions=tuple(self._predictions.values())[told:],
            lost=tuple(loss for loss in self._lost if loss.trial == trial),
            refused=tuple(self._refused.values()),
        )

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
            name = live.arm.name
            self._lost.append(LostTrial(name, trial, str(error)))
            live.handle.stop()
            del self._live[name]
            if not any(worker.arm == name for worker in self._workers):
                self._broken.add(name)  # it never got through a whole trial: the next one would only fail again

    def _load(self, trial: int, live: _Live, condition: Condition, directory: str) -> None:
        cpus = trial_cpus(self._plan.cpus, trial, live.arm.settings.threads)
        live.handle.post("load", inputs=directory, cpus=cpus, **_call(condition.key), **arm_message(live.arm))
        live.said.update(live.handle.answer(self._timeout)[0])
        live.handle.settle()

    def _warm_up(self, live: _Live, condition: Condition, first: bool) -> None:  # noqa: FBT001 - called through _guard
        """The whole warm-up at a worker's first condition, a few calls at every further one.

        A further condition that the arm cannot serve is noted with the reason and left out; its others go on.
        """
        if (live.arm.name, condition.key) in self._refused:
            return
        live.handle.post(
            "warm_up",
            calls=self._plan.warmup_calls if first else condition.calls,
            seconds=self._plan.warmup_seconds if first else 0.0,
            min_value_ns=self._plan.min_value_ns,
            **_call(condition.key),
        )
        try:
            header, arrays = live.handle.answer(self._timeout + self._plan.warmup_seconds)
        except RefusedError as error:
            if first:
                raise
            name, key = live.arm.name, condition.key
            self._refused[name, key] = Refusal(name, key.batch_size, str(error), key.input_length, key.threads)
            return
        live.handle.settle()
        live.groups[condition.key] = header["group"]
        if first:
            live.warmup_ns = arrays["warmup_ns"]

    def _round(self, planned: Round, condition: Condition) -> None:
        for position, name in enumerate(planned.order):
            live = self._live.get(name)
            if live is not None and condition.key in live.groups:
                self._guard(planned.trial, live, self._turn, live, planned, position, condition)
        self._rounds_done += 1
        self._report(planned.trial, self._rounds_done / len(self._plan.schedule))

    def _turn(self, live: _Live, planned: Round, position: int, condition: Condition) -> None:
        key, group = condition.key, live.groups[condition.key]
        self._readings.begin()
        own = time.process_time_ns()  # every thread of this process, whatever else runs in it
        live.handle.post("turn", discard=condition.discard, calls=condition.calls, group=group, **_call(key))
        header, arrays = live.handle.answer(self._timeout)
        own = time.process_time_ns() - own
        hardware = {name: float(value) for name, value in header["hardware"].items()}
        hardware |= self._readings.end(live.handle.pid)
        settled = live.handle.settle()
        hardware |= {"coordinator_ms": own / 1e6, "settle_ms": settled.ms, "awake": float(not settled.asleep)}
        live.peak_mib[key.short] = hardware["peak_rss_mib"]
        for name in ("gpu_allocated_peak_mib", "gpu_call_ms"):
            if name in hardware:
                live.gpu[f"{name}@{key.short}"] = hardware[name]
        self._turns.append(
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
        if name not in self._predictions:
            served = max(key.batch_size for key in live.groups)
            live.handle.post("predict", batch_size=served)
            outputs = live.handle.answer(self._timeout)[1]["outputs"]
            self._predictions[name] = Predictions(name, outputs, self._labels)
        live.handle.post("report")
        live.said.update(live.handle.answer(self._timeout)[0])
        self._workers.append(
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
                effective=live.said["effective"],
                modules=tuple(live.said["modules"]),
                threads=threads,
            )
        )

    def _stop_all(self) -> None:
        for live in self._live.values():
            live.handle.stop()
        self._live.clear()


def _with_threads(arm: Arm, threads: int | None) -> Arm:
    return arm if threads is None else replace(arm, settings=replace(arm.settings, threads=threads))


def _call(key: ConditionKey) -> dict[str, Any]:
    """What one call is given, for the wire."""
    return {"batch_size": key.batch_size, "input_length": key.input_length}
