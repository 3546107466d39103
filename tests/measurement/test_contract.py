"""The order of work is a contract: real workers on one fake clock, and every call that a model answers."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from fakes import FakeClock, make_arm

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.plan import make_plan
from mlbench.measurement.settling import Settled
from mlbench.measurement.worker import Worker
from mlbench.records import Arm

ARMS = [make_arm("baseline", "baseline"), make_arm("a"), make_arm("b")]
PLAN = make_plan(
    [arm.name for arm in ARMS],
    "baseline",
    ScenarioConfig(batch_sizes=(1, 3)),
    ProtocolConfig(trials=3, rounds=4, sweep_rounds=2, calls=3, sweep_calls=2, discard=2, sweep_discard=1),
    seed=11,
)
GROUP = 4  # a call takes 0.25 ms, and a timed value lasts at least 1 ms
CALL_NS = 250_000


class LoggingSession:
    """A model that notes every call: which arm in which trial answered for how many items, and when."""

    def __init__(self, arm: str, trial: int, clock: FakeClock, log: list[tuple[str, int, int, int]]) -> None:
        self.arm, self.trial, self.clock, self.log = arm, trial, clock, log

    def prepare(self, batch: dict[str, np.ndarray]) -> np.ndarray:
        return batch["x"]

    def run(self, prepared: np.ndarray) -> np.ndarray:
        self.log.append((self.arm, self.trial, len(prepared), self.clock.time))
        self.clock.advance(CALL_NS)
        return prepared

    def outputs(self, result: np.ndarray) -> tuple[np.ndarray, ...]:
        return (np.repeat(result[:, :1], 3, axis=1),)

    def effective(self) -> dict[str, Any]:
        return {}


class LoggingRuntime:
    name = "fake"
    formats = ("fake",)

    def __init__(self, session: LoggingSession) -> None:
        self.session = session

    def import_library(self) -> None:
        """Nothing to import."""

    def load(self, _artifact: Any, _settings: Any) -> LoggingSession:
        return self.session


class Direct:
    """A handle that hands each command to a real worker in this process."""

    pid = 1

    def __init__(self, worker: Worker) -> None:
        self.worker = worker
        self.message: dict[str, Any] = {}

    def post(self, command: str, **message: Any) -> None:
        self.message = {"command": command, **message}

    def answer(self, timeout: float, call_s: float = math.inf) -> Any:
        return self.worker.handle(self.message)

    def settle(self) -> Settled:
        return Settled(0.0, asleep=True)

    def stop(self) -> None:
        """Nothing to end."""


def test_trial_round_arm_and_call_are_the_plans() -> None:
    clock = FakeClock()
    log: list[tuple[str, int, int, int]] = []
    starts: dict[str, int] = {}

    def launch(arm: Arm) -> Direct:
        starts[arm.name] = starts.get(arm.name, -1) + 1
        runtime = LoggingRuntime(LoggingSession(arm.name, starts[arm.name], clock, log))
        return Direct(Worker(clock, lambda _format, _settings: runtime))  # type: ignore[arg-type,return-value]

    inputs = {"x": np.zeros((6, 2), np.float32)}
    measurement = Coordinator(PLAN, ARMS, inputs, np.zeros(6, np.int64), launch=launch).run()

    counts = {condition.batch_size: (condition.discard, condition.calls * GROUP) for condition in PLAN.conditions}
    planned = [
        (arm, entry.trial, entry.batch_size, entry.round, call)
        for entry in PLAN.schedule
        for arm in entry.order
        for call in range(sum(counts[entry.batch_size]))
    ]
    windows = [(turn.start_ns, turn.end_ns, turn) for turn in measurement.turns]
    within = [
        (arm, trial, size, turn.round)
        for arm, trial, size, at in log
        for start, end, turn in windows
        if start <= at < end
    ]
    assert within == [entry[:4] for entry in planned]
    assert [(turn.arm, turn.trial, turn.batch_size, turn.round) for turn in measurement.turns] == [
        key for key, _ in itertools.groupby(entry[:4] for entry in planned)
    ]
    assert {len(turn.discarded_ns) for turn in measurement.turns if turn.batch_size == 1} == {2}
    assert {turn.group for turn in measurement.turns} == {GROUP}
    # outside of the turns a model is only called to load, to warm up, and once to answer for the test set
    outside = len(log) - len(within)
    warm_up = len(ARMS) * PLAN.trials * (1 + 2000 + 2)  # first call; 0.5 s at 0.25 ms; the sweep's warm-up
    answers = len(ARMS) * 2
    assert outside == warm_up + answers
