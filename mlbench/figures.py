"""The turns and worker reports of one study, arranged by arm, condition and trial."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from mlbench import statistics
from mlbench.records import Measurement, Turn, WorkerReport

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
    """The turns and worker reports of one study, arranged by arm; only whole trials take part."""

    def __init__(self, measurement: Measurement) -> None:
        self.plan = measurement.plan
        self._workers: dict[str, dict[int, WorkerReport]] = defaultdict(dict)
        for worker in measurement.workers:
            self._workers[worker.arm][worker.trial] = worker
        self._turns: dict[tuple[str, int], dict[int, list[Turn]]] = defaultdict(lambda: defaultdict(list))
        for turn in measurement.turns:
            if turn.trial in self._workers[turn.arm]:
                self._turns[turn.arm, turn.batch_size][turn.trial].append(turn)

    def trials(self, arm: str, *others: str) -> list[int]:
        """Trials that these arms have all completed."""
        shared = set(self._workers[arm])
        for other in others:
            shared &= set(self._workers[other])
        return sorted(shared)

    def worker(self, arm: str, trial: int) -> WorkerReport:
        """What that worker said of itself."""
        return self._workers[arm][trial]

    def turns(self, arm: str, batch_size: int, trial: int) -> list[Turn]:
        """The turns of one arm in one trial, in order of rounds."""
        return self._turns[arm, batch_size][trial]

    def by_trial(self, arm: str, batch_size: int) -> list[list[Turn]]:
        """The turns of one arm in each of its trials."""
        return [self.turns(arm, batch_size, trial) for trial in self.trials(arm)]

    def matrix(self, arm: str, batch_size: int, trials: Sequence[int], figure: Figure) -> Floats:
        """One figure per turn, shape (trials, rounds)."""
        return np.array([[figure(turn) for turn in self.turns(arm, batch_size, trial)] for trial in trials])

    def per_trial(self, arm: str, batch_size: int, figure: Figure) -> Floats:
        """The median over rounds of one figure, shape (trials,)."""
        return np.median(self.matrix(arm, batch_size, self.trials(arm), figure), axis=1)

    def calls(self, arm: str, batch_size: int) -> Floats:
        """Every timed call in ms, over all trials."""
        turns = [turn for trial in self.trials(arm) for turn in self.turns(arm, batch_size, trial)]
        return np.concatenate([turn.timed_ns for turn in turns]) / 1e6

    def reports(self, arm: str, figure: Callable[[WorkerReport], float]) -> Floats:
        """One figure per worker, shape (trials,)."""
        return np.array([figure(self.worker(arm, trial)) for trial in self.trials(arm)])

    def tails(self, arm: str, level: float, trials: Sequence[int]) -> Floats | None:
        """A percentile of each trial's calls in ns, shape (trials,); None where a trial alone does not support it."""
        values = []
        for trial in trials:
            calls = np.concatenate([turn.timed_ns for turn in self.turns(arm, self.plan.headline, trial)])
            if not statistics.supported(len(calls), level):
                return None
            values.append(np.quantile(calls, level))
        return np.array(values)

    def ratios(self, arm: str, other: str, batch_size: int, figure: Figure) -> Floats:
        """log(arm / other) of one figure, one value per trial that both have completed, shape (trials,)."""
        trials = self.trials(arm, other)
        return statistics.paired_log_ratios(
            self.matrix(other, batch_size, trials, figure), self.matrix(arm, batch_size, trials, figure)
        )
