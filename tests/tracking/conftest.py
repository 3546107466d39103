import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
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
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    yield
    import mlflow

    mlflow.set_tracking_uri(None)
    os.environ.pop("MLFLOW_TRACKING_URI", None)


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
    path: Path
    run_id: str


@pytest.fixture(scope="session")
def delivered(template_store, artifacts, tmp_path_factory):
    """A store with one published study, models and all; copied for each test, its artifacts are shared."""
    from mlbench.tracking import connect, publish

    folder = tmp_path_factory.mktemp("delivered")
    shutil.copyfile(template_store, folder / "mlflow.db")
    before = Path.cwd()
    os.chdir(folder)
    try:
        tracker = connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"))
        study = make_study(artifacts)
        runs = tracker.open_study(study.name, study.config, study.overrides)
        runs.open_arm("baseline", "baseline")
        publish(study, make_measurement(), runs, arms=arms_of(artifacts), example=EXAMPLE, **REPORTS)
    finally:
        os.chdir(before)
    return Delivered(folder / "mlflow.db", runs.run_id)


@pytest.fixture
def published(delivered, tmp_path):
    """A tracker on a copy of the store with one published study, and the study's run id."""
    from mlbench.tracking import connect

    shutil.copyfile(delivered.path, tmp_path / "copy.db")
    return connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/copy.db")), delivered.run_id
