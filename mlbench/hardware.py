"""Hardware figures of one arm: memory, processor, GPU and energy, from its turns and what its workers said.

What could not be read in every trial is absent with a reason; nothing is filled in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mlbench import statistics
from mlbench.probes.energy import NVML, RAPL
from mlbench.probes.nvml import SLOWDOWNS, throttle_words
from mlbench.records import Arm, Artifact, Estimate, Turn, WorkerReport

PEAK_MEMORY = "memory/peak_rss_mib"
_MIB = 1 << 20
_NOT_IN_EVERY_TRIAL = "it was not read in every trial"
_FROM_TORCH = "only torch on a GPU tells it"
ENERGY, MODELLED = "energy/joules_per_sample", "energy_modelled_j"
ENERGY_TAG, THROTTLE_TAG = "mlbench.energy.source", "mlbench.gpu.throttle"

Reduce = Callable[[list[float]], float]
Trials = Sequence[Sequence[Turn]]
"""The turns of each trial at one condition."""


@dataclass(slots=True)
class Found:
    """Metrics by public name, the reason for each that could not be had, and tags of the arm's run."""

    metrics: dict[str, Estimate] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, unit: str, per_trial: Sequence[float | None], reason: str = _NOT_IN_EVERY_TRIAL) -> None:
        """One figure of every trial, or None where it is not known."""
        known = [value for value in per_trial if value is not None]
        if known and len(known) == len(per_trial):
            self.metrics[name] = statistics.trial_estimate(np.array(known), unit)
        else:
            self.absent[name] = reason


def hardware(
    arm: Arm, headline: Trials, largest: Trials, workers: Sequence[WorkerReport], reasons: Mapping[str, str]
) -> Found:
    """Everything about the hardware under one arm.

    Args:
        arm: The arm.
        headline: Its turns at the headline batch size, by trial.
        largest: Its turns at the largest batch size, by trial.
        workers: What its worker of each trial said.
        reasons: Why metrics cannot be had on this machine, from the probes.

    Returns:
        Metrics by public name, reasons for those that are absent, and tags.
    """
    found = Found()
    _memory(found, arm, headline, workers)
    _model(found, arm.artifact)
    _cpu(found, headline)
    _gpu(found, arm, headline, largest)
    _energy(found, arm, headline)
    found.absent = {name: reasons.get(name, reason) for name, reason in found.absent.items()}
    found.absent |= {name: reason for name, reason in reasons.items() if name not in found.metrics}
    return found


# ---------------------------------------------------------------------------------------------------------------------
# one figure per trial


def _median(trials: Trials, figure: Callable[[Turn], float | None]) -> list[float | None]:
    """The median over a trial's turns; None where a turn lacks the figure."""
    return _reduced(trials, figure, lambda values: float(np.median(values)))


def _reduced(trials: Trials, figure: Callable[[Turn], float | None], reduce: Reduce) -> list[float | None]:
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


_MEAN: Reduce = lambda values: float(np.mean(values))  # noqa: E731 - beside max, which it stands in for
_GPU: tuple[tuple[str, str, str, Reduce], ...] = (
    ("gpu/utilization_pct", "gpu_utilization_pct", "%", _MEAN),
    ("gpu/power_w", "gpu_power_w", "W", _MEAN),
    ("gpu/temperature_c", "gpu_temperature_c", "°C", _MEAN),
    ("gpu/sm_clock_mhz", "gpu_sm_mhz", "MHz", _MEAN),
    ("gpu/memory_clock_mhz", "gpu_memory_mhz", "MHz", _MEAN),
    ("memory/gpu_peak_mib", "gpu_memory_mib", "MiB", max),
    ("memory/gpu_allocated_peak_mib", "gpu_allocated_peak_mib", "MiB", max),
)


_GPU_REASONS = {
    "gpu_allocated_peak_mib": _FROM_TORCH,
    "gpu_memory_mib": "NVML does not list the worker's process with its memory (in a container it has another number)",
}


def _gpu(found: Found, arm: Arm, headline: Trials, largest: Trials) -> None:
    """Figures of the GPU at the ends of turns; none for an arm that does not run on it."""
    if arm.settings.device == "cpu":
        names = [metric for metric, *_ in _GPU]
        found.absent |= dict.fromkeys((*names, "gpu/throttled_pct", "gpu/call_ms"), "this arm runs on the CPU")
        return
    for metric, figure, unit, reduce in _GPU:
        found.add(metric, unit, _reduced(largest, _read(figure), reduce), _GPU_REASONS.get(figure, _NOT_IN_EVERY_TRIAL))
    found.add("gpu/call_ms", "ms", _median(headline, _read("gpu_call_ms")), _FROM_TORCH)
    slowed = _reduced(largest, _slowed, _MEAN)
    found.add("gpu/throttled_pct", "%", [None if share is None else 100.0 * share for share in slowed])
    masks = [int(turn.hardware.get("gpu_throttle_reasons", 0)) & SLOWDOWNS for turns in largest for turn in turns]
    if any(masks):
        found.tags[THROTTLE_TAG] = ", ".join(throttle_words(int(np.bitwise_or.reduce(masks))))


def _slowed(turn: Turn) -> float | None:
    """1 where the GPU ran slower than it could at the end of the turn."""
    mask = turn.hardware.get("gpu_throttle_reasons")
    return None if mask is None else float(bool(int(mask) & SLOWDOWNS))


def _energy(found: Found, arm: Arm, headline: Trials) -> None:
    """Joules per item at the headline batch size; discarded calls took energy too.

    An arm's energy is that of the processor, and of the GPU where it runs on it: without either counter it is absent.
    """
    source, figures = _energy_figures(arm, headline)
    items = [sum(_calls(turn) * turn.batch_size for turn in turns) for turns in headline]
    joules = [_reduced(headline, _read(figure), sum) for figure in figures]
    per_trial = [
        None if any(part is None for part in parts) or not parts else sum(part or 0.0 for part in parts) / count
        for parts, count in zip(zip(*joules, strict=True), items, strict=True)
    ]
    found.add(ENERGY, "J", per_trial, f"no counter covers what this arm runs on ({arm.settings.device})")
    if ENERGY in found.metrics:
        found.metrics[ENERGY] = replace(found.metrics[ENERGY], method=f"{source}; {found.metrics[ENERGY].method}")
    found.tags[ENERGY_TAG] = source.partition(" ")[0] if ENERGY in found.metrics else "absent"


def _calls(turn: Turn) -> int:
    """Calls between the readings before and after a turn: on a device one more is made after the timed ones."""
    return len(turn.timed_ns) + len(turn.discarded_ns) + ("gpu_call_ms" in turn.hardware)


def _energy_figures(arm: Arm, trials: Trials) -> tuple[str, tuple[str, ...]]:
    """Where an arm's energy comes from, and the figures that add up to it."""
    read = {name for turns in trials for turn in turns for name in turn.hardware}
    if arm.settings.device == "cpu":
        if MODELLED in read:
            return "modelled from CPU time, not measured", (MODELLED,)
        return "rapl above idle", (RAPL,)
    return ("rapl+nvml above idle", (RAPL, NVML)) if RAPL in read else ("nvml above idle", (NVML,))
