"""The tracking server goes away in mid-study: nothing is lost, the result is shown, and sync delivers it once."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from caches import share_artifacts
from proxy import Proxy
from tiny import TINY

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.records import Study
from mlbench.tracking import connect, load_measurement, load_study, server

pytestmark = pytest.mark.e2e


@dataclass
class Away:
    """What is left of a study whose server answered 500 from its first trial on."""

    proxy: Proxy
    cache: Path
    returncode: int
    out: str
    err: str

    @property
    def run_id(self) -> str:
        return self.out.splitlines()[-1].removeprefix("study ")


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("server")
    MlflowClient(f"sqlite:///{folder}/mlflow.db").search_experiments()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    before = Path.cwd()
    os.chdir(folder)  # where the server keeps artifacts
    try:
        with server.serving(f"sqlite:///{folder}/mlflow.db", port):
            os.chdir(before)
            proxy = Proxy(port)
            yield proxy
            proxy.close()
    finally:
        os.chdir(before)


@pytest.fixture(scope="module")
def away(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Away:
    folder = tmp_path_factory.mktemp("desk")
    cache = folder / "cache"
    share_artifacts(cache)
    with subprocess.Popen(
        [sys.executable, "-m", "mlbench", "run", *TINY, "tracking.attempts=2"],
        cwd=folder,
        env={**os.environ, "MLFLOW_TRACKING_URI": proxy.uri, "MLBENCH_CACHE_DIR": str(cache)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "trial 1 of 3" in line:
                proxy.become("error")
        out = process.stdout.read() if process.stdout is not None else ""
    return Away(proxy, cache, process.returncode, out, "".join(said))


@pytest.fixture
def here(away: Away, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Away:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(away.cache))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return away


def test_the_result_is_shown_the_failure_is_said_and_so_is_the_way_out(away: Away) -> None:
    assert away.returncode == 1, away.err
    assert "Decision:" in away.out
    assert "twin" in away.out
    assert f"nothing is lost: mlbench sync {away.run_id} delivers it later" in away.err
    assert "trying again in 2 s (1 more)" in away.err
    assert "Traceback" not in away.err
    assert "trial 3 of 3" in away.err


def test_while_it_is_away_sync_fails_and_keeps_everything(
    here: Away, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    here.proxy.become("silent")
    assert cli.main(["sync"]) == 1
    assert "no answer within the time limit" in capsys.readouterr().out
    assert (here.cache / "studies" / here.run_id / "concluded").is_dir()


def test_sync_delivers_it_once(here: Away, capsys: pytest.CaptureFixture[str]) -> None:
    here.proxy.become("pass")
    assert cli.main(["sync", "--json"]) == 0
    assert [entry["state"] for entry in json.loads(capsys.readouterr().out)] == ["delivered"]
    assert not list((here.cache / "studies").iterdir())
    assert cli.main(["sync"]) == 0
    assert capsys.readouterr().out == "nothing to deliver\n"

    tracker = connect(TrackingConfig(uri=here.proxy.uri), create=False)
    loaded = load_study(tracker, here.run_id)
    study: Study = loaded.study
    assert loaded.status == "FINISHED"
    assert (study.status, len(study.arms), set(loaded.arms)) == ("finished", 2, {"baseline", "twin"})
    measurement = load_measurement(tracker, loaded)
    assert measurement.complete
    assert len(measurement.turns) == 3 * 2 * 2  # trials, rounds, arms: every single one
    assert len(tracker.client.search_runs([tracker.experiment_id])) == 3
    for run_id in loaded.arms.values():
        run = tracker.client.get_run(run_id)
        assert run.info.status == "FINISHED"
        for key in run.data.metrics:
            points = [(point.step, point.timestamp) for point in tracker.client.get_metric_history(run_id, key)]
            assert len(points) == len(set(points)), key


def test_a_server_that_is_not_there_is_refused_before_anything_is_measured(here: Away) -> None:
    here.proxy.become("error")
    assert cli.main(["run", *TINY, f"tracking.uri={here.proxy.uri}"]) == 2
    assert not list((here.cache / "studies").iterdir())
