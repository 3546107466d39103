"""100,000 samples of each of 50 arms: measured, kept trial by trial, analysed and written within bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
import numpy as np
from fakes import FakeClock, FakeHandle, make_arm
from mlbench.analysis import analyse
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.journal import Begun, Journal
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.memory import memory_mib
from mlbench.measurement.plan import make_plan
from mlbench.records import Noise
from mlbench.tracking import files

folder, arms, trials, rounds, calls = Path(sys.argv[1]), *map(int, sys.argv[3:])
protocol = ProtocolConfig(trials=trials, rounds=rounds, calls=calls)
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
samples = sum(len(turn.timed_ns) for turn in whole.turns)
print(json.dumps({
    "before": before, "peak": memory_mib("VmHWM"), "samples": samples, "turns": len(whole.turns), "parts": parts,
    "whole": all(result.metrics["latency/p50_ms"].n == trials for result in results),
}))
"""


def measure(folder: Path, arms: int, trials: int, rounds: int, calls: int) -> dict[str, float]:
    numbers = map(str, (arms, trials, rounds, calls))
    fakes = str(ROOT / "tests" / "measurement")
    command = [sys.executable, "-c", PROGRAM, str(folder), fakes, *numbers]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.e2e
def test_the_coordinator_stays_small_beside_five_million_samples(tmp_path: Path) -> None:
    found = measure(tmp_path, arms=50, trials=2, rounds=10, calls=5000)
    assert found["samples"] == 50 * 100_000
    assert found["parts"] == 50 * 2  # they leave trial by trial
    assert found["whole"]
    assert found["peak"] < 500


@pytest.mark.e2e
def test_a_turn_costs_little_besides_its_calls(tmp_path: Path) -> None:
    """As many turns as samples divide into is what grows when calls are long: about 2 KiB for each."""
    found = measure(tmp_path, arms=5, trials=2, rounds=400, calls=1)
    assert found["turns"] == 5 * 2 * 400
    assert (found["peak"] - found["before"]) * 1024 / found["turns"] < 20  # KiB, tables and analysis included
