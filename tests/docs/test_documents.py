"""Everything that the documents show works: commands are run, files parse, links lead somewhere, names exist."""

from __future__ import annotations

import re
import runpy
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from caches import share_artifacts
from documents import DOCUMENTS, LANGUAGES, ROOT, Block, Desk, blocks, desk, fences, prose

# Blocks of bash that are not run here, by their exact text, and what is checked instead.
NOT_RUN = {
    "git clone <repository> && cd <repository>\nmake bench\nmake test\n": "test_make_knows_the_targets",
    "mlbench ui\n": "serves until Ctrl-C; tests/tracking/test_tracking_server.py starts and stops it",
    "make install\nmake check\n": "test_make_knows_the_targets; CI runs both before these tests",
}

# Where commands go on with what a study has decided: a document, and how those blocks begin.
DECIDING = {
    "README.md": ("mlbench run workload=digits protocol=quick", "mlbench show", "mlbench promote"),
    "docs/gate.md": ("",),
}

ALL = [block for document in DOCUMENTS for block in blocks(document)]
DESKS: dict[tuple[str, bool], Desk] = {}


def decides(block: Block) -> bool:
    return block.text.startswith(DECIDING.get(block.document, ()))


def is_run(block: Block) -> bool:
    return block.language in ("bash", "python") and block.title is None and block.text not in NOT_RUN


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One artifact cache for all documents: what one has built the next one finds."""
    folder = tmp_path_factory.mktemp("cache")
    share_artifacts(folder)
    return folder


@pytest.fixture
def own_desk(request: pytest.FixtureRequest, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Desk:
    """The desk of the document that the test's block is from, the same one for all of its blocks that are run alike."""
    block = request.getfixturevalue("block")
    key = (block.document, decides(block))
    if key not in DESKS:
        # six trials are the fewest that give a verdict; where nothing hangs on one, one shows that the command works
        trials = 6 if decides(block) else 1
        DESKS[key] = desk(tmp_path_factory.mktemp("desk") / "mlbench", cache, trials)
    return DESKS[key]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_every_block_says_what_it_is(document: str) -> None:
    found = blocks(document)
    assert fences(document) == 2 * len(found), "a fence is indented or left open"
    assert [str(block) for block in found if block.language not in LANGUAGES] == []


def test_exceptions_are_still_there() -> None:
    shown = [block.text for block in ALL]
    assert [text for text in NOT_RUN if shown.count(text) != 1] == []


def test_titled_blocks_and_settings_parse() -> None:
    for block in ALL:
        if block.language == "yaml":
            yaml.safe_load(block.text)
        elif block.language == "toml":
            tomllib.loads(block.text)
        elif block.language == "python":
            compile(block.text, str(block), "exec")


@pytest.mark.e2e
@pytest.mark.timeout(960)
@pytest.mark.parametrize(
    "block",
    [
        pytest.param(block, id=str(block), marks=[pytest.mark.quiet] if decides(block) else [])
        for block in ALL
        if is_run(block) or block.title is not None
    ],
)
def test_block_works(block: Block, own_desk: Desk) -> None:
    if block.title is not None:
        own_desk.write(block)
        return
    done = own_desk.run(block)
    assert done.returncode == 0, f"{block.text}\n{done.stdout}\n{done.stderr}"
    assert "Traceback" not in done.stderr, done.stderr
    assert "Arms without a complete result" not in done.stdout, done.stdout


def test_make_knows_the_targets() -> None:
    everything = "\n".join((ROOT / document).read_text(encoding="utf-8") for document in DOCUMENTS)
    named = set(re.findall(r"(?:^|`)make ([a-z]+)\b", everything, re.MULTILINE))
    assert {"install", "bench", "test", "check"} <= named
    for target in sorted(named):
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False, timeout=30)
        assert done.returncode == 0, done.stderr


def anchors(path: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ +(.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(document)):
        if target.startswith(("https://", "mailto:")):
            continue
        name, _, anchor = target.partition("#")
        path = (ROOT / document).parent / name if name else ROOT / document
        if not path.exists() or (anchor and anchor not in anchors(path)):
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_that_are_named_exist(document: str) -> None:
    named = re.findall(r"`((?:mlbench|tests|docs|conf|examples|benchmarks|\.ci)/[\w./-]*)", prose(document))
    assert [
        name for name in named if not any((base / name).exists() for base in (ROOT, (ROOT / document).parent))
    ] == []


@pytest.fixture(scope="module")
def commands() -> set[str]:
    command = [sys.executable, "-m", "mlbench", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout
    return set(re.findall(r"^    ([a-z]+)\b", shown, re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_that_are_named_exist(document: str, commands: set[str]) -> None:
    named = set(re.findall(r"`mlbench ([a-z]+)\b", (ROOT / document).read_text(encoding="utf-8")))
    assert {"run", "list", "show"} <= commands
    assert named - commands == set()


def test_readme_shows_the_kept_study() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_default_study.py"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme[readme.index(script["BEGIN"]) : readme.index(script["END"]) + len(script["END"])]
    assert shown == script["section"](script["kept"]()), "run: python docs/make_default_study.py"
