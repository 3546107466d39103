"""Does a study survive being killed again and again?

Kills a study with kill -9 at random moments and resumes it each time, until it is over. Then the plan must be the one
it began with, every turn must be there once, no process and no journal may be left, and no run may be RUNNING.

Run it from the checkout: ``python benchmarks/kills.py [--kills N] [--longest SECONDS] [--seed N] [OVERRIDE ...]``.
Exit code 1 says that something was lost or left behind.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
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
    "protocol.trials=8",
    "protocol.rounds=4",
    "protocol.warmup_seconds=0.1",
)


def start(folder: Path, *arguments: str) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(folder / "cache"),
    }
    log = (folder / "log").open("ab")
    return subprocess.Popen(
        [sys.executable, "-m", "mlbench", "run", *arguments], cwd=folder, env=environment, stdout=log, stderr=log
    )


def kept(folder: Path) -> tuple[object, int]:
    """The plan that the journal holds, if any, and how many trials."""
    for path in journals(folder / "cache"):
        with Journal.open(path) as journal:
            planned = journal.planned()
            return (planned.plan if planned else None), len(journal.trials())
    return None, 0


def killed(process: subprocess.Popen[bytes]) -> int:
    """Kill it, and count what it has started and what of that is still there after 5 seconds."""
    workers = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    process.wait()
    return len(psutil.wait_procs(workers, timeout=5)[1])


def main(kills: int, longest: float, seed: int, overrides: list[str]) -> bool:
    draw = random.Random(seed)
    folder = Path(tempfile.mkdtemp(prefix="mlbench-kills-"))
    arguments, plans, orphans = (*STUDY, *overrides), [], 0
    for number in range(1, kills + 1):
        process = start(folder, *arguments)
        try:
            process.wait(draw.uniform(1, longest))
            break  # it was over before
        except subprocess.TimeoutExpired:
            orphans += killed(process)
        plan, trials = kept(folder)
        print(f"kill {number}: {trials} trials kept", flush=True)
        plans += [plan] if plan is not None else []
        if journals(folder / "cache"):
            arguments = ("--resume", "kills", *overrides)
    else:
        process = start(folder, *arguments)
        process.wait()
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
    print(f"{loaded.study.decision.sentence}\nlog and store: {folder}")
    return all(holds.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="how often (default: 10)")
    parser.add_argument("--longest", type=float, default=25, metavar="S", help="longest time to a kill (default: 25 s)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of the moments (default: 1)")
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help="in Hydra's syntax")
    chosen = parser.parse_args()
    sys.exit(0 if main(chosen.kills, chosen.longest, chosen.seed, chosen.overrides) else 1)
