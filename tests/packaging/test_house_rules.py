"""The house rules of pyproject.toml have teeth: each is broken by one line that it must refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]["contracts"]

VIOLATIONS = [
    # contract, module, line that must be refused
    ("layers", "quality/__init__.py", "import mlbench.tracking"),
    ("layers", "records/__init__.py", "def late():\n    from mlbench import config"),
    ("layers", "a_new_module.py", ""),
    ("mlflow", "reporting/__init__.py", "import mlflow"),
    ("mlflow", "measurement/__init__.py", "def late():\n    from mlflow.entities import Run"),
    ("statistics", "statistics/__init__.py", "import mlbench.config"),
    ("statistics", "statistics/__init__.py", "import pandas"),
    ("records", "records/__init__.py", "import mlbench.registry"),
    ("worker", "runtimes/__init__.py", "import mlbench.tracking"),
    ("worker", "measurement/worker.py", "import sklearn"),
    ("worker", "measurement/wire.py", "def late():\n    import pandas"),  # through what the worker imports
    ("reporting", "reporting/__init__.py", "from mlbench import measurement"),
    ("reporting", "reporting/__init__.py", "def late():\n    import torch"),
]


def lint(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--no-cache", *options]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "mlbench", tmp_path / "mlbench", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_the_house_keeps_its_rules(copy: Path) -> None:
    done = lint(copy)
    assert done.returncode == 0, done.stdout
    assert f"Contracts: {len(CONTRACTS)} kept, 0 broken." in done.stdout


def test_every_rule_has_a_violation_below() -> None:
    assert {contract["id"] for contract in CONTRACTS} == {contract for contract, _, _ in VIOLATIONS}


@pytest.mark.parametrize(("contract", "module", "line"), VIOLATIONS)
def test_a_violation_is_refused(copy: Path, contract: str, module: str, line: str) -> None:
    with (copy / "mlbench" / module).open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")
    done = lint(copy, "--contract", contract)
    assert done.returncode == 1
    if line:
        assert "Contracts: 0 kept, 1 broken." in done.stdout
    else:
        assert Path(module).stem in done.stdout


def test_what_needs_a_quiet_machine_is_where_make_test_looks_for_it() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "pytest -m quiet tests/docs tests/e2e;" in makefile
    marked = [path for path in ROOT.glob("tests/**/*.py") if "mark.quiet" in path.read_text(encoding="utf-8")]
    folders = {path.relative_to(ROOT / "tests").parts[0] for path in marked if path != Path(__file__).resolve()}
    assert folders == {"docs", "e2e"}
