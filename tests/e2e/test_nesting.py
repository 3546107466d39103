"""Studies as runs of a tree: a project's run is the study, and the jobs of a sweep lie below the sweep's own run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from caches import share_artifacts
from desk import SHORT, Desk
from mlflow import MlflowClient
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TINY = (*SHORT, "protocol.trials=1")
SWEEP = """
import subprocess, sys
import hydra

@hydra.main(version_base=None, config_path=None)
def job(config):
    subprocess.run([sys.executable, "-m", "mlbench", "run", f"seed={config.seed}", *STUDY], check=True)

given = sys.argv[1:]
STUDY = given[given.index("--") + 1:]
sys.argv = [sys.argv[0], *given[:given.index("--")]]
job()
"""


@pytest.fixture
def desk(tmp_path):
    desk = Desk(tmp_path)
    share_artifacts(tmp_path / "cache")
    return desk


def run(desk, *command, **environment):
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    done = subprocess.run(
        command,
        cwd=desk.folder,
        env={**desk.environment(), "PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr


def tree(client, experiment_id):
    """Runs without a parent, and the children of each run by its id."""
    top, below = [], {}
    for found in client.search_runs([experiment_id]):
        parent = found.data.tags.get(MLFLOW_PARENT_RUN_ID)
        (top if parent is None else below.setdefault(parent, [])).append(found)
    return top, below


def test_a_project_is_one_study(desk):
    overrides = "overrides=" + " ".join(f"'{text}'" for text in TINY)
    run(desk, "mlflow", "run", str(ROOT), "--env-manager", "local", "-P", overrides)
    client = MlflowClient(desk.uri)
    (study,), below = tree(client, "0")
    assert study.data.tags["mlbench.kind"] == "study"
    assert study.info.status == "FINISHED"
    assert list(below) == [study.info.run_id]
    arms = {found.data.tags["mlbench.arm"]: found.data.tags["mlbench.kind"] for found in below[study.info.run_id]}
    assert arms == {"baseline": "arm", "onnx_int8_static": "arm"}


def test_the_jobs_of_a_sweep_lie_below_its_run(desk):
    client = MlflowClient(desk.uri)
    experiment = client.create_experiment("sweep")
    sweep = client.create_run(experiment, run_name="sweep").info.run_id
    (desk.folder / "sweep.py").write_text(SWEEP)
    command = [sys.executable, "sweep.py", "--multirun", "+seed=1,2", "--", *TINY]
    run(desk, *command, MLBENCH_PARENT_RUN_ID=sweep)
    (top,), below = tree(client, experiment)
    assert top.info.run_id == sweep
    studies = below.pop(sweep)
    assert sorted(study.data.params["seed"] for study in studies) == ["1", "2"]
    assert {study.data.tags["mlbench.kind"] for study in studies} == {"study"}
    assert below.keys() == {study.info.run_id for study in studies}
    assert {len(arms) for arms in below.values()} == {2}
