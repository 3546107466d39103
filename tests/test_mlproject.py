"""The MLflow project: in step with the package, and overrides arrive as they were written."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from mlbench.cli.arguments import parse

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
MLPROJECT = yaml.safe_load((ROOT / "MLproject").read_text(encoding="utf-8"))
CONDA = yaml.safe_load((ROOT / "conda.yaml").read_text(encoding="utf-8"))
(PIP,) = (item["pip"] for item in CONDA["dependencies"] if isinstance(item, dict))


def pins() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(item.name): Version(next(iter(item.specifier)).version) for item in found}


def test_conda_installs_what_the_package_requires() -> None:
    constraints, *requirements = PIP
    assert constraints == "-c constraints.txt"
    assert sorted(requirements) == sorted(PROJECT["dependencies"])


def test_constraints_pin_every_requirement_within_its_range() -> None:
    pinned = pins()
    for text in (*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]):
        requirement = Requirement(text)
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), text


def test_pins_are_plain_so_that_no_build_of_torch_is_forced() -> None:
    assert [str(version) for version in pins().values() if version.local] == []
    assert "nvidia-cuda-runtime" not in pins()


def test_mlflow_reads_the_environment_for_virtualenv_and_uv() -> None:
    from mlflow.utils.environment import _PythonEnv
    from mlflow.utils.requirements_utils import _parse_requirements

    environment = _PythonEnv.from_conda_yaml(ROOT / "conda.yaml")
    # all three numbers: with fewer, the virtualenv manager compiles the newest release that pyenv knows
    assert re.fullmatch(r"\d+\.\d+\.\d+", environment.python)
    assert environment.python.startswith(PROJECT["requires-python"].removeprefix(">="))
    read = list(_parse_requirements(environment.dependencies, is_constraint=False, base_dir=str(ROOT)))
    assert len([item for item in read if not item.is_constraint]) == len(PROJECT["dependencies"])
    assert len([item for item in read if item.is_constraint]) == len(pins())


def test_mlflow_reads_the_project() -> None:
    from mlflow.projects._project_spec import load_project

    project = load_project(str(ROOT))
    assert project.name == "mlbench"
    assert project.env_type == "conda_env"
    assert set(project._entry_points) == {"main", "promote", "report"}


@pytest.mark.parametrize("name", list(MLPROJECT["entry_points"]))
def test_placeholders_stay_without_quotation_marks(name: str) -> None:
    """MLflow quotes values itself; a placeholder in quotation marks would let a shell read them."""
    entry = MLPROJECT["entry_points"][name]
    assert set(re.findall(r"\{(\w+)\}", entry["command"])) == set(entry["parameters"])
    assert re.findall(r"['\"]\{|\}['\"]", entry["command"]) == []


@pytest.mark.parametrize(
    ("name", "parameters", "expected"),
    [
        ("main", {}, {"overrides": [], "json": False}),
        ("main", {"overrides": "protocol=quick '+v={a: [1, 2]}'"}, {"overrides": ["protocol=quick", "+v={a: [1, 2]}"]}),
        ("main", {"protocol.trials": "6", "overrides": "seed=1"}, {"overrides": ["protocol.trials=6", "seed=1"]}),
        (
            "main",
            {"name": 'it\'s $(touch X) `touch X` "$HOME"'},
            {"overrides": ['name=it\'s $(touch X) `touch X` "$HOME"']},
        ),
        ("main", {"seed": "-3", "dry-run": "true"}, {"overrides": ["seed=-3"], "dry_run": True}),
        ("promote", {}, {"study": "latest", "dry_run": False}),
        (
            "promote",
            {"study": "a b", "dry-run": "true", "alias": "edge"},
            {"study": "a b", "dry_run": True, "alias": "edge"},
        ),
        ("report", {}, {"study": "latest", "output": "report"}),
        ("report", {"study": "s", "output": "a b", "tracking-uri": "x"}, {"study": "s", "output": "a b"}),
    ],
)
def test_parameters_arrive_as_they_were_written(
    name: str, parameters: dict[str, str], expected: dict[str, Any], tmp_path: Path
) -> None:
    """MLflow's own command line, run by the same shell, with a program in front that shows what it was given."""
    from mlflow.projects._project_spec import load_project

    command = load_project(str(ROOT)).get_entry_point(name).compute_command(parameters, None)
    assert command.startswith("python -m mlbench ")
    show = f"{sys.executable} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "
    command = show + command.removeprefix("python -m mlbench ")
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=True)
    chosen = vars(parse(json.loads(done.stdout)))
    assert {key: chosen[key] for key in expected} == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.e2e
def test_mlflow_run_passes_everything_on(tmp_path: Path) -> None:
    name = """hello, "w" = x $(touch X) `touch X`"""
    overrides = f"protocol=quick 'name=\"{name.replace(chr(34), chr(92) + chr(34))}\"' +variants.twin={{steps: []}}"
    given = [
        "overrides=" + overrides,
        "variants=[onnx_fp32]",
        "scenario.batch_sizes=[1, 8]",
        "dry-run=true",
        "json=true",
    ]
    done = subprocess.run(
        ["mlflow", "run", str(ROOT), "--env-manager", "local", *(part for text in given for part in ("-P", text))],
        cwd=tmp_path,
        env={
            **os.environ,
            "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
            "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    config = json.loads(done.stdout[done.stdout.index("{") :])["config"]
    assert config["name"] == name
    assert list(config["variants"]) == ["onnx_fp32", "twin"]
    assert config["scenario"]["batch_sizes"] == [1, 8]
    assert config["protocol"]["trials"] == 6
    assert not list(tmp_path.rglob("X"))
    assert not (ROOT / "X").exists()
