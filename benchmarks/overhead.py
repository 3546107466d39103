"""What mlbench itself costs: per timed call, against a bare loop, and as a share of a study's wall time.

Run it on a quiet machine from the checkout: ``python benchmarks/overhead.py``. It prints a Markdown report; ``--write``
keeps it in benchmarks/README.md. With ``--optimum-benchmark PYTHON``, an interpreter that has optimum-benchmark, the
same model is measured with that too.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import peer
from shared import MIN_CALL_MS, against, arms, finish, machine, machine_alone, per_turn, ratio, table, turn_p50, within

from mlbench.compose import compose
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.errors import WorkerError
from mlbench.measurement.clock import MonotonicClock
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.mixing import mixed
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import WorkerHandle, WorkerProcess, worker_environment
from mlbench.measurement.settling import Settled, asleep, settle
from mlbench.measurement.worker import POOL, timed_calls
from mlbench.progress import Progress
from mlbench.records import Arm, Measurement, WorkerReport
from mlbench.study import run_study
from mlbench.tracking import connect, load_measurement, load_study

BARE, HARNESS = "bare", "mlbench"
MARGIN = 0.02
STARTING = "starting, importing, loading and ending workers"
WANTED_NS = 1000.0


# ---------------------------------------------------------------------------------------------------------------------
# (a) the harness around one call


def per_call_ns(repeats: int = 51, calls: int = 2000) -> list[float]:
    """Wall time of one timed call of an empty model, in nanoseconds: all of it is the harness."""
    clock = MonotonicClock()
    out = np.zeros(calls, dtype=np.int64)
    items = [None] * calls
    costs = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        timed_calls(lambda _item: None, items, out, clock.now_ns)
        costs.append((time.perf_counter_ns() - start) / calls)
    return costs


# ---------------------------------------------------------------------------------------------------------------------
# (b) the whole harness against a loop without it


class BareLoop:
    """The process of bare_loop.py, spoken to by the coordinator as if it were a worker (torch modules only).

    So plan, order, processors, thread variables and inputs are the same for both, and the harness is what differs.
    """

    pid = 0

    def __init__(self, arm: Arm, inputs: Mapping[str, npt.NDArray[Any]]) -> None:
        self._arm = arm
        self._inputs = inputs
        self._folder = tempfile.TemporaryDirectory(prefix="mlbench-bare-")
        self._process: subprocess.Popen[str] | None = None
        self._message: dict[str, Any] = {}

    def post(self, command: str, **message: Any) -> None:
        """Remember the command; :meth:`answer` does it."""
        self._message = {"command": command, **message}

    def answer(
        self,
        timeout: float,  # noqa: ARG002
        call_s: float = math.inf,  # noqa: ARG002
    ) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
        """Do what was asked for and answer like a worker; what a bare loop cannot say is not-a-number."""
        message, unknown = self._message, float("nan")
        match message["command"]:
            case "load":
                self._start(message)
                figures = [item.name for item in fields(WorkerReport) if item.type in ("float", "float | None")]
                return {**dict.fromkeys(figures, unknown), "cpus": message["cpus"]}, {}
            case "warm_up":
                return {"group": 1}, {"warmup_ns": self._warm_up(message["calls"], message["seconds"])}
            case "turn":
                said = self._go(message["discard"], message["calls"])
                times = {name: np.array(said.pop(name), dtype=np.int64) for name in ("discarded_ns", "timed_ns")}
                return {**said, "hardware": {"peak_rss_mib": unknown}}, times
            case "predict":
                return {}, {"outputs": np.zeros((0, 0))}
            case _:
                return {"modules": [], "effective": {}}, {}

    def settle(self) -> Settled:
        """The same wait as for a worker."""
        return settle(partial(asleep, self.pid))

    def stop(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
        self._folder.cleanup()

    def _start(self, message: Mapping[str, Any]) -> None:
        """The process, with the batches that the worker goes through."""
        paths = []
        for number, array in enumerate(self._inputs.values()):
            paths.append(str(Path(self._folder.name) / f"{number}.npy"))
            np.save(paths[-1], np.stack(pool(array, message["batch_size"])))
        threads = self._arm.settings.threads
        job = {"artifact": asdict(self._arm.artifact), "inputs": paths, "threads": threads, "cpus": message["cpus"]}
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("bare_loop.py")), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=worker_environment(threads, os.environ),
            text=True,
        )
        self.pid = self._process.pid
        self._read()

    def _warm_up(self, calls: int, seconds: float) -> npt.NDArray[np.int64]:
        until, times = time.monotonic() + seconds, []
        while not times or time.monotonic() < until:
            times += self._go(0, calls)["timed_ns"]
        return np.array(times, dtype=np.int64)

    def _go(self, discard: int, calls: int) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        print(discard, calls, file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError("the bare loop has ended")
        said: dict[str, Any] = json.loads(line)
        return said


def pool(items: npt.NDArray[Any], batch_size: int) -> list[npt.NDArray[Any]]:
    """The batches that a worker's calls go through."""
    index, order = np.arange(batch_size), mixed(len(items))
    return [items[order[(number * batch_size + index) % len(items)]] for number in range(POOL)]


def against_bare_loop(
    arm: Arm, inputs: Mapping[str, npt.NDArray[Any]], batch_size: int, protocol: ProtocolConfig, number: int = 0
) -> Measurement:
    """Both measured by one plan: fresh processes in every trial, turns interleaved in balanced random order.

    Args:
        arm: A torch module.
        inputs: Items by input name.
        batch_size: Items per call.
        protocol: Trials, rounds and calls.
        number: Of this measurement among others of its kind: another seed, and other processors first.
    """
    both = [replace(arm, name=BARE, role="baseline"), replace(arm, name=HARNESS, role="variant")]
    cpus = np.roll(usable_cpus(), -number).tolist()
    plan = make_plan([BARE, HARNESS], BARE, ScenarioConfig(batch_sizes=(batch_size,)), protocol, number, cpus)

    def launch(which: Arm) -> WorkerHandle:
        return BareLoop(which, inputs) if which.name == BARE else WorkerProcess(which)

    labels = np.zeros(len(next(iter(inputs.values()))), dtype=np.int64)
    with machine_alone():
        measured = Coordinator(plan, both, inputs, labels, launch=launch).run()
    if measured.lost or not measured.complete:
        raise SystemExit(f"the comparison with a bare loop was not completed: {measured.lost}")
    return measured


def bare_rows(measured: Measurement) -> list[tuple[str, str]]:
    """What the comparison came to."""
    verdict = against(measured.turns, BARE, HARNESS, MARGIN)
    call_ms = float(np.median(per_turn(measured.turns, BARE, turn_p50))) / 1e6
    settling = [turn.hardware["settle_ms"] for turn in measured.turns if turn.arm == HARNESS]
    answer = within(verdict)
    if call_ms < MIN_CALL_MS:
        answer = f"not asked: a call takes less than {MIN_CALL_MS:g} ms, choose a larger --batch-size"
    return [
        ("p50 of one call in the bare loop", f"{call_ms:.3f} ms"),
        (f"p50 under mlbench over p50 of the bare loop, {verdict.trials} trials", ratio(verdict.ratio)),
        (f"the same, within {100 * MARGIN:g} %?", answer),
        ("the same ratio by process CPU time instead of wall time", ratio(verdict.cpu_ratio)),
        ("after a turn: seeing that the worker's threads sleep, median", f"{np.median(settling):.2f} ms"),
    ]


def coordinator_share(measured: Measurement) -> float:
    """CPU time of the coordinator while a worker had the turn, as a share of the turns' wall time."""
    own = sum(turn.hardware["coordinator_ms"] for turn in measured.turns)
    return own / sum((turn.end_ns - turn.start_ns) / 1e6 for turn in measured.turns)


# ---------------------------------------------------------------------------------------------------------------------
# (c) another tool, where there is one


def peer_rows(python: str | None, batch_size: int, protocol: ProtocolConfig) -> list[tuple[str, str]]:
    """The same model through the bare loop, mlbench and optimum-benchmark."""
    if python is None:
        return [("the same through optimum-benchmark", "left out: no interpreter was given that has it")]
    with tempfile.TemporaryDirectory(prefix="mlbench-peer-") as name:
        folder = Path(name)
        arm, items, one = peer.model(folder), peer.inputs(), replace(protocol, trials=1)

        def run() -> tuple[str, list[float]]:
            calls = protocol.rounds * protocol.calls
            with machine_alone():
                return peer.optimum(python, folder, batch_size, protocol.warmup_calls, calls)

        def pair(trial: int) -> Measurement:
            return against_bare_loop(arm, items, batch_size, one, trial)

        try:
            return peer.rows(pair, run, (BARE, HARNESS), protocol.trials)
        except peer.PeerError as error:
            return [("the same through optimum-benchmark", f"left out: {error}")]


# ---------------------------------------------------------------------------------------------------------------------
# (d) where the time of a study goes


class Stopwatch(Progress):
    """Progress that nobody sees and that keeps how long every phase took, in seconds, by its first word."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: dict[str, float] = {}
        self._open: tuple[str, float] | None = None

    def phase(self, text: str) -> None:
        """A new phase begins, and the one before is over."""
        self.close()
        self._open = (text.partition(" ")[0], time.monotonic())

    def close(self) -> None:
        """The last phase is over."""
        if self._open is not None:
            name, begun = self._open
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - begun
        self._open = None

    def _line(self, line: str, style: str = "") -> None:
        """Say nothing."""


def study_rows(overrides: Sequence[str]) -> list[tuple[str, str]]:
    """Where the time of a whole study goes, its artifacts from the cache, in a store that is thrown away."""
    arms(overrides)
    with tempfile.TemporaryDirectory(prefix="mlbench-overhead-") as folder:
        composition = compose([*overrides, f"tracking.uri=sqlite:///{folder}/mlflow.db", "registry.promote=false"])
        begun = time.monotonic()
        with Stopwatch() as watch:
            outcome = run_study(composition, watch)
        wall = time.monotonic() - begun
        tracker = connect(composition.config.tracking)
        measured = load_measurement(tracker, load_study(tracker, outcome.run_id))
    where = shares(measured, watch.seconds, wall)
    rows = [(f"share of a study's wall time: {name}", f"{100 * share:.1f} %") for name, share in where.items()]
    harness = 1 - where["model calls"] - where["warm-up"] - where[STARTING]
    return [
        *rows,
        ("share that is not calls, warm-up or processes", f"{100 * harness:.1f} %"),
        ("CPU time of the coordinator during turns, of their wall time", f"{100 * coordinator_share(measured):.2f} %"),
    ]


def shares(measured: Measurement, phases: Mapping[str, float], wall_s: float) -> dict[str, float]:
    """Where the wall time of a study went; the shares sum to one.

    Args:
        measured: Calls, warm-up and windows of the turns.
        phases: Seconds by the first word of the phase.
        wall_s: All of it.
    """
    calls = sum(int(turn.timed_ns.sum() + turn.discarded_ns.sum()) for turn in measured.turns) / 1e9
    warm_up = sum(int(worker.warmup_ns.sum()) for worker in measured.workers) / 1e9
    spans: dict[tuple[int, int], list[int]] = {}  # from the first to the last turn of each trial and condition
    for turn in measured.turns:
        span = spans.setdefault((turn.trial, turn.batch_size), [turn.start_ns, turn.end_ns])
        span[0], span[1] = min(span[0], turn.start_ns), max(span[1], turn.end_ns)
    passing = sum(end - start for start, end in spans.values()) / 1e9 - calls
    measuring = phases.get("Measuring", 0.0)
    seconds = {
        "model calls": calls,
        "warm-up": warm_up,
        STARTING: measuring - calls - warm_up - passing,
        "passing the turn": passing,
        "reading the data, preparing, artifacts from the cache": sum(
            phases.get(word, 0.0) for word in ("Reading", "Preparing", "Building")
        ),
        "analysis": phases.get("Deciding", 0.0),
        "publishing to MLflow": phases.get("Publishing", 0.0),
    }
    seconds["everything else"] = wall_s - sum(seconds.values())
    return {name: value / wall_s for name, value in seconds.items()}


# ---------------------------------------------------------------------------------------------------------------------


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10, help="fresh pairs of processes against the bare loop")
    parser.add_argument("--rounds", type=int, default=20, help="turns of each in a trial")
    parser.add_argument("--batch-size", type=int, default=4, help="of the model, so that a call takes 1 ms or more")
    parser.add_argument("--warmup-seconds", type=float, default=0.5)
    parser.add_argument("--no-study", action="store_true", help="leave out the study whose wall time is divided up")
    parser.add_argument("--optimum-benchmark", metavar="PYTHON", help="an interpreter that has optimum-benchmark")
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as workload=wine")
    chosen = parser.parse_args(given)
    report = machine()
    costs = per_call_ns()
    cost = statistics.median(costs)
    rows = [
        (f"harness cost per timed call of an empty model, median of {len(costs)}", f"{cost:.0f} ns"),
        (f"the same, at most {WANTED_NS:g} ns?", "yes" if cost <= WANTED_NS else "no"),
    ]
    workload, (arm, *_) = arms([*chosen.overrides, "variants=[]"])
    protocol = ProtocolConfig(trials=chosen.trials, rounds=chosen.rounds, warmup_seconds=chosen.warmup_seconds)
    measured = against_bare_loop(arm, workload.data.test.inputs, chosen.batch_size, protocol)
    rows += bare_rows(measured)
    rows += peer_rows(chosen.optimum_benchmark, chosen.batch_size, protocol)
    if not chosen.no_study:
        rows += study_rows(chosen.overrides)
    report += f"Model: {workload.info.name}, batch size {chosen.batch_size}, PyTorch, one thread.\n\n"
    finish("overhead", report + table(("question", "answer"), rows), write=chosen.write)


if __name__ == "__main__":
    main()
