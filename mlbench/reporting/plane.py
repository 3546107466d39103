"""Speed against quality: which arms are on the front, which arm dominates each of the others, and how sure that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

from mlbench.metrics import info
from mlbench.records import Estimate, Study
from mlbench.reporting import text, view


@dataclass(frozen=True, slots=True)
class Point:
    """One arm in the plane of p50 latency (less is better) and quality (its better direction is the metric's).

    Attributes:
        beaten_by: An arm at least as good on both and better on one, by point estimates; None on the front.
        clear: Whether the intervals say so too: those of a dominated arm and its dominator lie apart on one of the two;
            for an arm on the front, whether it has no rival.
        rival: For an arm on the front, another one whose interval lies apart on one of the two, to the better, while
            they overlap on the other, so that the arm may be on the front by chance; None where there is none.
    """

    name: str
    latency: Estimate
    quality: Estimate
    beaten_by: str | None
    clear: bool = True
    rival: str | None = None

    @property
    def standing(self) -> str:
        """Where it stands, in words; names as they are."""
        if self.beaten_by is not None:
            doubt = "" if self.clear else ", though their intervals overlap in both"
            return f"dominated by {self.beaten_by}{doubt}"
        return "on the front" if self.rival is None else f"on the front, though not clearly beside {self.rival}"


def plane(study: Study) -> tuple[Point, ...]:
    """All arms that have both p50 latency and the headline quality, with the arm that dominates each, if any.

    Where several do, the fastest arm of the front among them is named; so it is with rivals.
    """
    name = view.quality_metric(study)
    found: list[Point] = []
    for arm in study.arms:
        latency, quality = arm.metrics.get(view.HEADLINE), view.quality_of(arm, name)
        if latency is not None and quality is not None and latency.value > 0 and math.isfinite(quality.value):
            found.append(Point(arm.name, latency, quality, None))
    row = info(f"quality/{name}")
    sign = -1.0 if row is not None and row.direction == "lower" else 1.0
    return tuple(_placed(point, found, sign) for point in found)


def _placed(point: Point, points: list[Point], sign: float) -> Point:
    """The point with who dominates it, or who may after all."""

    def better(other: Point) -> bool:
        fast, good = other.latency.value, sign * other.quality.value
        return (
            fast <= point.latency.value
            and good >= sign * point.quality.value
            and (fast, good) != (point.latency.value, sign * point.quality.value)
        )

    def rivals(other: Point) -> bool:
        return _apart(other, point, sign) and not _apart(point, other, sign)

    winner = _fastest(points, better, sign)
    if winner is not None:
        return replace(point, beaten_by=winner.name, clear=_apart(winner, point, sign))
    rival = _fastest(points, rivals, sign)
    return replace(point, clear=rival is None, rival=None if rival is None else rival.name)


def _fastest(points: list[Point], wanted: Callable[[Point], bool], sign: float) -> Point | None:
    chosen = [point for point in points if wanted(point)]
    return min(chosen, key=lambda p: (p.latency.value, -sign * p.quality.value, p.name)) if chosen else None


def _apart(one: Point, other: Point, sign: float) -> bool:
    """Whether the first is better than the second on one of the two by more than their intervals."""
    slowest, _ = _ends(one.latency, -1.0)
    _, quickest = _ends(other.latency, -1.0)
    lowest, _ = _ends(one.quality, sign)
    _, highest = _ends(other.quality, sign)
    return slowest > quickest or lowest > highest


def _ends(estimate: Estimate, sign: float) -> tuple[float, float]:
    """The worse and the better end of the interval, more being better; the point twice where there is none."""
    low = estimate.value if estimate.low is None else estimate.low
    high = estimate.value if estimate.high is None else estimate.high
    worse, better = sorted((sign * low, sign * high))
    return worse, better


def plane_sentences(study: Study) -> tuple[str, ...]:
    """What the plane of speed and quality says, in words."""
    points = plane(study)
    front = [text.plain(p.name) for p in sorted(points, key=lambda p: p.latency.value) if p.beaten_by is None]
    beaten: dict[str, list[str]] = {}
    for point in points:
        if point.beaten_by is not None:
            beaten.setdefault(text.plain(point.beaten_by), []).append(text.plain(point.name))
    sentences = [f"On the front, fastest first: {text.listing(front)}."] if front else []
    sentences += [f"Dominated by {winner}: {text.listing(names)}." for winner, names in beaten.items()]
    unclear = [text.plain(point.name) for point in points if not point.clear]
    if unclear:
        sentences.append(f"By less than the intervals, so it may be chance: {text.listing(unclear)}.")
    return tuple(sentences)


__all__ = ["Point", "plane", "plane_sentences"]
