"""A package of somebody else adds parts by entry points alone: they are listed, checked, and serve."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

MODULE = '''
"""A step that adds nothing and a runtime that doubles what the model says."""

from dataclasses import dataclass
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np

from mlbench.variants import Built


@dataclass(frozen=True, slots=True)
class StampParams:
    text: str
    times: int = 1


class Stamp:
    name = "stamp"
    version = 1
    params: type[Any] = StampParams
    accepts = ()
    produces = None
    libraries = ()
    reads_data = False

    def resolve(self, params, context):
        return params

    def apply(self, artifact, params, context, out):
        copytree(artifact.path, out, dirs_exist_ok=True)
        (Path(out) / "stamp.txt").write_text(params.text * params.times)
        return Built(artifact.format, artifact.entry, {"text": params.text}, dict(artifact.meta))


class Numbers:
    """Answers every batch with zeros; needs no library at all."""

    name = "numbers"
    formats = ("torch_module",)

    def import_library(self):
        pass

    def load(self, artifact, settings):
        return Session(artifact)


class Session:
    def __init__(self, artifact):
        self.input, self.classes = artifact.inputs[0].name, artifact.outputs[0].shape[-1]

    def prepare(self, batch):
        return np.asarray(batch[self.input])

    def run(self, prepared):
        return np.zeros((len(prepared), self.classes))

    def outputs(self, result):
        return (result,)

    def effective(self):
        return {"runtime": "numbers", "threads": 1, "device": "cpu", "precision": "fp64"}
'''
ENTRY_POINTS = """\
[mlbench.steps]
stamp = tiny_parts:Stamp
delay = tiny_parts:Stamp

[mlbench.runtimes]
numbers = tiny_parts:Numbers
forgotten = tiny_parts:Forgotten
"""
METADATA = "Metadata-Version: 2.1\nName: tiny-parts\nVersion: 1.0\n"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory as pip leaves it behind: a module, and the metadata of its distribution."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "tiny_parts.py").write_text(MODULE)
    info = folder / "tiny_parts-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(METADATA)
    (info / "entry_points.txt").write_text(ENTRY_POINTS)
    return folder


def mlbench(site: Path, *given: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    before = os.environ.get("PYTHONPATH")
    return subprocess.run(
        [sys.executable, "-m", "mlbench", *given],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(site), *([before] if before else [])])},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def listed(site: Path, kind: str) -> dict[str, dict[str, object]]:
    done = mlbench(site, "list", kind, "--json")
    assert done.returncode == 0, done.stderr
    return {item["name"]: item for item in json.loads(done.stdout)[kind]}


def test_a_third_partys_parts_are_listed_with_their_provider(site: Path) -> None:
    step, runtime = listed(site, "steps")["stamp"], listed(site, "runtimes")["numbers"]
    assert (step["provider"], step["available"]) == ("tiny-parts", True)
    assert (runtime["provider"], runtime["available"]) == ("tiny-parts", True)
    assert "[tiny-parts]" in mlbench(site, "list", "steps").stdout


def test_a_third_party_cannot_take_a_name_of_ours(site: Path) -> None:
    assert listed(site, "steps")["delay"]["provider"] == "mlbench"


def test_a_part_that_is_not_there_is_listed_with_the_reason(site: Path) -> None:
    forgotten = listed(site, "runtimes")["forgotten"]
    assert forgotten["available"] is False
    assert "runtime 'forgotten' of tiny-parts (tiny_parts:Forgotten) cannot be imported" in str(forgotten["reason"])


def test_a_recipe_that_uses_them_is_checked(site: Path) -> None:
    good = "+variants.mine={steps: [{name: stamp, text: a}], runtime: {name: numbers}}"
    done = mlbench(site, "run", "--dry-run", "variants=[]", good)
    assert (done.returncode, done.stderr) == (0, "")
    assert "mine against baseline" in done.stdout
    bad = "+variants.mine={steps: [{name: stamp, times: many}], runtime: {name: numbrs}}"
    done = mlbench(site, "run", "--dry-run", "variants=[]", bad)
    assert done.returncode == 2
    assert "step 1 'stamp'" in done.stderr
    assert "'text'" in done.stderr
    assert "'many'" in done.stderr
    assert "unknown runtime 'numbrs'; did you mean numbers?" in done.stderr


@pytest.mark.e2e
def test_a_recipe_that_uses_them_is_built_measured_and_recorded(site: Path, tmp_path: Path) -> None:
    done = mlbench(
        site,
        "run",
        "--json",
        "protocol=quick",
        "protocol.trials=2",
        "protocol.rounds=2",
        "protocol.sweep_rounds=2",
        "protocol.warmup_seconds=0",
        "scenario.batch_sizes=[1]",
        "workload.model.train.epochs=1",
        "tracking.log_models=false",
        "variants=[]",
        "+variants.mine={steps: [{name: stamp, text: a}], runtime: {name: numbers}}",
        "--tracking-uri",
        f"sqlite:///{tmp_path}/mlflow.db",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    study = json.loads(done.stdout)["study"]
    shown = mlbench(site, "show", study, "--json", "--tracking-uri", f"sqlite:///{tmp_path}/mlflow.db", cwd=tmp_path)
    (mine,) = (arm for arm in json.loads(shown.stdout)["arms"] if arm["name"] == "mine")
    assert (mine["status"], mine["effective"]["runtime"]) == ("ok", "numbers")
    assert mine["artifact"]["steps"][0]["changed"] == {"text": "a"}
    assert mine["metrics"]["latency/p50_ms"]["value"] > 0
