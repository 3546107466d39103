"""Ctrl-C and SIGTERM to the program: nobody is left behind, nothing measured is lost, and the study goes on later."""

import re
import signal
import time
from dataclasses import dataclass

import psutil
import pytest
from desk import LIGHT, SHORT, Desk
from programs import until
from turns import places, planned, with_calls

from mlbench.records import Measurement
from mlbench.tracking import LoadedStudy, load_measurement, load_study

pytestmark = pytest.mark.e2e

BRIEF = (*LIGHT, "protocol.trials=3", "protocol.rounds=8", "protocol.warmup_seconds=0.1")
PROMPT_S = 2.0  # what users are promised (docs/faults.md): it is far more than ending a process takes


@dataclass
class Interrupted:
    """A study that was interrupted in its second trial.

    Attributes:
        left: Workers that were still there after the promised time.
        alive: Whether the program was, when its workers were gone: then nothing but the program has ended them.
        orphans: Workers that were there after the program.
        loaded, measurement: What was in MLflow then.
    """

    name: str
    left: list[psutil.Process]
    alive: bool
    orphans: list[psutil.Process]
    returncode: int
    out: str
    err: str
    loaded: LoadedStudy
    measurement: Measurement


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


@pytest.fixture(scope="module", params=[signal.SIGINT, signal.SIGTERM], ids=lambda how: how.name)
def interrupted(desk: Desk, request: pytest.FixtureRequest) -> Interrupted:
    name = f"interrupted-{request.param.name.lower()}"
    process = desk.start("run", f"name={name}", *BRIEF)
    until(process, "trial 2 of 3")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    deadline = time.monotonic() + PROMPT_S
    process.send_signal(request.param)
    _, left = psutil.wait_procs(workers, timeout=deadline - time.monotonic())
    alive = process.poll() is None
    out, err = process.communicate(timeout=120)
    orphans = [other for other in psutil.process_iter(["cmdline"]) if _is_worker_of(other, process.pid)]
    tracker = desk.tracker()
    loaded = load_study(tracker, name)
    measurement = load_measurement(tracker, loaded)
    return Interrupted(name, left, alive, orphans, process.returncode, out, err, loaded, measurement)


def _is_worker_of(process: psutil.Process, pid: int) -> bool:
    return (process.info["cmdline"] or [])[-3:-1] == ["mlbench.measurement.worker", str(pid)]


def test_the_program_ends_its_workers_at_once(interrupted: Interrupted) -> None:
    assert not interrupted.left
    assert interrupted.alive
    assert not interrupted.orphans


def test_an_interruption_while_measuring_keeps_what_was_measured(desk: Desk, interrupted: Interrupted) -> None:
    assert interrupted.returncode == 130, interrupted.err
    assert "Traceback" not in interrupted.err
    assert "interrupted" in interrupted.out.lower()
    loaded = interrupted.loaded
    assert loaded.status == "KILLED"
    assert loaded.study.status == "interrupted"
    assert loaded.study.decision.outcome != "promote"
    client = desk.tracker().client
    assert {client.get_run(run).info.status for run in loaded.arms.values()} == {"KILLED"}
    measured = interrupted.measurement
    assert not measured.complete
    assert places(turn for turn in measured.turns if turn.trial == 0) == planned(measured.plan, [0])


def test_it_goes_on_with_what_it_has(desk: Desk, interrupted: Interrupted) -> None:
    resumed = desk.run("run", "--resume", interrupted.name)
    assert resumed.returncode == 0, resumed.stderr
    said = re.search(r"(\d) of 3 trials were measured before", resumed.stderr)
    assert said is not None, resumed.stderr
    kept = int(said[1])  # on a slow machine the second trial may have been over when the signal came
    assert kept in (1, 2)

    tracker = desk.tracker()
    loaded = load_study(tracker, interrupted.name)
    measured, before = load_measurement(tracker, loaded), interrupted.measurement
    assert measured.complete
    assert measured.plan == loaded.study.plan == before.plan
    assert places(measured.turns) == planned(before.plan)
    assert with_calls(turn for turn in measured.turns if turn.trial < kept) == with_calls(
        turn for turn in before.turns if turn.trial < kept
    )
    assert loaded.run_id == interrupted.loaded.run_id
    assert (loaded.status, loaded.study.status) == ("FINISHED", "finished")
    assert {tracker.client.get_run(run).info.status for run in loaded.arms.values()} == {"FINISHED"}
    assert set(loaded.arms) == set(interrupted.loaded.arms)


def test_an_interruption_while_building_closes_the_runs(desk: Desk) -> None:
    process = desk.start("run", "name=early", *SHORT, "workload.model.train.seed=5")
    until(process, "epoch 1")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    runs = desk.tracker().client.search_runs([desk.tracker().experiment_id], "attributes.run_name = 'early'")
    assert [run.info.status for run in runs] == ["KILLED"]
