"""Where to put the labels of a scatter plot so that they cover neither each other nor the points. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_DIRECTIONS = tuple(math.tau * step / 16 for step in range(16))
_REACHES = (6.0, 18.0, 34.0, 54.0, 80.0, 112.0, 148.0)


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in pixels, y downwards."""

    left: float
    top: float
    right: float
    bottom: float

    def overlap(self, other: Box) -> float:
        """Shared area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def distance(self, point: tuple[float, float]) -> float:
        """From the nearest edge to a point outside; 0 inside."""
        across = max(self.left - point[0], 0.0, point[0] - self.right)
        return math.hypot(across, max(self.top - point[1], 0.0, point[1] - self.bottom))

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


def place(
    points: Sequence[tuple[float, float]],
    sizes: Sequence[tuple[float, float]],
    obstacles: Sequence[Box],
    frame: Box,
) -> list[tuple[float, float]]:
    """The centre of each label, relative to its point.

    Greedy: the most crowded point chooses first among positions around it, nearest first; covering a label costs
    most, leaving the frame as much, covering an obstacle less, distance least.

    Args:
        points: Positions in pixels, y downwards.
        sizes: Width and height of each label.
        obstacles: What labels should not cover, such as markers and error bars.
        frame: Labels stay inside.

    Returns:
        One (dx, dy) per point, y downwards.
    """
    crowding = [
        sum(1.0 / (1.0 + math.dist(point, other)) for other in points if other is not point) for point in points
    ]
    chosen: dict[int, Box] = {}
    for index in sorted(range(len(points)), key=lambda index: (-crowding[index], index)):
        candidates = _candidates(points[index], sizes[index])
        others = [point for number, point in enumerate(points) if number != index]
        costs = [
            (_cost(box, chosen.values(), obstacles, frame) + _doubt(box, points[index], others) + reach, order)
            for order, (box, reach) in enumerate(candidates)
        ]
        chosen[index] = candidates[min(costs)[1]][0]
    return [
        (
            (chosen[index].left + chosen[index].right) / 2 - x,
            (chosen[index].top + chosen[index].bottom) / 2 - y,
        )
        for index, (x, y) in enumerate(points)
    ]


def _candidates(point: tuple[float, float], size: tuple[float, float]) -> list[tuple[Box, float]]:
    """Boxes around a point whose nearest edge is ``reach`` away, with that reach."""
    (x, y), (width, height) = point, size
    found = []
    for reach in _REACHES:
        for angle in _DIRECTIONS:
            centre_x = x + math.cos(angle) * (width / 2 + 8 + reach)
            centre_y = y + math.sin(angle) * (height / 2 + 8 + reach)
            box = Box(centre_x - width / 2, centre_y - height / 2, centre_x + width / 2, centre_y + height / 2)
            found.append((box, reach))
    return found


def _cost(box: Box, labels: Iterable[Box], obstacles: Sequence[Box], frame: Box) -> float:
    outside = box.area - box.overlap(frame)
    covered = sum(box.overlap(label) for label in labels)
    return 20.0 * covered + 20.0 * outside + 2.0 * sum(box.overlap(obstacle) for obstacle in obstacles)


def _doubt(box: Box, own: tuple[float, float], others: Iterable[tuple[float, float]]) -> float:
    """A label that is hardly nearer to its own point than to another one could be read as the other's."""
    mine = box.distance(own)
    return sum(150.0 for other in others if box.distance(other) < max(30.0, mine + 8.0))


__all__ = ["Box", "place"]
