"""The profile pass: fresh workers, one after the other; what goes wrong costs one arm its profile, nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fakes import FakeClock, FakeHandle, make_arm

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import MlbenchError
from mlbench.measurement.plan import make_plan
from mlbench.measurement.profiling import take_profiles
from mlbench.records import Arm, OperatorTime, Profile, RuntimeSettings

ARMS = [make_arm("baseline", "baseline"), make_arm("a"), make_arm("b")]
INPUTS = {"x": np.zeros((9, 2), np.float32)}


class Bench:
    def __init__(self) -> None:
        self.log: list[tuple[Any, ...]] = []
        self.handles: dict[str, FakeHandle] = {}
        self.fail: dict[str, dict[str, str]] = {}
        self.interrupt: dict[str, str] = {}
        self.settings: dict[str, RuntimeSettings] = {}

    def launch(self, arm: Arm) -> FakeHandle:
        handle = FakeHandle(arm, self.log, FakeClock())
        handle.fail_on = self.fail.get(arm.name, {})
        handle.interrupt_on = self.interrupt.get(arm.name)
        self.handles[arm.name], self.settings[arm.name] = handle, arm.settings
        return handle

    def run(self, arms: list[Arm] = ARMS, **scenario: Any) -> Any:
        config = ScenarioConfig(**{"batch_sizes": (1, 8), **scenario})
        plan = make_plan(["baseline", "a", "b"], "baseline", config, ProtocolConfig(trials=6), 0, (0, 1))
        return take_profiles(plan, arms, INPUTS, launch=self.launch)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def profile(size: int, length: int | None = None) -> Profile:
    return Profile("fake", size, 10, 1.0, (OperatorTime("Conv", 1.0, 0.5),), length)


def test_imports_together_profiles_one_by_one_at_both_batch_sizes(bench: Bench) -> None:
    found = bench.run(ARMS[:2])
    assert found.taken == {"baseline": (profile(1), profile(8)), "a": (profile(1), profile(8))}
    assert found.absent == {}
    assert [entry[:2] for entry in bench.log] == [
        ("import", "baseline"),
        ("import", "a"),
        ("profile", "baseline"),
        ("profile", "a"),
    ]
    assert all(handle.stopped and handle.cpus == (0,) for handle in bench.handles.values())


def test_items_are_the_first_of_what_was_timed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    saved: list[dict[str, Any]] = []
    monkeypatch.setattr("mlbench.measurement.profiling.save_inputs", lambda _directory, inputs: saved.append(inputs))
    monkeypatch.setitem(INPUTS, "x", np.arange(20, dtype=np.float32))
    bench.run(ARMS[:1])
    (given,) = saved
    np.testing.assert_array_equal(given["x"], [15, 3, 12, 7, 5, 2, 8, 11])


def test_nothing_is_started_for_nobody(bench: Bench) -> None:
    assert bench.run([]).taken == {}
    assert bench.log == []


@pytest.mark.parametrize("command", ["import", "profile"])
def test_a_worker_that_fails_is_the_reason_and_the_others_go_on(bench: Bench, command: str) -> None:
    bench.fail = {"a": {command: "no profile by operator"}}
    found = bench.run()
    assert set(found.taken) == {"baseline", "b"}
    assert found.absent == {"a": "no profile by operator"}
    assert all(handle.stopped for handle in bench.handles.values())


def test_an_interruption_ends_the_pass_only(bench: Bench) -> None:
    bench.interrupt = {"a": "profile"}
    found = bench.run()
    assert set(found.taken) == {"baseline"}
    assert found.absent == dict.fromkeys(("a", "b"), "the profile pass was interrupted")
    assert all(handle.stopped for handle in bench.handles.values())


def test_so_does_a_full_disk(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_directory: Path, _inputs: Any) -> None:
        raise MlbenchError("no room")

    monkeypatch.setattr("mlbench.measurement.profiling.save_inputs", full)
    assert bench.run().absent == dict.fromkeys(("baseline", "a", "b"), "no room")
    assert bench.log == []


def test_threads_and_length_are_the_headlines(bench: Bench) -> None:
    found = bench.run(ARMS[:1], batch_sizes=(4,), input_lengths=(16, 64), threads=(2, 1))
    assert found.taken == {"baseline": (profile(4, 16),)}
    assert bench.settings["baseline"].threads == 2
    assert bench.handles["baseline"].cpus == (0, 1)
    assert replace(ARMS[0]).settings.threads == 1
