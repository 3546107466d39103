"""Speed against quality: which arms are on the front, and which arm dominates each of the others."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mlbench.metrics import info
from mlbench.records import Estimate, Study
from mlbench.reporting import text, view


@dataclass(frozen=True, slots=True)
class Point:
    """One arm in the plane of p50 latency (less is better) and quality (its better direction is the metric's).

    ``beaten_by`` names an arm at least as good on both and better on one, by point estimates; None on the front.
    """

    name: str
    latency: Estimate
    quality: Estimate
    beaten_by: str | None


def plane(study: Study) -> tuple[Point, ...]:
    """All arms that have both p50 latency and the headline quality, with the arm that dominates each, if any.

    Where several do, the fastest arm of the front among them is named.
    """
    name = view.quality_metric(study)
    found: list[tuple[str, Estimate, Estimate]] = []
    for arm in study.arms:
        latency, quality = arm.metrics.get(view.HEADLINE), view.quality_of(arm, name)
        if latency is not None and quality is not None and latency.value > 0 and math.isfinite(quality.value):
            found.append((arm.name, latency, quality))
    row = info(f"quality/{name}")
    sign = -1.0 if row is not None and row.direction == "lower" else 1.0
    points = []
    for arm_name, latency, quality in found:
        better = [
            (other_latency.value, -sign * other_quality.value, other)
            for other, other_latency, other_quality in found
            if other_latency.value <= latency.value
            and sign * other_quality.value >= sign * quality.value
            and (other_latency.value, other_quality.value) != (latency.value, quality.value)
        ]
        points.append(Point(arm_name, latency, quality, min(better)[2] if better else None))
    return tuple(points)


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
    return tuple(sentences)


__all__ = ["Point", "plane", "plane_sentences"]
