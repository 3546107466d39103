"""Hardware figures of one arm: memory, processor, GPU and energy, from its turns and what its workers said.

What could not be read in every trial is absent with a reason; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from mlbench import statistics
from mlbench.records import Arm, Artifact, Estimate, Turn, WorkerReport

PEAK_MEMORY = "memory/peak_rss_mib"
_MIB = 1 << 20
_NOT_IN_EVERY_TRIAL = "it was not read in every trial"

Trials = Sequence[Sequence[Turn]]
"""The turns of each trial at one condition."""


@dataclass(slots=True)
class Found:
    """Metrics, and the reason for each that could not be had."""

    metrics: dict[str, Estimate] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, unit: str, per_trial: Sequence[float | None], reason: str = _NOT_IN_EVERY_TRIAL) -> None:
        """One figure of every trial, or None where it is not known."""
        known = [value for value in per_trial if value is not None]
        if known and len(known) == len(per_trial):
            self.metrics[name] = statistics.trial_estimate(np.array(known), unit)
        else:
            self.absent[name] = reason


def hardware(
    arm: Arm, headline: Trials, largest: Trials, workers: Sequence[WorkerReport], reasons: Mapping[str, str]
) -> tuple[dict[str, Estimate], dict[str, str]]:
    """Everything about the hardware under one arm.

    Args:
        arm: The arm.
        headline: Its turns at the headline batch size, by trial.
        largest: Its turns at the largest batch size, by trial.
        workers: What its worker of each trial said.
        reasons: Why metrics cannot be had on this machine, from the probes.

    Returns:
        Metrics by public name, and reasons for those that are absent.
    """
    found = Found()
    _memory(found, arm, headline, workers)
    _model(found, arm.artifact)
    _cpu(found, headline)
    _gpu(found, largest)
    _energy(found, headline)
    absent = {name: reasons.get(name, reason) for name, reason in found.absent.items()}
    absent |= {name: reason for name, reason in reasons.items() if name not in found.metrics}
    return found.metrics, absent


# ---------------------------------------------------------------------------------------------------------------------
# one figure per trial


def _median(trials: Trials, figure: Callable[[Turn], float | None]) -> list[float | None]:
    """The median over a trial's turns; None where a turn lacks the figure."""
    return _reduced(trials, figure, lambda values: float(np.median(values)))


def _reduced(
    trials: Trials, figure: Callable[[Turn], float | None], reduce: Callable[[list[float]], float]
) -> list[float | None]:
    found: list[float | None] = []
    for turns in trials:
        values = [figure(turn) for turn in turns]
        known = [value for value in values if value is not None]
        found.append(reduce(known) if known and len(known) == len(values) else None)
    return found


def _read(name: str) -> Callable[[Turn], float | None]:
    return lambda turn: turn.hardware.get(name)


def _per_second(trials: Trials, name: str) -> list[float | None]:
    """A counter's increase over all turns of a trial, per second of them."""
    sums = _reduced(trials, _read(name), sum)
    seconds = [sum(turn.end_ns - turn.start_ns for turn in turns) / 1e9 for turns in trials]
    return [None if total is None else total / max(second, 1e-9) for total, second in zip(sums, seconds, strict=True)]


# ---------------------------------------------------------------------------------------------------------------------
# the parts


def _memory(found: Found, arm: Arm, headline: Trials, workers: Sequence[WorkerReport]) -> None:
    found.add(PEAK_MEMORY, "MiB", [max(worker.peak_mib.values()) for worker in workers])
    found.add("memory/load_peak_mib", "MiB", [worker.load_peak_mib for worker in workers])
    found.add("memory/load_rss_mib", "MiB", [worker.load_rss_mib for worker in workers])
    unshared = "the kernel does not tell which pages are unshared (/proc/self/smaps_rollup)"
    found.add("memory/load_uss_mib", "MiB", [worker.load_uss_mib for worker in workers], unshared)
    found.add("memory/rss_mib", "MiB", _median(headline, _read("rss_mib")))
    found.add("memory/import_rss_mib", "MiB", [worker.import_rss_mib for worker in workers])
    found.metrics["memory/disk_mib"] = Estimate(
        arm.artifact.size_bytes / _MIB, n=1, unit="MiB", method="bytes of the files"
    )


def _model(found: Found, artifact: Artifact) -> None:
    """Exact facts of the files."""
    reason = artifact.uncounted or "the weights were not counted"
    if artifact.parameters is None or artifact.nonzero is None:
        found.absent |= dict.fromkeys(("model/parameters", "model/nonzero_pct"), reason)
        return
    share = 100.0 * artifact.nonzero / artifact.parameters
    found.metrics["model/parameters"] = Estimate(artifact.parameters, n=1, method="counted in the files")
    found.metrics["model/nonzero_pct"] = Estimate(share, n=1, unit="%", method="counted in the files")


def _cpu(found: Found, headline: Trials) -> None:
    found.add("cpu/utilization_pct", "%", _median(headline, lambda turn: 100.0 * turn.cpu_ns / max(turn.wall_ns, 1)))
    found.add("cpu/time_per_call_ms", "ms", _median(headline, lambda turn: turn.cpu_ns / len(turn.timed_ns) / 1e6))
    found.add("cpu/frequency_mhz", "MHz", _median(headline, _read("cpu_mhz")))
    for kind in ("voluntary", "involuntary"):
        found.add(f"cpu/{kind}_switches_per_s", "1/s", _per_second(headline, f"{kind}_switches"))
    throttled = _per_second(headline, "cgroup_throttled_s")
    found.add("cpu/throttled_pct", "%", [None if share is None else 100.0 * share for share in throttled])
    found.add("cpu/thermal_throttles", "", _reduced(headline, _read("thermal_throttles"), sum))


_GPU = {
    "gpu/utilization_pct": ("gpu_utilization_pct", "%"),
    "gpu/power_w": ("gpu_power_w", "W"),
    "memory/gpu_peak_mib": ("gpu_memory_mib", "MiB"),
}


def _gpu(found: Found, largest: Trials) -> None:
    """Figures of the GPU at the ends of turns."""
    for metric, (figure, unit) in _GPU.items():
        reduce = max if metric == "memory/gpu_peak_mib" else lambda values: float(np.mean(values))
        found.add(metric, unit, _reduced(largest, _read(figure), reduce))


def _energy(found: Found, headline: Trials) -> None:
    """Joules per item at the headline batch size, idle power subtracted; discarded calls took energy too."""
    joules = _reduced(headline, _read("energy_j"), sum)
    items = [
        sum((len(turn.timed_ns) + len(turn.discarded_ns)) * turn.batch_size for turn in turns) for turns in headline
    ]
    found.add(
        "energy/joules_per_sample",
        "J",
        [None if total is None else total / count for total, count in zip(joules, items, strict=True)],
    )
