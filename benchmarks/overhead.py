"""What mlbench itself costs: per timed call, against a bare loop, and as a share of a study's wall time.

Run it on a quiet machine from the checkout: ``python benchmarks/overhead.py [--trials N]``.
It prints a Markdown report; the latest one is kept in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

from mlbench.compose import compose
from mlbench.environment import environment
from mlbench.measurement.clock import MonotonicClock
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import WorkerProcess
from mlbench.measurement.worker import timed_calls
from mlbench.recipes import recipes
from mlbench.records import Arm, Measurement, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads.prepare import prepare


def per_call_ns(repeats: int = 51, calls: int = 2000) -> list[float]:
    """(a) Wall time of one timed call of an empty model, in nanoseconds: all of it is the harness."""
    clock = MonotonicClock()
    out = np.zeros(calls, dtype=np.int64)
    items = [None] * calls
    costs = []
    for _ in range(repeats):
        start = time.perf_counter_ns()
        timed_calls(lambda _item: None, items, out, clock.now_ns)
        costs.append((time.perf_counter_ns() - start) / calls)
    return costs


def against_bare_loop(arm: Arm, inputs: dict[str, np.ndarray], rounds: int, calls: int) -> list[float]:
    """(b) p50 of mlbench's turns over p50 of a bare loop in this process, interleaved, one ratio per round."""
    os.environ["OMP_NUM_THREADS"] = "1"
    session = open_session(arm.artifact, RuntimeSettings(threads=1))
    bare = session.prepare({name: array[:1] for name, array in inputs.items()})
    with tempfile.TemporaryDirectory() as directory:
        for index, array in enumerate(inputs.values()):
            np.save(Path(directory) / f"{index}.npy", array)
        worker = WorkerProcess(arm)
        message = {"artifact": asdict(arm.artifact), "settings": asdict(arm.settings)}
        worker.post("load", inputs=directory, batch_size=1, **message)
        worker.answer(300)
        worker.post("warm_up", batch_size=1, calls=200, seconds=1.0, min_value_ns=0)
        worker.answer(300)
        for _ in range(200):
            session.run(bare)

        def turn() -> float:
            worker.post("turn", batch_size=1, discard=2, calls=calls, group=1)
            return float(np.median(worker.answer(300)[1]["timed_ns"]))

        def loop() -> float:
            times = []
            for _ in range(calls + 2):
                start = time.perf_counter_ns()
                session.run(bare)
                times.append(time.perf_counter_ns() - start)
            return statistics.median(times[2:])

        ratios = []
        for number in range(rounds):
            first, second = (turn, loop) if number % 2 else (loop, turn)
            one, other = first(), second()
            ratios.append(one / other if number % 2 else other / one)
        worker.stop()
    return ratios


def shares(measured: Measurement, wall_s: float) -> dict[str, float]:
    """(d) Where the wall time of a measurement goes, as shares."""
    calls = sum(int(turn.timed_ns.sum() + turn.discarded_ns.sum()) for turn in measured.turns) / 1e9
    warm_up = sum(int(worker.warmup_ns.sum()) for worker in measured.workers) / 1e9
    first = min(turn.start_ns for turn in measured.turns)
    inside = 0.0  # from the first to the last turn of each trial and condition: passing the turn, and nothing else
    spans: dict[tuple[int, int], list[int]] = {}
    for turn in measured.turns:
        span = spans.setdefault((turn.trial, turn.batch_size), [turn.start_ns, turn.end_ns])
        span[1] = turn.end_ns
    for start, end in spans.values():
        inside += (end - start) / 1e9
    assert first > 0
    passing = inside - calls
    return {
        "model calls": calls / wall_s,
        "warm-up": warm_up / wall_s,
        "passing the turn": passing / wall_s,
        "starting, importing and loading workers": (wall_s - calls - warm_up - passing) / wall_s,
    }


def main(write: Callable[[str], object] = sys.stdout.write) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--trials", type=int, default=3)
    arguments = parser.parse_args()
    config = compose(["variants=[onnx_fp32]", f"protocol.trials={arguments.trials}"]).config
    store = Store(None)
    workload = prepare(config.workload, store, lambda _text: None)
    arms: list[Arm] = []
    for recipe in recipes(config):
        artifact = build(recipe, workload, store, lambda _text: None)
        arms.append(Arm(recipe.name, "variant" if arms else "baseline", recipe, artifact, recipe.runtime))
    costs = per_call_ns()
    ratios = against_bare_loop(arms[0], workload.data.test.inputs, arguments.rounds, 30)
    plan = make_plan([arm.name for arm in arms], arms[0].name, config.scenario, config.protocol, 0, usable_cpus())
    begun = time.monotonic()
    measured = Coordinator(plan, arms, workload.data.test.inputs, workload.data.test.labels).run()
    where = shares(measured, time.monotonic() - begun)
    low, middle, high = np.quantile(ratios, [0.25, 0.5, 0.75])
    facts = environment()
    write(f"Machine: {facts.get('cpu.model', 'unknown')}, {facts['cpu.usable']} CPUs, {facts['system']}, ")
    write(f"Python {facts['python']}, load {os.getloadavg()[0]:.1f}\n\n")
    write("| question | figure |\n|---|---|\n")
    write(f"| harness cost per timed call, empty model, median of {len(costs)} | {statistics.median(costs):.0f} ns |\n")
    write(f"| p50 of a turn over p50 of a bare loop, median of {len(ratios)} rounds | {middle:.4f} ")
    write(f"(quartiles {low:.4f} to {high:.4f}) |\n")
    for name, share in where.items():
        write(f"| share of a measurement's wall time: {name} | {100 * share:.1f} % |\n")


if __name__ == "__main__":
    main()
