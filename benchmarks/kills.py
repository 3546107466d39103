"""Does a study survive being killed again and again?

Kills a study with kill -9 at random moments and resumes it each time, until it is over. Then the plan must be the one
it began with, every turn must be there once with all of its calls, every variant must have its verdicts, no process and
no journal may be left, and no run may be RUNNING. A study that is over before it was killed so often is followed by
another one, which is killed earlier, until the kills are what was asked for.

Run it from the checkout: ``python benchmarks/kills.py [--kills N] [--lines N] [--seed N] [OVERRIDE ...]``.
Exit code 1 says that something was lost or left behind.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from mlbench.config import TrackingConfig
from mlbench.errors import MlbenchError
from mlbench.journal import Journal, journals
from mlbench.records import Measurement, Plan, Study
from mlbench.tracking import Tracker, connect, load_measurement, load_study

STUDY = (
    "workload.model.train.epochs=2",
    "baseline.steps=[{name: export_onnx}]",
    "variants=[onnx_int8_static]",
    "+variants.twin={steps: [{name: export_onnx}]}",
    "protocol.trials=24",
    "protocol.rounds=4",
    "protocol.warmup_seconds=0.1",
)


@dataclass
class Lives:
    """What a study lived through: how often it was killed, what that left, and how it ended."""

    name: str
    kills: int
    orphans: int
    plans: list[Plan]
    code: int


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "mlbench", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def is_over(process: subprocess.Popen[str], lines: int) -> bool:
    """Wait until it has told so much of its progress, so that the moment does not depend on the machine's speed."""
    assert process.stderr is not None
    return len(list(itertools.islice(process.stderr, lines))) < lines


def kept(folder: Path) -> tuple[Plan | None, int]:
    """The plan that the journal holds, if any, and how many trials."""
    for path in journals(folder / "cache"):
        with Journal.open(path) as journal:
            planned = journal.planned()
            return (planned.plan if planned else None), len(journal.trials())
    return None, 0


def going_on(folder: Path, begin: tuple[str, ...], resume: tuple[str, ...]) -> tuple[str, ...]:
    """The command with which a study goes on that was killed: one that was concluded already is delivered."""
    for path in journals(folder / "cache"):
        with Journal.open(path) as journal:
            return begin if journal.is_empty else ("sync",) if journal.is_concluded else resume
    return begin


def killed(process: subprocess.Popen[str]) -> int:
    """Kill it, and count what it has started and what of that is still there after 5 seconds."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return len(psutil.wait_procs(workers, timeout=5)[1])


def lived(folder: Path, name: str, kills: int, lines: int, draw: random.Random, overrides: list[str]) -> Lives:
    """Kill a study so often, or until it is over, and let it come to its end."""
    begin, lives = ("run", f"name={name}", *STUDY, *overrides), Lives(name, 0, 0, [], 0)
    process = start(folder, *begin)
    while lives.kills < kills and not is_over(process, draw.randint(1, lines)):
        time.sleep(draw.uniform(0, 1))
        if process.poll() is not None:
            break
        lives.orphans += killed(process)
        lives.kills += 1
        plan, trials = kept(folder)
        print(f"{name}, kill {lives.kills}: {trials} trials kept", flush=True)
        lives.plans += [plan] if plan is not None else []
        process = start(folder, *going_on(folder, begin, ("run", "--resume", name, *overrides)))
    process.communicate()
    lives.code = process.returncode
    return lives


def wrong_turns(measured: Measurement) -> int:
    """Turns of the plan that are not there once with all calls of their condition, and turns that are not planned.

    A trial that took the place of one in which a worker died counts as that one.
    """
    plan, places = measured.plan, measured.counted
    planned = {(item.trial, item.key, item.round, arm) for item in plan.schedule for arm in item.order}
    calls = {condition.key: (condition.discard, condition.calls) for condition in plan.conditions}
    whole = [
        (places.get(turn.trial), turn.key, turn.round, turn.arm)
        for turn in measured.turns
        if (len(turn.discarded_ns), len(turn.timed_ns)) == (calls[turn.key][0], calls[turn.key][1] * turn.group)
    ]
    return len(measured.turns) - len(whole) + len(planned ^ set(whole)) + len(whole) - len(set(whole))


def without_verdict(study: Study) -> list[str]:
    """Variants that are not whole, or have no verdict on p50."""
    return [
        arm.name
        for arm in study.arms
        if arm.role == "variant" and (arm.status != "ok" or "latency/p50_ms" not in arm.verdicts)
    ]


def held(tracker: Tracker, lives: Lives) -> dict[str, bool]:
    """What must hold for one study, in sentences."""
    try:
        study = load_study(tracker, lives.name)
        measured = load_measurement(tracker, study)
    except MlbenchError as error:
        return {f"{lives.name} is whole ({error})": False}
    wrong, open_ = wrong_turns(measured), without_verdict(study.study)
    name, turns = lives.name, len(measured.turns)
    return {
        f"{name} was killed {lives.kills} times and ended with exit code {lives.code}": lives.code == 0,
        f"{name}: the plan was the same in {len(lives.plans)} journals": all(p == measured.plan for p in lives.plans),
        f"{name}: of {turns} turns {wrong} are missing, there twice, or short of calls": turns > 0 and wrong == 0,
        f"{name}: {len(open_)} variants are without a verdict": not open_,
    }


def main(kills: int, lines: int, seed: int, overrides: list[str]) -> bool:
    draw, lived_through = random.Random(seed), list[Lives]()
    folder = Path(tempfile.mkdtemp(prefix="mlbench-kills-"))
    made = 0
    while not lived_through or (made < kills and len(lived_through) < kills):
        name = f"kills-{len(lived_through) + 1}"
        lived_through.append(lived(folder, name, kills - made, lines, draw, overrides))
        made += lived_through[-1].kills
        lines = max(1, lines // 2)  # it was over too early
    tracker = connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"), create=False)
    runs = tracker.client.search_runs([tracker.experiment_id], max_results=5000)
    orphans = sum(lives.orphans for lives in lived_through)
    holds = {
        f"{made} kills of {kills} were made": made == kills,
        f"{orphans} processes were left behind": orphans == 0,
        f"runs ended as {sorted({run.info.status for run in runs})}": all(run.info.status != "RUNNING" for run in runs),
        "no journal is left": not journals(folder / "cache"),
    }
    for lives in lived_through:
        holds |= held(tracker, lives)
    print("\n".join(f"{'yes' if found else 'NO '}  {sentence}" for sentence, found in holds.items()))
    print(f"its store: {folder}")
    return all(holds.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how often (default: 10)")
    parser.add_argument("--lines", type=int, default=14, metavar="N", help="latest line that it tells (default: 14)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (default: 1)")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's syntax")
    chosen = parser.parse_args()
    sys.exit(0 if main(chosen.kills, chosen.lines, chosen.seed, chosen.overrides) else 1)
