"""The project's documents as tests see them: fenced blocks, what is run of them, links, and a place to run them in.

Every fenced block says by its first word what becomes of it:

=================  ====================================================================================
``bash``           run as a script by bash, which stops at the first error
``python``         run as a script; with ``title="path"`` written to that file instead
``yaml``, ``toml`` written to ``title="path"``; without a title only parsed
``text``           shown to the reader: output, or a sketch
=================  ====================================================================================

Blocks of one document run in order, in one copy of the checkout, with this environment's commands first on the path.
``$STUDY`` is the last study that a block of the document printed. Commands are run as they are written; the copy's
``conf/protocol/`` holds shorter protocols of the same names, because what is looked at is not how precise they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = tuple(
    sorted(
        path.relative_to(ROOT).as_posix()
        for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/*.md")
        for path in ROOT.glob(pattern)
    )
)
LANGUAGES = ("bash", "python", "yaml", "toml", "text")

_FENCE = re.compile(r"^```(?P<language>\S*)[ \t]*(?P<rest>[^\n]*)\n(?P<text>.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)
_TITLE = re.compile(r'title="([^"]+)"')
_STUDY = re.compile(r"^study ([0-9a-f]{32})$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced block of a document."""

    document: str
    line: int
    language: str
    title: str | None
    text: str

    def __str__(self) -> str:
        return f"{self.document}:{self.line}"


def blocks(document: str) -> list[Block]:
    """The fenced blocks of a document, in order."""
    text = (ROOT / document).read_text(encoding="utf-8")
    found = []
    for match in _FENCE.finditer(text):
        title = _TITLE.search(match["rest"])
        line = text.count("\n", 0, match.start()) + 1
        found.append(Block(document, line, match["language"], title[1] if title else None, match["text"]))
    return found


def fences(document: str) -> int:
    """How many fence lines a document has, indented ones included; two for each block."""
    return len(re.findall(r"^\s*```", (ROOT / document).read_text(encoding="utf-8"), re.MULTILINE))


def prose(document: str) -> str:
    """The document without its fenced blocks."""
    return _FENCE.sub("", (ROOT / document).read_text(encoding="utf-8"))


@dataclass
class Desk:
    """A copy of the checkout in which the blocks of one document run, and what they have said so far."""

    folder: Path
    cache: Path
    study: str = ""

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """This environment's commands first; nothing is written outside the copy and the cache, nothing is sent."""
        # no coverage, which would slow what is measured; tracking as somebody has it who set nothing
        foreign = ("COV_CORE", "COVERAGE", "MLFLOW_", "PYTHONPATH")
        return {
            **{key: value for key, value in os.environ.items() if not key.startswith(foreign)},
            "PATH": os.pathsep.join((str(self.folder / ".bin"), str(Path(sys.executable).parent), os.environ["PATH"])),
            "MLBENCH_CACHE_DIR": str(self.cache),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            # the copy runs, and what a block installs goes beside it, built with what is installed here
            "PYTHONPATH": os.pathsep.join((str(self.folder), str(self.folder / ".site"))),
            "PIP_TARGET": str(self.folder / ".site"),
            "PIP_NO_DEPS": "1",
            "PIP_NO_BUILD_ISOLATION": "0",
            "STUDY": self.study,
            **(extra or {}),
        }

    def run(self, block: Block, timeout: float = 900) -> subprocess.CompletedProcess[str]:
        """Run a block of bash or Python."""
        command = ["bash", "-euo", "pipefail", "-c"] if block.language == "bash" else [sys.executable, "-c"]
        done = subprocess.run(
            [*command, block.text],
            cwd=self.folder,
            env=self.environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        printed = _STUDY.findall(done.stdout)
        if printed:
            self.study = printed[-1]
        return done

    def write(self, block: Block) -> None:
        """Write a titled block to its file."""
        assert block.title is not None
        path = self.folder / block.title
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text, encoding="utf-8")


def desk(folder: Path, cache: Path, trials: int) -> Desk:
    """A fresh copy of the checkout, without what is generated in it, with protocols of so many short trials."""
    generated = shutil.ignore_patterns(
        ".git", ".venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".coverage*", "mlruns", "mlartifacts",
        "mlflow.db", "dist", "build", "outputs", "multirun",
    )  # fmt: skip
    shutil.copytree(ROOT, folder, ignore=generated)
    shorter = {"trials": trials, "rounds": 4, "warmup_calls": 5, "warmup_seconds": 0.1}
    for path in (folder / "conf" / "protocol").glob("*.yaml"):
        path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text(encoding="utf-8")) | shorter), encoding="utf-8")
    # the copy runs, with the protocols above, also where a block sets PYTHONPATH to something of its own
    command = folder / ".bin" / "mlbench"
    command.parent.mkdir()
    command.write_text(
        f'#!/bin/sh\nPYTHONPATH="{folder}:$PYTHONPATH" exec "{sys.executable}" -m mlbench "$@"\n', encoding="utf-8"
    )
    command.chmod(0o755)
    return Desk(folder, cache)
