"""A second study on a machine that is being measured: it refuses or waits, and leaves nothing before its turn comes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from caches import share_artifacts
from programs import until
from tiny import TINY

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.measurement.machine_lock import MachineLock
from mlbench.tracking import connect

pytestmark = pytest.mark.e2e


def test_the_second_study_refuses_or_waits_for_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lock, cache = tmp_path / "machine.lock", tmp_path / "cache"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_LOCK", str(lock))
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(cache))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    share_artifacts(cache)
    command = ["run", *TINY, "protocol.trials=1"]

    def statuses() -> list[str]:
        tracker = connect(TrackingConfig(uri=os.environ["MLFLOW_TRACKING_URI"]))
        return [run.info.status for run in tracker.client.search_runs([tracker.experiment_id])]

    with MachineLock(wait=False, say=pytest.fail) as first:
        assert cli.main([*command, "--no-wait"]) == 1
        said = capfd.readouterr().err
        assert "another study is being measured on this machine, and measuring two would falsify both" in said
        assert "Traceback" not in said
        assert statuses() == []
        assert [path.name for path in cache.iterdir()] == ["artifacts"]

        with subprocess.Popen(
            [sys.executable, "-m", "mlbench", *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as second:
            words = f"another study is being measured on this machine: waiting for its end ({lock})"
            try:
                before = until(second, words)
                left = statuses()
            finally:
                first.release()
            _, after = second.communicate(timeout=120)
    assert not any("Building" in line for line in before)
    assert left == []
    assert second.returncode == 0, after
    assert "trial 1 of 1" in after
    assert statuses() == ["FINISHED"] * 3
