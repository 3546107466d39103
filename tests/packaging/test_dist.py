"""The wheel and the source archive: what is inside, and whether the wheel works away from the checkout."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import mlbench

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command: str | Path, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs without coverage: the installed copy is another set of files than the one whose coverage counts."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("COV", "PYTHON"))}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**inherited, **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The source archive, and the wheel built from it, as somebody packaging mlbench would build them."""
    out = tmp_path_factory.mktemp("dist")
    built = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    assert built.returncode == 0, built.stdout + built.stderr
    return out


@pytest.fixture(scope="module")
def wheel(dist: Path) -> zipfile.ZipFile:
    (path,) = dist.glob("*.whl")
    return zipfile.ZipFile(path)


@pytest.fixture(scope="module")
def installed(dist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the wheel installed into it; what mlbench depends on comes from this environment."""
    target = tmp_path_factory.mktemp("installed")
    (path,) = dist.glob("*.whl")
    done = run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", target, path, cwd=target.parent
    )
    assert done.returncode == 0, done.stderr
    return target


def metadata(wheel: zipfile.ZipFile) -> Message:
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    return Parser().parsestr(wheel.read(name).decode())


def checkout_files(folder: str) -> dict[str, bytes]:
    return {
        path.relative_to(ROOT / folder).as_posix(): path.read_bytes()
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def inside(wheel: zipfile.ZipFile, prefix: str) -> dict[str, bytes]:
    return {name.removeprefix(prefix): wheel.read(name) for name in wheel.namelist() if name.startswith(prefix)}


def test_wheel_holds_the_package_and_its_configuration_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    assert inside(wheel, "mlbench/conf/") == checkout_files("conf")
    package = {name: data for name, data in inside(wheel, "mlbench/").items() if not name.startswith("conf/")}
    assert package == checkout_files("mlbench")
    assert "py.typed" in package
    info = f"mlflow_mlbench-{mlbench.__version__}.dist-info"
    assert {name.split("/")[0] for name in wheel.namelist()} == {"mlbench", info}
    assert wheel.read(f"{info}/licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()


def test_metadata_says_what_pyproject_says(wheel: zipfile.ZipFile) -> None:
    head, project = metadata(wheel), PYPROJECT["project"]
    assert (head["Name"], head["Version"]) == ("mlflow-mlbench", mlbench.__version__)
    assert (head["Requires-Python"], head["License-Expression"]) == (">=3.11", "Apache-2.0")
    assert head["Description-Content-Type"] == "text/markdown"
    assert set(head.get_all("Provides-Extra", [])) == set(project["optional-dependencies"])
    required = {
        canonicalize_name(requirement.name)
        for requirement in map(Requirement, head.get_all("Requires-Dist", []))
        if requirement.marker is None
    }
    assert required == {canonicalize_name(Requirement(text).name) for text in project["dependencies"]}


def test_entry_points_are_those_of_pyproject(wheel: zipfile.ZipFile) -> None:
    import configparser

    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/entry_points.txt"))
    parsed = configparser.ConfigParser()
    parsed.optionxform = str  # type: ignore[assignment,method-assign]  # names are case-sensitive
    parsed.read_string(wheel.read(name).decode())
    project = PYPROJECT["project"]
    expected = {"console_scripts": project["scripts"], **project.get("entry-points", {})}
    assert {section: dict(parsed[section]) for section in parsed.sections()} == expected
    assert expected["console_scripts"]["mlbench"] == "mlbench.cli:main"


def test_constraints_pin_everything_that_is_required() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = [Requirement(line) for line in lines if line and not line.startswith("#")]
    names = {canonicalize_name(requirement.name): requirement for requirement in pinned}
    assert len(names) == len(pinned)
    assert all(str(requirement.specifier).startswith("==") for requirement in pinned)
    assert not any("+" in str(requirement.specifier) for requirement in pinned), "a local version fits one index only"
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    for text in [*project["dependencies"], *extras["test"], *extras["dev"]]:
        wanted = Requirement(text)
        version = str(names[canonicalize_name(wanted.name)].specifier).removeprefix("==")
        assert wanted.specifier.contains(version), f"{text} against {version}"


def test_source_archive_holds_what_building_and_testing_need(dist: Path) -> None:
    (path,) = dist.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
        "conf/config.yaml",
        "constraints.txt",
        "mlbench/__init__.py",
        "pyproject.toml",
        "tests/packaging/test_dist.py",
    } <= names
    assert not any(name.startswith((".venv", "mlruns", "mlflow.db")) for name in names)


def test_installed_wheel_lists_from_its_own_configuration(installed: Path, tmp_path: Path) -> None:
    own = installed / "mlbench" / "conf" / "variants" / "only_in_the_wheel.yaml"
    own.write_text("only_in_the_wheel:\n  description: no checkout has this\n  steps: []\n", encoding="utf-8")
    try:
        listed = run(sys.executable, "-m", "mlbench", "list", "--json", cwd=tmp_path, PYTHONPATH=str(installed))
    finally:
        own.unlink()
    assert listed.returncode == 0, listed.stderr
    assert "only_in_the_wheel" in json.dumps(json.loads(listed.stdout))
    assert list(tmp_path.iterdir()) == []


def test_installed_wheel_composes_and_plans_a_study(installed: Path, tmp_path: Path) -> None:
    arguments = ("run", "--dry-run", "--json", "protocol=quick", "variants=[onnx_fp32]")
    planned = run(sys.executable, "-m", "mlbench", *arguments, cwd=tmp_path, PYTHONPATH=str(installed))
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["plan"]["arms"] == ["baseline", "onnx_fp32"]
    assert list(tmp_path.iterdir()) == []


def test_installed_command_shows_its_help(installed: Path, tmp_path: Path) -> None:
    where = run(
        sys.executable, "-c", "import mlbench; print(mlbench.__file__)", cwd=tmp_path, PYTHONPATH=str(installed)
    )
    assert Path(where.stdout.strip()).is_relative_to(installed)
    shown = run(sys.executable, installed / "bin" / "mlbench", "--help", cwd=tmp_path, PYTHONPATH=str(installed))
    assert shown.returncode == 0, shown.stderr
    assert "usage: mlbench" in shown.stdout
