"""Does a study survive being killed again and again?

Kills a study with kill -9 at random moments and resumes it each time, until it is over. Then the plan must be the one
it began with, every turn must be there once, no process and no journal may be left, and no run may be RUNNING.

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
from pathlib import Path

import psutil

from mlbench.config import TrackingConfig
from mlbench.journal import Journal, journals
from mlbench.tracking import connect, load_measurement, load_study

STUDY = (
    "name=kills",
    "workload.model.train.epochs=2",
    "baseline.steps=[{name: export_onnx}]",
    "variants=[onnx_int8_static]",
    "+variants.twin={steps: [{name: export_onnx}]}",
    "protocol.trials=16",
    "protocol.rounds=4",
    "protocol.warmup_seconds=0.1",
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(folder / "cache"),
    }
    command = [sys.executable, "-m", "mlbench", "run", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, stderr=subprocess.PIPE, text=True)


def is_over(process: subprocess.Popen[str], lines: int) -> bool:
    """Wait until it has told so much of its progress, so that the moment does not depend on the machine's speed."""
    assert process.stderr is not None
    return len(list(itertools.islice(process.stderr, lines))) < lines


def kept(folder: Path) -> tuple[object, int]:
    """The plan that the journal holds, if any, and how many trials."""
    for path in journals(folder / "cache"):
        with Journal.open(path) as journal:
            planned = journal.planned()
            return (planned.plan if planned else None), len(journal.trials())
    return None, 0


def killed(process: subprocess.Popen[str]) -> int:
    """Kill it, and count what it has started and what of that is still there after 5 seconds."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return len(psutil.wait_procs(workers, timeout=5)[1])


def main(kills: int, lines: int, seed: int, overrides: list[str]) -> bool:
    draw = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="mlbench-kills-"))
    arguments, plans, orphans = (*STUDY, *overrides), [], 0
    for number in range(1, kills + 1):
        process = start(folder, *arguments)
        if is_over(process, draw.randint(1, lines)):
            break
        time.sleep(draw.uniform(0, 1))
        orphans += killed(process)
        plan, trials = kept(folder)
        print(f"kill {number}: {trials} trials kept", flush=True)
        plans += [plan] if plan is not None else []
        if journals(folder / "cache"):
            arguments = ("--resume", "kills", *overrides)
    else:
        process = start(folder, *arguments)
    process.communicate()
    tracker = connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"), create=False)
    loaded = load_study(tracker, "kills")
    measured = load_measurement(tracker, loaded)
    runs = tracker.client.search_runs([tracker.experiment_id])
    turns = [(turn.trial, turn.batch_size, turn.round, turn.arm) for turn in measured.turns]
    planned = [(item.trial, item.batch_size, item.round, arm) for item in measured.plan.schedule for arm in item.order]
    holds = {
        "the study ended with exit code 0": process.returncode == 0,
        f"the plan was the same in {len(plans)} journals": all(plan == measured.plan for plan in plans),
        f"each of {len(planned)} turns is there once": sorted(turns) == sorted(planned),
        f"{orphans} processes were left behind": orphans == 0,
        f"runs ended as {sorted({run.info.status for run in runs})}": all(run.info.status != "RUNNING" for run in runs),
        "no journal is left": not journals(folder / "cache"),
    }
    print("\n".join(f"{'yes' if held else 'NO '}  {sentence}" for sentence, held in holds.items()))
    print(f"{loaded.study.decision.sentence}\nits store: {folder}")
    return all(holds.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how often (default: 10)")
    parser.add_argument("--lines", type=int, default=14, metavar="N", help="latest line that it tells (default: 14)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (default: 1)")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's syntax")
    chosen = parser.parse_args()
    sys.exit(0 if main(chosen.kills, chosen.lines, chosen.seed, chosen.overrides) else 1)
