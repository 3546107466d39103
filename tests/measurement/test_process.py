"""Real worker processes, with a runtime of a few lines that misbehaves on demand."""

import itertools
import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from fakes import make_arm

from mlbench import registry
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import WorkerError
from mlbench.measurement.alone import disturbance
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import WorkerProcess, arm_message, worker_environment
from mlbench.records import Arm

RUNTIME = """
import os, signal, sys, time
import numpy as np

class Session:
    def __init__(self, options):
        self.options = options
    def prepare(self, batch):
        return batch["x"]
    def run(self, prepared):
        behaviour = self.options.get("behaviour")
        if behaviour == "prints":
            print("a library that prints on standard output")
            os.write(1, b"and one that does so below Python")
        if behaviour == "raises":
            raise RuntimeError("no such operator")
        if behaviour == "dies":
            sys.stderr.write("Segmentation fault: imagined\\n")
            sys.stderr.flush()
            os.kill(os.getpid(), signal.SIGSEGV)
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
    (tmp_path / "fake_runtime.py").write_text(textwrap.dedent(RUNTIME))
    info = tmp_path / "fake_runtime-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: fake-runtime\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[mlbench.runtimes]\nfake = fake_runtime:FakeRuntime\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.entries.cache_clear()
    yield
    registry.entries.cache_clear()


def arm(behaviour: str | None = None, name: str = "a") -> Arm:
    made = make_arm(name, "baseline" if name == "baseline" else "variant")
    options = {} if behaviour is None else {"behaviour": behaviour}
    return replace(made, settings=replace(made.settings, options=options))


def load(worker: WorkerProcess, which: Arm, directory: Path) -> dict[str, Any]:
    np.save(directory / "0.npy", np.zeros((4, 2), np.float32))
    worker.post("load", cpus=[], inputs=str(directory), batch_size=1, **arm_message(which))
    return worker.answer(60)[0]


@pytest.mark.usefixtures("plugin")
def test_a_library_that_prints_does_not_break_the_conversation(tmp_path: Path) -> None:
    worker = WorkerProcess(arm("prints"))
    assert load(worker, arm("prints"), tmp_path)["effective"] == {"runtime": "fake", "threads": 1}
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
def test_a_worker_that_hangs_is_ended(tmp_path: Path) -> None:
    worker = WorkerProcess(arm("hangs"))
    np.save(tmp_path / "0.npy", np.zeros((4, 2), np.float32))
    worker.post("load", cpus=[], inputs=str(tmp_path), batch_size=1, **arm_message(arm("hangs")))
    with pytest.raises(WorkerError, match="no answer for 3 s"):
        worker.answer(3)
    assert not psutil.pid_exists(worker.pid)
    worker.stop()  # stopping twice is harmless


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
    worker._process.wait(30)
    assert worker._process.returncode == 0
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
