"""Do the turns of mlbench's plan give the same ratio as long undisturbed runs? An experiment, not an argument.

PyTorch against ONNX Runtime, the same network, at one and at two threads. Every trial has fresh processes, both loaded,
and measures the pair three times with them, in random order. They are the same processes, since two of the same arm
differ by more (at two threads by a tenth and more) than what is asked about here:

- long runs: one arm, many calls without interruption, while the other one sleeps; then the other;
- the plan: turns of a few discarded and some timed calls in balanced random order, as a study does it;
- strict alternation: one call of one arm, one call of the other, nothing discarded. It is known to mislead.

Run it on a quiet machine from the checkout: ``python benchmarks/long_runs.py``. It prints a Markdown report, and
``--write`` keeps it in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from shared import arms, finish, log_ratios, machine, machine_alone, ratio, table, turn_p50, within

from mlbench import statistics
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.alone import disturbance
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import usable_cpus
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import WorkerHandle, WorkerProcess
from mlbench.measurement.settling import Settled
from mlbench.records import Arm, Turn, Verdict

LONG, PLAN, ALTERNATION = "long undisturbed runs", "turns of the plan", "strict 1:1 alternation"
MARGIN = 0.03  # what the default protocol calls equivalent

Inputs = Mapping[str, npt.NDArray[Any]]
FloatArray = npt.NDArray[np.float64]


class Lent:
    """A worker that stays for the other ways of measuring: it imports and loads once, and is ended by its owner."""

    def __init__(self, worker: WorkerHandle) -> None:
        self.worker = worker
        self.pid = worker.pid
        self._asked = ""
        self._answers: dict[str, Any] = {}

    def post(self, command: str, **message: Any) -> None:
        """Pass a command on, unless it was carried out for another way already."""
        self._asked = command
        if command not in self._answers:
            self.worker.post(command, **message)

    def answer(self, timeout: float, call_s: float = math.inf) -> Any:
        """The worker's answer, or that of then."""
        if self._asked in self._answers:
            return self._answers[self._asked]
        answer = self.worker.answer(timeout, call_s)
        if self._asked in ("import", "load"):
            self._answers[self._asked] = answer
        return answer

    def settle(self) -> Settled:
        """As the worker does."""
        return self.worker.settle()

    def stop(self) -> None:
        """Not yet."""


class Experiment:
    """One pair of arms at one number of threads.

    Args:
        pair: PyTorch and ONNX Runtime.
        inputs: Items by input name.
        batch_size: Items per call.
        protocol: Rounds, calls and discarded calls of the plan; the other ways make as many timed calls.
        seed: Of the orders.
    """

    def __init__(self, pair: Sequence[Arm], inputs: Inputs, batch_size: int, protocol: ProtocolConfig, seed: int = 0):
        self._pair = list(pair)
        self._inputs = inputs
        self._scenario = ScenarioConfig(batch_sizes=(batch_size,))
        self._protocol = replace(protocol, trials=1)
        self._random = np.random.default_rng(seed)
        self._cpus = usable_cpus()
        self._trial = 0
        self._lent: dict[str, Lent] = {}

    def run(self, trials: int) -> dict[str, FloatArray]:
        """Log ratios of the second arm to the first by way of measuring, one per trial, shape (trials,)."""
        ways = {LONG: self._long, PLAN: self._turns, ALTERNATION: self._alternation}
        found: dict[str, list[float]] = {way: [] for way in ways}
        for self._trial in range(trials):
            try:
                for number in self._random.permutation(len(ways)):
                    way = list(ways)[number]
                    found[way].append(ways[way]())
            finally:
                self._end()
        return {way: np.array(values) for way, values in found.items()}

    def _turns(self) -> float:
        return self._ratio(self._measure(self._pair, self._protocol))

    def _alternation(self) -> float:
        calls = self._protocol.rounds * self._protocol.calls
        calls += calls % 2  # rounds come in pairs
        return self._ratio(self._measure(self._pair, replace(self._protocol, rounds=calls, calls=1, discard=0)))

    def _long(self) -> float:
        calls = self._protocol.rounds * self._protocol.calls // 2
        # two turns without another arm between them: the least that a plan has
        protocol = replace(self._protocol, rounds=2, calls=calls)
        typical: dict[str, float] = {}
        for number in self._random.permutation(2):
            arm = self._pair[number]
            turns = self._measure([arm], protocol)
            typical[arm.name] = float(np.median([turn_p50(turn) for turn in turns]))
        first, second = (typical[arm.name] for arm in self._pair)
        return float(np.log(second / first))

    def _ratio(self, turns: Sequence[Turn]) -> float:
        first, second = (arm.name for arm in self._pair)
        return float(log_ratios(turns, first, second)[0])

    def _launch(self, arm: Arm) -> WorkerHandle:
        if arm.name not in self._lent:
            self._lent[arm.name] = Lent(WorkerProcess(arm))
        return self._lent[arm.name]

    def _end(self) -> None:
        for lent in self._lent.values():
            lent.worker.stop()
        self._lent.clear()

    def _measure(self, chosen: Sequence[Arm], protocol: ProtocolConfig) -> Sequence[Turn]:
        """The processes of this trial, on its processors."""
        names = [arm.name for arm in chosen]
        cpus = np.roll(self._cpus, -self._trial * chosen[0].settings.threads).tolist()
        seed = int(self._random.integers(2**32))
        plan = make_plan(names, names[0], self._scenario, protocol, seed, cpus)
        labels = np.zeros(len(next(iter(self._inputs.values()))), dtype=np.int64)
        with machine_alone():
            measured = Coordinator(plan, chosen, self._inputs, labels, launch=self._launch).run()
        said = disturbance(measured.turns)
        if said or measured.lost or not measured.complete:
            raise SystemExit(f"the experiment was not completed: {said or measured.lost or 'interrupted'}")
        return measured.turns


def section(threads: int, found: Mapping[str, FloatArray], pair: Sequence[Arm]) -> str:
    """What came out at one number of threads."""
    verdicts = {way: statistics.compare(values, metric=way, margin=MARGIN) for way, values in found.items()}
    off = {
        way: statistics.compare(values - found[LONG], metric=way, margin=MARGIN)
        for way, values in found.items()
        if way != LONG
    }
    rows = [
        (way, ratio(verdict.ratio), *((ratio(off[way].ratio), within(off[way])) if way in off else ("1", "-")))
        for way, verdict in verdicts.items()
    ]
    head = (
        "measured by",
        f"{pair[1].name} over {pair[0].name}, p50",
        f"over that of {LONG}",
        "the same as those?",
    )
    return f"{threads} thread{'s' if threads > 1 else ''}:\n\n{table(head, rows)}\n{conclusion(off[PLAN], threads)}\n\n"


def conclusion(verdict: Verdict, threads: int) -> str:
    """The plan against long runs, in one sentence."""
    estimate = verdict.ratio
    where = f"At {threads} thread{'s' if threads > 1 else ''}, turns of the plan"
    if estimate is None or estimate.low is None or estimate.high is None:
        return f"{where} were measured in one trial only: nothing can be concluded."
    spread = f"by {100 * (estimate.low - 1):+.1f} to {100 * (estimate.high - 1):+.1f} %"
    if verdict.call == "equivalent":
        return f"{where} are consistent with long runs: the ratios differ {spread}, within ±{100 * MARGIN:g} %."
    if verdict.call == "inconclusive":
        return f"{where} were neither shown to be the same as long runs nor to differ: the ratios differ {spread}."
    return f"{where} are NOT consistent with long runs: the ratios differ {spread}."


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--discard", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--warmup-seconds", type=float, default=0.5)
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as workload=wine")
    chosen = parser.parse_args(given)
    report = machine()
    workload, pair = arms([*chosen.overrides, "variants=[onnx_fp32]"])
    protocol = ProtocolConfig(
        rounds=chosen.rounds,
        calls=chosen.calls,
        discard=chosen.discard,
        warmup_seconds=chosen.warmup_seconds,
        min_value_ms=0.0,  # single calls in all three ways, so that an alternation is one
    )
    report += f"Model: {workload.info.name}, batch size {chosen.batch_size}; {chosen.trials} trials, each with "
    report += f"{chosen.rounds * chosen.calls} timed calls of each arm in each way. Ratios with 95 % intervals.\n\n"
    for threads in chosen.threads:
        both = [replace(arm, settings=replace(arm.settings, threads=threads)) for arm in pair]
        found = Experiment(both, workload.data.test.inputs, chosen.batch_size, protocol).run(chosen.trials)
        report += section(threads, found, both)
    finish("long_runs", report, write=chosen.write)


if __name__ == "__main__":
    main()
