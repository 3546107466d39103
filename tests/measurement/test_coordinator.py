import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock, FakeHandle, make_arm

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import WorkerGoneError
from mlbench.measurement.alone import disturbance
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.limits import Limits
from mlbench.measurement.plan import make_plan
from mlbench.measurement.settling import Settled
from mlbench.records import Arm, Collation, LostTrial, Measurement, Plan, Refusal

ARMS = [make_arm("baseline", "baseline"), make_arm("a"), make_arm("b")]
PLAN = make_plan(
    [arm.name for arm in ARMS],
    "baseline",
    ScenarioConfig(batch_sizes=(1, 4)),
    ProtocolConfig(trials=3, rounds=4, sweep_rounds=2, calls=5, sweep_calls=2, discard=2, sweep_discard=1),
    seed=3,
)
INPUTS = {"x": np.zeros((4, 2), np.float32)}
LABELS = np.array([0, 1, 2, 0])
LIMITS = Limits(floor_s=5.0, unknown_s=60.0)


class Bench:
    """A coordinator over fake workers, with everything that happened in ``log``."""

    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.clock = FakeClock()
        self.handles: list[FakeHandle] = []
        self.spoil: dict[tuple[str, int], dict[str, str]] = {}  # (arm, n-th launch of it) -> command -> message
        self.gone: dict[tuple[str, int], dict[str, WorkerGoneError]] = {}  # the same for workers that die or hang
        self.told: list[LostTrial] = []
        self.call_ns = 2_000_000
        self.interrupt: tuple[str, int, str] | None = None
        self.progress: list[tuple[int, float]] = []
        self.settled: dict[str, Settled] = {}
        self.refuse: dict[tuple[str, int], str] = {}  # (arm, input length) -> message

    def launch(self, arm: Arm) -> FakeHandle:
        handle = FakeHandle(arm, self.log, self.clock, self.call_ns)
        number = sum(other.arm.name == arm.name for other in self.handles)
        handle.settled = self.settled.get(arm.name, handle.settled)
        handle.fail_on = self.spoil.get((arm.name, number), {})
        handle.gone_on = self.gone.get((arm.name, number), {})
        handle.refuse = {length: reason for (name, length), reason in self.refuse.items() if name == arm.name}
        if self.interrupt is not None and self.interrupt[:2] == (arm.name, number):
            handle.interrupt_on = self.interrupt[2]
        self.handles.append(handle)
        return handle

    def run(
        self,
        probes: Any = (),
        plan: Plan = PLAN,
        settled: Any = lambda _look, _measured: False,
        trial_over: Any = lambda _trial, _part: None,
        before: Any = (),
        *,
        retry: bool = True,
    ) -> Measurement:
        return Coordinator(
            plan,
            ARMS,
            INPUTS,
            LABELS,
            probes=probes,
            launch=self.launch,
            report=lambda trial, share: self.progress.append((trial, share)),
            settled=settled,
            trial_over=trial_over,
            before=before,
            limits=LIMITS,
            lost=self.told.append,
            retry=retry,
        ).run()


def test_the_order_of_work_is_the_plan() -> None:
    bench = Bench()
    measurement = bench.run()
    turns = [(entry[1], entry[2]) for entry in bench.log if entry[0] == "turn"]
    assert turns == [(arm, planned.batch_size) for planned in PLAN.schedule for arm in planned.order]
    recorded = [(turn.trial, turn.batch_size, turn.round, turn.position, turn.arm) for turn in measurement.turns]
    assert recorded == [
        (planned.trial, planned.batch_size, planned.round, position, arm)
        for planned in PLAN.schedule
        for position, arm in enumerate(planned.order)
    ]


def test_each_turn_has_the_calls_that_its_condition_asks_for() -> None:
    for turn in Bench().run().turns:
        discard, calls = (2, 5) if turn.batch_size == 1 else (1, 2)
        assert (len(turn.discarded_ns), len(turn.timed_ns)) == (discard, calls)


def test_exactly_one_worker_runs_at_any_time() -> None:
    turns = sorted(Bench().run().turns, key=lambda turn: turn.start_ns)
    for earlier, later in itertools.pairwise(turns):
        assert earlier.end_ns <= later.start_ns


def test_the_threads_of_the_last_worker_sleep_before_the_next_is_spoken_to() -> None:
    bench = Bench()
    measurement = bench.run()
    for index, entry in enumerate(bench.log):
        if entry[0] in ("load", "warm_up", "turn"):
            assert bench.log[index + 1] == ("settle", entry[1])
    assert {(turn.hardware["settle_ms"], turn.hardware["awake"]) for turn in measurement.turns} == {(0.5, 0.0)}
    assert all(turn.hardware["coordinator_ms"] > 0 for turn in measurement.turns)


def test_a_worker_whose_threads_never_sleep_is_recorded_turn_by_turn() -> None:
    bench = Bench()
    bench.settled = {"a": Settled(250.0, asleep=False)}
    measurement = bench.run()
    assert {(turn.arm, turn.hardware["awake"]) for turn in measurement.turns} == {
        ("baseline", 0.0),
        ("a", 1.0),
        ("b", 0.0),
    }
    assert disturbance(measurement.turns) == "threads still ran when the next turn began: a (18 of 18 turns)"


def test_a_trial_is_one_fresh_worker_per_arm_and_ends_with_it() -> None:
    bench = Bench()
    measurement = bench.run()
    assert [handle.arm.name for handle in bench.handles] == ["baseline", "a", "b"] * 3
    assert all(handle.stopped for handle in bench.handles)
    assert [(worker.trial, worker.arm) for worker in measurement.workers] == [
        (trial, arm) for trial in range(3) for arm in ("baseline", "a", "b")
    ]


def test_warm_up_comes_before_the_first_turn_of_each_condition() -> None:
    bench = Bench()
    bench.run()
    first = bench.log[: bench.log.index(("predict", "baseline", 4))]
    kinds = [(entry[0], entry[2]) for entry in first if entry[0] in ("warm_up", "turn")]
    assert kinds == [("warm_up", 1)] * 3 + [("turn", 1)] * 12 + [("warm_up", 4)] * 3 + [("turn", 4)] * 6


def test_warm_up_is_kept_apart() -> None:
    measurement = Bench().run()
    assert all(len(worker.warmup_ns) == 30 for worker in measurement.workers)


def test_the_arms_of_a_trial_share_cpus_and_the_trials_take_turns_on_them() -> None:
    bench = Bench()
    measurement = bench.run(plan=replace(PLAN, cpus=(4, 6)))
    assert [(handle.arm.name, handle.cpus) for handle in bench.handles] == [
        (arm, (cpu,)) for cpu in (4, 6, 4) for arm in ("baseline", "a", "b")
    ]
    assert {(worker.trial, worker.cpus) for worker in measurement.workers} == {(0, (4,)), (1, (6,)), (2, (4,))}


def test_workers_that_are_not_pinned_go_where_the_scheduler_puts_them() -> None:
    bench = Bench()
    bench.run()
    assert {handle.cpus for handle in bench.handles} == {()}


class Loading(FakeHandle):
    """Remembers what it was told of the items, and what lay beside them."""

    def post(self, command: str, **message: Any) -> None:
        if command == "load":
            files = {path.name: path.read_bytes() for path in Path(message["inputs"]).iterdir()}
            made = files.get("tokenizer.json") or files.get("processing.json")
            self.told = (message["trim"], message["begins"], message["originals"], made, len(files))
        super().post(command, **message)


@pytest.mark.parametrize(
    ("collation", "told"),
    [
        (None, ("", "", 0, None, 1)),
        (Collation(trim="x"), ("x", "", 0, None, 1)),
        (Collation(tokenizer="{}"), ("", "texts", 1, b"{}", 2)),
        (Collation(tokenizer="{}", words=True), ("", "words", 1, b"{}", 2)),
        (Collation(processing="{}"), ("", "images", 1, b"{}", 2)),
    ],
)
def test_every_worker_is_told_what_to_do_with_a_batch(collation: Collation | None, told: tuple[Any, ...]) -> None:
    handles: list[Loading] = []

    def launch(arm: Arm) -> FakeHandle:
        handles.append(Loading(arm, [], FakeClock()))
        return handles[-1]

    plan = replace(PLAN, trials=1)
    Coordinator(plan, ARMS, INPUTS, LABELS, launch=launch, collation=collation).run()
    assert [handle.told for handle in handles] == [told] * len(ARMS)


def test_predictions_are_taken_once_per_arm() -> None:
    bench = Bench()
    measurement = bench.run()
    assert [entry[1] for entry in bench.log if entry[0] == "predict"] == ["baseline", "a", "b"]
    assert [predictions.arm for predictions in measurement.predictions] == ["baseline", "a", "b"]
    np.testing.assert_array_equal(measurement.predictions[0].labels, LABELS)


def test_progress_is_told_between_rounds_and_ends_at_one() -> None:
    bench = Bench()
    bench.run()
    shares = [share for _, share in bench.progress]
    assert len(shares) == len(PLAN.schedule)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


LOOKS = make_plan(
    [arm.name for arm in ARMS],
    "baseline",
    ScenarioConfig(batch_sizes=(1,)),
    ProtocolConfig(trials=2, extend=2, rounds=2, calls=1, discard=0),
    seed=3,
)


@pytest.mark.parametrize("ends_at", [1, 2, 3])
def test_a_look_that_settles_it_ends_the_measurement(ends_at: int) -> None:
    asked: list[tuple[int, int]] = []

    def settled(look: int, measured: Measurement) -> bool:
        asked.append((look, len(measured.workers)))
        return look == ends_at

    measurement = Bench().run(plan=LOOKS, settled=settled)
    assert asked == [(1, 6), (2, 12)][:ends_at]  # the last look ends it whatever it finds: nobody is asked
    assert (measurement.plan.trials, measurement.plan.look) == (2 * ends_at, ends_at)
    assert measurement.plan.schedule == LOOKS.schedule
    assert {turn.trial for turn in measurement.turns} == set(range(2 * ends_at))
    assert measurement.complete


def test_a_look_of_a_study_that_goes_on_sees_no_more_than_it_would_have_seen() -> None:
    parts: dict[int, Measurement] = {}
    Bench().run(plan=LOOKS, trial_over=parts.__setitem__)
    seen: list[tuple[int, set[int]]] = []

    def settled(look: int, measured: Measurement) -> bool:
        seen.append((look, {turn.trial for turn in measured.turns} | {item.trial for item in measured.workers}))
        return look == 2

    bench = Bench()
    measurement = bench.run(plan=LOOKS, settled=settled, before=[parts[trial] for trial in range(5)])
    assert seen == [(1, {0, 1}), (2, {0, 1, 2, 3})]
    assert bench.handles == []
    assert {turn.trial for turn in measurement.turns} == {0, 1, 2, 3}
    assert (measurement.plan.trials, measurement.plan.look) == (4, 2)


def test_a_look_counts_what_took_the_place_of_its_trials_and_numbers_go_on_after_the_last_look() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"turn": killed()}, ("a", 3): {"report": killed()}}
    seen: list[tuple[int, set[int], int]] = []

    def settled(look: int, measured: Measurement) -> bool:
        seen.append((look, {turn.trial for turn in measured.turns}, len(measured.workers)))
        return look == 2

    measurement = bench.run(plan=LOOKS, settled=settled)
    assert seen == [(1, {0, 6}, 6), (2, {0, 6, 7, 3}, 12)]
    assert (measurement.plan.trials, measurement.plan.look) == (4, 2)
    assert measurement.counted == {0: 0, 6: 1, 7: 2, 3: 3}
    assert [(loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost] == [("b", 1, 6), ("a", 2, 7)]
    assert {turn.trial for turn in measurement.void} == {1, 2}


def test_without_looks_nobody_is_asked() -> None:
    def never(_look: int, _measured: Measurement) -> bool:
        raise AssertionError("there is no look to take")

    measurement = Bench().run(settled=never)
    assert (measurement.plan, measurement.complete) == (PLAN, True)


def test_an_interruption_leaves_the_looks_open() -> None:
    bench = Bench()
    bench.interrupt = ("a", 2, "turn")
    measurement = bench.run(plan=LOOKS)
    assert (measurement.complete, measurement.plan.look, measurement.plan.trials) == (False, 0, 6)


def test_every_trial_is_handed_over_when_its_workers_are_gone() -> None:
    bench = Bench()
    bench.spoil = {("b", 1): {"turn": "the device is gone"}}
    parts: list[Measurement] = []

    def over(trial: int, part: Measurement) -> None:
        assert trial == len(parts)
        assert all(handle.stopped for handle in bench.handles)
        parts.append(part)

    measurement = bench.run(trial_over=over)
    assert [part.plan for part in parts] == [PLAN] * 3
    for name in ("turns", "workers", "predictions", "lost"):
        assert sum((getattr(part, name) for part in parts), ()) == getattr(measurement, name)
    assert [len(part.predictions) for part in parts] == [3, 0, 0]
    assert [[loss.arm for loss in part.lost] for part in parts] == [[], ["b"], []]


@pytest.mark.parametrize("kept", [(0,), (0, 1), (1,), (0, 2), (0, 1, 2), ()])
def test_trials_that_were_measured_before_are_not_measured_again(kept: tuple[int, ...]) -> None:
    whole = Bench()
    parts: dict[int, Measurement] = {}
    expected = whole.run(trial_over=parts.__setitem__)
    bench = Bench()
    handed: list[int] = []
    measurement = bench.run(
        before=[parts[trial] for trial in kept], trial_over=lambda trial, _part: handed.append(trial)
    )
    assert handed == [trial for trial in range(3) if trial not in kept]
    assert len(bench.handles) == 3 * len(handed)

    def order(measured: Measurement) -> list[tuple[Any, ...]]:
        return [(turn.trial, turn.batch_size, turn.round, turn.position, turn.arm) for turn in measured.turns]

    assert order(measurement) == order(expected)
    assert [(item.trial, item.arm) for item in measurement.workers] == [(i.trial, i.arm) for i in expected.workers]
    assert [item.arm for item in measurement.predictions] == ["baseline", "a", "b"]
    assert measurement.complete
    if handed:
        assert bench.progress[-1][1] == 1.0
        assert bench.progress[0][1] > len(kept) / 3


def test_an_arm_that_never_worked_is_not_tried_when_the_study_goes_on() -> None:
    first = Bench()
    first.spoil = {("a", 0): {"load": "the file is corrupt"}}
    parts: dict[int, Measurement] = {}
    first.run(trial_over=parts.__setitem__)
    bench = Bench()
    measurement = bench.run(before=[parts[0]])
    assert "a" not in {handle.arm.name for handle in bench.handles}
    assert [(loss.arm, loss.trial) for loss in measurement.lost] == [("a", 0)]


def test_a_trial_that_was_interrupted_is_not_handed_over() -> None:
    bench = Bench()
    bench.interrupt = ("a", 1, "turn")
    handed: list[int] = []
    bench.run(trial_over=lambda trial, _part: handed.append(trial))
    assert handed == [0]


def test_an_arm_that_cannot_load_fails_alone_and_is_not_tried_again() -> None:
    bench = Bench()
    bench.spoil = {("a", 0): {"load": "the file is corrupt"}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial, loss.reason) for loss in measurement.lost] == [("a", 0, "the file is corrupt")]
    assert [handle.arm.name for handle in bench.handles].count("a") == 1
    assert {turn.arm for turn in measurement.turns} == {"baseline", "b"}
    assert len(measurement.turns) == 2 * len(PLAN.schedule)


def test_a_baseline_that_cannot_load_ends_the_measurement_with_its_trial() -> None:
    bench = Bench()
    bench.spoil = {("baseline", 0): {"load": "no such device"}, ("b", 0): {"load": "the file is corrupt"}}
    parts: dict[int, Measurement] = {}
    measurement = bench.run(trial_over=parts.__setitem__)
    assert [handle.arm.name for handle in bench.handles] == ["baseline", "a", "b"]
    assert {turn.trial for turn in measurement.turns} == {0}
    assert list(parts) == [0]
    rest = "not measured, because baseline never got through a trial"
    assert [(loss.arm, loss.trial, loss.reason) for loss in measurement.lost] == [
        ("baseline", 0, "no such device"),
        ("b", 0, "the file is corrupt"),
        ("a", 1, rest),
        ("a", 2, rest),
    ]
    assert measurement.complete
    again = Bench()
    assert again.run(before=[parts[0]]).lost == measurement.lost  # nor is it tried again when the study goes on
    assert again.handles == []


def test_a_baseline_whose_worker_dies_once_is_measured_on() -> None:
    bench = Bench()
    bench.gone = {("baseline", 0): {"load": killed()}}
    measurement = bench.run()
    assert {turn.trial for turn in measurement.turns} == {3, 1, 2}
    assert [(loss.trial, loss.repeated_as) for loss in measurement.lost] == [(0, 3)]


def test_an_arm_lost_in_a_later_trial_comes_back_in_the_next() -> None:
    bench = Bench()
    bench.spoil = {("b", 1): {"turn": "the device is gone"}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial) for loss in measurement.lost] == [("b", 1)]
    assert [worker.trial for worker in measurement.workers if worker.arm == "b"] == [0, 2]
    assert measurement.complete


@pytest.mark.parametrize("command", ["import", "load", "warm_up", "turn", "predict"])
def test_an_interruption_keeps_what_was_measured_and_ends_every_worker(command: str) -> None:
    bench = Bench()
    number = 0 if command == "predict" else 1  # predictions are only taken in the first trial
    bench.interrupt = ("a", number, command)
    measurement = bench.run()
    assert not measurement.complete
    assert all(handle.stopped for handle in bench.handles)
    assert {worker.trial for worker in measurement.workers} <= {0}
    assert len(measurement.turns) >= 18  # the whole first trial


class CountingProbe:
    name = "counting"
    provides = ()

    def __init__(self, log: list[tuple[Any, ...]]) -> None:
        self.log = log

    def begin(self) -> None:
        self.log.append(("probe begin",))

    def end(self, pid: int) -> dict[str, float]:
        self.log.append(("probe end", pid))
        return {"figure": 1.5}


def test_probes_are_read_around_every_turn_and_never_during_it() -> None:
    bench = Bench()
    probe = CountingProbe(bench.log)
    measurement = bench.run([probe])
    assert all(turn.hardware["figure"] == 1.5 for turn in measurement.turns)
    for index, entry in enumerate(bench.log):
        if entry[0] == "turn":
            assert bench.log[index - 1] == ("probe begin",)
            assert bench.log[index + 1] == ("probe end", 4711)


SWEPT = make_plan(
    [arm.name for arm in ARMS],
    "baseline",
    ScenarioConfig(batch_sizes=(1, 4), input_lengths=(8, 16), threads=(1, 2)),
    ProtocolConfig(trials=2, rounds=4, sweep_rounds=2, calls=5, sweep_calls=2),
    seed=3,
)


def test_each_number_of_threads_has_fresh_workers_in_each_trial() -> None:
    bench = Bench()
    measurement = bench.run(plan=SWEPT)
    launched = [(handle.arm.name, handle.arm.settings.threads) for handle in bench.handles]
    assert launched == [(arm, threads) for _ in range(2) for threads in (1, 2) for arm in ("baseline", "a", "b")]
    assert [(worker.trial, worker.threads) for worker in measurement.workers[::3]] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert {tuple(worker.peak_mib) for worker in measurement.workers} == {
        ("1;length=8;threads=1", "4;length=8;threads=1", "1;length=16;threads=1"),
        ("1;length=8;threads=2",),
    }


def test_the_order_of_work_of_a_sweep_is_the_plan() -> None:
    measurement = Bench().run(plan=SWEPT)
    recorded = [(turn.trial, turn.key, turn.round, turn.position, turn.arm) for turn in measurement.turns]
    assert recorded == [
        (planned.trial, planned.key, planned.round, position, arm)
        for planned in SWEPT.schedule
        for position, arm in enumerate(planned.order)
    ]


def test_every_worker_is_warmed_up_in_full_at_its_first_condition() -> None:
    measurement = Bench().run(plan=SWEPT)
    assert all(len(worker.warmup_ns) == 30 for worker in measurement.workers)


def test_a_condition_that_an_arm_cannot_serve_is_left_out_with_the_reason() -> None:
    bench = Bench()
    bench.refuse = {("a", 16): "no input has a free length"}
    measurement = bench.run(plan=SWEPT)
    assert measurement.refused == (Refusal("a", 1, "no input has a free length", input_length=16, threads=1),)
    assert measurement.lost == ()
    served = {(turn.arm, turn.input_length) for turn in measurement.turns}
    assert served == {("baseline", 8), ("baseline", 16), ("a", 8), ("b", 8), ("b", 16)}
    asked = [entry for entry in bench.log if entry[:2] == ("warm_up", "a")]
    assert len(asked) == 2 * (2 + 1) + 1  # two trials of three conditions that it serves, and the refused one once


def test_an_arm_that_cannot_serve_the_headline_is_lost() -> None:
    bench = Bench()
    bench.refuse = {("a", 8): "no input has a free length"}
    measurement = bench.run(plan=SWEPT)
    assert {(loss.arm, loss.reason) for loss in measurement.lost} == {("a", "no input has a free length")}
    assert measurement.refused == ()
    assert {turn.arm for turn in measurement.turns} == {"baseline", "b"}


class Placeable(FakeHandle):
    """A worker that can say where its model runs, unless that ends it."""

    def answer(self, timeout: float, call_s: float = math.inf) -> tuple[dict[str, Any], dict[str, Any]]:
        if self.pending["command"] == "placement":
            self.pending = {}
            self.limits["placement"] = timeout
            if self.arm.name == "b":
                raise killed()
            return {"effective": {"nodes": "CPU: 2"}}, {}
        header, arrays = super().answer(timeout, call_s)
        return {**header, "placement": True}, arrays


def test_where_a_model_runs_is_asked_once_when_everything_else_is_said() -> None:
    log: list[tuple[Any, ...]] = []
    clock = FakeClock()
    measurement = Coordinator(
        PLAN, ARMS, INPUTS, LABELS, launch=lambda arm: Placeable(arm, log, clock), limits=LIMITS
    ).run()
    asked = [index for index, entry in enumerate(log) if entry[0] == "placement"]
    assert [log[index - 1][:2] for index in asked] == [("report", "baseline"), ("report", "a"), ("report", "b")]
    turns = [index for index, entry in enumerate(log) if entry[0] == "turn"]
    assert turns[17] < min(asked) < max(asked) < turns[18]  # a trial has 18 turns
    assert [(item.trial, item.arm, item.effective.get("nodes")) for item in measurement.workers[:4]] == [
        (0, "baseline", "CPU: 2"),
        (0, "a", "CPU: 2"),
        (0, "b", "unknown: the worker was ended by signal SIGKILL"),
        (1, "baseline", None),
    ]
    assert measurement.lost == ()  # not even for the one that did not survive the question


def killed(peak_mib: float | None = 812.4) -> WorkerGoneError:
    return WorkerGoneError("the worker was ended by signal SIGKILL", "SIGKILL", peak_mib)


def test_another_trial_is_measured_in_the_place_of_one_in_which_a_worker_died_with_fresh_workers_for_all_arms() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"turn": killed()}}
    parts: dict[int, Measurement] = {}
    measurement = bench.run(trial_over=parts.__setitem__)
    assert [handle.arm.name for handle in bench.handles] == ["baseline", "a", "b"] * 4
    assert all(handle.stopped for handle in bench.handles)
    reason = "the worker was ended by signal SIGKILL; its peak memory was 812 MiB"
    assert measurement.lost == (LostTrial("b", 1, reason, "SIGKILL", 812.4, repeated_as=3),)
    assert tuple(bench.told) == measurement.lost
    assert measurement.lost_by("b") == ()
    assert measurement.counted == {0: 0, 2: 2, 3: 1}
    by_number = sorted(PLAN.schedule, key=lambda item: NUMBERS[item.trial])
    recorded = [(turn.trial, turn.batch_size, turn.round, turn.position, turn.arm) for turn in measurement.turns]
    assert recorded == [
        (NUMBERS[item.trial], item.batch_size, item.round, position, arm)
        for item in by_number
        for position, arm in enumerate(item.order)
    ]
    assert [(item.trial, item.arm) for item in measurement.workers] == [
        (trial, arm) for trial in (0, 2, 3) for arm in ("baseline", "a", "b")
    ]
    assert list(parts) == [0, 1, 3, 2]  # right after the one whose place it takes
    assert [len(part.lost) for part in parts.values()] == [0, 1, 0, 0]
    assert parts[3].turns == tuple(turn for turn in measurement.turns if turn.trial == 3)
    assert disturbance(measurement.turns) == ""
    assert bench.progress[-1] == (2, 1.0)
    assert {trial for trial, _ in bench.progress} == {0, 1, 2}  # trials of the plan, whatever their numbers


NUMBERS = {0: 0, 1: 3, 2: 2}  # of the trials that count where trial 1 is lost


@pytest.mark.parametrize(("command", "given"), [("load", 0), ("turn", 0), ("report", 6)])
def test_what_a_lost_trial_gave_is_kept_and_does_not_count(command: str, given: int) -> None:
    bench = Bench()
    bench.gone = {("b", 1): {command: killed()}}
    parts: dict[int, Measurement] = {}
    measurement = bench.run(trial_over=parts.__setitem__)
    assert (parts[1].turns, parts[1].workers) == ((), ())
    assert (parts[1].void, parts[1].void_workers) == (measurement.void, measurement.void_workers)
    assert {turn.trial for turn in measurement.void} == {1}
    taken = [turn.arm for turn in measurement.void]
    assert (taken.count("baseline"), taken.count("a"), taken.count("b")) == (6, 6, given)
    assert [(worker.arm, worker.trial) for worker in measurement.void_workers] == [("baseline", 1), ("a", 1)]
    assert 1 not in {item.trial for item in (*measurement.turns, *measurement.workers)}


def test_a_trial_takes_the_order_and_the_cpus_of_the_one_whose_place_it_takes() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"turn": killed()}}
    measurement = bench.run(plan=replace(PLAN, cpus=(5, 6, 7)))
    on = {worker.trial: worker.cpus for worker in (*measurement.workers, *measurement.void_workers)}
    assert on == {0: (5,), 1: (6,), 3: (6,), 2: (7,)}


def test_a_worker_that_dies_again_is_lost_and_the_others_go_on() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"turn": killed()}, ("b", 2): {"load": killed()}}
    measurement = bench.run()
    assert [handle.arm.name for handle in bench.handles] == ["baseline", "a", "b"] * 4
    assert [(loss.trial, loss.repeated_as) for loss in measurement.lost] == [(1, 3), (3, None)]
    assert [loss.trial for loss in measurement.lost_by("b")] == [3]
    assert [worker.trial for worker in measurement.workers if worker.arm == "b"] == [0, 2]
    assert [worker.trial for worker in measurement.workers if worker.arm == "a"] == [0, 2, 3]


def test_arms_that_are_lost_in_different_trials_have_a_new_number_each() -> None:
    bench = Bench()
    bench.gone = {("b", 0): {"turn": killed()}, ("a", 3): {"turn": killed()}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost] == [("b", 0, 3), ("a", 2, 4)]
    assert measurement.counted == {3: 0, 1: 1, 4: 2}
    assert {turn.trial for turn in measurement.void} == {0, 2}
    for arm in ("baseline", "a", "b"):
        assert [worker.trial for worker in measurement.workers if worker.arm == arm] == [1, 3, 4]


def test_each_arm_has_one_second_chance() -> None:
    bench = Bench()
    bench.gone = {("b", 0): {"warm_up": killed()}, ("b", 2): {"turn": killed()}, ("a", 2): {"turn": killed()}}
    measurement = bench.run()
    assert sorted((loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost) == [
        ("a", 1, 4),
        ("b", 0, 3),
        ("b", 1, 4),  # measured once more for a, and b has its profit
    ]
    assert measurement.counted == {3: 0, 4: 1, 2: 2}
    bench = Bench()
    bench.gone = {("b", 0): {"warm_up": killed()}, ("b", 2): {"turn": killed()}}
    measurement = bench.run()
    found = [(loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost]
    assert found == [("b", 0, 3), ("b", 1, None)]


def test_a_trial_may_take_the_place_of_one_that_took_anothers() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"turn": killed()}, ("a", 2): {"turn": killed()}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost] == [("b", 1, 3), ("a", 3, 4)]
    assert measurement.counted == {0: 0, 4: 1, 2: 2}
    assert measurement.attempts == {0: 0, 1: 1, 2: 2, 3: 1, 4: 1}
    assert {turn.trial for turn in measurement.void} == {1, 3}
    assert {turn.trial for turn in measurement.turns} == {0, 2, 4}


def test_an_arm_whose_worker_dies_every_time_is_tried_twice_and_no_more() -> None:
    bench = Bench()
    bench.gone = {("a", number): {"load": killed()} for number in range(9)}
    measurement = bench.run()
    assert [handle.arm.name for handle in bench.handles].count("a") == 2
    assert [(loss.trial, loss.repeated_as) for loss in measurement.lost] == [(0, 3), (3, None)]
    assert {worker.arm for worker in measurement.workers} == {"baseline", "b"}
    assert len(measurement.turns) == 2 * len(PLAN.schedule)


def test_a_refusal_stays_one_where_the_trial_is_measured_once_more() -> None:
    bench = Bench()
    bench.spoil = {("a", 0): {"load": "the file is corrupt"}}
    bench.gone = {("b", 0): {"turn": killed()}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial, loss.repeated_as) for loss in measurement.lost] == [("a", 0, None), ("b", 0, 3)]
    assert [handle.arm.name for handle in bench.handles].count("a") == 1


def test_a_second_chance_that_was_had_before_is_not_given_again_when_the_study_goes_on() -> None:
    first = Bench()
    first.gone = {("b", 0): {"turn": killed()}}
    parts: dict[int, Measurement] = {}
    first.run(trial_over=parts.__setitem__)
    bench = Bench()
    bench.gone = {("b", 0): {"turn": killed()}}
    measurement = bench.run(before=[parts[0], parts[3]])
    assert [(loss.trial, loss.repeated_as) for loss in measurement.lost] == [(0, 3), (1, None)]
    assert [(loss.trial, loss.repeated) for loss in bench.told] == [(1, False)]  # the first one was told of before


@pytest.mark.parametrize(
    ("kept", "measured"),
    [((0,), [1, 3, 2]), ((0, 1), [3, 2]), ((0, 1, 3), [2]), ((0, 1, 3, 2), []), ((1, 2), [0, 3])],
    ids=["before it", "it but not its replacement", "both", "all", "it and the trial after it"],
)
def test_a_study_goes_on_around_a_trial_that_does_not_count(kept: tuple[int, ...], measured: list[int]) -> None:
    first = Bench()
    first.gone = {("b", 1): {"report": killed()}}
    parts: dict[int, Measurement] = {}
    expected = first.run(trial_over=parts.__setitem__)
    bench = Bench()
    if 1 not in kept:
        bench.gone = {("b", 0): {"report": killed()}}
    handed: list[int] = []
    whole = bench.run(before=[parts[trial] for trial in kept], trial_over=lambda trial, _part: handed.append(trial))
    assert handed == measured
    for name in ("turns", "workers", "lost", "void", "void_workers"):
        mine, theirs = ([item.trial for item in getattr(found, name)] for found in (whole, expected))
        assert mine == theirs, name
    assert whole.complete
    if handed:
        assert bench.progress[-1][1] == 1.0


def test_an_interruption_between_a_lost_trial_and_the_one_in_its_place_keeps_both_as_they_are() -> None:
    bench = Bench()
    bench.gone = {("b", 1): {"report": killed()}}
    bench.interrupt = ("a", 2, "turn")
    measurement = bench.run()
    assert not measurement.complete
    assert {turn.trial for turn in measurement.void} == {1}
    assert {worker.trial for worker in measurement.workers} == {0}
    assert {turn.trial for turn in measurement.turns} == {0, 3}


def test_a_pilot_has_no_second_chance() -> None:
    bench = Bench()
    bench.gone = {("b", 0): {"turn": killed()}}
    assert [loss.repeated for loss in bench.run(retry=False).lost] == [False]


def test_where_the_kernel_does_not_tell_the_peak_it_is_the_last_that_the_worker_told() -> None:
    bench = Bench()
    bench.gone = {("a", 0): {"report": killed(None)}, ("b", 0): {"import": killed(None)}}
    told = {loss.arm: loss for loss in bench.run(retry=False).lost}
    assert (told["a"].peak_mib, told["b"].peak_mib) == (71.0, None)
    assert told["a"].reason.endswith("; its peak memory was at least 71 MiB")
    assert told["b"].reason == "the worker was ended by signal SIGKILL"


@pytest.mark.parametrize(("call_ns", "turn_s", "rest_s"), [(2_000_000, 5.0, 60.0), (4_000_000_000, 560.0, 2400.0)])
def test_the_time_that_a_turn_may_take_follows_from_the_warm_up(call_ns: int, turn_s: float, rest_s: float) -> None:
    """7 calls of 4 s, 20 times as long; 30 warm-up calls of as long as the first, which took 4 s."""
    bench = Bench()
    bench.call_ns = call_ns
    plan = replace(PLAN, conditions=PLAN.conditions[:1], trials=1, warmup_seconds=0.0)
    bench.run(plan=plan)
    limits = bench.handles[0].limits
    assert (limits["load"], limits["report"]) == (60.0, 60.0)
    assert (limits["turn"], limits["warm_up"]) == (turn_s, rest_s)


@pytest.mark.parametrize(
    ("call_ns", "call_s", "unsure_s"),
    [(2_000_000, 5.0, 60.0), (1_000_000_000, 20.0, 60.0), (4_000_000_000, 80.0, 80.0)],
)
def test_so_does_the_time_that_one_of_its_calls_may_take(call_ns: int, call_s: float, unsure_s: float) -> None:
    """20 times as long as the slowest. While it warms up, compiling may fall into any of the first calls; and what it
    predicts may be longer than what it took in its turns, or a smaller batch that is compiled for.
    """
    bench = Bench()
    bench.call_ns = call_ns
    bench.run()
    limits = bench.handles[0].call_limits
    assert (limits["turn"], limits["predict"], limits["warm_up"]) == (call_s, unsure_s, unsure_s)
    assert {limits[command] for command in ("import", "load", "report")} == {math.inf}


@pytest.mark.parametrize("command", ["warm_up", "turn", "predict"])
def test_a_worker_that_hung_in_a_call_is_a_lost_trial_with_its_words(command: str) -> None:
    bench = Bench()
    said = "the worker hung in a call for 5 s (after 17 calls of this turn) and was ended"
    bench.gone = {("a", 0): {command: WorkerGoneError(said)}}
    measurement = bench.run()
    assert [(loss.arm, loss.trial, loss.repeated) for loss in measurement.lost] == [("a", 0, True)]
    assert measurement.lost[0].reason.startswith(said)
    assert {worker.arm for worker in measurement.workers} == {"baseline", "a", "b"}
