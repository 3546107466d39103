"""Class counts by split, in few and in many classes."""

from __future__ import annotations

import dataclasses

from mlbench.records import Study
from mlbench.reporting import render_markdown, view
from mlbench.reporting.balance import MOST_NAMED, balance


def test_equal_classes_are_counted_once(study: Study) -> None:
    assert dict(balance(study.workload.data))["classes in test"] == "10 classes of 72 each"
    assert [name for name, _ in balance(study.workload.data)] == [
        f"classes in {split}" for split in study.workload.data.rows
    ]


def test_few_classes_are_named_and_of_many_the_extremes(study: Study) -> None:
    many = {f"c{number:02}": number for number in range(1, MOST_NAMED + 2)}
    counts = {"train": {"no": 1200, "yes\n": 15}, "validation": {}, "test": many}
    data = dataclasses.replace(study.workload.data, class_counts=counts)
    assert balance(data) == (
        ("classes in train", "no 1,200, yes 15"),
        ("classes in test", "13 classes: 1 (c01) to 13 (c13), median 7"),
    )
    told = dataclasses.replace(study, workload=dataclasses.replace(study.workload, data=data))
    assert ("classes in train", "no 1,200, yes 15") in view.facts(told)
    assert "classes in test: 13 classes: 1 (c01) to 13 (c13), median 7" in render_markdown(told).replace("\\", "")


def test_one_class_is_named(study: Study) -> None:
    data = dataclasses.replace(study.workload.data, class_counts={"test": {"only": 3}})
    assert balance(data) == (("classes in test", "only 3"),)
