"""A step that takes its process with it: its arm fails with the reason, and the study goes on with the others."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from plugins import install
from tiny import TINY

from mlbench.config import TrackingConfig
from mlbench.tracking import LoadedStudy, connect, load_study

pytestmark = pytest.mark.e2e

PLUGIN = """
import dataclasses, os, signal
from mlbench.variants import Step

@dataclasses.dataclass(frozen=True)
class Params:
    how: str

class Crash(Step):
    name, version, params = "crash", 1, Params
    accepts, produces, libraries, reads_data = ("onnx",), None, (), False

    def apply(self, artifact, params, context, out):
        (out / "half").write_bytes(bytes(1 << 20))
        os.write(2, b"the tool was here\\n")
        os.kill(os.getpid(), getattr(signal, params.how))
"""


@pytest.fixture(scope="module")
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nobody else builds in it, so that what is half-built there is of these tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return install(tmp_path / "plugin", "crash_of_tests", PLUGIN, "[mlbench.steps]\ncrash = crash_of_tests:Crash\n")


def run(folder: Path, plugin: Path, cache: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(plugin), *sys.path]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(cache),
    }
    command = [sys.executable, "-m", "mlbench", "run", "name=crashing", *TINY, *overrides]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=200
    )


def stored(folder: Path) -> LoadedStudy:
    return load_study(connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"), create=False), "crashing")


def recipe(name: str, how: str) -> str:
    return f"+variants.{name}={{steps: [{{name: export_onnx}}, {{name: crash, how: {how}}}]}}"


def test_a_step_that_segfaults_fails_its_arm_with_the_signal_and_nothing_else(
    tmp_path: Path, plugin: Path, own_cache: Path
) -> None:
    last = "+variants.last={steps: [{name: export_onnx}]}"
    done = run(tmp_path, plugin, own_cache, recipe("broken", "SIGSEGV"), recipe("killed", "SIGKILL"), last)
    assert done.returncode == 0, done.stderr
    reason = "step 'crash': its process was ended by signal SIGSEGV; it last said: the tool was here"
    assert f"broken failed: {reason}" in " ".join(done.stderr.split())
    study = stored(tmp_path).study
    assert (study.arm("broken").status, study.arm("broken").failure) == ("failed", reason)
    assert study.arm("killed").failure.startswith("step 'crash': its process was ended by signal SIGKILL")
    assert study.plan.arms == ("baseline", "twin", "last")
    assert all(study.arm(name).metrics["latency/p50_ms"].n == 3 for name in study.plan.arms)
    kept = [path.name for path in (own_cache / "artifacts").iterdir()]
    assert [name for name in kept if name.startswith(".")] == []  # nothing half-built is left


def test_a_baseline_whose_build_segfaults_ends_the_study_with_the_reason(
    tmp_path: Path, plugin: Path, own_cache: Path
) -> None:
    done = run(tmp_path, plugin, own_cache, "baseline.steps=[{name: export_onnx}, {name: crash, how: SIGSEGV}]")
    assert done.returncode == 1
    assert "the baseline cannot be built: step 'crash': its process was ended by signal SIGSEGV" in " ".join(
        done.stderr.split()
    )
    client = connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"), create=False).client
    runs = client.search_runs([item.experiment_id for item in client.search_experiments()])
    assert {run.info.status for run in runs} == {"FAILED"}
