"""A clock that only moves when told, and workers that answer from a script."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from mlbench.errors import RefusedError, WorkerGoneError
from mlbench.measurement.settling import Settled
from mlbench.records import Arm, Artifact, Recipe, RuntimeSettings, TensorSpec


class FakeClock:
    def __init__(self) -> None:
        self.time = 1_000
        self.now_ns: Callable[[], int] = lambda: self.time
        self.cpu_ns: Callable[[], int] = lambda: self.time // 2

    def advance(self, nanoseconds: int) -> None:
        self.time += nanoseconds


def make_arm(name: str, role: str = "variant") -> Arm:
    artifact = Artifact(
        digest=name,
        format="fake",
        path="/nowhere",
        entry="model",
        inputs=(TensorSpec("x", "float32", (None, 2)),),
        outputs=(TensorSpec("y", "float32", (None, 3)),),
        size_bytes=1 << 20,
    )
    return Arm(name, role, Recipe(name), artifact, RuntimeSettings())  # type: ignore[arg-type]


class FakeHandle:
    """Logs every command in one list shared by all workers, and answers with made-up figures."""

    def __init__(self, arm: Arm, log: list[tuple[Any, ...]], clock: FakeClock, call_ns: int = 2_000_000) -> None:
        self.arm, self.log, self.clock, self.call_ns = arm, log, clock, call_ns
        self.pid = 4711
        self.stopped = False
        self.pending: dict[str, Any] = {}
        self.fail_on: dict[str, str] = {}  # command -> why it is refused
        self.gone_on: dict[str, WorkerGoneError] = {}
        self.limits: dict[str, float] = {}  # command -> seconds that were left for the last answer
        self.call_limits: dict[str, float] = {}  # the same for each call
        self.refuse: dict[int, str] = {}  # input length -> why the warm-up is refused
        self.interrupt_on: str | None = None
        self.cpus: Any = None
        self.settled = Settled(0.5, asleep=True)

    def post(self, command: str, **message: Any) -> None:
        assert not self.pending, "a command was sent while another one was unanswered"
        self.log.append((command, self.arm.name, message.get("batch_size")))
        self.cpus = message.get("cpus", self.cpus)
        self.pending = {"command": command, **message}

    def answer(self, timeout: float, call_s: float = math.inf) -> tuple[dict[str, Any], dict[str, Any]]:
        message, self.pending = self.pending, {}
        command = message["command"]
        if self.interrupt_on == command:
            raise KeyboardInterrupt
        self.limits[command] = timeout
        self.call_limits[command] = call_s
        if command in self.gone_on:
            raise self.gone_on[command]
        if command in self.fail_on:
            raise RefusedError(self.fail_on[command])
        if command == "import":
            return {"import_rss_mib": 50.0}, {}
        if command == "load":
            figures = {
                "load_ms": 5.0,
                "first_call_ms": self.call_ns / 1e6,
                "load_peak_mib": 60.0,
                "load_rss_mib": 58.0,
                "load_uss_mib": 40.0,
            }
            return {**figures, "cpus": message["cpus"] or (0, 1), "effective": {"runtime": "fake"}}, {}
        if command == "warm_up" and message.get("input_length") in self.refuse:
            raise RefusedError(self.refuse[message["input_length"]])
        if command == "warm_up":
            return {"group": 1}, {"warmup_ns": np.full(30, self.call_ns)}
        if command == "predict":
            return {}, {"outputs": np.eye(3)[[0, 1, 2, 0]]}
        if command == "profile":
            operators = [{"operator": "Conv", "calls": 1.0, "ms": 0.5, "where": ""}]
            fields = {"source": "fake", "calls": 10, "call_ms": 1.0, "operators": operators, "input_length": None}
            return {"profiles": [{**fields, "batch_size": size} for size in message["batch_sizes"]]}, {}
        if command == "report":
            return {"modules": ["numpy"], "effective": {"runtime": "fake"}}, {}
        assert command == "turn"
        start = self.clock.time
        calls = message["calls"] * message["group"]
        self.clock.advance(self.call_ns * (calls + message["discard"]))
        header = {
            "start_ns": start,
            "end_ns": self.clock.time,
            "cpu_ns": self.call_ns * calls,
            "wall_ns": self.call_ns * calls,
            "hardware": {"rss_mib": 70.0, "peak_rss_mib": 71.0},
        }
        arrays = {
            "discarded_ns": np.full(message["discard"], self.call_ns),
            "timed_ns": np.full(calls, self.call_ns),
        }
        return header, arrays

    def settle(self) -> Settled:
        assert not self.pending, "a worker that owes an answer cannot be asleep"
        self.log.append(("settle", self.arm.name))
        return self.settled

    def stop(self) -> None:
        self.stopped = True
