"""The turns and worker reports of one study, arranged by arm, condition and trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mlbench import statistics
from mlbench.records import ConditionKey, Measurement, Turn, WorkerReport

Floats = npt.NDArray[np.float64]
Figure = Callable[[Turn], float]


def turn_p50(turn: Turn) -> float:
    """The median of the turn's timed values, nanoseconds per call."""
    return float(np.median(turn.values_ns()))


def turn_mean(turn: Turn) -> float:
    """The mean of the turn's calls, nanoseconds."""
    return float(turn.timed_ns.mean())


def turn_cpu(turn: Turn) -> float:
    """CPU time per call, kept off zero: the logarithm is taken."""
    return max(turn.cpu_ns / len(turn.timed_ns), 1.0)


class Figures:
    """The turns and worker reports of one study; only whole trials take part.

    A trial of an arm is whole when each of its workers came to its end: one, or one for each number of threads where
    threads are swept.
    """

    def __init__(self, measurement: Measurement) -> None:
        self.plan = measurement.plan
        self._refused = {(refusal.arm, refusal.key): refusal.reason for refusal in measurement.refused}
        generations = set(measurement.plan.thread_counts)
        self._workers: dict[str, dict[int, dict[int | None, WorkerReport]]] = defaultdict(lambda: defaultdict(dict))
        for worker in measurement.workers:
            self._workers[worker.arm][worker.trial][worker.threads] = worker
        self._whole = {
            arm: sorted(trial for trial, reports in trials.items() if generations <= set(reports))
            for arm, trials in self._workers.items()
        }
        self._turns: dict[tuple[str, ConditionKey], dict[int, list[Turn]]] = defaultdict(lambda: defaultdict(list))
        for turn in measurement.turns:
            if turn.trial in self._whole.get(turn.arm, ()):
                self._turns[turn.arm, turn.key][turn.trial].append(turn)

    def trials(self, arm: str, *others: str) -> list[int]:
        """Trials that these arms have all completed."""
        shared = set(self._whole.get(arm, ()))
        for other in others:
            shared &= set(self._whole.get(other, ()))
        return sorted(shared)

    def refused(self, arm: str, at: ConditionKey) -> str | None:
        """Why the arm could not serve a condition; None where it could."""
        return self._refused.get((arm, at))

    def both_serve(self, arm: str, other: str, at: ConditionKey) -> bool:
        """Whether a condition was measured with both arms."""
        return self.refused(arm, at) is None and self.refused(other, at) is None

    def worker(self, arm: str, trial: int) -> WorkerReport:
        """What the worker of the headline condition said of itself."""
        return self._workers[arm][trial][self.plan.latency_at.threads]

    def peaks(self, arm: str, trials: Sequence[int], at: ConditionKey | None = None) -> Floats:
        """Peak resident memory after the turns of a condition, shape (trials,), MiB.

        Without a condition it is that of the headline's worker over everything that it served.
        """
        if at is None:
            return np.array([max(self.worker(arm, trial).peak_mib.values()) for trial in trials])
        return np.array([self._workers[arm][trial][at.threads].peak_mib[at.short] for trial in trials])

    def turns(self, arm: str, at: ConditionKey, trial: int) -> list[Turn]:
        """The turns of one arm in one trial, in order of rounds."""
        return self._turns[arm, at][trial]

    def by_trial(self, arm: str, at: ConditionKey) -> list[list[Turn]]:
        """The turns of one arm in each of its trials."""
        return [self.turns(arm, at, trial) for trial in self.trials(arm)]

    def matrix(self, arm: str, at: ConditionKey, trials: Sequence[int], figure: Figure) -> Floats:
        """One figure per turn, shape (trials, rounds)."""
        return np.array([[figure(turn) for turn in self.turns(arm, at, trial)] for trial in trials])

    def per_trial(self, arm: str, at: ConditionKey, figure: Figure) -> Floats:
        """The median over rounds of one figure, shape (trials,)."""
        return np.median(self.matrix(arm, at, self.trials(arm), figure), axis=1)

    def calls(self, arm: str, at: ConditionKey) -> Floats:
        """Every timed call in ms, over all trials."""
        turns = [turn for trial in self.trials(arm) for turn in self.turns(arm, at, trial)]
        return np.concatenate([turn.timed_ns for turn in turns]) / 1e6

    def reports(self, arm: str, figure: Callable[[WorkerReport], float]) -> Floats:
        """One figure per worker of the headline condition, shape (trials,)."""
        return np.array([figure(self.worker(arm, trial)) for trial in self.trials(arm)])

    def tails(self, arm: str, level: float, trials: Sequence[int]) -> Floats | None:
        """A percentile of each trial's calls in ns, shape (trials,); None where a trial alone does not support it."""
        values = []
        for trial in trials:
            calls = np.concatenate([turn.timed_ns for turn in self.turns(arm, self.plan.latency_at, trial)])
            if not statistics.supported(len(calls), level):
                return None
            values.append(np.quantile(calls, level))
        return np.array(values)

    def ratios(self, arm: str, other: str, at: ConditionKey, figure: Figure) -> Floats:
        """log(arm / other) of one figure, one value per trial that both have completed, shape (trials,)."""
        trials = self.trials(arm, other)
        return statistics.paired_log_ratios(
            self.matrix(other, at, trials, figure), self.matrix(arm, at, trials, figure)
        )

    def round_ratios(self, arm: str, other: str, at: ConditionKey, figure: Figure) -> Floats:
        """log(arm / other) of one figure by round, shape (trials, rounds)."""
        trials = self.trials(arm, other)
        ratios: Floats = np.log(self.matrix(arm, at, trials, figure)) - np.log(self.matrix(other, at, trials, figure))
        return ratios
