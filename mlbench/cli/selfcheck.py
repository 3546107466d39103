"""``mlbench selfcheck``: does the rule keep its promise on this machine?"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from mlbench.errors import ExitCode

if TYPE_CHECKING:
    from mlbench.records import Estimate
    from mlbench.selfcheck import SelfCheck


def do_selfcheck(chosen: argparse.Namespace) -> int:
    """Measure studies whose answer is known, and print how often the verdicts were right."""
    from mlbench.cli.commands import only_our_output
    from mlbench.compose import compose
    from mlbench.measurement.machine_lock import MachineLock
    from mlbench.progress import Progress
    from mlbench.selfcheck import run_selfcheck

    composition = compose(chosen.overrides, chosen.config_dir)
    with only_our_output(), Progress() as progress:
        for notice in composition.warnings:
            progress.notice(notice.message)
        with MachineLock(wait=not chosen.no_wait, say=progress.notice):
            checked = run_selfcheck(composition, chosen.studies, chosen.percent, progress)
    sys.stdout.write(json.dumps(asdict(checked), indent=2) + "\n" if chosen.json else text(checked))
    if checked.interrupted:
        return int(ExitCode.INTERRUPTED)
    return int(ExitCode.DONE if checked.sound else ExitCode.FAILURE)


def text(checked: SelfCheck) -> str:
    """The result for a terminal."""
    between = checked.between
    rows = [
        ("identical arms called different", f"{_share(checked.false_calls)}, at most {checked.allowed} expected"),
        (f"{checked.percent:g} % more work called slower", _share(checked.detected)),
        (f"{checked.percent:g} % more work called faster", _share(checked.wrong_sign)),
        ("interval of identical arms", f"±{100 * checked.half_width:.2f} % (median)"),
        ("spread between processes", f"{100 * between.process_sd:.2f} % of a ratio"),
        ("spread between rounds", f"{100 * between.round_sd:.2f} % of a ratio"),
        ("share of the processes", f"{100 * between.share:.0f} % of a trial's variance ({between.trials} trials)"),
        ("studies on a noisy machine", f"{100 * checked.noisy:.0f} %"),
    ]
    width = max(len(name) for name, _ in rows)
    lines = [f"{name:<{width}}  {value}" for name, value in rows]
    word = "sound" if checked.sound else "NOT sound"
    counted = (
        f"{checked.studies} studies"
        if checked.studies == checked.asked
        else (f"{checked.studies} of {checked.asked} studies")
    )
    lines += ["", f"Verdicts are {word} here, as far as {counted} can tell."]
    lines += [f"  - {advice}" for advice in checked.advice]
    return "\n".join(lines) + "\n"


def _share(estimate: Estimate) -> str:
    assert estimate.low is not None
    assert estimate.high is not None
    count = round(estimate.value * estimate.n)
    return f"{count} of {estimate.n} (95 % interval {100 * estimate.low:.1f} to {100 * estimate.high:.1f} %)"
