import os
import shutil
import sys
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from here import Here
from tiny_study import (
    EXAMPLE,
    REPORTS,
    Arms,
    arms_of,
    make_measurement,
    make_study,
    onnx_artifact,
    script_artifact,
    torch_artifact,
)

from mlbench.config import TrackingConfig


@pytest.fixture(autouse=True)
def _own_directory(tmp_path, monkeypatch):
    """MLflow keeps local artifacts below the working directory, and mlbench sets its tracking URI for the process."""
    monkeypatch.chdir(tmp_path)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLBENCH_PARENT_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    yield
    import mlflow

    from mlbench.tracking import logged_model
    from mlbench.tracking.import_path import SERVED

    for uri in list(logged_model._DOWNLOADS):  # of tests that end between reading and building
        logged_model._forget(uri)
    sys.modules.pop(SERVED.stem, None)  # of tests that loaded a model by MLflow's own means
    mlflow.set_tracking_uri(None)
    mlflow.set_registry_uri(None)
    mlflow.tracking.fluent._active_experiment_id = None  # MLflow 3.14 keeps it, and the next store has no such one
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI", "MLBENCH_PARENT_RUN_ID"):
        os.environ.pop(name, None)


@pytest.fixture(autouse=True)
def _models_are_written_here(request, monkeypatch):
    """Which is what is written in a process of its own, and much sooner: test_tracking_saving compares them."""
    if "test_tracking_saving" not in request.node.nodeid:
        monkeypatch.setattr("mlbench.tracking.saving.Apart", Here)


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("artifacts")
    plain = torch_artifact(folder / "torch")
    return Arms(
        torch=plain,
        script=script_artifact(folder / "script"),
        onnx=onnx_artifact(folder / "onnx"),
        delayed=replace(plain, digest="d" * 64, meta={**plain.meta, "delay_percent": 10.0}),
    )


@pytest.fixture(scope="session")
def template_store(tmp_path_factory):
    """An SQLite store without any study; making one takes seconds, copying it does not."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("template") / "mlflow.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture
def store(template_store, tmp_path):
    """URI of an SQLite store of one's own."""
    path = tmp_path / "mlflow.db"
    shutil.copyfile(template_store, path)
    return f"sqlite:///{path}"


@pytest.fixture
def tracker(store):
    from mlbench.tracking import connect

    return connect(TrackingConfig(uri=store))


@dataclass(frozen=True)
class Delivered:
    """A store with published studies, models and all; the database is copied for each test, artifacts are shared."""

    path: Path
    run_ids: tuple[str, ...]


def deliver(folder, study, arms):
    """Publish a study into the store in this folder, from within it: MLflow keeps artifacts where the process is."""
    from mlbench.tracking import connect, publish

    before = Path.cwd()
    os.chdir(folder)
    try:
        tracker = connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"))
        runs = tracker.open_study(study.name, study.config, study.overrides)
        publish(study, make_measurement(), runs, arms=arms, example=EXAMPLE, **REPORTS)
    finally:
        os.chdir(before)
    return runs.run_id


@pytest.fixture(scope="session")
def delivered(template_store, artifacts, tmp_path_factory):
    """One study."""
    folder = tmp_path_factory.mktemp("delivered")
    shutil.copyfile(template_store, folder / "mlflow.db")
    return Delivered(folder / "mlflow.db", (deliver(folder, make_study(artifacts), arms_of(artifacts)),))


@pytest.fixture(scope="session")
def three_delivered(delivered, artifacts, tmp_path_factory):
    """Three studies, the last two of the same name, with the winner's model each."""
    folder = tmp_path_factory.mktemp("three")
    shutil.copyfile(delivered.path, folder / "mlflow.db")
    study, winner = make_study(artifacts, name="twice"), {"fast": arms_of(artifacts)["fast"]}
    more = [deliver(folder, study, winner) for _ in range(2)]
    return Delivered(folder / "mlflow.db", (*delivered.run_ids, *more))


def _copy(delivered, tmp_path):
    from mlbench.tracking import connect

    shutil.copyfile(delivered.path, tmp_path / "copy.db")
    return connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/copy.db"))


@pytest.fixture
def published(delivered, tmp_path):
    """A tracker on a store with one published study, and the study's run id."""
    return _copy(delivered, tmp_path), delivered.run_ids[0]


@pytest.fixture
def three(three_delivered, tmp_path):
    """A tracker on a store with three published studies, and their run ids, oldest first."""
    return _copy(three_delivered, tmp_path), three_delivered.run_ids


@pytest.fixture(scope="session")
def served():
    """Serves a store by a real MLflow server, artifacts included, from within a folder: its address."""
    import socket

    from mlbench.tracking import server

    @contextmanager
    def at(folder, store):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        before = Path.cwd()
        os.chdir(folder)
        try:
            with server.serving(store, port) as process:
                os.chdir(before)
                yield f"http://127.0.0.1:{port}"
                assert process.poll() is None
        finally:
            os.chdir(before)

    return at
