"""What each command does: the work is done elsewhere, this prints it."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

from mlbench.errors import ExitCode

if TYPE_CHECKING:
    from mlbench.compose import Composition


def do_run(chosen: argparse.Namespace) -> int:
    """``mlbench run``: a study, or with ``--dry-run`` its plan."""
    from mlbench.compose import compose

    composition = compose([*chosen.overrides, *_tracking_overrides(chosen)], chosen.config_dir)
    if chosen.dry_run:
        return _dry_run(composition, as_json=chosen.json)
    from mlbench.progress import Progress
    from mlbench.records import to_dict
    from mlbench.reporting.terminal import print_study, result_console
    from mlbench.study import run_study

    with _only_our_output(), Progress() as progress:
        for notice in composition.warnings:
            progress.notice(f"{notice.message} ({notice.action})" if notice.action else notice.message)
        outcome = run_study(composition, progress)
    if chosen.json:
        _print_json({"study": outcome.run_id, **to_dict(outcome.study.decision)})
    else:
        print_study(outcome.study, result_console(), outcome.links)
        _print(f"study {outcome.run_id}")
    return int(outcome.exit_code)


def _tracking_overrides(chosen: argparse.Namespace) -> list[str]:
    given = {"tracking.uri": chosen.tracking_uri, "tracking.experiment": chosen.experiment}
    return [f"{key}={_quoted(value)}" for key, value in given.items() if value is not None]


def _quoted(text: str) -> str:
    """Text as a quoted value in Hydra's syntax: what it holds is taken literally, interpolations too."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("${", "\\${") + "'"


def _dry_run(composition: Composition, *, as_json: bool) -> int:
    from mlbench.measurement.plan import make_plan
    from mlbench.recipes import recipes
    from mlbench.records import to_dict
    from mlbench.reporting.terminal import print_plan, result_console

    config = composition.config
    arms = [recipe.name for recipe in recipes(config)]
    plan = make_plan(arms, arms[0], config.scenario, config.protocol, config.seed)
    if as_json:
        notices = [to_dict(notice) for notice in composition.warnings]
        _print_json({"config": composition.record, "plan": to_dict(plan), "warnings": notices})
        return ExitCode.DONE
    notes = [notice.message for notice in composition.warnings if notice.code != "few-trials"]  # print_plan says that
    print_plan(plan, result_console(), workload=config.workload.name, notes=notes)
    return ExitCode.DONE


def do_list(chosen: argparse.Namespace) -> int:
    """``mlbench list``: what there is, of one kind or of all."""
    from dataclasses import asdict

    from mlbench import listing

    kinds = [chosen.kind] if chosen.kind else listing.KINDS
    found = {kind: listing.items(kind, chosen.config_dir) for kind in kinds}
    if chosen.json:
        _print_json({kind: [asdict(item) for item in items] for kind, items in found.items()})
        return ExitCode.DONE
    for number, (kind, items) in enumerate(found.items()):
        if len(found) > 1:
            _print(("\n" if number else "") + kind)
        width = max((len(item.name) for item in items), default=0)
        for item in items:
            origin = "" if item.provider == "mlbench" else f" [{item.provider}]"
            _print(f"  {item.name:<{width}}  {'yes' if item.available else 'no ':<3}  {item.summary}{origin}".rstrip())
            if not item.available:
                _print(f"  {'':<{width}}       {item.reason}")
    return ExitCode.DONE


# ---------------------------------------------------------------------------------------------------------------------
# output


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _print_json(value: Any) -> None:
    _print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


@contextmanager
def _only_our_output() -> Iterator[None]:
    """Standard output is the result alone: what libraries print meanwhile goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)  # for what is not written through Python, and for child processes
    try:
        with redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
