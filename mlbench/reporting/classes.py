"""Per-class quality of each arm, as the report page shows it; plain unescaped text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mlbench.records import ClassQuality, Quality, Study
from mlbench.reporting.page import Cell, Table, points_cell, share_cell

MOST_CLASSES = 20  # a larger confusion matrix is shown as its most frequent confusions instead
MOST_ROWS = 50  # of the table; of more classes those are shown that an arm is worst in
ALL_ROWS = 600  # of the tables of all arms together, so that the page does not outgrow its readers


@dataclass(frozen=True, slots=True)
class ClassPage:
    """Per-class quality and the confusion matrix of one arm.

    Attributes:
        shown: Whether to open it at once (the winner and the baseline).
        left_out: How many classes the table leaves out.
        confusion: Rows of (true label, cells of (count, share of the row, on the diagonal)); empty if too many classes.
        confusions: The most frequent confusions (true, predicted, count), where the matrix would be too large.
    """

    arm: str
    shown: bool
    classes: Table
    left_out: int
    labels: tuple[str, ...]
    confusion: tuple[tuple[str, tuple[tuple[int, float, bool], ...]], ...]
    confusions: tuple[tuple[str, str, int], ...]


def class_pages(study: Study) -> tuple[ClassPage, ...]:
    """Per-class quality of every arm that has it."""
    found = []
    judged = [(arm, arm.quality) for arm in study.arms if arm.quality is not None and arm.quality.per_class]
    most = min(MOST_ROWS, max(1, ALL_ROWS // max(1, len(judged))))
    for arm, q in judged:
        worst = _worst(q, most)
        against = [
            *(["recall against the baseline, points"] if q.class_deltas else []),
            *(["predictions changed"] if q.class_flips else []),
        ]
        small = len(q.labels) <= MOST_CLASSES
        found.append(
            ClassPage(
                arm.name,
                arm.name == (study.decision.winner or study.baseline.name),
                Table(("precision", "recall", "F1", *against, "items"), tuple(_row(q, c) for c in worst)),
                len(q.per_class) - len(worst),
                q.labels,
                _confusion(q) if small and q.confusion else (),  # tokens, and several labels, have no such counts
                () if small else _confusions(q),
            )
        )
    return tuple(found)


def _row(q: Quality, c: ClassQuality) -> tuple[str, tuple[Cell, ...]]:
    against = [
        *([points_cell(q.class_deltas.get(c.label))] if q.class_deltas else []),
        *([share_cell(q.class_flips.get(c.label))] if q.class_flips else []),
    ]
    return c.label, (*(share_cell(value) for value in (c.precision, c.recall, c.f1)), *against, Cell(f"{c.support:,}"))


def _worst(q: Quality, most: int) -> Sequence[ClassQuality]:
    """All classes in their own order, or so many with the greatest loss; without a baseline, with the least recall."""
    if len(q.per_class) <= most:
        return q.per_class

    def rank(place: int) -> tuple[float, float, int]:
        c = q.per_class[place]
        delta = q.class_deltas.get(c.label)
        return _number(delta.value if delta is not None else None), _number(c.recall.value), place

    chosen = sorted(range(len(q.per_class)), key=rank)[:most]
    return [q.per_class[place] for place in chosen]


def _number(value: float | None) -> float:
    """The value to sort by; what is not known comes last."""
    return math.inf if value is None or math.isnan(value) else value


def _confusion(q: Quality) -> tuple[tuple[str, tuple[tuple[int, float, bool], ...]], ...]:
    return tuple(
        (label, tuple((count, count / max(1, sum(row)), column == place) for column, count in enumerate(row)))
        for place, (label, row) in enumerate(zip(q.labels, q.confusion, strict=True))
    )


def _confusions(q: Quality) -> tuple[tuple[str, str, int], ...]:
    wrong = [
        (count, place, column)
        for place, row in enumerate(q.confusion)
        for column, count in enumerate(row)
        if place != column and count
    ]
    worst = sorted(wrong, key=lambda item: (-item[0], item[1], item[2]))[:MOST_CLASSES]
    return tuple((q.labels[place], q.labels[column], count) for count, place, column in worst)


__all__ = ["ALL_ROWS", "MOST_CLASSES", "MOST_ROWS", "ClassPage", "class_pages"]
