"""Every promise of docs/security.md names tests that exist, and what it says of connections and telemetry is so."""

from __future__ import annotations

import ast
import re

import pytest
from documents import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")
PROMISED = PAGE.partition("## What is not promised")[0]
ROWS = [
    [cell.strip() for cell in line.strip("|").split(" | ")]
    for line in PROMISED.splitlines()
    if line.startswith("| ") and line != "| promise | test |"
]
SOURCES = sorted((ROOT / "mlbench").rglob("*.py"))


def functions_of(path: str) -> set[str]:
    """The test functions of a file, those of classes as ``Class::test``."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    found = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            found |= {f"{node.name}::{item.name}" for item in node.body if isinstance(item, ast.FunctionDef)}
    return {name for name in found if name.rpartition("::")[2].startswith("test_")}


def test_every_section_promises_something() -> None:
    assert len(ROWS) > 15
    assert all(len(row) == 2 and row[0] for row in ROWS)


@pytest.mark.parametrize("row", ROWS, ids=[row[0][:50] for row in ROWS])
def test_every_promise_names_tests_that_exist(row: list[str]) -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::([\w:]+)`", row[1])
    assert named, "a promise without a test is none"
    assert re.sub(r"`[^`]+`|, ", "", row[1]) == "", "only tests stand in the last column"
    assert [f"{path}::{name}" for path, name in named if name not in functions_of(path)] == []


def imported(source: str) -> set[str]:
    """What a module imports, also inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_nothing_here_opens_a_connection_of_its_own() -> None:
    """MLflow, datasets, transformers and the hub's library connect where they are asked to; nothing else does."""
    network = re.compile(
        r"(requests|urllib\.(request|error)|urllib3|http|socket|httpx|aiohttp|ftplib|smtplib|xmlrpc|websockets?)\b"
    )
    found = {
        path.relative_to(ROOT / "mlbench").as_posix(): sorted(filter(network.match, imported(path.read_text())))
        for path in SOURCES
    }
    assert {name: modules for name, modules in found.items() if modules} == {
        "tracking/calls.py": ["requests.exceptions"],
        "tracking/claims.py": ["requests.exceptions"],
        "tracking/client.py": ["requests.exceptions"],
        "tracking/server.py": ["socket", "urllib.error", "urllib.request"],  # whether our server on loopback answers
    }


def test_telemetry_is_left_as_it_is_set() -> None:
    switches = re.compile(r"^.*(?:TELEMETRY|DO_NOT_TRACK).*$", re.MULTILINE)
    found = {path.name: switches.findall(path.read_text(encoding="utf-8")) for path in SOURCES}
    # a worker that serves through pyfunc, where nobody has set anything
    assert {name: [line.strip() for line in lines] for name, lines in found.items() if lines} == {
        "pyfunc_runtime.py": ['os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")']
    }


def test_temporary_files_are_made_by_tempfile_in_places_that_nobody_can_guess() -> None:
    """``mkdtemp`` and what is built on it make directories of mode 0700; a name in /tmp would be anybody's."""
    allowed = {"TemporaryDirectory", "TemporaryFile", "mkdtemp", "gettempdir"}
    for path in SOURCES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"[\"']/(var/)?tmp\b", text), path
        assert set(re.findall(r"tempfile\.(\w+)", text)) <= allowed, path
    named = [path.name for path in SOURCES if re.search(r"gettempdir\(\)\)? */", path.read_text(encoding="utf-8"))]
    assert named == ["machine_lock.py"]  # a name that all users share, on purpose; see its promises
