"""Arms as the analysis hands them to the policy."""

from __future__ import annotations

import math

import numpy as np

from mlbench.config import ConstraintConfig, PolicyConfig
from mlbench.records import ArmResult, Decision, Estimate, Quality, Recipe, Verdict
from mlbench.statistics import compare

P50, MEMORY, DISK = "latency/p50_ms", "memory/peak_rss_mib", "memory/disk_mib"
SHAPE = np.array([0.01, -0.01, 0.02, -0.02, 0.015, -0.015, 0.0, 0.005, -0.005, 0.0])
ACCURACY = ConstraintConfig("quality/accuracy", "baseline", "points", min=-1.0)
DEFAULT = PolicyConfig("keep_accuracy", (ACCURACY,))


def near(value: float, half: float = 0.0, unit: str = "") -> Estimate:
    return Estimate(value, value - half, value + half, n=10, unit=unit)


def baseline(**metrics: Estimate) -> ArmResult:
    usual = {
        P50: near(2.0, 0.02, "ms"),
        MEMORY: near(500, 5, "MiB"),
        DISK: Estimate(1.0, unit="MiB"),
        "quality/accuracy": near(0.98, 0.01, "fraction"),
    }
    return ArmResult("baseline", "baseline", Recipe("baseline"), metrics={**usual, **metrics})


def variant(
    name: str,
    ratio: float = 0.5,
    delta: tuple[float, float, float] = (-0.001, -0.006, 0.003),
    *,
    spread: float = 1.0,
    verdict: Verdict | None = None,
    **changes: object,
) -> ArmResult:
    """An arm whose p50 is ``ratio`` of the baseline's and whose accuracy differs by ``delta`` (value, low, high)."""
    p50 = verdict or compare(math.log(ratio) + spread * SHAPE, metric=P50, margin=0.03)
    memory = compare(math.log(0.4) + SHAPE, metric=MEMORY, margin=0.05)
    metrics = {
        P50: near(2.0 * ratio, 0.01, "ms"),
        MEMORY: near(200, 2, "MiB"),
        DISK: Estimate(0.25, unit="MiB"),
        "quality/accuracy": near(0.98 + delta[0], 0.01, "fraction"),
        "agreement/flip_rate": near(0.01, 0.005, "fraction"),
    }
    quality = Quality(metrics={}, deltas={"accuracy": Estimate(*delta, n=719, unit="fraction")})
    arm = {"metrics": metrics, "verdicts": {P50: p50, MEMORY: memory}, "quality": quality, **changes}
    return ArmResult(name, "variant", Recipe(name), **arm)


def reasons(decision: Decision) -> dict[str, str]:
    return {judgement.arm: judgement.reason for judgement in decision.judgements}
