"""The tables of the report page, as plain unescaped text; the template lays them out and escapes every value."""

from __future__ import annotations

import json
from dataclasses import dataclass

from mlbench.handicap import is_inflated
from mlbench.metrics import SWEEPS, Sweep
from mlbench.records import ArmResult, Estimate, Quality, Study, Verdict
from mlbench.reporting import text, view
from mlbench.reporting.plane import plane

_CALL_MARKS = {"faster": "+", "slower": "-", "equivalent": "=", "inconclusive": "?"}


@dataclass(frozen=True, slots=True)
class Cell:
    """A value, with a second line in smaller type; ``wraps`` where the value is a sentence."""

    value: str
    detail: str = ""
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Chip:
    """A verdict in a word, its mark and the figure behind it; ``kind`` only chooses the colour. It never wraps."""

    kind: str
    word: str
    mark: str
    figure: str = ""
    wraps: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: heads of the columns, and rows of an arm (or another row head) with its cells."""

    heads: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell | Chip, ...]], ...]


def tiles(study: Study) -> tuple[tuple[str, str, str], ...]:
    """The decision in figures: label, value, detail."""
    if study.decision.outcome != "promote" or study.decision.winner is None:
        return ()
    winner, baseline = study.arm(study.decision.winner), study.baseline
    found: list[tuple[str, str, str]] = []
    verdict = winner.verdicts.get(view.HEADLINE)
    gain = text.improvement(verdict) if verdict is not None else None
    if gain is not None:
        value, _, interval = text.times(gain).partition(" ")
        mark = f" {view.INFLATED}" if is_inflated(winner) else ""
        found.append(("speed-up at p50", f"{value}{mark}", interval.strip("()")))
    for label, metric, unit in (
        ("p50 latency", view.HEADLINE, "ms"),
        ("samples per s", "throughput/samples_per_s", ""),
        ("size", "memory/disk_mib", "MiB"),
        ("peak memory", "memory/peak_rss_mib", "MiB"),
    ):
        mine, theirs = winner.metrics.get(metric), baseline.metrics.get(metric)
        if mine is not None and theirs is not None:
            found.append((label, f"{text.number(mine.value)} {unit}".strip(), f"{text.number(theirs.value)} before"))
    name = view.quality_metric(study)
    quality = view.quality_of(winner, name)
    if quality is not None:
        before = view.quality_text(view.quality_of(baseline, name))
        found.insert(1, (name.replace("_", " "), view.quality_text(quality), f"{before} before"))
    return tuple(found)


def arms(study: Study) -> Table:
    """The decision table with intervals."""
    name = view.quality_metric(study)
    batch = study.plan.largest
    heads = (
        "verdict at p50, speed-up",
        "p50 ms",
        "p95 ms",
        "p99 ms",
        f"samples/s at batch {batch}",
        name.replace("_", " "),
        "points against the baseline",
        "size MiB",
        "peak MiB",
    )
    found = []
    for row, arm in zip(view.rows(study), study.arms, strict=True):
        verdict = arm.verdicts.get(view.HEADLINE)
        cells: tuple[Cell | Chip, ...] = (
            chip(arm, verdict) if verdict is not None else Chip(row.verdict, row.verdict, "x" if arm.failure else ""),
            *(_metric(arm, f"latency/{level}_ms") for level in ("p50", "p95", "p99")),
            _metric(arm, "throughput/samples_per_s"),
            share_cell(view.quality_of(arm, name)),
            points_cell(arm.quality.deltas.get(name) if arm.quality is not None else None),
            Cell(row.size),
            _metric(arm, "memory/peak_rss_mib"),
        )
        found.append((arm.name, cells))
    return Table(heads, tuple(found))


def chip(arm: ArmResult, verdict: Verdict) -> Chip:
    """A verdict as a chip."""
    word = text.call_name(verdict.call, verdict.metric)
    return Chip(verdict.call, word, _CALL_MARKS[verdict.call], view.speedup(arm, verdict))


def verdicts(study: Study) -> Table | None:
    """Every verdict of every variant."""
    metrics = list(dict.fromkeys(metric for arm in study.arms for metric in arm.verdicts))
    if not metrics:
        return None
    found = [
        (
            arm.name,
            tuple(chip(arm, arm.verdicts[m]) if m in arm.verdicts else Cell(text.DASH) for m in metrics),
        )
        for arm in study.arms
        if arm.verdicts
    ]
    return Table(tuple(text.metric_name(metric) for metric in metrics), tuple(found))


def evidence(study: Study) -> Table | None:
    """What is behind the verdicts on p50: p values, the ratio by CPU time, and where the spread comes from."""
    judged = [(arm, arm.verdicts[view.HEADLINE]) for arm in study.arms if view.HEADLINE in arm.verdicts]
    if not judged:
        return None
    heads = (
        "no difference, p",
        "p after Holm",
        "equivalence, p",
        "signed-rank p",
        "CPU time, ratio",
        "due to processes",
    )
    found = [
        (
            arm.name,
            (
                *(Cell(text.p_value(p)) for p in (verdict.p_value, verdict.p_adjusted, verdict.equivalence_p)),
                Cell(text.p_value(verdict.rank_p)),
                _times(verdict.cpu_ratio),
                Cell(text.DASH if verdict.process_share is None else f"{100 * verdict.process_share:.0f} %"),
            ),
        )
        for arm, verdict in judged
    ]
    return Table(heads, tuple(found))


def judgements(study: Study) -> tuple[tuple[str, str, tuple[tuple[str, str, str], ...]], ...]:
    """What the policy made of each arm: arm, reason, and each constraint with its outcome in a word and its reason."""
    words = {True: "met", False: "not met", None: "cannot tell"}
    return tuple(
        (
            judgement.arm,
            judgement.reason,
            tuple((c.constraint, words[c.passed], c.reason) for c in judgement.constraints),
        )
        for judgement in study.decision.judgements
    )


def plane_table(study: Study) -> Table | None:
    """Where every arm stands in the plane of speed and quality, fastest first; None where no arm has both figures."""
    points = sorted(plane(study), key=lambda point: point.latency.value)
    if not points:
        return None
    rows = tuple(
        (
            point.name,
            (_estimate(point.latency), share_cell(point.quality), Cell(text.plain(point.standing), wraps=True)),
        )
        for point in points
    )
    return Table(("p50 ms", view.quality_metric(study).replace("_", " "), "stands"), rows)


def sweeps(study: Study) -> tuple[tuple[Sweep, Table], ...]:
    """p50, throughput and speed-up at every swept value, one table for each swept property."""
    found = ((sweep, _swept(study, sweep)) for sweep in SWEEPS)
    return tuple((sweep, table) for sweep, table in found if table is not None)


def _swept(study: Study, sweep: Sweep) -> Table | None:
    series = (("p50_ms", "ms"), ("samples_per_s", "samples/s"), ("speedup_p50", ""))
    points = {
        arm.name: {(name, point.step): point.estimate for name, of_arm in arm.series.items() for point in of_arm}
        for arm in study.arms
    }
    columns = [
        (f"{sweep.prefix}/{name}", unit, getattr(key, sweep.axis))
        for key in study.plan.sweep(sweep.axis)
        for name, unit in series
    ]
    columns = [item for item in columns if any((item[0], item[2]) in at for at in points.values())]
    if not columns:
        return None
    rows = []
    for name, at in points.items():
        if at:
            estimates = [(at.get((metric, step)), unit) for metric, unit, step in columns]
            rows.append((name, tuple(_estimate(e) if unit else _times(e) for e, unit in estimates)))
    short = sweep.label.removesuffix(" size").removeprefix("input ").removeprefix("number of ")
    return Table(tuple(f"{short} {step}: {unit or 'speed-up'}" for _, unit, step in columns), tuple(rows))


def quality(study: Study) -> Table | None:
    """Every quality metric of every arm, and its difference to the baseline."""
    judged = [(arm, arm.quality) for arm in study.arms if arm.quality is not None]
    names = list(dict.fromkeys(name for _, q in judged for name in q.metrics))
    if not names:
        return None
    found = [(arm.name, tuple(_with_delta(q, name) for name in names)) for arm, q in judged]
    return Table(tuple(name.replace("_", " ") for name in names), tuple(found))


def agreement(study: Study) -> Table | None:
    """Agreement of every variant with the baseline."""
    judged = [(arm, arm.quality) for arm in study.arms if arm.quality is not None and arm.quality.agreement]
    names = list(dict.fromkeys(name for _, q in judged for name in q.agreement))
    if not names:
        return None
    found = [
        (arm.name, (*(_agreement(name, q.agreement.get(name)) for name in names), Cell(text.number(q.mcnemar_p))))
        for arm, q in judged
    ]
    return Table((*(name.replace("_", " ") for name in names), "McNemar p"), tuple(found))


def latencies(study: Study) -> Table | None:
    """Latency figures beside those of the arm table."""
    single = ("latency/p90_ms", "latency/p999_ms", "latency/mean_ms", "latency/first_call_ms")
    return _others(study, (*single, "cpu/time_per_call_ms", "vs_baseline/cpu_ratio_p50"))


def resources(study: Study) -> Table | None:
    """Memory, size, loading, processor, energy: every metric that no other table has."""
    elsewhere = ("latency/p", "latency/mean_", "latency/first_", "cpu/time_", "throughput/")
    groups = ("quality/", "agreement/", "vs_baseline/")
    names = dict.fromkeys(name for arm in study.arms for name in arm.metrics)
    return _others(study, tuple(name for name in names if not name.startswith((*elsewhere, *groups))))


def _others(study: Study, wanted: tuple[str, ...]) -> Table | None:
    units = {name: e.unit for arm in study.arms for name, e in arm.metrics.items()}
    names = [name for name in wanted if name in units]
    if not names:
        return None
    heads = tuple(f"{text.metric_name(name)} {units[name]}".removesuffix(" ratio").strip() for name in names)
    found = [(arm.name, tuple(_metric(arm, name) for name in names)) for arm in study.arms if arm.metrics]
    return Table(heads, tuple(found))


def environment(study: Study) -> tuple[tuple[str, str], ...]:
    """Facts of the machine and its software."""
    return tuple((name, text.redact(value)) for name, value in study.environment.items())


def configuration(study: Study) -> str:
    """The composed configuration as JSON text, without passwords in URIs."""
    return text.redact(json.dumps(study.config, indent=2, default=str, ensure_ascii=False))


def _metric(arm: ArmResult, name: str) -> Cell:
    return _estimate(arm.metrics.get(name))


def _estimate(estimate: Estimate | None, digits: int = 3) -> Cell:
    if estimate is None:
        return Cell(text.DASH)
    return Cell(text.number(estimate.value, digits), _span(text.interval(estimate, digits)))


def _agreement(name: str, estimate: Estimate | None) -> Cell:
    if estimate is not None and estimate.unit == "fraction":
        return share_cell(estimate)
    return _estimate(estimate, digits=5 if name == "cosine" else 3)  # cosines differ from 1 far behind the point


def share_cell(estimate: Estimate | None) -> Cell:
    """A figure of quality with its interval, in percent where it is a share."""
    return Cell(view.quality_text(estimate), _span(view.quality_text(estimate, with_interval=True)))


def points_cell(estimate: Estimate | None) -> Cell:
    """A difference of two figures of quality with its interval, in points where they are shares."""
    value, _, span = text.points(estimate).partition(" (")
    return Cell(value, span.rstrip(")"))


def _times(estimate: Estimate | None) -> Cell:
    value, _, span = text.times(estimate).partition(" (")
    return Cell(value, span.rstrip(")"))


def _with_delta(q: Quality, name: str) -> Cell:
    cell = share_cell(q.metrics.get(name))
    delta = q.deltas.get(name)
    return Cell(cell.value, text.points(delta) if delta is not None else cell.detail)


def _span(interval: str) -> str:
    """The part of ``0.26 (0.25 to 0.27)`` inside the brackets."""
    return interval.partition(" (")[2].rstrip(")")


__all__ = [
    "Cell",
    "Chip",
    "Table",
    "agreement",
    "arms",
    "chip",
    "configuration",
    "environment",
    "evidence",
    "judgements",
    "latencies",
    "plane_table",
    "points_cell",
    "quality",
    "resources",
    "share_cell",
    "sweeps",
    "tiles",
    "verdicts",
]
