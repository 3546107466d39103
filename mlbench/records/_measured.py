"""What was measured, as it came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.records._plan import OfCondition, Plan
from mlbench.records._types import Moment, Scalar


@dataclass(frozen=True, slots=True)
class Turn(OfCondition):
    """A few discarded and some timed calls of one arm, without interruption.

    Attributes:
        position: Place of this turn in its round, from 0.
        start_ns, end_ns: Monotonic clock of the machine (comparable between processes) around the whole turn.
        cpu_ns: CPU time of the worker process over the timed calls.
        wall_ns: Wall time over the timed calls, in the worker.
        discarded_ns: One entry per discarded call.
        timed_ns: One entry per timed call, ``calls * group`` long; consecutive ``group`` calls form one timed value.
        group: Calls per timed value.
        hardware: Figures for this turn by name (``rss_mib``, ``voluntary_switches``, ``involuntary_switches``,
            ``machine_busy_s``, ``machine_steal_s``, ``cpu_pressure_s``, ``cpu_mhz``, ``gpu_power_w``, ``energy_rapl_j``
            ...); absent where not readable.
            ``coordinator_ms`` is CPU time of the coordinator itself between passing the turn and having the answer,
            ``settle_ms`` is how long it took after the turn until all threads of the worker were seen asleep, and
            ``awake`` is 1 where they never were.
    """

    trial: int
    round: int
    position: int
    arm: str
    batch_size: int
    start_ns: int
    end_ns: int
    cpu_ns: int
    wall_ns: int
    discarded_ns: npt.NDArray[np.int64] = field(compare=False)
    timed_ns: npt.NDArray[np.int64] = field(compare=False)
    group: int = 1
    hardware: dict[str, float] = field(default_factory=dict)
    input_length: int | None = None
    threads: int | None = None

    def values_ns(self) -> npt.NDArray[np.float64]:
        """The timed values: mean nanoseconds per call of each group, shape (calls,)."""
        values: npt.NDArray[np.float64] = self.timed_ns.reshape(-1, self.group).mean(axis=1)
        return values


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What one worker process (one arm in one trial; with a sweep over threads, one for each number) said of itself.

    Attributes:
        load_ms: Loading the artifact into the runtime, after the runtime's own import.
        first_call_ms: The first call, at the worker's first condition.
        import_rss_mib: Resident memory after importing the runtime, before the artifact: the runtime's floor.
        load_peak_mib: Peak resident memory (the kernel's high-water mark) after loading.
        load_rss_mib, load_uss_mib: Resident memory after loading, and the part that no other process shares; None
            where they were not read.
        peak_mib: Peak resident memory after the turns of each condition, by :attr:`ConditionKey.short`.
        warmup_ns: Warm-up calls at the worker's first condition, in order; never analysed.
        effective: What is really in force: runtime version, threads, providers, precision, device.
        modules: Top-level modules that the worker had imported when its turns were over.
        cpus: CPUs that the kernel let the worker run on while it was measured.
        gpu: On a device: ``gpu_allocated_peak_mib`` and ``gpu_call_ms`` after the last turn of each condition, by name,
            ``@`` and :attr:`ConditionKey.short`.
        threads: The conditions' threads that it was started for; None where threads are not swept.
        compile_ms: Compiling for the worker's first condition, after loading and before the first call; None for
            runtimes that compile nothing in the worker.
    """

    arm: str
    trial: int
    pid: int
    load_ms: float
    first_call_ms: float
    import_rss_mib: float
    load_peak_mib: float
    peak_mib: dict[str, float]
    warmup_ns: npt.NDArray[np.int64] = field(compare=False)
    effective: dict[str, Scalar] = field(default_factory=dict)
    modules: tuple[str, ...] = ()
    gpu: dict[str, float] = field(default_factory=dict)
    cpus: tuple[int, ...] = ()
    threads: int | None = None
    compile_ms: float | None = None
    load_rss_mib: float | None = None
    load_uss_mib: float | None = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Raw model output of one arm for the whole test set, in test-set order.

    Attributes:
        outputs: First output of the model, shape (rows, classes) for classification.
        labels: True labels, of the kind that the task declares; class indices of shape (rows,) for classification.
        decided: What the task made of the outputs, of the labels' shape; None where it was not asked.
    """

    arm: str
    outputs: npt.NDArray[np.float64] = field(compare=False)
    labels: npt.NDArray[Any] = field(compare=False)
    decided: npt.NDArray[Any] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class LostTrial:
    """A trial of one arm that gave no complete data, and why.

    Attributes:
        signal: Name of the signal that ended the worker, where one did.
        peak_mib: The worker's peak resident memory in MiB as the kernel counted it, or else the last that the worker
            said of itself; None where neither is known.
        repeated_as: Number (from 0) of the trial that was measured in its place, with fresh workers for all arms; None
            where none was. Up to schema version 1 that trial had the same number, and the first attempt was not kept.
    """

    arm: str
    trial: int
    reason: str
    signal: str | None = None
    peak_mib: float | None = None
    repeated_as: int | None = None

    @property
    def repeated(self) -> bool:
        """Whether another trial was measured in its place."""
        return self.repeated_as is not None


@dataclass(frozen=True, slots=True)
class Refusal(OfCondition):
    """A condition that an arm could not serve, and why; the arm's other conditions are not affected."""

    arm: str
    batch_size: int
    reason: str
    input_length: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another program, by name alone, and how many CPUs all its processes used."""

    name: str
    cpus: float


@dataclass(frozen=True, slots=True)
class MachineLook:
    """The machine while nothing was measured, or over a whole trial.

    Attributes:
        moment: ``before`` the first trial and ``after`` the last one nothing of ours runs; ``during`` is one trial.
        trial: Which one, for ``during``.
        seconds: How long was looked.
        figures: ``busy_cpus``, ``steal_cpus``, shares of time in which tasks waited (``cpu_waiting``,
            ``memory_waiting``, ``io_waiting``), and the load average ``load_1m``; absent where not readable. The
            figures of a trial hold our own workers too.
        others: The busiest other programs.
    """

    moment: Moment
    trial: int | None
    seconds: float
    figures: dict[str, float] = field(default_factory=dict)
    others: tuple[Neighbour, ...] = ()


@dataclass(frozen=True, slots=True)
class Measurement:
    """Everything that was measured, as it came.

    Attributes:
        turns, workers: Of the trials that count, and of none else. A trial does not count for any arm where another was
            measured in its place, where it is beyond the look that ended the study, or where it took the place of
            one whose own record is damaged or missing; see :meth:`sorted_out`.
        void, void_workers: Of the trials that do not count: kept, and never analysed.
        epoch_ns: Wall-clock time (Unix) at the zero of the monotonic clock of all turns; 0 where it was not kept.
        boot: Which start of the machine that clock counts from (the kernel's boot id); empty where it was not kept.
    """

    plan: Plan
    turns: tuple[Turn, ...]
    workers: tuple[WorkerReport, ...]
    predictions: tuple[Predictions, ...]
    lost: tuple[LostTrial, ...] = ()
    machine: dict[str, float] = field(default_factory=dict)
    energy_source: str = "absent"
    absent: dict[str, str] = field(default_factory=dict)
    complete: bool = True
    machine_looks: tuple[MachineLook, ...] = ()
    epoch_ns: int = 0
    refused: tuple[Refusal, ...] = ()
    boot: str = ""
    void: tuple[Turn, ...] = ()
    void_workers: tuple[WorkerReport, ...] = ()

    @property
    def replaced(self) -> dict[int, int]:
        """Trials in whose place another one was measured, each with that one's number, which is always higher."""
        return {
            loss.trial: loss.repeated_as
            for loss in self.lost
            if loss.repeated_as is not None and loss.repeated_as > loss.trial
        }

    @property
    def attempts(self) -> dict[int, int]:
        """The plan's trials and those that were measured in their places, each with the number of the plan's trial."""
        found = {trial: trial for trial in range(self.plan.trials)}
        for trial, number in sorted(self.replaced.items()):
            if trial in found:
                found[number] = found[trial]
        return found

    @property
    def counted(self) -> dict[int, int]:
        """Those of :attr:`attempts` that count: for each trial of the plan itself, or the last in its place."""
        replaced = self.replaced
        return {trial: place for trial, place in self.attempts.items() if trial not in replaced}

    @property
    def numbers(self) -> set[int]:
        """Numbers of all trials of which there is anything."""
        of = (self.turns, self.workers, self.lost, self.void, self.void_workers)
        return {item.trial for items in of for item in items}

    def sorted_out(self) -> Measurement:
        """The same where only trials that count are in ``turns`` and ``workers``, and only the plan's are lost.

        A study that was resumed may hold more trials than the look that ended it wanted, and what took the place of a
        trial whose own record is damaged or missing.
        """
        counted, attempts = self.counted, self.attempts
        return replace(
            self,
            turns=tuple(turn for turn in self.turns if turn.trial in counted),
            workers=tuple(worker for worker in self.workers if worker.trial in counted),
            lost=tuple(loss for loss in self.lost if loss.trial in attempts),
            void=(*self.void, *(turn for turn in self.turns if turn.trial not in counted)),
            void_workers=(*self.void_workers, *(worker for worker in self.workers if worker.trial not in counted)),
        )

    def lost_by(self, arm: str) -> tuple[LostTrial, ...]:
        """Trials that this arm lacks; one in whose place another was measured is none of them."""
        return tuple(loss for loss in self.lost if loss.arm == arm and not loss.repeated)


def trials_in(plan: Plan, parts: Sequence[Measurement]) -> int:
    """How many trials of a plan are over, as far as these parts of its measurement tell: what counts, and nothing else.

    Args:
        plan: The order of work, which may have ended at a look.
        parts: Each what was measured in one trial, or in several.
    """
    lost = tuple(loss for part in parts for loss in part.lost)
    over = {number for part in parts for number in part.numbers}
    return len(over & Measurement(plan, (), (), (), lost).counted.keys())
