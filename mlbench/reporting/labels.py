"""Where to put the labels of a scatter plot so that they cover neither each other nor the points. Pure geometry."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

_DIRECTIONS = tuple(math.tau * step / 16 for step in range(16))
_REACHES = (0.0, 10.0, 24.0, 42.0, 64.0, 92.0)
_CLEARANCE = 10.0  # from the point to the nearest edge of its label, at least
_COVER, _MARKED, _DOUBT = 20.0, 2.0, 80.0


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

    @property
    def area(self) -> float:
        """Area in square pixels."""
        return (self.right - self.left) * (self.bottom - self.top)

    @property
    def centre(self) -> tuple[float, float]:
        """The middle."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    def gap(self, other: Box) -> float:
        """Distance between the nearest edges; 0 where the boxes touch."""
        across = max(self.left - other.right, 0.0, other.left - self.right)
        return math.hypot(across, max(self.top - other.bottom, 0.0, other.top - self.bottom))


Mark = Sequence[Box]
"""A point and its interval bars: the first box is the point, around whose centre labels are placed."""


def place(
    marks: Sequence[Mark], sizes: Sequence[tuple[float, float]], frame: Box, lines: Sequence[Box] = ()
) -> list[tuple[float, float]]:
    """The centre of each label, relative to the centre of its point.

    Greedy: the most crowded mark chooses first among positions around it, nearest first. What a position costs:
    covering a label or leaving the frame most, covering a mark or a line, being as near to another mark as to its
    own, and its distance least.

    Args:
        marks: Points with their interval bars, in pixels, y downwards.
        sizes: Width and height of each label.
        frame: Labels stay inside.
        lines: What else is drawn and should not run through a label, as thin boxes.

    Returns:
        One (dx, dy) per mark, y downwards.
    """
    crowding = [sum(1 / (1 + mark[0].gap(other[0])) for other in marks if other is not mark) for mark in marks]
    chosen: dict[int, Box] = {}
    for index in sorted(range(len(marks)), key=lambda index: (-crowding[index], index)):
        others = [mark for number, mark in enumerate(marks) if number != index]
        candidates = _candidates(marks[index], sizes[index])
        costs = [
            (_cost(box, marks[index], others, chosen.values(), frame) + _crossed(box, lines) + reach, order)
            for order, (box, reach) in enumerate(candidates)
        ]
        chosen[index] = candidates[min(costs)[1]][0]
    return [
        (chosen[index].centre[0] - mark[0].centre[0], chosen[index].centre[1] - mark[0].centre[1])
        for index, mark in enumerate(marks)
    ]


def _candidates(mark: Mark, size: tuple[float, float]) -> list[tuple[Box, float]]:
    """Labels around the centre of a mark and beyond its upper and lower ends, each with its distance."""
    (x, y), (width, height) = mark[0].centre, size
    top, bottom = min(part.top for part in mark), max(part.bottom for part in mark)
    centres = [
        (
            x + math.cos(angle) * (width / 2 + _CLEARANCE + reach),
            y + math.sin(angle) * (height / 2 + _CLEARANCE + reach),
            reach,
        )
        for reach in _REACHES
        for angle in _DIRECTIONS
    ]
    for level in range(4):
        for share in (0.0, -0.25, 0.25, -0.45, 0.45):
            away = 2 + height / 2 + 1.1 * height * level
            cost = 6 + 14 * level + 8 * abs(share)
            centres.append((x + share * width, top - away, cost))
            centres.append((x + share * width, bottom + away, cost + 1))
    return [
        (Box(left - width / 2, top - height / 2, left + width / 2, top + height / 2), reach)
        for left, top, reach in centres
    ]


def _cost(box: Box, own: Mark, others: Sequence[Mark], labels: Iterable[Box], frame: Box) -> float:
    outside = box.area - box.overlap(frame)
    covered = sum(box.overlap(label) for label in labels)
    marked = sum(box.overlap(part) for mark in (own, *others) for part in mark)
    mine = _gap(box, own) + 6
    doubts = sum(_gap(box, other) < mine for other in others)
    return _COVER * (covered + outside) + _MARKED * marked + _DOUBT * doubts


def _crossed(box: Box, lines: Iterable[Box]) -> float:
    return _MARKED * sum(box.overlap(line) for line in lines)


def _gap(box: Box, mark: Mark) -> float:
    return min(box.gap(part) for part in mark)


__all__ = ["Box", "Mark", "place"]
