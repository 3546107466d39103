"""Does mlbench stay sound over many studies that are killed?

Runs small studies in a row on one store. Some are killed with kill -9 at a random moment, once or twice, and resumed;
some lose a worker to kill -9 at a random moment; the others are left alone. All but the first kind run in one process
that lives as long as all of it, and whose files and memory are looked at after every study. In the end all studies
must have been run, every turn of every plan must be there once with all of its calls, every variant must have its
verdicts, no process, no journal and no running run may be left, and that process may hold no more files, and hardly
more memory, than after its first five studies.

Run it from the checkout: ``python benchmarks/soak.py [--studies N] [--minutes M] [--seed N]``.
Exit code 1 says that something was lost, left behind or has grown.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
from kills import going_on, is_over, killed, without_verdict, wrong_turns

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.errors import MlbenchError
from mlbench.journal import journals
from mlbench.tracking import Tracker, connect, load_measurement, load_study

STUDY = (
    "workload.data.rows=400",
    "workload.model.train.epochs=1",
    "baseline.steps=[{name: export_onnx}]",
    "variants=[]",
    "+variants.twin={steps: [{name: export_onnx}]}",
    "scenario.batch_sizes=[1]",
    "protocol=quick",
    "protocol.rounds=4",
    "protocol.calls=5",
    "protocol.warmup_calls=5",
    "protocol.warmup_seconds=0",
)
SETTLED = 5  # studies after which a process has everything that it keeps
GROWTH = 1.15  # of memory; allocators keep some of what they have had


def resident() -> None:
    """Run every study that is asked for on standard input, and say how this process is afterwards."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        code = cli.main(json.loads(line))
        me = psutil.Process()
        said = {
            "code": code,
            "files": me.num_fds(),
            "threads": me.num_threads(),
            "rss_mib": me.memory_info().rss / 2**20,
        }
        print(json.dumps(said), file=answers, flush=True)


class Soak:
    """All studies of one run.

    Args:
        folder: Where the store and the cache are.
        seed: Of what happens to which study, and when.
    """

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.draw = folder, random.Random(seed)
        self.environment = {
            **os.environ,
            "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
            "MLBENCH_CACHE_DIR": str(folder / "cache"),
        }
        self.happened: Counter[str] = Counter()
        self.looks: list[dict[str, Any]] = []
        self.orphans = 0
        self.failed: list[str] = []
        self._resident = subprocess.Popen(
            [sys.executable, __file__, "--resident"],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def study(self, name: str) -> None:
        """One study, and what happens to it."""
        kind = self.draw.choice(["coordinator killed", "worker killed", "left alone"])
        if kind == "coordinator killed":
            self._killed(name)
        else:
            self._in_one_process(name, kill=kind == "worker killed")
        self.orphans += len(self._processes("worker", "apart"))
        print(f"{name}: {kind}; {self.looks[-1] if self.looks else ''}", flush=True)

    def _killed(self, name: str) -> None:
        arguments = begin = ("run", f"name={name}", *STUDY)
        for _ in range(self.draw.randint(1, 2)):
            process = self._start(arguments)
            if is_over(process, self.draw.randint(1, 14)):
                self.happened["over before it was killed"] += 1
                break
            time.sleep(self.draw.uniform(0, 0.5))
            self.orphans += killed(process)
            self.happened["coordinators killed"] += 1
            arguments = going_on(self.folder, begin, ("run", "--resume", name))
        else:
            process = self._start(arguments)
        said = process.communicate()[1]
        if process.returncode:
            self.failed.append(f"{name}: exit code {process.returncode}: {said[-500:]}")

    def _start(self, arguments: tuple[str, ...]) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "mlbench", *arguments]
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )

    def _in_one_process(self, name: str, *, kill: bool) -> None:
        assert self._resident.stdin is not None
        assert self._resident.stdout is not None
        print(json.dumps(["run", f"name={name}", *STUDY]), file=self._resident.stdin, flush=True)
        if kill and self._kill_a_worker():
            self.happened["workers killed"] += 1
        look = json.loads(self._resident.stdout.readline())
        self.looks.append(look)
        if look["code"]:
            self.failed.append(f"{name}: exit code {look['code']}")

    def _kill_a_worker(self) -> bool:
        """One that lives at a random moment, from the first one on."""
        until = time.monotonic() + 60
        while time.monotonic() < until and not self._processes("worker"):
            time.sleep(0.02)
        time.sleep(self.draw.uniform(0, 3))
        victims = self._processes("worker")
        if not victims:
            return False
        with suppress(psutil.NoSuchProcess):
            self.draw.choice(victims).kill()
            return True
        return False

    def _processes(self, *kinds: str) -> list[psutil.Process]:
        """Processes of these studies that measure (``worker``), or build and write models (``apart``)."""
        wanted, found = {f"mlbench.measurement.{kind}" for kind in kinds}, []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if wanted & set(process.cmdline()):
                    own = process.environ().get("MLBENCH_CACHE_DIR") == self.environment["MLBENCH_CACHE_DIR"]
                    found += [process] if own and process.status() != psutil.STATUS_ZOMBIE else []
        return found

    def close(self) -> None:
        """End the process that lived all along."""
        assert self._resident.stdin is not None
        self._resident.stdin.close()
        self._resident.wait(60)


def found_wrong(tracker: Tracker, name: str) -> tuple[int, int, int]:
    """Turns of a study that are not there once with all their calls, how many it has, and variants without verdict."""
    try:
        loaded = load_study(tracker, name)
        measured = load_measurement(tracker, loaded)
    except MlbenchError as error:
        print(error)
        return 1, 0, 1
    return wrong_turns(measured), len(measured.turns), len(without_verdict(loaded.study))


def main(studies: int, seed: int, minutes: float) -> bool:
    folder = Path(tempfile.mkdtemp(prefix="mlbench-soak-"))
    soak, began = Soak(folder, seed), time.monotonic()
    names = []
    while len(names) < studies and time.monotonic() - began < 60 * minutes:
        names.append(f"soak-{len(names) + 1:03d}")
        soak.study(names[-1])
    soak.close()
    tracker = connect(TrackingConfig(uri=soak.environment["MLFLOW_TRACKING_URI"]), create=False)
    wrong, turns, open_ = map(sum, zip(*(found_wrong(tracker, name) for name in names), strict=True))
    statuses = Counter(run.info.status for run in tracker.client.search_runs([tracker.experiment_id], max_results=5000))
    first, last = soak.looks[min(SETTLED, len(soak.looks)) - 1], soak.looks[-1]
    holds = {
        f"{len(names)} studies came to their end, {len(soak.failed)} did not": not soak.failed,
        f"{len(names)} of {studies} studies were begun": len(names) == studies or minutes < float("inf"),
        f"of {turns} turns {wrong} are missing, there twice, or short of calls": turns > 0 and wrong == 0,
        f"{open_} variants are without a verdict": open_ == 0,
        f"{soak.orphans} processes were left behind": soak.orphans == 0,
        f"runs ended as {dict(statuses)}": not set(statuses) & {"RUNNING", "SCHEDULED"},
        f"{len(journals(folder / 'cache'))} journals are left": not journals(folder / "cache"),
        f"open files {first['files']} -> {last['files']}, threads {first['threads']} -> {last['threads']}": (
            last["files"] <= first["files"] and last["threads"] <= first["threads"]
        ),
        f"memory {first['rss_mib']:.0f} -> {last['rss_mib']:.0f} MiB": last["rss_mib"] < GROWTH * first["rss_mib"],
    }
    print("\n".join(f"{'yes' if held else 'NO '}  {sentence}" for sentence, held in holds.items()))
    print(f"what happened: {dict(soak.happened)}; {(time.monotonic() - began) / 60:.0f} minutes; its store: {folder}")
    print("\n".join(soak.failed))
    return all(holds.values())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=50, metavar="N", help="how many (default: 50)")
    parser.add_argument("--seed", type=int, default=1, metavar="N", help="of what happens (default: 1)")
    parser.add_argument(
        "--minutes",
        type=float,
        default=float("inf"),
        metavar="M",
        help="begin none later (default: until all are over)",
    )
    parser.add_argument("--resident", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.resident:
        resident()
        sys.exit(0)
    sys.exit(0 if main(chosen.studies, chosen.seed, chosen.minutes) else 1)
