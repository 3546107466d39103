"""A study as one tidy table."""

from __future__ import annotations

from mlbench.records import Study
from mlbench.reporting.tidy import COLUMNS, tidy


def test_every_figure_is_there_once(study: Study) -> None:
    rows = tidy(study)
    assert all(tuple(row) == COLUMNS for row in rows)
    keys = [(row["arm"], row["metric"], row["step"]) for row in rows]
    assert len(keys) == len(set(keys))
    expected = {
        (arm.name, name, step)
        for arm in study.arms
        for name, step in [
            *((name, None) for name in (*arm.metrics, *arm.absent)),
            *((name, point.step) for name, series in arm.series.items() for point in series),
        ]
    }
    assert set(keys) == expected


def test_what_could_not_be_had_has_its_reason_and_no_number(study: Study) -> None:
    absent = [row for row in tidy(study) if row["absent"] is not None]
    assert absent
    for row in absent:
        assert row["absent"] == study.arm(str(row["arm"])).absent[str(row["metric"])]
        assert [row[name] for name in COLUMNS[4:-1]] == [None] * 8


def test_verdicts_stand_beside_the_metric_that_they_are_about(study: Study) -> None:
    found = {(row["arm"], row["metric"]): row["verdict"] for row in tidy(study) if row["verdict"] is not None}
    expected = {
        (arm.name, metric): verdict.call
        for arm in study.arms
        for metric, verdict in arm.verdicts.items()
        if metric in arm.metrics
    }
    assert found == expected


def test_a_value_without_an_interval_has_no_level(study: Study) -> None:
    for row in tidy(study):
        assert (row["level"] is None) == (row["low"] is None)
