"""The tracking server goes away in mid-study: nothing is lost, the result is shown, and it is delivered once."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from caches import share_artifacts
from proxy import Proxy
from tiny import TINY

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.records import Measurement, Study
from mlbench.tracking import LoadedStudy, Tracker, connect, load_measurement, load_study, server

pytestmark = pytest.mark.e2e


@dataclass
class Away:
    """What is left of a study whose server was not always there."""

    proxy: Proxy
    cache: Path
    returncode: int
    out: str
    err: str

    @property
    def run_id(self) -> str:
        return self.out.splitlines()[-1].removeprefix("study ")

    def tracker(self) -> Tracker:
        return connect(TrackingConfig(uri=self.proxy.uri), create=False)


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


def run(proxy: Proxy, folder: Path, events: Mapping[str, Callable[[], None]], *overrides: str) -> Away:
    """A study as a program; what is to happen when it first says something happens then."""
    cache = folder / "cache"
    share_artifacts(cache)
    waiting = dict(events)
    with subprocess.Popen(
        [sys.executable, "-m", "mlbench", "run", *TINY, "tracking.attempts=2", *overrides],
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
            for words in [words for words in waiting if words in line]:
                waiting.pop(words)()
        out = process.stdout.read() if process.stdout is not None else ""
    assert not waiting, "".join(said)
    return Away(proxy, cache, process.returncode, out, "".join(said))


@pytest.fixture(scope="module")
def away(proxy: Proxy, tmp_path_factory: pytest.TempPathFactory) -> Away:
    """It answers 500 from the study's first trial on."""
    return run(proxy, tmp_path_factory.mktemp("desk"), {"trial 1 of 3": lambda: proxy.become("error")})


@pytest.fixture
def here(away: Away, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Away:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(away.cache))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return away


def asked_while_measuring(proxy: Proxy, measurement: Measurement) -> list[int]:
    """Connections that the study made between the beginning of its first turn and the end of its last one."""
    first, last = (min(turn.start_ns for turn in measurement.turns), max(turn.end_ns for turn in measurement.turns))
    return [moment for moment in proxy.asked if first <= moment <= last]


def require_all_of_it_once(tracker: Tracker, loaded: LoadedStudy, models: int) -> None:
    """Every turn, run, metric and model is there, and none of them twice."""
    study: Study = loaded.study
    assert loaded.status == "FINISHED"
    assert (study.status, len(study.arms), set(loaded.arms)) == ("finished", 2, {"baseline", "twin"})
    measurement = load_measurement(tracker, loaded)
    assert measurement.complete
    assert len(measurement.turns) == 3 * 2 * 2  # trials, rounds, arms: every single one
    runs = [
        run
        for run in tracker.client.search_runs([tracker.experiment_id])
        if loaded.run_id in (run.info.run_id, run.data.tags.get("mlflow.parentRunId"))
    ]
    assert sorted(run.info.run_id for run in runs) == sorted([loaded.run_id, *loaded.arms.values()])
    for run in runs:
        assert run.info.status == "FINISHED"
        for key in run.data.metrics:
            points = [
                (point.step, point.timestamp) for point in tracker.client.get_metric_history(run.info.run_id, key)
            ]
            assert len(points) == len(set(points)), key
    logged = tracker.client.search_logged_models([tracker.experiment_id])
    assert len([model for model in logged if model.source_run_id in loaded.arms.values()]) == models


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

    tracker = here.tracker()
    loaded = load_study(tracker, here.run_id)
    require_all_of_it_once(tracker, loaded, models=0)
    assert asked_while_measuring(here.proxy, load_measurement(tracker, loaded)) == []
    assert len(tracker.client.search_runs([tracker.experiment_id])) == 3


def test_a_slow_server_is_not_waited_for_and_one_that_comes_back_gets_it_once(
    proxy: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    proxy.become("pass")
    events = {
        "trial 1 of 3": lambda: proxy.become("slow", 10),
        "Publishing": lambda: proxy.become("error"),
        "trying again": lambda: proxy.become("slow", 1),
    }
    ran = run(proxy, tmp_path, events, "name=slowed", "tracking.log_models=true")
    assert ran.returncode == 0, ran.err
    assert ran.err.count("trying again") == 1
    assert not list((ran.cache / "studies").iterdir())
    proxy.become("pass")
    tracker = ran.tracker()
    loaded = load_study(tracker, ran.run_id)
    require_all_of_it_once(tracker, loaded, models=2)
    assert asked_while_measuring(proxy, load_measurement(tracker, loaded)) == []


def test_a_server_that_is_not_there_is_refused_before_anything_is_measured(here: Away) -> None:
    here.proxy.become("error")
    assert cli.main(["run", *TINY, f"tracking.uri={here.proxy.uri}"]) == 2
    assert not list((here.cache / "studies").iterdir())
