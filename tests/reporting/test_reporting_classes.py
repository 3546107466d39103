"""Per-class quality on the report page."""

from __future__ import annotations

import dataclasses

from mlbench.records import ClassQuality, Estimate, Quality, Study
from mlbench.reporting.classes import MOST_ROWS, class_pages
from mlbench.reporting.page import Cell


def with_quality(study: Study, quality: Quality) -> Study:
    return dataclasses.replace(study, arms=(dataclasses.replace(study.arms[0], quality=quality),))


def test_class_pages(study: Study) -> None:
    pages = {item.arm: item for item in class_pages(study)}
    assert [name for name, item in pages.items() if item.shown] == ["pruned_onnx_int8"]
    item = pages["baseline"]
    counts = [[count for count, _, _ in cells] for _, cells in item.confusion]
    assert counts == [list(row) for row in study.arms[0].quality.confusion]  # type: ignore[union-attr]
    assert all(cells[place][2] for place, (_, cells) in enumerate(item.confusion))
    assert item.confusions == ()
    assert item.left_out == 0
    assert item.classes.heads == ("precision", "recall", "F1", "items")
    assert class_pages(dataclasses.replace(study, arms=study.arms[-1:])) == ()


def test_every_class_against_the_baseline(study: Study) -> None:
    quality = study.arms[1].quality
    assert quality is not None
    lost, flips = {"8": Estimate(-0.1, -0.2, 0.0, n=72)}, {"8": Estimate(0.125, 0.07, 0.22, n=72, unit="fraction")}
    both = dataclasses.replace(quality, class_deltas=lost, class_flips=flips)
    (item,) = class_pages(with_quality(study, both))
    assert item.classes.heads[3:] == ("recall against the baseline, points", "predictions changed", "items")
    cells = dict(item.classes.rows)["8"]
    assert cells[3:5] == (Cell("-10.0", "-20.0 to 0.0"), Cell("12.5 %", "7.0 to 22.0"))


def test_many_classes_show_the_worst_confusions(study: Study) -> None:
    labels = tuple(f"class {number}" for number in range(30))
    counts = [[0] * 30 for _ in range(30)]
    for number in range(30):
        counts[number][number] = 50
    counts[3][4], counts[7][2] = 2, 9
    quality = study.arms[0].quality
    assert quality is not None
    many = Quality(quality.metrics, per_class=quality.per_class, labels=labels, confusion=tuple(map(tuple, counts)))
    (item,) = class_pages(with_quality(study, many))
    assert item.confusion == ()
    assert item.confusions == (("class 7", "class 2", 9), ("class 3", "class 4", 2))


def test_of_very_many_classes_the_worst_are_listed(study: Study) -> None:
    size = MOST_ROWS + 25
    nothing = Estimate(0.5, unit="fraction")
    per_class = tuple(
        ClassQuality(f"c{n}", nothing, Estimate(n / size, unit="fraction"), nothing, 10) for n in range(size)
    )
    labels = tuple(c.label for c in per_class)
    confusion = tuple(tuple(10 if row == column else 0 for column in range(size)) for row in range(size))
    plain = Quality({}, per_class=per_class, labels=labels, confusion=confusion)
    (item,) = class_pages(with_quality(study, plain))
    assert [label for label, _ in item.classes.rows] == [f"c{n}" for n in range(MOST_ROWS)]  # the least recall
    assert item.left_out == 25

    lost = {f"c{n}": Estimate(-0.01 * n, unit="fraction") for n in range(size - 1)}  # of the last one it is not known
    (item,) = class_pages(with_quality(study, dataclasses.replace(plain, class_deltas=lost)))
    assert [label for label, _ in item.classes.rows] == [f"c{n}" for n in range(size - 2, 24 - 1, -1)]


def test_tasks_without_confusions_show_their_classes_alone(study: Study) -> None:
    quality = study.arms[0].quality
    assert quality is not None
    (item,) = class_pages(with_quality(study, dataclasses.replace(quality, confusion=())))
    assert (item.confusion, item.confusions) == ((), ())
    assert len(item.classes.rows) == len(quality.per_class)
