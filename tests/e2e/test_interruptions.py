"""Ctrl-C and SIGTERM to the program: nobody is left behind, nothing measured is lost."""

import signal
from collections.abc import Iterator

import psutil
import pytest
from desk import LIGHT, SHORT, Desk

from mlbench.tracking import load_measurement, load_study

pytestmark = pytest.mark.e2e

BRIEF = (*LIGHT, "protocol.rounds=4", "protocol.warmup_seconds=0.1")


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Desk:
    return Desk(tmp_path_factory.mktemp("desk"))


def _until(lines: Iterator[str], wanted: str) -> None:
    for line in lines:
        if wanted in line:
            return
    pytest.fail(f"the program ended without saying {wanted!r}")


def _wait_gone(processes: list[psutil.Process], seconds: float = 30) -> list[psutil.Process]:
    return psutil.wait_procs(processes, timeout=seconds)[1]


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_while_measuring_keeps_what_was_measured(desk: Desk, how: signal.Signals) -> None:
    name = f"interrupted-{how.name.lower()}"
    process = desk.start("run", f"name={name}", *BRIEF)
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "trial 2 of 6")
    workers = psutil.Process(process.pid).children(recursive=True)
    assert workers
    process.send_signal(how)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert not _wait_gone(workers)
    assert "Traceback" not in err
    assert "interrupted" in out.lower()
    tracker = desk.tracker()
    loaded = load_study(tracker, name)
    assert loaded.status == "KILLED"
    assert loaded.study.status == "interrupted"
    assert loaded.study.decision.outcome != "promote"
    assert {tracker.client.get_run(run).info.status for run in loaded.arms.values()} == {"KILLED"}
    assert len(load_measurement(tracker, loaded).turns) > 0


def test_an_interruption_while_building_closes_the_runs(desk: Desk) -> None:
    process = desk.start("run", "name=early", *SHORT, "workload.model.train.seed=5")
    assert process.stderr is not None
    _until(iter(process.stderr.readline, ""), "epoch 1")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    runs = desk.tracker().client.search_runs([desk.tracker().experiment_id], "attributes.run_name = 'early'")
    assert [run.info.status for run in runs] == ["KILLED"]
