"""Small parts that several tests of the pages need."""

from __future__ import annotations

import dataclasses

from mlbench.dashboard.axes import Axis, axes
from mlbench.records import ArmResult, Study


def axis(study: Study, key: str) -> Axis:
    return next(item for item in axes([study]) if item.key == key)


def slower(arm: ArmResult, factor: float = 1.5) -> ArmResult:
    p50 = arm.metrics["latency/p50_ms"]
    changed = dataclasses.replace(p50, value=p50.value * factor, low=p50.low * factor, high=p50.high * factor)
    return dataclasses.replace(arm, metrics={**arm.metrics, "latency/p50_ms": changed})
