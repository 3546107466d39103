"""Measurements of every shape, made up by hypothesis, and what it means that two are the same."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import strategies as st

from mlbench.records import (
    Condition,
    LostTrial,
    Measurement,
    Plan,
    Predictions,
    Recipe,
    Round,
    RuntimeSettings,
    StepSpec,
    Turn,
    WorkerReport,
)

ARMS = ("baseline", "a.b", "c-d")
TRIALS = 3


def make_plan(arms: tuple[str, ...] = ARMS, trials: int = TRIALS) -> Plan:
    schedule = tuple(Round(trial, 1, 0, arms) for trial in range(trials))
    return Plan(5, arms, arms[0], (Condition(1, 1, 1, 2),), trials, 3, 0.5, 1000, schedule, (0, 1))


def make_recipe(name: str) -> Recipe:
    return Recipe(name, (StepSpec("prune", {"ratio": 0.5, "layers": [1, None]}),), RuntimeSettings(options={"x": 1}))


ns = st.integers(0, 2**40)
figures = st.floats(0, 1e9, allow_nan=False)
labels = st.text(min_size=1, max_size=10)


def arrays(size: int) -> st.SearchStrategy[Any]:
    return st.lists(ns, min_size=size, max_size=size).map(lambda values: np.array(values, np.int64))


@st.composite
def turns(draw: st.DrawFn, trial: int, position: int, arm: str) -> Turn:
    start, group = draw(ns), draw(st.integers(1, 3))
    return Turn(
        trial,
        0,
        position,
        arm,
        1,
        start,
        start + draw(ns),
        draw(ns),
        draw(ns),
        draw(arrays(1)),
        draw(arrays(2 * group)),
        group,
        draw(st.dictionaries(st.sampled_from(["rss_mib", "steal", "energy_j"]), figures)),
    )


@st.composite
def workers(draw: st.DrawFn, trial: int, arm: str) -> WorkerReport:
    return WorkerReport(
        arm,
        trial,
        draw(st.integers(1, 2**22)),
        *(draw(figures) for _ in range(4)),
        {"1": draw(figures)},
        draw(arrays(draw(st.integers(0, 4)))),
        draw(st.dictionaries(labels, st.one_of(st.none(), st.booleans(), st.integers(), figures, labels), max_size=2)),
        tuple(draw(st.lists(labels, max_size=2))),
        {"gpu_peak_mib": draw(figures)},
        (trial % 2,),
    )


@st.composite
def measurements(draw: st.DrawFn) -> Measurement:
    """A study of three trials in which workers were lost at random, once for good and once not, cut off at random."""
    plan = make_plan()
    taken, reports, lost = [], [], []
    predicted: dict[str, Predictions] = {}
    trials = draw(st.integers(0, TRIALS))
    numbers = list(range(trials))
    void, void_reports = [], []
    if trials and draw(st.booleans()):
        gone = draw(st.sampled_from(numbers))
        numbers[gone] = TRIALS
        lost.append(LostTrial(ARMS[1], gone, draw(labels), repeated_as=TRIALS))
        void += [draw(turns(gone, position, arm)) for position, arm in enumerate(ARMS)]
        void_reports += [draw(workers(gone, arm)) for arm in ARMS if arm != ARMS[1]]
    for trial in numbers:
        arms = [arm for arm in ARMS if draw(st.booleans())]
        taken += [draw(turns(trial, position, arm)) for position, arm in enumerate(arms)]
        lost += [LostTrial(arm, trial, draw(labels)) for arm in ARMS if arm not in arms]
        for arm in arms:
            reports.append(draw(workers(trial, arm)))
            outputs = np.array([[draw(figures), draw(figures)]])
            predicted.setdefault(arm, Predictions(arm, outputs, np.array([draw(st.integers(0, 1))])))
    return Measurement(
        plan,
        tuple(taken),
        tuple(reports),
        tuple(predicted.values()),
        tuple(lost),
        draw(st.dictionaries(labels, figures, max_size=2)),
        draw(st.sampled_from(["absent", "rapl"])),
        draw(st.dictionaries(labels, labels, max_size=2)),
        trials == TRIALS,
        void=tuple(void),
        void_workers=tuple(void_reports),
    )


def ordered(measurement: Measurement) -> dict[str, Any]:
    """Everything in a measurement in one order, arrays as lists, so that two can be compared by ``==``."""
    key = lambda item: (getattr(item, "trial", 0), ARMS.index(item.arm))  # noqa: E731 - used right here
    return {
        **{
            name: [(turn, turn.discarded_ns.tolist(), turn.timed_ns.tolist()) for turn in sorted(taken, key=key)]
            for name, taken in (("turns", measurement.turns), ("void", measurement.void))
        },
        **{
            name: [(worker, worker.warmup_ns.tolist()) for worker in sorted(reports, key=key)]
            for name, reports in (("workers", measurement.workers), ("void_workers", measurement.void_workers))
        },
        "predictions": [
            (item, item.outputs.tolist(), item.labels.tolist()) for item in sorted(measurement.predictions, key=key)
        ],
        "lost": sorted(measurement.lost, key=key),
        "rest": (measurement.machine, measurement.energy_source, measurement.absent, measurement.complete),
    }


def part(measurement: Measurement, trial: int) -> Measurement:
    """What the coordinator hands over when a trial is over; predictions with the first trial of their arm."""
    first = {
        arm: min(worker.trial for worker in measurement.workers if worker.arm == arm) for arm in _seen(measurement)
    }
    return Measurement(
        measurement.plan,
        tuple(turn for turn in measurement.turns if turn.trial == trial),
        tuple(worker for worker in measurement.workers if worker.trial == trial),
        tuple(item for item in measurement.predictions if first[item.arm] == trial),
        tuple(loss for loss in measurement.lost if loss.trial == trial),
        void=tuple(turn for turn in measurement.void if turn.trial == trial),
        void_workers=tuple(worker for worker in measurement.void_workers if worker.trial == trial),
    )


def _seen(measurement: Measurement) -> set[str]:
    return {worker.arm for worker in measurement.workers}
