"""What a coordinator has gathered so far: turns, reports, predictions, and what was lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

from mlbench.records import ConditionKey, LostTrial, Measurement, Plan, Predictions, Refusal, Turn, WorkerReport


class Gathered:
    """Grows while a plan is measured.

    Args:
        before: Trials that were measured earlier, as :meth:`part` gave them.
    """

    def __init__(self, before: Sequence[Measurement] = ()) -> None:
        self.turns: list[Turn] = []
        self.workers: list[WorkerReport] = []
        self._void: list[Turn] = []
        self._void_workers: list[WorkerReport] = []
        self._replaced: dict[int, int] = {}
        self.predictions: dict[str, Predictions] = {}
        self.refused: dict[tuple[str, ConditionKey], Refusal] = {}
        self._lost: list[LostTrial] = []
        self._gone: set[str] = set()  # arms whose worker died or hung in the trial under way
        self._given: set[str] = set()  # arms that had their second chance
        self._handed_over = 0  # predictions that were given away with a finished trial
        self._told = 0
        self.done: set[int] = set()
        for part in before:
            self._take(part)
        self._told = len(self._lost)

    def _take(self, part: Measurement) -> None:
        self.done |= part.numbers
        self.turns += part.turns
        self.workers += part.workers
        self._void += part.void
        self._void_workers += part.void_workers
        self._replaced |= part.replaced
        self._lost += part.lost
        for item in part.predictions:
            self.predictions.setdefault(item.arm, item)
        self.refused |= {(refusal.arm, refusal.key): refusal for refusal in part.refused}
        self._handed_over = len(self.predictions)
        self._given |= {loss.arm for loss in part.lost if loss.repeated}

    def number(self, place: int) -> int:
        """The trial that counts in the place of one of the plan: itself, or the last that took its place."""
        while place in self._replaced:
            place = self._replaced[place]
        return place

    def is_done(self, place: int) -> bool:
        """Whether nothing is left to measure in the place of a trial of the plan."""
        return self.number(place) in self.done

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
        left = [trial for trial in range(plan.trials) if not self.is_done(trial)]
        worked = [arm for arm in plan.arms if arm not in self.broken]
        self._lost += [LostTrial(arm, trial, reason) for arm in worked for trial in left]

    def over(self, plan: Plan, trial: int, *, retry: bool) -> None:
        """A trial is over. Where a worker died or hung in it, another one takes its place, once for each arm.

        All arms are measured again then, because a trial is one generation of workers, whose turns are compared with
        those of the same rounds. What they gave in this one is kept and does not count.

        Args:
            plan: The order of work; a further trial has the first number that is free after all of its trials.
            trial: Its number.
            retry: Whether any trial may take its place.
        """
        self.done.add(trial)
        first, self._gone = self._gone - self._given, set()
        if not first or not retry:
            return
        self._given |= first
        hopeless = self.broken - first
        taken = self.done | set(self._replaced.values())
        another = next(number for number in count(plan.most_trials) if number not in taken)
        self._replaced[trial] = another
        self._lost = [
            replace(loss, repeated_as=another) if loss.trial == trial and loss.arm not in hopeless else loss
            for loss in self._lost
        ]
        self._void += [turn for turn in self.turns if turn.trial == trial]
        self._void_workers += [worker for worker in self.workers if worker.trial == trial]
        self.turns = [turn for turn in self.turns if turn.trial != trial]
        self.workers = [worker for worker in self.workers if worker.trial != trial]

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
            void=tuple(turn for turn in self._void if turn.trial == trial),
            void_workers=tuple(worker for worker in self._void_workers if worker.trial == trial),
        )

    def measured(self, plan: Plan) -> Measurement:
        """The trials of a plan that may have ended at a look, and those that took their places."""
        return Measurement(
            plan=plan,
            turns=tuple(sorted(self.turns, key=lambda turn: turn.trial)),
            workers=tuple(sorted(self.workers, key=lambda worker: worker.trial)),
            predictions=tuple(self.predictions.values()),
            lost=tuple(self._lost),
            refused=tuple(self.refused.values()),
            void=tuple(self._void),
            void_workers=tuple(self._void_workers),
        ).sorted_out()
