"""The figures of a study that can be an axis: what they are called, in which unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from mlbench.metrics import Direction, info
from mlbench.records import ArmResult, Estimate, Study
from mlbench.reporting import text, view


@dataclass(frozen=True, slots=True)
class Axis:
    """One figure of the arms.

    Attributes:
        key: Public name of the metric.
        share: A fraction, shown in percent.
        exact: A plain fact without sampling error, so that it needs no interval.
    """

    key: str
    label: str
    unit: str
    direction: Direction
    share: bool = False
    exact: bool = False

    @property
    def scale(self) -> float:
        """What values are multiplied with when they are shown."""
        return 100.0 if self.share else 1.0

    @property
    def title(self) -> str:
        """The label with unit and better direction."""
        unit = "%" if self.share else "" if self.unit in ("ratio", "") else self.unit
        better = {"lower": "less is better", "higher": "more is better", "none": ""}[self.direction]
        return self.label + (f", {unit}" if unit else "") + (f" ({better})" if better else "")

    def shown(self, estimate: Estimate) -> str:
        """A value with its interval, in the unit of the axis."""
        if self.share:
            return text.percent(estimate, with_interval=True)
        unit = "" if self.unit in ("ratio", "") else f" {self.unit}"
        return text.interval(estimate) + unit


def axes(studies: Iterable[Study]) -> tuple[Axis, ...]:
    """Every figure that an arm of these studies has, by name."""
    found: dict[str, str] = {}
    for study in studies:
        for arm in study.arms:
            found |= {key: estimate.unit for key, estimate in arm.metrics.items() if math.isfinite(estimate.value)}
            quality = arm.quality.metrics if arm.quality is not None else {}
            found |= {f"quality/{name}": estimate.unit for name, estimate in quality.items()}
    return tuple(_axis(key, found[key]) for key in sorted(found))


def choose(known: Iterable[Axis], key: str, otherwise: Iterable[str]) -> Axis | None:
    """The axis of that name, else the first of the others that is there, else any; None where there is none."""
    by_key = {axis.key: axis for axis in known}
    for name in (key, *otherwise, *by_key):
        if name in by_key:
            return by_key[name]
    return None


def estimate_of(arm: ArmResult, key: str) -> Estimate | None:
    """The arm's figure of that name, where it is a number."""
    prefix, _, name = key.partition("/")
    found = view.quality_of(arm, name) if prefix == "quality" else arm.metrics.get(key)
    return found if found is not None and math.isfinite(found.value) else None


def _axis(key: str, unit: str) -> Axis:
    known = info(key)
    against = " against the baseline" if key.startswith("vs_baseline/") else ""
    direction: Direction = known.direction if known is not None else "none"
    exact = known is not None and known.exact
    return Axis(key, text.metric_name(key) + against, unit, direction, unit == "fraction", exact)


__all__ = ["Axis", "axes", "choose", "estimate_of"]
