"""kill -9 in mid-study, then the next start, then --resume: the same plan, and nothing measured twice or lost."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from caches import own_artifacts, share_artifacts
from programs import until
from tiny import TINY
from turns import with_calls

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.journal import Journal
from mlbench.measurement.machine_lock import MachineLock
from mlbench.records import Measurement, Plan
from mlbench.tracking import Tracker, connect, load_measurement, load_study
from mlbench.variants.store import MANIFEST

pytestmark = pytest.mark.e2e


@dataclass
class Killed:
    """What a study left that was killed in its second trial; ``exported`` is the artifact that both arms are."""

    folder: Path
    run_id: str
    plan: Plan
    before: list[Measurement]
    orphans: list[psutil.Process]
    exported: str

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder}/mlflow.db"

    def tracker(self) -> Tracker:
        return connect(TrackingConfig(uri=self.uri), create=False)

    def statuses(self) -> list[str]:
        tracker = self.tracker()
        return [run.info.status for run in tracker.client.search_runs([tracker.experiment_id])]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "mlbench", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "MLBENCH_CACHE_DIR": str(folder / "cache"),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Killed:
    folder = tmp_path_factory.mktemp("desk")
    share_artifacts(folder / "cache")
    with start(folder, "run", "name=killed", *TINY) as process:
        until(process, "trial 2 of 3")
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
    (exported,) = {arm.digest for arm in planned.arms}
    own_artifacts(folder / "cache", [exported])
    return Killed(folder, path.name, planned.plan, before, orphans, exported)


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


def test_the_next_start_closes_its_runs_and_says_so(killed: Killed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert killed.statuses() == ["RUNNING"] * 3
    monkeypatch.setenv("MLBENCH_LOCK", str(killed.folder / "machine.lock"))
    with MachineLock(wait=False, say=pytest.fail), start(killed.folder, "run", "name=next", *TINY) as following:
        try:
            said = until(following, "waiting for its end")  # here it stays, and opens no runs of its own
        finally:
            following.terminate()
            following.communicate(timeout=60)
    assert following.returncode == 130
    (sentence,) = [line for line in said if "is closed as KILLED" in line]
    assert "the study killed was left open by a process that is gone" in sentence
    assert f"mlbench run --resume {killed.run_id} goes on with it" in sentence
    assert killed.statuses() == ["KILLED"] * 3


def test_it_is_no_study_that_sync_could_deliver(killed: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["sync"]) == 0
    out = capsys.readouterr().out
    assert "1 of 3 trials measured" in out
    assert out.endswith("nothing to deliver\n")


def written(artifacts: Path) -> dict[str, dict[str, int]]:
    """When each file of each artifact was written; a manifest's time says when the artifact was used."""
    return {
        place.name: {path.name: path.stat().st_mtime_ns for path in place.iterdir() if path.name != MANIFEST}
        for place in artifacts.iterdir()
    }


def test_resumed_it_keeps_its_plan_and_measures_what_is_missing(
    killed: Killed, capfd: pytest.CaptureFixture[str]
) -> None:
    """Meanwhile a byte of the arms' artifact has changed; the model that it is exported from is whole."""
    artifacts = killed.folder / "cache" / "artifacts"
    model = artifacts / killed.exported / "model.onnx"
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    model.write_bytes(content)
    before = written(artifacts)

    assert cli.main(["run", "--resume", "killed", "--json"]) == 0
    out, err = capfd.readouterr()
    assert json.loads(out)["study"] == killed.run_id
    assert "1 of 3 trials were measured before" in err
    assert "trial 2 of 3" in err
    assert "trial 1 of 3" not in err
    damage = f"the stored artifact {killed.exported[:12]} is damaged (model.onnx has changed); building it again"
    assert err.count(damage) == 1  # the other arm finds what was built
    assert err.count("step 1 of 1: export_onnx") == 1
    assert "epoch" not in err
    after = written(artifacts)
    assert {digest for digest in before if after[digest] != before[digest]} == {killed.exported}
    assert set(after) == set(before)
    assert len(after) == 2

    loaded = load_study(killed.tracker(), killed.run_id)
    measurement = load_measurement(killed.tracker(), loaded)
    assert (loaded.status, loaded.study.status) == ("FINISHED", "finished")
    assert measurement.plan == loaded.study.plan == killed.plan
    assert [(turn.trial, turn.round, turn.arm) for turn in measurement.turns] == [
        (planned.trial, planned.round, arm) for planned in killed.plan.schedule for arm in planned.order
    ]
    (part,) = killed.before
    assert with_calls(measurement.turns[: len(part.turns)]) == with_calls(part.turns)
    assert {notice.code for notice in loaded.study.warnings} >= {"resumed", "cache"}
    assert [notice.message for notice in loaded.study.warnings if notice.code == "cache"] == [damage]
    assert killed.statuses() == ["FINISHED"] * 3
    assert not list((killed.folder / "cache" / "studies").iterdir())


def test_a_study_that_is_over_is_not_resumed(killed: Killed, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--resume", killed.run_id]) == 2
    assert "is no study to resume in" in capsys.readouterr().err
