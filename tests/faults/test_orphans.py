"""kill -9 of a study whose worker, or whose build, has started processes of its own: none of them is left."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from caches import share_artifacts
from plugins import install
from processes import gone, guardians
from tiny import TINY

pytestmark = pytest.mark.e2e

PLUGIN = '''
import dataclasses, os, pathlib, shutil, subprocess, time
from mlbench.runtimes.onnx_runtime import OnnxRuntime

def start_helpers(pids, *more):
    """Each is told from strangers in another way: by its group, or by the mark in its environment."""
    ways = ({}, {"start_new_session": True}, *more)
    started = [os.getpid(), *(subprocess.Popen([shutil.which("sleep"), "100"], **way).pid for way in ways)]
    pathlib.Path(pids + ".part").write_text(" ".join(map(str, started)))
    os.rename(pids + ".part", pids)

class HelpedRuntime:
    """As a runtime that compiles with the machine's own compiler."""
    name = "helped"
    formats = ("onnx",)
    def import_library(self):
        import onnxruntime
    def load(self, artifact, settings):
        start_helpers(settings.options["pids"], {"env": {}})
        return OnnxRuntime().load(artifact, dataclasses.replace(settings, options={}))

@dataclasses.dataclass(frozen=True)
class Params:
    pids: str

class BuildWithHelpers:
    """As a step that runs a compiler, and waits for it."""
    name, version, params = "build_with_helpers", 1, Params
    accepts, produces, libraries, reads_data = ("onnx",), None, (), False
    def resolve(self, params, context):
        return params
    def apply(self, artifact, params, context, out):
        start_helpers(params.pids)
        time.sleep(100)
'''
ENTRY_POINTS = """[mlbench.runtimes]
helped = helpers_of_tests:HelpedRuntime
[mlbench.steps]
build_with_helpers = helpers_of_tests:BuildWithHelpers
"""
VARIANTS = {
    "worker": "+variants.helped={{steps: [{{name: export_onnx}}], runtime: {{name: helped, options: {{pids: {}}}}}}}",
    "builder": "+variants.built={{steps: [{{name: export_onnx}}, {{name: build_with_helpers, pids: {}}}]}}",
}


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    return install(tmp_path / "plugin", "helpers_of_tests", PLUGIN, ENTRY_POINTS)


@pytest.mark.parametrize("where", list(VARIANTS))
def test_nothing_that_was_started_outlives_a_coordinator_that_is_killed(
    tmp_path: Path, plugin: Path, where: str
) -> None:
    share_artifacts(tmp_path / "cache")
    pids = tmp_path / "pids"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(plugin), *sys.path]),
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(tmp_path / "cache"),
    }
    command = [sys.executable, "-m", "mlbench", "run", *TINY, VARIANTS[where].format(pids)]
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said) as process,
    ):
        until = time.monotonic() + 200
        while not pids.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        (guardian,) = guardians(str(process.pid))
        process.kill()
        assert pids.exists(), (tmp_path / "said").read_text()
        process.wait()
    first, *helpers = map(int, pids.read_text().split())
    assert first != process.pid
    assert len(helpers) >= 2
    assert all(map(gone, (first, *helpers, guardian)))
