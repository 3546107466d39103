"""How much memory does the coordinator take for 100,000 samples of each of 50 arms?

Workers that only pretend answer at once; what they say is collected, kept trial by trial, analysed, and written as
Parquet by the code of a real study. Prints what it took as JSON, in MiB: before, and at the peak.

Run it from the checkout: ``python benchmarks/many_samples.py [--arms N] [--trials N] [--rounds N] [--calls N]``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet  # noqa: F401 - what is imported later would count as memory for samples

from mlbench.analysis import analyse
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.journal import Begun, Journal
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.memory import memory_mib
from mlbench.measurement.plan import make_plan
from mlbench.records import Noise
from mlbench.tracking import files

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "measurement"))
from fakes import FakeClock, FakeHandle, make_arm


def main(folder: Path, arms: int, protocol: ProtocolConfig) -> dict[str, float]:
    names = ["baseline", *(f"arm-{number}" for number in range(1, arms))]
    measured = [make_arm(name, "variant" if number else "baseline") for number, name in enumerate(names)]
    plan = make_plan(names, "baseline", ScenarioConfig(batch_sizes=(1,)), protocol, seed=0)
    inputs, labels, clock = {"x": np.zeros((4, 2), np.float32)}, np.array([0, 1, 2, 0]), FakeClock()
    before = memory_mib("VmRSS")
    with Journal.begin(folder, Begun("0" * 32, "many", "2026", "0", "uri", "mlbench", {})) as journal:
        whole = Coordinator(
            plan, measured, inputs, labels, launch=lambda arm: FakeHandle(arm, [], clock), trial_over=journal.trial
        ).run()
        parts = len(list(journal.path.glob("trial-*/*/samples.parquet")))
    results = analyse(whole, measured, {}, protocol, Noise("quiet"))
    for name in names:
        (folder / name).mkdir()
        files.write_arm(folder / name, name, whole)
    return {
        "before": before,
        "peak": memory_mib("VmHWM"),
        "samples": sum(len(turn.timed_ns) for turn in whole.turns),
        "turns": len(whole.turns),
        "parts": parts,
        "whole_arms": sum(result.metrics["latency/p50_ms"].n == protocol.trials for result in results),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in {"arms": 50, "trials": 2, "rounds": 10, "calls": 5000}.items():
        parser.add_argument(f"--{name}", type=int, default=default, metavar="N", help="default: %(default)s")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mlbench-many-") as place:
        protocol = ProtocolConfig(trials=chosen.trials, rounds=chosen.rounds, calls=chosen.calls)
        print(json.dumps(main(Path(place), chosen.arms, protocol)))
