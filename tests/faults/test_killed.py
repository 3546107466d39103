"""kill -9 in mid-study, then the next start, then --resume: the same plan, and nothing measured twice or lost."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from caches import share_artifacts
from tiny import TINY

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.journal import Journal
from mlbench.records import Measurement, Plan
from mlbench.sync import close_abandoned
from mlbench.tracking import Tracker, connect, load_measurement, load_study

pytestmark = pytest.mark.e2e


@dataclass
class Killed:
    """What a study left that was killed in its second trial."""

    folder: Path
    run_id: str
    plan: Plan
    before: list[Measurement]
    orphans: list[psutil.Process]

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def tracker(self) -> Tracker:
        return connect(TrackingConfig(uri=self.uri), create=False)

    def statuses(self) -> list[str]:
        tracker = self.tracker()
        return [run.info.status for run in tracker.client.search_runs([tracker.experiment_id])]


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("desk")
    share_artifacts(folder / "cache")
    with subprocess.Popen(
        [sys.executable, "-m", "mlbench", "run", "name=killed", *TINY],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "MLBENCH_CACHE_DIR": str(folder / "cache"),
        },
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if "trial 2 of 3" in line)
        workers = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        assert workers
        _, orphans = psutil.wait_procs(workers, timeout=5)
    (path,) = (folder / "cache" / "studies").iterdir()
    with Journal.open(path) as journal:
        planned = journal.planned()
        assert planned is not None
        before, damaged = journal.finished(planned.plan)
        assert not damaged
    return Killed(folder, path.name, planned.plan, before, orphans)


@pytest.fixture(autouse=True)
def _here(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(killed.folder)
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(killed.folder / "cache"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", killed.uri)


def test_no_worker_is_left_behind(killed: Killed) -> None:
    assert not killed.orphans


def test_every_finished_trial_is_in_the_journal(killed: Killed) -> None:
    assert [len(part.turns) for part in killed.before] == [4]  # one trial: rounds times arms
    assert {worker.trial for part in killed.before for worker in part.workers} == {0}


def test_the_next_start_closes_its_runs_and_says_so(killed: Killed) -> None:
    assert killed.statuses() == ["RUNNING"] * 3
    said: list[str] = []
    close_abandoned(killed.tracker(), killed.folder / "cache", said.append)
    assert len(said) == 1
    assert f"mlbench run --resume {killed.run_id} goes on with it" in said[0]
    assert killed.statuses() == ["KILLED"] * 3


def test_it_is_no_study_that_sync_could_deliver(killed: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sync"]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 trials measured" in out
    assert out.endswith("nothing to deliver\n")


def test_resumed_it_keeps_its_plan_and_measures_what_is_missing(
    killed: Killed, capfd: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "--resume", "killed", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["study"] == killed.run_id
    assert "1 of 3 trials were measured before" in err
    assert "trial 2 of 3" in err
    assert "trial 1 of 3" not in err

    loaded = load_study(killed.tracker(), killed.run_id)
    measurement = load_measurement(killed.tracker(), loaded)
    assert (loaded.status, loaded.study.status) == ("FINISHED", "finished")
    assert measurement.plan == loaded.study.plan == killed.plan
    assert [(turn.trial, turn.round, turn.arm) for turn in measurement.turns] == [
        (planned.trial, planned.round, arm) for planned in killed.plan.schedule for arm in planned.order
    ]
    (before,) = killed.before
    assert measurement.turns[: len(before.turns)] == before.turns
    assert any(notice.code == "resumed" for notice in loaded.study.warnings)
    assert killed.statuses() == ["FINISHED"] * 3
    assert not list((killed.folder / "cache" / "studies").iterdir())


def test_a_study_that_is_over_is_not_resumed(killed: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--resume", killed.run_id]) == 2
    assert "is no study to resume in" in capsys.readouterr().err
