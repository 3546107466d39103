"""How much memory does the coordinator take for 100,000 samples of each of 50 arms?

The model is trained, exported and, for every arm, logged, as in any study. Workers only pretend, and answer at once.
From there on it is the code of a real study again: what they say is collected, kept trial by trial, judged and
concluded, drawn as a report, and delivered to an SQLite store; then it is read back, from the journal as ``mlbench
sync`` does and from MLflow as ``mlbench report`` does. Prints as JSON what it took, in MiB: before, and at the peak
after each stage.

Run it from the checkout: ``python benchmarks/many_samples.py [--arms N] [--trials N] [--rounds N] [--calls N]``.
Exit code 1 says that it took 500 MiB or more, or that something did not come back.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import plotly.graph_objects  # noqa: F401 - what is imported later would count as memory for samples
import pyarrow.parquet  # noqa: F401

from mlbench.compose import compose
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.delivery import conclusion_of, deliver
from mlbench.journal import Journal, Planned
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.memory import memory_mib
from mlbench.measurement.plan import make_plan
from mlbench.quality.judging import decided, ready_task
from mlbench.recipes import recipes
from mlbench.records import DataInfo, Measurement, Plan, Role, WorkloadInfo
from mlbench.resuming import journaled_arm, open_runs
from mlbench.study import _conclude, _judge
from mlbench.tracking import connect, load_measurement, load_study
from mlbench.workshop import Workshop

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "measurement"))
from fakes import FakeClock, FakeHandle

MOST_MIB = 500
INPUTS, LABELS, CLASSES = {"x": np.zeros((4, 2), np.float32)}, np.array([0, 1, 2, 0]), ("a", "b", "c")
OF_A_TURN = ("voluntary_switches", "involuntary_switches", "major_faults", "machine_busy_s", "cpu_mhz")


class Pretended(FakeHandle):
    """A worker whose calls differ, and that has as many figures to each turn as a real one."""

    draw = np.random.default_rng(0)

    def answer(self, timeout: float, call_s: float = math.inf) -> tuple[dict[str, Any], dict[str, Any]]:
        header, arrays = super().answer(timeout, call_s)
        if "timed_ns" in arrays:
            calls = len(arrays["timed_ns"])
            arrays["timed_ns"] = self.draw.normal(self.call_ns, self.call_ns / 50, calls).astype(np.int64)
            header["hardware"] |= {name: self.draw.random() for name in OF_A_TURN}
        return header, arrays


def samples(measured: Measurement) -> int:
    return sum(len(turn.timed_ns) for turn in measured.turns)


def main(folder: Path, arms: int, protocol: ProtocolConfig) -> dict[str, float]:
    os.chdir(folder)  # where MLflow keeps the artifacts of a local store
    names = ["baseline", *(f"arm-{number}" for number in range(1, arms))]
    given = ["variants=[]", "baseline.steps=[{name: export_onnx}]", f"tracking.uri=sqlite:///{folder}/mlflow.db"]
    composition = compose([*given, "name=many", "registry.promote=false"])
    config = replace(composition.config, protocol=protocol)
    with Workshop(config, lambda _: None) as workshop:
        workshop.read()
        workshop.prepare()
        built = workshop.build(recipes(config)[0], "baseline")
    roles: list[Role] = ["baseline", *("variant" for _ in names[1:])]
    measured = [replace(built, name=name, role=role) for name, role in zip(names, roles, strict=True)]
    data = DataInfo("made up", "0" * 64, {"test": 4}, CLASSES, {}, measured[0].artifact.inputs)
    workload: Any = SimpleNamespace(info=WorkloadInfo("many", "classification", data, {}, "0" * 64))
    plan = make_plan(names, "baseline", ScenarioConfig(batch_sizes=(1,)), protocol, seed=0)
    tracker, task, clock = connect(config.tracking), ready_task("classification", measured[0], {}, LABELS), FakeClock()

    found = {"before": memory_mib("VmRSS")}
    runs, heading = open_runs(composition, tracker, None)
    with Journal.begin(folder / "cache", heading) as journal:
        for arm in measured:
            runs.announce_arm(arm.name, arm.role)
        journal.plan(Planned(plan, protocol, tuple(map(journaled_arm, measured))))
        whole = Coordinator(
            plan, measured, INPUTS, LABELS, launch=lambda arm: Pretended(arm, [], clock), trial_over=journal.trial
        ).run()
        whole = decided(whole, task)
        parts = len(list(journal.path.glob("trial-*/*/samples.parquet")))
        judged = _judge(config, workload, measured, whole, task)
        study = _conclude(composition, heading, workload, measured, [], whole, judged, [], wall_seconds=1.0)
        conclusion = conclusion_of(study, config, INPUTS)
        journal.conclude(conclusion, whole)
        found |= {"samples": samples(whole), "turns": len(whole.turns), "parts": parts}
        found["peak_concluded"] = memory_mib("VmHWM")
        deliver(tracker, runs.run_id, conclusion, whole, {arm.name: arm for arm in measured})
        found["peak_delivered"] = memory_mib("VmHWM")
        found["whole_arms"] = sum(arm.metrics["latency/p50_ms"].n == protocol.trials for arm in study.arms)
        del whole, judged, study, conclusion
        found["kept"] = kept(journal, plan)
    found["stored"] = samples(load_measurement(tracker, load_study(tracker, runs.run_id)))
    return {**found, "peak": memory_mib("VmHWM")}


def kept(journal: Journal, plan: Plan) -> int:
    """Samples that the journal gives back, with what was concluded."""
    return samples(journal.measurement(plan)) if journal.conclusion() is not None else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"arms": 50, "trials": 10, "rounds": 40, "calls": 250}.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help="default: %(default)s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlbench-many-") as place:
        protocol = ProtocolConfig(trials=chosen.trials, rounds=chosen.rounds, calls=chosen.calls)
        took = main(Path(place), chosen.arms, protocol)
        os.chdir("/")
    print(json.dumps(took))
    sys.exit(0 if took["peak"] < MOST_MIB and took["samples"] == took["kept"] == took["stored"] else 1)
