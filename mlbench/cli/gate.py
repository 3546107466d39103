"""``mlbench gate``: candidate and reference measured side by side, and an answer for CI."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlbench.errors import ExitCode, InputError, MlbenchError

if TYPE_CHECKING:
    from mlbench.gate import Gate
    from mlbench.records import Study

STEP_SUMMARY = "GITHUB_STEP_SUMMARY"
POLICY = "policy=no_regression"
NO_PROMOTION = "registry.promote=false"


def do_gate(chosen: argparse.Namespace) -> int:
    """Measure, judge every candidate, print, and write the pages that were asked for.

    Raises:
        InputError: The configuration is wrong, there is no candidate, or a page cannot be written. Nothing was run.
        MlbenchError: The study failed, or a page could not be written in the end.
    """
    from mlbench.cli.commands import _print, _print_json, _tracking_overrides, only_our_output
    from mlbench.compose import compose
    from mlbench.gate import check_request, exit_code, judge

    pages = _pages(chosen)
    composition = compose([*defaults(chosen.overrides), *_tracking_overrides(chosen)], chosen.config_dir)
    candidates = check_request(composition.config.policy, list(composition.config.variants), chosen.candidate)
    from mlbench.progress import Progress
    from mlbench.records import to_dict
    from mlbench.reporting.gate import print_gate
    from mlbench.reporting.terminal import print_study, result_console
    from mlbench.study import run_study

    with only_our_output(), Progress() as progress:
        for notice in composition.warnings:
            progress.notice(f"{notice.message} ({notice.action})" if notice.action else notice.message)
        outcome = run_study(composition, progress, wait=not chosen.no_wait)
    gate = judge(outcome.study, candidates)
    code = ExitCode.INTERRUPTED if outcome.exit_code == ExitCode.INTERRUPTED else exit_code(gate)
    if outcome.undelivered and code == ExitCode.DONE:
        code = ExitCode.FAILURE  # the evidence is not where it belongs
    if chosen.json:
        noise = to_dict(outcome.study.noise)
        _print_json({"study": outcome.run_id, "exit_code": int(code), "noise": noise, **to_dict(gate)})
    else:
        console = result_console()
        print_study(outcome.study, console, outcome.links)
        print_gate(gate, console)
        _print(f"study {outcome.run_id}")
    _write(pages, outcome.study, gate)
    return int(code)


def defaults(requested: Sequence[str]) -> list[str]:
    """The user's overrides, and before them what a gate does unless told otherwise: its policy, and no promotion."""
    from mlbench import overrides

    given = [item for item in map(overrides.read, requested) if isinstance(item, overrides.Request)]
    chooses = any(item.key == "policy" and not isinstance(item.value, Mapping) for item in given)
    promotes = any(item.key == "registry.promote" for item in given)
    return [*([] if chooses else [POLICY]), *([] if promotes else [NO_PROMOTION]), *requested]


@dataclass(frozen=True, slots=True)
class _Page:
    """One file to write, and what asked for it."""

    source: str
    path: Path
    kind: str
    append: bool = False


def _pages(chosen: argparse.Namespace) -> list[_Page]:
    """The files to write; that they can be written is looked at before anything is measured."""
    pages = []
    if chosen.summary is not None:
        pages.append(_Page("--summary", Path(chosen.summary).expanduser(), "markdown"))
    if chosen.junit is not None:
        pages.append(_Page("--junit", Path(chosen.junit).expanduser(), "junit"))
    if os.environ.get(STEP_SUMMARY):
        pages.append(_Page(STEP_SUMMARY, Path(os.environ[STEP_SUMMARY]), "markdown", append=True))
    problems = [f"{page.source} {page.path}: {why}" for page in pages if (why := _unwritable(page.path))]
    if problems:
        raise InputError(problems)
    return pages


def _unwritable(path: Path) -> str:
    if path.is_dir():
        return "is a directory; name a file"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}"
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        return "may not be written"
    return ""


def _write(pages: Sequence[_Page], study: Study, gate: Gate) -> None:
    from mlbench.reporting.gate import render_gate_markdown, render_junit

    problems = []
    for page in pages:
        content = render_junit(study, gate) if page.kind == "junit" else render_gate_markdown(study, gate)
        try:
            with page.path.open("a" if page.append else "w", encoding="utf-8", errors="backslashreplace") as file:
                file.write(content)
        except OSError as error:
            problems.append(f"{page.source} {page.path}: cannot be written: {error.strerror}")
    if problems:
        raise MlbenchError("; ".join(problems))
