"""One model through a bare loop, mlbench and optimum-benchmark, side by side, for overhead.py.

optimum-benchmark needs packages that cannot be installed beside the versions pinned in constraints.txt (``datasets``
wants another ``fsspec``), so it runs in an interpreter of its own. Found to work: optimum-benchmark 0.6.0 with
``transformers<4.58``, ``huggingface-hub<1.0`` and ``datasets>=4`` in an environment of its own.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from peer_model import encoder
from peer_optimum import ANSWER
from shared import log_ratios, ratio, turn_cpu

from mlbench import statistics
from mlbench.measurement.process import worker_environment
from mlbench.records import Arm, Artifact, Measurement, Recipe, RuntimeSettings, TensorSpec
from mlbench.runtimes.torch_module import WEIGHTS, save_module

ARGS = {"hidden": 128, "layers": 4, "heads": 4}
LENGTH = 64
TOKENS = ("input_ids", "attention_mask")

Inputs = dict[str, npt.NDArray[Any]]
Pair = Callable[[int], Measurement]
"""Measures one trial of bare loop and mlbench, with the number of the trial."""


class PeerError(Exception):
    """The other interpreter did not give a result; the message says why."""


def model(folder: Path) -> Arm:
    """The model as an arm, and as a directory that transformers reads: ``folder / "transformers"``, same weights."""
    module = encoder(**ARGS)
    module.save_pretrained(folder / "transformers")
    (folder / "module").mkdir()
    meta = save_module(module, folder / "module", "peer_model:encoder", ARGS)
    inputs = tuple(TensorSpec(name, "int64", (None, None)) for name in TOKENS)
    outputs = (TensorSpec("hidden", "float32", (None, None, ARGS["hidden"])),)
    artifact = Artifact("peer", "torch_module", str(folder / "module"), WEIGHTS, inputs, outputs, 0, meta=meta)
    return Arm("peer", "baseline", Recipe("peer"), artifact, RuntimeSettings())


def inputs(rows: int = 64) -> Inputs:
    """Tokens drawn at random; none is padding."""
    tokens = np.random.default_rng(0).integers(1, 1000, (rows, LENGTH))
    return dict(zip(TOKENS, (tokens, np.ones_like(tokens)), strict=True))


def optimum(python: str, folder: Path, batch_size: int, warmup_calls: int, calls: int) -> tuple[str, list[float]]:
    """The version of optimum-benchmark, and the seconds that it found for every call.

    Raises:
        PeerError: It is not there, or fails.
    """
    job = {
        "model": str(folder / "transformers"),
        "threads": 1,
        "batch_size": batch_size,
        "length": LENGTH,
        "warmup_calls": warmup_calls,
        "calls": calls,
    }
    environment = {**worker_environment(1, os.environ), "HF_HUB_OFFLINE": "1"}
    del environment["PYTHONPATH"]  # its own packages, not ours
    command = [str(Path(python).absolute()), str(Path(__file__).with_name("peer_optimum.py")), json.dumps(job)]
    try:
        ended = subprocess.run(command, env=environment, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PeerError(f"{python} cannot be run ({error.strerror})") from error
    # its processes log on standard output too, in any order
    answers = [line for line in ended.stdout.splitlines() if line.startswith(ANSWER)]
    if ended.returncode or len(answers) != 1:
        said = (ended.stderr.strip().splitlines() or ["nothing"])[-1]
        raise PeerError(f"it ended with exit code {ended.returncode} and {len(answers)} answers; it last said: {said}")
    found = json.loads(answers[0].removeprefix(ANSWER))
    return found["version"], found["seconds"]


def rows(pair: Pair, run: Callable[[], tuple[str, list[float]]], names: tuple[str, str], trials: int) -> list[Any]:
    """Both over the bare loop, one value per trial; in each, who comes first is drawn.

    Args:
        pair: Bare loop and mlbench.
        run: optimum-benchmark.
        names: Of the arms of bare loop and mlbench.
        trials: Fresh processes of all three.

    Raises:
        PeerError: optimum-benchmark did not give a result.
    """
    bare, harness = names
    random = np.random.default_rng(0)
    found: dict[str, list[float]] = {"mlbench": [], "cpu": [], "p50": [], "mean": []}
    version = ""
    for trial in range(trials):
        first = bool(random.integers(2))
        if first:
            version, seconds = run()
        turns = pair(trial).turns
        if not first:
            version, seconds = run()
        plain = np.concatenate([turn.timed_ns for turn in turns if turn.arm == bare]) / 1e9
        found["mlbench"].append(float(log_ratios(turns, bare, harness)[0]))
        found["cpu"].append(float(log_ratios(turns, bare, harness, turn_cpu)[0]))
        found["p50"].append(float(np.log(np.median(seconds) / np.median(plain))))
        found["mean"].append(float(np.log(np.mean(seconds) / np.mean(plain))))
    said: Mapping[str, str] = {name: _ratio(values) for name, values in found.items()}
    return [
        (f"p50 under mlbench over p50 of the bare loop, a BERT encoder, {trials} trials", said["mlbench"]),
        ("the same ratio by process CPU time instead of wall time", said["cpu"]),
        (f"p50 by optimum-benchmark {version} over the same", said["p50"]),
        (f"mean by optimum-benchmark {version} over the mean of the bare loop", said["mean"]),
    ]


def _ratio(logs: list[float]) -> str:
    return ratio(statistics.trial_estimate(np.exp(logs), "ratio"))
