"""Does an OpenVINO arm take the time that benchmark_app, OpenVINO's own tool, gives the same model?

One file with static shapes, the same settings (precision f32, one stream, one thread, synchronous calls, no hint) and
the same first batch. Every trial measures it both ways, each in a fresh process on the same processor, in random order:
by turns of mlbench's plan, and by ``benchmark_app``. What ``benchmark_app`` does when it is not told otherwise stands
below: throughput mode, several streams and, on CPUs that have it, bfloat16. Those figures answer another question.

Run it on a quiet machine from the checkout, with the extra openvino: ``python benchmarks/openvino_agreement.py``. It
prints a Markdown report, and ``--write`` keeps it in benchmarks/README.md.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from shared import MIN_CALL_MS, arms, finish, machine, machine_alone, ratio, table, turn_p50, within

from mlbench import statistics
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.alone import disturbance
from mlbench.measurement.coordinator import Coordinator
from mlbench.measurement.cpus import trial_cpus, usable_cpus
from mlbench.measurement.plan import make_plan
from mlbench.measurement.process import worker_environment
from mlbench.records import Arm

APP = "from openvino.tools.benchmark.main import main; main()"
MARGIN = 0.05
FILE = "model.xml"
SETTINGS = {"precision": "f32", "hint": "none", "streams": 1}
DEFAULTS = ("PERFORMANCE_HINT", "NUM_STREAMS", "INFERENCE_NUM_THREADS", "INFERENCE_PRECISION_HINT")

Inputs = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Said:
    """What benchmark_app said.

    Attributes:
        median_ms: Of single calls.
        per_s: Items a second.
        settings: OpenVINO's properties, as they were in force.
    """

    median_ms: float
    per_s: float
    settings: dict[str, str]


def static(arm: Arm, inputs: Inputs, folder: Path) -> Arm:
    """The arm's model for this batch alone, as a file of its own; both sides load that one."""
    import openvino as ov

    model = ov.Core().read_model(Path(arm.artifact.path) / arm.artifact.entry)
    model.reshape({name: ov.PartialShape(list(array.shape)) for name, array in inputs.items()})
    folder.mkdir()
    ov.save_model(model, folder / FILE, compress_to_fp16=False)
    settings = replace(arm.settings, threads=1, options=dict(SETTINGS))
    return replace(arm, artifact=replace(arm.artifact, path=str(folder), entry=FILE), settings=settings)


def by_mlbench(arm: Arm, inputs: Inputs, protocol: ProtocolConfig, cpus: Sequence[int]) -> float:
    """Typical milliseconds of one call, by turns of a plan with one arm and one trial."""
    batch = len(next(iter(inputs.values())))
    plan = make_plan([arm.name], arm.name, ScenarioConfig(batch_sizes=(batch,)), replace(protocol, trials=1), 0, cpus)
    measured = Coordinator(plan, [arm], inputs, np.zeros(batch, dtype=np.int64)).run()
    said = disturbance(measured.turns)
    if said or measured.lost or not measured.complete:
        raise SystemExit(f"the comparison was not completed: {said or measured.lost or 'interrupted'}")
    return float(np.median([turn_p50(turn) for turn in measured.turns])) / 1e6


def by_app(arm: Arm, inputs: Inputs, calls: int, cpus: Sequence[int], folder: Path) -> Said:
    """The same by benchmark_app, with the same settings."""
    given = []
    for name, array in inputs.items():
        path = folder / f"{name}.npy"
        np.save(path, array)
        given.append(f"{name}:{path}")
    settings = ["-api", "sync", "-hint", "none", "-nstreams", "1", "-nthreads", "1", "-pin", "NO"]
    settings += ["-infer_precision", "f32", "-niter", str(calls), "-i", ",".join(given)]
    return app(arm, settings, folder, cpus)


def app(arm: Arm, options: Sequence[str], folder: Path, cpus: Sequence[int]) -> Said:
    """One run of benchmark_app in a fresh process on these processors."""
    model = Path(arm.artifact.path) / arm.artifact.entry
    report, config = folder / "benchmark_report.json", folder / "config.json"
    for path in (report, config):
        path.unlink(missing_ok=True)
    command = [sys.executable, "-c", APP, "-m", str(model), "-d", "CPU", *options]
    command += [
        "-report_type",
        "no_counters",
        "-report_folder",
        str(folder),
        "-json_stats",
        "-dump_config",
        str(config),
    ]
    ended = subprocess.run(
        command,
        env=worker_environment(len(cpus), os.environ),
        preexec_fn=lambda: os.sched_setaffinity(0, cpus),
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode or not report.is_file():
        said = [line for line in (ended.stdout + ended.stderr).splitlines() if line.strip()]
        raise SystemExit(f"benchmark_app ended with exit code {ended.returncode}: {said[-1] if said else 'no word'}")
    found = json.loads(report.read_text())["execution_results"]
    return Said(float(found["latency (ms)"]), float(found["throughput"]), in_force(ended.stdout))


def in_force(log: str) -> dict[str, str]:
    """OpenVINO's properties as benchmark_app lists them after loading: ``[ INFO ]   NUM_STREAMS: 1``."""
    found = {}
    for line in log.splitlines():
        name, separator, value = line.removeprefix("[ INFO ]").strip().partition(": ")
        if separator and name in DEFAULTS:
            found[name] = value.strip()
    return found


def agreement(arm: Arm, inputs: Inputs, protocol: ProtocolConfig, folder: Path) -> tuple[str, ...]:
    """One row of the report: both medians and their ratio, one value a trial."""
    random, usable = np.random.default_rng(0), usable_cpus()
    calls = protocol.rounds * protocol.calls
    ours, theirs = [], []
    for trial in range(protocol.trials):
        cpus = trial_cpus(usable, trial, 1)
        ways = (
            lambda cpus=cpus: ours.append(by_mlbench(arm, inputs, protocol, cpus)),
            lambda cpus=cpus: theirs.append(by_app(arm, inputs, calls, cpus, folder).median_ms),
        )
        with machine_alone():
            for number in random.permutation(len(ways)):
                ways[number]()
    typical = float(np.median(theirs))
    medians = (arm.name, f"{np.median(ours):.3f} ms", f"{typical:.2f} ms")
    if typical < MIN_CALL_MS:  # benchmark_app gives hundredths of a millisecond, and 0 for less
        return (*medians, "-", f"not asked: a call takes less than {MIN_CALL_MS:g} ms, choose a larger --batch-size")
    verdict = statistics.compare(np.log(np.array(ours) / np.array(theirs)), metric="p50", margin=MARGIN)
    return (*medians, ratio(verdict.ratio), within(verdict))


def defaults(arm: Arm, calls: int, folder: Path) -> str:
    """What benchmark_app makes of the file when it is told nothing, in one sentence."""
    with machine_alone():
        said = app(arm, ["-niter", str(calls)], folder, usable_cpus())
    settings = ", ".join(f"{name} {said.settings.get(name, 'not told')}" for name in DEFAULTS)
    return (
        f"Told nothing but the file of {arm.name}, benchmark_app takes {settings}, and finds a median of "
        f"{said.median_ms:.2f} ms at {said.per_s:.0f} items/s.\n"
    )


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--calls", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=64, help="so that a call takes 1 ms or more")
    parser.add_argument("--warmup-seconds", type=float, default=0.5)
    parser.add_argument("--variants", nargs="+", default=["openvino_fp32", "openvino_int8"])
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    parser.add_argument("overrides", nargs="*", help="of the configuration, such as workload=wine")
    chosen = parser.parse_args(given)
    report = machine()
    workload, (_, *variants) = arms([*chosen.overrides, f"variants=[{','.join(chosen.variants)}]"])
    inputs = {
        name: np.ascontiguousarray(array[: chosen.batch_size]) for name, array in workload.data.test.inputs.items()
    }
    protocol = ProtocolConfig(
        trials=chosen.trials, rounds=chosen.rounds, calls=chosen.calls, warmup_seconds=chosen.warmup_seconds
    )
    shapes = "; ".join(f"{name} {list(array.shape)}" for name, array in inputs.items())
    report += (
        f"Model: {workload.info.name}, static shapes {shapes}, one stream, one thread, f32, synchronous calls; "
        f"{chosen.trials} trials, each with {chosen.rounds * chosen.calls} calls either way. Ratios with 95 % "
        "intervals.\n\n"
    )
    with tempfile.TemporaryDirectory(prefix="mlbench-agreement-") as name:
        folder = Path(name)
        both = [static(arm, inputs, folder / arm.name) for arm in variants]
        rows = [agreement(arm, inputs, protocol, folder) for arm in both]
        head = ("arm", "mlbench, p50", "benchmark_app, median", "ratio", f"the same, within {100 * MARGIN:g} %?")
        report += f"{table(head, rows)}\n{defaults(both[0], math.prod((chosen.rounds, chosen.calls)), folder)}"
    finish("openvino_agreement", report, write=chosen.write)


if __name__ == "__main__":
    main()
