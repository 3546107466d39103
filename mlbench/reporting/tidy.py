"""A study as one tidy table: a row per arm and metric, whatever kind of figure it is."""

from __future__ import annotations

from collections.abc import Iterator

from mlbench.records import ArmResult, Estimate, Scalar, Study

COLUMNS = (
    "study", "arm", "role", "metric", "step", "value", "low", "high", "level", "n", "unit", "verdict", "absent",
)  # fmt: skip

Row = dict[str, Scalar]


def tidy(study: Study) -> list[Row]:
    """Every figure of every arm, arms in the study's order: headline metrics, series by swept value, absent metrics.

    Each row has :data:`COLUMNS`; a cell without a meaning is None. ``step`` is the swept value of a series. A row
    without ``value`` says in ``absent`` why there is none.
    """
    return [
        {"study": study.name, "arm": arm.name, "role": arm.role, **row} for arm in study.arms for row in _of_arm(arm)
    ]


def _of_arm(arm: ArmResult) -> Iterator[Row]:
    calls = {name: verdict.call for name, verdict in arm.verdicts.items()}
    for name, estimate in arm.metrics.items():
        yield _row(name, None, estimate, calls.get(name))
    for name, series in arm.series.items():
        for point in series:
            yield _row(name, point.step, point.estimate)
    for name, reason in arm.absent.items():
        yield dict.fromkeys(COLUMNS[3:]) | {"metric": name, "absent": reason}


def _row(metric: str, step: int | None, estimate: Estimate, verdict: str | None = None) -> Row:
    return {
        "metric": metric,
        "step": step,
        "value": estimate.value,
        "low": estimate.low,
        "high": estimate.high,
        "level": None if estimate.low is None else estimate.level,
        "n": estimate.n or None,
        "unit": estimate.unit,
        "verdict": verdict,
        "absent": None,
    }


__all__ = ["COLUMNS", "tidy"]
