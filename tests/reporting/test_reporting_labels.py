"""Labels of the scatter plot."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mlbench.reporting.labels import Box, place

FRAME = Box(0, 0, 800, 400)


def _cross(mark: Box) -> tuple[Box, ...]:
    """A point in the middle of its vertical bar."""
    x, y = mark.centre
    return Box(x - 9, y - 9, x + 9, y + 9), Box(x - 3, mark.top, x + 3, mark.bottom)


def boxes(marks: list[Box], sizes: list[tuple[float, float]]) -> list[Box]:
    crosses = [_cross(mark) for mark in marks]
    return [
        Box(x + dx - width / 2, y + dy - height / 2, x + dx + width / 2, y + dy + height / 2)
        for (x, y), (dx, dy), (width, height) in zip(
            [mark.centre for mark in marks], place(crosses, sizes, FRAME), sizes, strict=True
        )
    ]


def test_boxes() -> None:
    one, other = Box(0, 0, 10, 10), Box(5, 5, 20, 20)
    assert (one.overlap(other), other.area, one.centre) == (25, 225, (5, 5))
    assert one.gap(other) == 0
    assert one.gap(Box(13, 14, 20, 20)) == 5


def test_a_lone_label_is_close_and_covers_nothing() -> None:
    (label,) = boxes([Box(391, 191, 409, 209)], [(60, 17)])
    assert label.overlap(Box(391, 191, 409, 209)) == 0
    assert label.gap(Box(391, 191, 409, 209)) < 15


@given(st.lists(st.tuples(st.integers(60, 740), st.integers(60, 340)), min_size=1, max_size=7, unique=True))
def test_labels_of_a_usual_study_neither_collide_nor_leave_the_frame(points: list[tuple[int, int]]) -> None:
    marks = [Box(x - 9, y - 9, x + 9, y + 9) for x, y in points]
    labels = boxes(marks, [(70, 17)] * len(marks))
    for number, label in enumerate(labels):
        assert label.overlap(FRAME) > label.area * 0.999
        assert all(label.overlap(other) == 0 for other in labels[:number])


def test_a_row_of_tall_bars_has_every_label_nearest_its_own() -> None:
    marks = [Box(x - 9, 60, x + 9, 340) for x in (100, 220, 270, 380, 440, 700)]
    sizes = [(112, 17), (112, 17), (70, 17), (63, 17), (42, 17), (120, 17)]
    for mark, label in zip(marks, boxes(marks, sizes), strict=True):
        assert all(label.gap(mark) <= label.gap(other) for other in marks)


def test_a_label_does_not_lie_on_its_own_interval() -> None:
    point, wide = Box(391, 191, 409, 209), Box(300, 197, 500, 203)
    ((right, below),) = place([(point, wide)], [(60, 17)], FRAME)
    label = Box(400 + right - 30, 200 + below - 8.5, 400 + right + 30, 200 + below + 8.5)
    assert label.overlap(wide) == 0


def test_no_line_runs_through_a_label_that_has_room_elsewhere() -> None:
    point, line = Box(391, 191, 409, 209), Box(400, 198, 700, 202)
    places = [place([(point,)], [(60, 17)], FRAME, lines)[0] for lines in ((), (line,))]
    labels = [Box(370 + right, 191.5 + below, 430 + right, 208.5 + below) for right, below in places]
    assert labels[0].overlap(line) > 0, "without the line, the label lies where it runs"
    assert labels[1].overlap(line) == 0


def test_the_same_points_give_the_same_places() -> None:
    marks = [(Box(x, x, x + 18, x + 18),) for x in range(0, 200, 20)]
    sizes = [(80.0, 17.0)] * len(marks)
    assert place(marks, sizes, FRAME) == place(marks, sizes, FRAME)
