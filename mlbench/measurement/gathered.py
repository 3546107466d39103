"""What a coordinator has gathered so far: turns, reports, predictions, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlbench.records import ConditionKey, LostTrial, Measurement, Plan, Predictions, Refusal, Turn, WorkerReport


class Gathered:
    """Grows while a plan is measured.

    Args:
        before: Trials that were measured earlier, as :meth:`part` gave them.
    """

    def __init__(self, before: Sequence[Measurement] = ()) -> None:
        self.turns: list[Turn] = []
        self.workers: list[WorkerReport] = []
        self.predictions: dict[str, Predictions] = {}
        self.refused: dict[tuple[str, ConditionKey], Refusal] = {}
        self._lost: list[LostTrial] = []
        self._gone: set[str] = set()  # arms whose worker died or hung in the trial under way
        self._given: set[str] = set()  # arms for which a trial was measured once more
        self._handed_over = 0  # predictions that were given away with a finished trial
        self._told = 0
        self.done: set[int] = set()
        for part in before:
            self._take(part)
        self._told = len(self._lost)

    def _take(self, part: Measurement) -> None:
        self.done |= {turn.trial for turn in part.turns} | {loss.trial for loss in part.lost}
        self.turns += part.turns
        self.workers += part.workers
        self._lost += part.lost
        for item in part.predictions:
            self.predictions.setdefault(item.arm, item)
        self.refused |= {(refusal.arm, refusal.key): refusal for refusal in part.refused}
        self._handed_over = len(self.predictions)
        self._given |= {loss.arm for loss in part.lost if loss.repeated}

    @property
    def broken(self) -> set[str]:
        """Arms that never got through a whole trial: the next one would only fail again."""
        return {loss.arm for loss in self._lost if not loss.repeated} - {worker.arm for worker in self.workers}

    def lose(self, loss: LostTrial, *, gone: bool) -> None:
        """An arm has lost a trial; ``gone`` where its worker died or hung, and did not merely refuse."""
        self._lost.append(loss)
        if gone:
            self._gone.add(loss.arm)

    def abandon(self, plan: Plan, reason: str) -> None:
        """Nothing more of the plan is measured: every arm that worked so far loses the trials that are left."""
        left = [trial for trial in range(plan.trials) if trial not in self.done]
        worked = [arm for arm in plan.arms if arm not in self.broken]
        self._lost += [LostTrial(arm, trial, reason) for arm in worked for trial in left]

    def starts_over(self, trial: int) -> bool:
        """Whether to measure the trial that is just over once more, and if so forget what it gave.

        That is where a worker died or hung, once for each arm. All arms are measured again, because a trial is one
        generation of workers, whose turns are compared with those of the same rounds.
        """
        first, self._gone = self._gone - self._given, set()
        if not first:
            return False
        self._given |= first
        hopeless = self.broken - first
        self._lost = [
            replace(loss, repeated=True) if loss.trial == trial and loss.arm not in hopeless else loss
            for loss in self._lost
        ]
        self.turns = [turn for turn in self.turns if turn.trial != trial]
        self.workers = [worker for worker in self.workers if worker.trial != trial]
        return True

    def untold(self) -> list[LostTrial]:
        """What was lost since this was last asked."""
        told, self._told = self._told, len(self._lost)
        return self._lost[told:]

    def part(self, plan: Plan, trial: int) -> Measurement:
        """What was measured in the trial that is just over."""
        given, self._handed_over = self._handed_over, len(self.predictions)
        return Measurement(
            plan=plan,
            turns=tuple(turn for turn in self.turns if turn.trial == trial),
            workers=tuple(worker for worker in self.workers if worker.trial == trial),
            predictions=tuple(self.predictions.values())[given:],
            lost=tuple(loss for loss in self._lost if loss.trial == trial),
            refused=tuple(self.refused.values()),
        )

    def measured(self, plan: Plan) -> Measurement:
        """The trials of a plan that may have ended at a look: a study that was resumed may hold more than that."""
        last = plan.trials
        return Measurement(
            plan=plan,
            turns=tuple(sorted((turn for turn in self.turns if turn.trial < last), key=lambda turn: turn.trial)),
            workers=tuple(sorted((item for item in self.workers if item.trial < last), key=lambda item: item.trial)),
            predictions=tuple(self.predictions.values()),
            lost=tuple(loss for loss in self._lost if loss.trial < last),
            refused=tuple(self.refused.values()),
        )
