"""A figure of one champion after another: what became better, what became worse, and how that is known.

A champion and the one before it were measured side by side only where the earlier one took part in the study of the
later one as its incumbent; then the verdict of that study counts. Otherwise all there is are two intervals from
different days, perhaps different machines: a difference is marked where they lie apart, and called history.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mlbench.dashboard.axes import Axis, estimate_of
from mlbench.records import ArmResult, Call, Estimate, Study
from mlbench.reporting import text
from mlbench.tracking.history import Version

Mark = Literal["", "better", "worse", "none"]
_CALLS: dict[Call, Mark] = {"faster": "better", "slower": "worse", "equivalent": "none", "inconclusive": "none"}
CAUTION = (
    "A regression is marked where the champion is shown to be worse than the one before it: by the verdict where both "
    "were measured side by side in one study, else where their intervals lie apart, which is history and no verdict."
)


@dataclass(frozen=True, slots=True)
class TrendPoint:
    """One champion.

    Attributes:
        mark: Against the champion before; empty for the first, ``none`` where no difference is shown.
        measured: Whether both were measured side by side.
        sentence: How it compares with the champion before.
    """

    version: int
    arm: str
    study: str
    run_id: str
    estimate: Estimate
    mark: Mark
    measured: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class Trend:
    """The champions that have the figure, in the order of promotion, and the champions that have not."""

    points: tuple[TrendPoint, ...]
    missing: tuple[int, ...] = ()
    caution: str = CAUTION

    @property
    def regressions(self) -> tuple[TrendPoint, ...]:
        """The champions that are worse than the one before them."""
        return tuple(point for point in self.points if point.mark == "worse")


def trend(versions: Sequence[Version], studies: Mapping[str, Study], axis: Axis) -> Trend:
    """One figure of each champion.

    Args:
        versions: The champions in the order of promotion.
        studies: Their studies by run id; some may be gone.
        axis: The figure.
    """
    points: list[TrendPoint] = []
    missing: list[int] = []
    before: TrendPoint | None = None
    for version in versions:
        arm = _arm(studies.get(version.run_id), version.arm)
        estimate = estimate_of(arm, axis.key) if arm is not None else None
        if arm is None or estimate is None:
            missing.append(version.number)
            continue
        mark, measured, sentence = _against(before, version, arm, estimate, axis)
        before = TrendPoint(
            version.number, version.arm, version.study, version.run_id, estimate, mark, measured, sentence
        )
        points.append(before)
    return Trend(tuple(points), tuple(missing))


def _arm(study: Study | None, name: str) -> ArmResult | None:
    return next((arm for arm in study.arms if arm.name == name), None) if study is not None else None


def _against(
    before: TrendPoint | None, version: Version, arm: ArmResult, estimate: Estimate, axis: Axis
) -> tuple[Mark, bool, str]:
    if before is None:
        return "", False, "the first champion with this figure"
    name = f"version {before.version}"
    beside = _beside(before, version, arm, axis)
    if beside is not None:
        mark, said = beside
        return mark, True, f"measured side by side with {name}: {said}"
    if axis.direction == "none":
        return "none", False, f"neither direction is better; {name} had {axis.shown(before.estimate)}"
    return _apart(before, estimate, axis)


def _apart(before: TrendPoint, estimate: Estimate, axis: Axis) -> tuple[Mark, bool, str]:
    """What two estimates of different studies say, where their metric has a better direction."""
    name, shown = f"version {before.version}", axis.shown(before.estimate)
    if not axis.exact and None in (estimate.low, estimate.high, before.estimate.low, before.estimate.high):
        return "none", False, f"{name} had {shown}; without intervals no difference is called"
    sign = 1.0 if axis.direction == "lower" else -1.0
    (low, high), (low_before, high_before) = _ends(estimate, sign), _ends(before.estimate, sign)
    mark: Mark = "worse" if low > high_before else "better" if high < low_before else "none"
    found = "no difference shown" if mark == "none" else mark + ("" if axis.exact else ", the intervals lie apart")
    return mark, False, f"not measured side by side with {name}, which had {shown}: {found}"


def _beside(before: TrendPoint, version: Version, arm: ArmResult, axis: Axis) -> tuple[Mark, str] | None:
    """What the study found in which the champion before took part as its incumbent; None where it did not."""
    versus = arm.versus_incumbent
    if versus is None or version.replaced != before.version:
        return None
    verdict = versus.verdicts.get(axis.key)
    if verdict is not None:
        call = text.call_name(verdict.call, verdict.metric)
        return _CALLS[verdict.call], f"{call}, {text.times(text.improvement(verdict))}"
    delta = versus.deltas.get(axis.key.removeprefix("quality/"))
    if delta is None or axis.direction == "none" or delta.low is None or delta.high is None:
        return None
    low, high = _ends(delta, 1.0 if axis.direction == "lower" else -1.0)
    mark: Mark = "worse" if low > 0 else "better" if high < 0 else "none"
    return mark, f"difference {text.points(delta)}"


def _ends(estimate: Estimate, sign: float) -> tuple[float, float]:
    """The interval turned so that less is better."""
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    ends = sorted((sign * low, sign * high))
    return ends[0], ends[1]


__all__ = ["CAUTION", "Mark", "Trend", "TrendPoint", "trend"]
