"""How it is measured: conditions, rounds, and the plan."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from mlbench.records._types import MOST_LOOKS, SCHEMA_VERSION, SweepAxis


class ConditionKey(NamedTuple):
    """Which condition: what one call is given, and with how many threads it is served.

    Attributes:
        batch_size: Items per call.
        input_length: Length of the sequence inputs; None leaves every item as the data has it.
        threads: Threads of every arm; None leaves each arm its own setting.
    """

    batch_size: int
    input_length: int | None = None
    threads: int | None = None

    @property
    def text(self) -> str:
        """In a few words: ``batch size 8, input length 64, 2 threads``."""
        parts = [f"batch size {self.batch_size}"]
        if self.input_length is not None:
            parts.append(f"input length {self.input_length}")
        if self.threads is not None:
            parts.append(f"{self.threads} thread{'s' if self.threads > 1 else ''}")
        return ", ".join(parts)

    @property
    def short(self) -> str:
        """The key of JSON mappings: ``8``, ``8;length=64``, ``8;length=64;threads=2``."""
        length = "" if self.input_length is None else f";length={self.input_length}"
        return f"{self.batch_size}{length}" + ("" if self.threads is None else f";threads={self.threads}")


class OfCondition:
    """What a record has that belongs to one condition, or describes it: the key, made of its own fields."""

    __slots__ = ()

    batch_size: int
    input_length: int | None
    threads: int | None

    @property
    def key(self) -> ConditionKey:
        """The condition."""
        return ConditionKey(self.batch_size, self.input_length, self.threads)


@dataclass(frozen=True, slots=True)
class Round(OfCondition):
    """One round: every arm takes one turn, in this order."""

    trial: int
    batch_size: int
    round: int
    order: tuple[str, ...]
    input_length: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Condition(OfCondition):
    """One point of a sweep, and how much it is measured in each trial.

    Attributes:
        batch_size: Items per call.
        rounds: Rounds per trial.
        discard: Calls at the start of each turn that are recorded but never analysed.
        calls: Timed values per turn. A timed value is the mean of ``group`` calls where one call is too short.
        input_length, threads: As in :class:`ConditionKey`.
    """

    batch_size: int
    rounds: int
    discard: int
    calls: int
    input_length: int | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """The whole order of work, fixed from a seed before the first call.

    Attributes:
        conditions: In the order in which they are measured; the first is the headline for latency, the one with the
            largest batch size for throughput.
        trials: Generations of fresh worker processes; the unit of analysis. The most there may be, and after a look
            has ended the measurement the number there were.
        warmup_calls, warmup_seconds: Warm-up of a fresh worker: at least both.
        min_value_ns: A timed value lasts at least this long; shorter calls are grouped.
        schedule: Every round, in order.
        cpus: CPUs that the trials take in turn; empty leaves the workers to the scheduler.
        looks: Numbers of trials after which the verdicts are looked at; empty where that is once, at the end.
        look: Which of the looks ended the measurement, from 1; 0 where none has.
    """

    seed: int
    arms: tuple[str, ...]
    baseline: str
    conditions: tuple[Condition, ...]
    trials: int
    warmup_calls: int
    warmup_seconds: float
    min_value_ns: int
    schedule: tuple[Round, ...]
    cpus: tuple[int, ...] = ()
    looks: tuple[int, ...] = ()
    look: int = 0
    schema: int = SCHEMA_VERSION

    @property
    def most_trials(self) -> int:
        """The most trials there may be, whatever look ends it; what takes the place of one is numbered from here."""
        return max((self.trials, *self.looks))

    def look_alpha(self, alpha: float) -> float:
        """Error rate of each look: all of ``alpha``, or a third of it where there are several (docs/method.md)."""
        return alpha / MOST_LOOKS if self.looks else alpha

    def ended_at(self, look: int) -> Plan:
        """The same plan, of which no more was measured than up to this look (from 1); the schedule stays whole."""
        return replace(self, trials=self.looks[look - 1], look=look)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Batch sizes in the order in which they are measured, each once."""
        return tuple(dict.fromkeys(condition.batch_size for condition in self.conditions))

    @property
    def latency_at(self) -> ConditionKey:
        """The condition of the latency figures: the first, the headline."""
        return self.conditions[0].key

    @property
    def throughput_at(self) -> ConditionKey:
        """The condition of the throughput figure: the largest batch size, everything else as in the headline."""
        return self.latency_at._replace(batch_size=self.largest)

    @property
    def headline(self) -> int:
        """The batch size of the latency figures: the first."""
        return self.conditions[0].batch_size

    @property
    def largest(self) -> int:
        """The batch size of the throughput figure: the largest."""
        return max(self.batch_sizes)

    @property
    def thread_counts(self) -> tuple[int | None, ...]:
        """Generations of workers in each trial: None is each arm's own number of threads."""
        return tuple(dict.fromkeys(condition.threads for condition in self.conditions))

    def first_of(self, threads: int | None) -> ConditionKey:
        """The condition that a generation of workers is loaded and warmed up with."""
        return next(condition.key for condition in self.conditions if condition.threads == threads)

    def sweep(self, axis: SweepAxis) -> tuple[ConditionKey, ...]:
        """The conditions that differ from the headline in this axis only, in ascending order, the headline included.

        Empty where the axis is not swept.
        """
        first = self.latency_at
        found = [item.key for item in self.conditions if item.key == first._replace(**{axis: getattr(item.key, axis)})]
        if len(found) < 2 and axis != "batch_size":
            return ()
        return tuple(sorted(found, key=lambda key: int(getattr(key, axis) or 0)))
