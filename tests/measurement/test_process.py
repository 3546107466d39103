"""Real worker processes, with a runtime of a few lines that misbehaves on demand."""

import itertools
import os
import platform
import re
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import make_arm
from memory_group import memory_group
from plugins import install
from processes import gone

from mlbench import registry
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import WorkerError, WorkerGoneError
from mlbench.measurement.alone import disturbance
from mlbench.measurement.cells import calls_over
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.interpreters import command
from mlbench.measurement.limits import Limits
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import WorkerProcess, arm_message, worker_environment
from mlbench.records import Arm, LostTrial

RUNTIME = """
import ctypes, os, pathlib, signal, subprocess, sys, time
import numpy as np

class Session:
    def __init__(self, options):
        self.options, self.calls = options, 0
    def prepare(self, batch):
        return batch["x"]
    def run(self, prepared):
        self.calls += 1
        if self.calls <= self.options.get("after", 0):
            time.sleep(self.options.get("takes", 0.0))
            return prepared @ np.ones((2, 3), np.float32)
        behaviour = self.options.get("behaviour")
        if "starts" in self.options:
            child = subprocess.Popen(["sleep", "100"])
            pathlib.Path(self.options["starts"]).write_text(str(child.pid))
        if behaviour == "prints":
            print("a library that prints on standard output")
            os.write(1, b"and one that does so below Python")
        if behaviour == "raises":
            raise RuntimeError("no such operator")
        if behaviour == "dies":
            sys.stderr.write("Segmentation fault: imagined\\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGSEGV)
        if behaviour == "segfaults":
            ctypes.string_at(0)
        if behaviour == "is killed once" and not os.path.exists(self.options["mark"]):
            pathlib.Path(self.options["mark"]).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if behaviour == "eats":
            eaten = []
            while len(eaten) < 64:
                eaten.append(np.ones(1 << 21))
        if behaviour == "closes":
            os.closerange(3, 64)
            signal.pause()
        if behaviour == "leaves":
            os._exit(3)
        if behaviour == "hangs":
            signal.pause()
        return prepared @ np.ones((2, 3), np.float32)
    def outputs(self, result):
        return (result,)
    def effective(self):
        return {"runtime": "fake", "threads": int(os.environ["OMP_NUM_THREADS"])}

class FakeRuntime:
    name = "fake"
    formats = ("fake",)
    def import_library(self):
        pass
    def load(self, artifact, settings):
        return Session(settings.options)
"""


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A third party's package on the import path, registered by an entry point."""
    points = "[mlbench.runtimes]\nfake = fake_runtime:FakeRuntime\n"
    install(tmp_path, "fake_runtime", textwrap.dedent(RUNTIME), points)
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def arm(behaviour: str | None = None, name: str = "a", **more: Any) -> Arm:
    made = make_arm(name, "baseline" if name == "baseline" else "variant")
    options = ({} if behaviour is None else {"behaviour": behaviour}) | more
    return replace(made, settings=replace(made.settings, options=options))


def load(worker: WorkerProcess, which: Arm, directory: Path) -> dict[str, Any]:
    np.save(directory / "0.npy", np.zeros((4, 2), np.float32))
    worker.post("load", cpus=[], inputs=str(directory), batch_size=1, **arm_message(which))
    return worker.answer(60)[0]


@pytest.mark.usefixtures("plugin")
def test_a_library_that_prints_does_not_break_the_conversation(tmp_path: Path) -> None:
    worker = WorkerProcess(arm("prints"))
    assert load(worker, arm("prints"), tmp_path)["effective"] == {
        "runtime": "fake",
        "threads": 1,
        "python": platform.python_version(),
    }
    worker.stop()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        ("raises", "RuntimeError: no such operator"),
        ("dies", "signal SIGSEGV; it last said: Segmentation fault: imagined"),
        ("leaves", "exit code 3"),
    ],
)
def test_a_worker_that_fails_says_how(tmp_path: Path, behaviour: str, message: str) -> None:
    worker = WorkerProcess(arm(behaviour))
    with pytest.raises(WorkerError, match=message):
        load(worker, arm(behaviour), tmp_path)
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_a_worker_that_hangs_is_ended_with_everything_that_it_started(tmp_path: Path) -> None:
    child = tmp_path / "child"
    hanging = arm("hangs", starts=str(child))
    worker = WorkerProcess(hanging)
    np.save(tmp_path / "0.npy", np.zeros((4, 2), np.float32))
    worker.post("import", format="fake", settings=arm_message(hanging)["settings"])
    worker.answer(60)
    worker.post("load", cpus=[], inputs=str(tmp_path), batch_size=1, **arm_message(hanging))
    until = time.monotonic() + 60
    while not (child.exists() and child.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(WorkerGoneError, match=r"no answer for 0\.1 s and was ended") as caught:
        worker.answer(0.1)
    assert (caught.value.signal, psutil.pid_exists(worker.pid)) == (None, False)
    assert gone(int(child.read_text()), 10)
    worker.stop()  # stopping twice is harmless


def hung(worker: WorkerProcess, child: Path, call_s: float = 0.2) -> WorkerGoneError:
    """What is said of a worker that hangs in a call in which it has started a child, long before its answer is due."""
    until = time.monotonic() + 60
    while not (child.exists() and child.read_text()) and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(WorkerGoneError) as caught:
        worker.answer(1000, call_s)
    assert not psutil.pid_exists(worker.pid)
    assert gone(int(child.read_text()), 10)
    worker.stop()
    return caught.value


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize(
    ("after", "command", "message", "where"),
    [
        (18, "turn", {"discard": 2, "calls": 100, "group": 20}, "after 17 calls of this turn"),
        (1, "turn", {"discard": 2, "calls": 1, "group": 1}, "after 0 calls of this turn"),
        (4, "warm_up", {"calls": 30, "seconds": 0.0, "min_value_ns": 0}, "after 3 calls of the warm-up"),
        (2, "predict", {}, "after 1 call of the predictions"),
    ],
)
def test_a_call_that_hangs_is_found_long_before_the_answer_is_due(
    tmp_path: Path, after: int, command: str, message: dict[str, Any], where: str
) -> None:
    child = tmp_path / "child"
    hanging = arm("hangs", after=after, starts=str(child))
    worker = WorkerProcess(hanging)
    load(worker, hanging, tmp_path)
    worker.post(command, batch_size=1, **message)
    error = hung(worker, child)
    assert str(error) == f"the worker hung in a call for 0.2 s ({where}) and was ended"
    assert error.signal is None


@pytest.mark.usefixtures("plugin")
def test_the_limit_of_the_whole_turn_says_how_many_calls_were_over(tmp_path: Path) -> None:
    hanging = arm("hangs", after=18)
    worker = WorkerProcess(hanging)
    load(worker, hanging, tmp_path)
    worker.post("turn", batch_size=1, discard=2, calls=100, group=20)
    until = time.monotonic() + 60
    while calls_over(worker._cells.fileno()) != 17 and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(WorkerGoneError, match=r"gave no answer for 0\.1 s \(after 17 calls of this turn\) and was end"):
        worker.answer(0.1, 1000)
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_turns_of_any_length_come_back_from_the_shared_file(tmp_path: Path) -> None:
    worker = WorkerProcess(arm())
    load(worker, arm(), tmp_path)
    for calls in (3, 5000, 2):
        worker.post("turn", batch_size=1, discard=1, calls=calls, group=1)
        header, arrays = worker.answer(60, 60)
        times = np.concatenate([arrays["discarded_ns"], arrays["timed_ns"]])
        assert len(times) == 1 + calls == calls_over(worker._cells.fileno())
        assert (times > 0).all()
        assert times.sum() <= header["end_ns"] - header["start_ns"]
    worker.stop()


@pytest.mark.usefixtures("plugin")
@pytest.mark.parametrize("descriptor", [(), ("1000",)], ids=["not given", "closed"])
def test_a_worker_without_the_shared_file_has_the_limit_of_its_turn_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, descriptor: tuple[str, ...]
) -> None:
    monkeypatch.setattr("mlbench.measurement.process.command", lambda *words: command(*words[:-1], *descriptor))
    hanging = arm("hangs", after=18)
    worker = WorkerProcess(hanging)
    load(worker, hanging, tmp_path)
    worker.post("turn", batch_size=1, discard=2, calls=15, group=1)
    assert len(worker.answer(60, 60)[1]["timed_ns"]) == 15
    worker.post("turn", batch_size=1, discard=2, calls=15, group=1)
    with pytest.raises(WorkerGoneError, match=r"gave no answer for 0\.2 s and was ended"):
        worker.answer(0.2, 0.02)
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_a_killed_worker_is_noticed_when_it_is_next_spoken_to() -> None:
    worker = WorkerProcess(arm())
    os.kill(worker.pid, signal.SIGKILL)
    with pytest.raises(WorkerError, match="SIGKILL"):
        worker.answer(30)
    with pytest.raises(WorkerError, match="SIGKILL"):
        worker.post("report")
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_workers_end_by_themselves_when_the_coordinator_is_gone() -> None:
    worker = WorkerProcess(arm())
    worker._channel.close()  # what the kernel does when the coordinator is killed
    assert worker._process.has_ended(30)
    worker._process.end()
    assert worker._process._process.returncode == 0
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_the_worker_imports_only_its_runtime() -> None:
    plan = make_plan(["baseline"], "baseline", ScenarioConfig(), ProtocolConfig(trials=1, warmup_seconds=0.0), 0)
    measured = Coordinator(
        plan, [arm(name="baseline")], {"x": np.ones((5, 2), np.float32)}, np.zeros(5, np.int64)
    ).run()
    assert measured.complete
    assert measured.lost == ()
    modules = set(measured.workers[0].modules)
    assert "numpy" in modules
    forbidden = {"mlflow", "hydra", "omegaconf", "pandas", "plotly", "pyarrow", "sklearn", "scipy", "pydantic", "rich"}
    assert not modules & (forbidden | {"torch", "onnx", "transformers"})


@pytest.mark.usefixtures("plugin")
def test_one_at_a_time_on_the_real_clock_and_faults_stay_with_their_arm() -> None:
    arms = [arm(name="baseline"), arm(name="b"), arm("raises", name="c")]
    plan = make_plan(
        [item.name for item in arms], "baseline", ScenarioConfig(), ProtocolConfig(trials=2, warmup_seconds=0.0), 0
    )
    measured = Coordinator(plan, arms, {"x": np.ones((5, 2), np.float32)}, np.zeros(5, np.int64)).run()
    assert [(loss.arm, loss.trial, loss.reason) for loss in measured.lost] == [
        ("c", 0, "RuntimeError: no such operator")
    ]
    turns = sorted(measured.turns, key=lambda turn: turn.start_ns)
    assert len(turns) == 2 * len(plan.schedule)
    assert all(one.end_ns <= other.start_ns for one, other in itertools.pairwise(turns))
    assert len({worker.pid for worker in measured.workers}) == 4  # a fresh process per arm and trial
    assert disturbance(measured.turns) == ""
    assert all((turn.timed_ns > 0).all() for turn in turns)
    np.testing.assert_array_equal(measured.predictions[0].outputs, np.full((5, 3), 2.0))
    assert not psutil.Process().children()


@pytest.mark.usefixtures("plugin")
def test_what_a_worker_started_ends_with_it_when_it_crashes(tmp_path: Path) -> None:
    child = tmp_path / "child"
    worker = WorkerProcess(arm("segfaults", starts=str(child)))
    with pytest.raises(WorkerGoneError, match="was ended by signal SIGSEGV") as caught:
        load(worker, arm("segfaults", starts=str(child)), tmp_path)
    assert caught.value.signal == "SIGSEGV"
    assert gone(int(child.read_text()), 10)
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_a_worker_that_closes_its_pipe_and_lives_on_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.measurement.own_process._DYING_S", 0.1)
    worker = WorkerProcess(arm("closes"))
    with pytest.raises(WorkerGoneError, match="closed its pipe, went on, and was ended"):
        load(worker, arm("closes"), tmp_path)
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_the_peak_of_a_dead_worker_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child takes over the peak of its parent: below that nothing can be told, and nothing is."""
    worker = WorkerProcess(arm("leaves"))
    worker._process._inherited_mib = 0.0
    with pytest.raises(WorkerGoneError) as caught:
        load(worker, arm("leaves"), tmp_path)
    assert caught.value.peak_mib is not None
    assert caught.value.peak_mib > 5
    worker.stop()
    worker = WorkerProcess(arm("leaves"))
    worker._process._inherited_mib = 1e6
    with pytest.raises(WorkerGoneError) as caught:
        load(worker, arm("leaves"), tmp_path)
    assert caught.value.peak_mib is None
    worker.stop()


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group whose processes may have 256 MiB together."""
    with memory_group(256) as group:
        if group is None:
            pytest.skip("no control group with a memory limit can be made here: that needs root")
        yield group


@pytest.mark.usefixtures("plugin")
def test_a_worker_that_is_ended_for_memory_says_so(tmp_path: Path, small_group: Path) -> None:
    worker = WorkerProcess(arm("eats"))
    (small_group / "cgroup.procs").write_text(str(worker.pid))
    with pytest.raises(WorkerGoneError, match=r"signal SIGKILL, while the kernel ended .* want of memory") as caught:
        load(worker, arm("eats"), tmp_path)
    assert caught.value.signal == "SIGKILL"
    worker.stop()


@pytest.mark.usefixtures("plugin")
def test_arms_that_crash_and_hang_are_named_and_the_others_go_on(tmp_path: Path) -> None:
    arms = [
        arm(name="baseline"),
        arm("segfaults", name="crashes", after=40),
        arm("hangs", name="hangs", after=40, takes=0.01),
        arm("is killed once", name="unlucky", after=40, mark=str(tmp_path / "mark")),
    ]
    protocol = ProtocolConfig(trials=2, rounds=2, warmup_seconds=0.0)
    plan = make_plan([item.name for item in arms], "baseline", ScenarioConfig(), protocol, 0)
    told: list[LostTrial] = []
    measured = Coordinator(
        plan,
        arms,
        {"x": np.ones((5, 2), np.float32)},
        np.zeros(5, np.int64),
        limits=Limits(floor_s=0.5),
        lost=told.append,
    ).run()
    assert sorted((loss.arm, loss.trial, loss.signal, loss.repeated_as) for loss in measured.lost if loss.signal) == [
        ("crashes", 0, "SIGSEGV", 2),
        ("crashes", 2, "SIGSEGV", None),
        ("unlucky", 0, "SIGKILL", 2),
    ]
    hung = [loss for loss in measured.lost if loss.arm == "hangs"]
    assert [(loss.trial, loss.signal, loss.repeated_as) for loss in hung] == [(0, None, 2), (2, None, None)]
    assert re.match(
        r"the worker hung in a call for \S+ s \(after 9 calls of this turn\) and was ended; ", hung[0].reason
    )
    assert all(loss.peak_mib and "its peak memory was" in loss.reason for loss in measured.lost)
    assert told == list(measured.lost)
    assert {(worker.arm, worker.trial) for worker in measured.workers} == {
        (name, trial) for name in ("baseline", "unlucky") for trial in (1, 2)
    }
    assert {(turn.arm, turn.trial) for turn in measured.void} == {
        ("baseline", 0)
    }  # the others died in their first turn
    assert disturbance(measured.turns) == ""
    assert measured.complete
    assert not psutil.Process().children()


@pytest.mark.usefixtures("plugin")
def test_real_workers_stay_on_the_cpus_of_their_trial() -> None:
    arms, cpus = [arm(name="baseline"), arm(name="b")], usable_cpus()
    protocol = ProtocolConfig(trials=2, warmup_seconds=0.0)
    plan = make_plan(["baseline", "b"], "baseline", ScenarioConfig(), protocol, 0, cpus)
    measured = Coordinator(plan, arms, {"x": np.ones((5, 2), np.float32)}, np.zeros(5, np.int64)).run()
    assert {(worker.trial, worker.cpus) for worker in measured.workers} == {
        (trial, (cpus[trial % len(cpus)],)) for trial in range(2)
    }


def test_thread_pools_are_pinned_and_the_import_path_is_the_coordinators() -> None:
    environment = worker_environment(3, {"PATH": "p", "OMP_NUM_THREADS": "9"})
    assert environment["OMP_NUM_THREADS"] == environment["OPENBLAS_NUM_THREADS"] == "3"
    assert environment["PATH"] == "p"
    path = environment["PYTHONPATH"].split(os.pathsep)
    assert path[: len(set(sys.path))] == list(dict.fromkeys(sys.path))
