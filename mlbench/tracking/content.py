"""What goes into MLflow, as plain values made from records: tags, parameters, metrics, tables. No MLflow in here."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import yaml

from mlbench.masking import redact, redacted
from mlbench.records import (
    ArmResult,
    LostTrial,
    MachineLook,
    Measurement,
    Plan,
    Predictions,
    RecordError,
    Refusal,
    StepSpec,
    Study,
    Turn,
    WorkerReport,
    fixed_words,
    from_dict,
    to_dict,
)
from mlbench.tracking import names

_INTERVALS = "vs_baseline/"
_ABSENT_LIMIT = 7500  # MLflow keeps 8000 characters of a tag; cut JSON could not be read back
_MEASUREMENT = ("machine", "energy_source", "absent", "complete")
_COUNTED = "counted"


@dataclass(frozen=True, slots=True)
class Point:
    """One value of one metric; ``step`` is the swept value in a series and 0 otherwise."""

    key: str
    value: float
    step: int = 0


@dataclass(frozen=True, slots=True)
class OfArm:
    """What was measured of one arm; ``void`` is of trials that do not count."""

    turns: tuple[Turn, ...] = ()
    workers: tuple[WorkerReport, ...] = ()
    predictions: tuple[Predictions, ...] = ()
    void: tuple[Turn, ...] = ()
    void_workers: tuple[WorkerReport, ...] = ()


def as_json(value: Any) -> str:
    """JSON text of plain values."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str)


def as_yaml(value: Any) -> str:
    """YAML text of plain values, in their own order."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=120)
    return text


def public(study: Study) -> Study:
    """The study as it may be shown: no credentials in configuration, overrides, messages or anywhere else."""
    return from_dict(Study, redacted(to_dict(study), keep=fixed_words()))


def rounded(value: float) -> float:
    """Five significant digits: MLflow's tables print every digit that a float has.

    >>> rounded(6.31800000000005), rounded(123456.7)
    (6.318, 123457.0)
    """
    return float(round(value)) if abs(value) >= 1e4 else float(f"{value:.5g}")


# ---------------------------------------------------------------------------------------------------------------------
# the study


def study_tags(study: Study) -> dict[str, str]:
    """Tags of the study's run."""
    tags = {
        names.KIND: "study",
        names.STUDY: study.name,
        names.CREATED: study.created,
        names.VERSION: study.version,
        names.SCHEMA: str(study.schema),
        names.STATUS: study.status,
        names.NOISE: study.noise.level,
        names.ENERGY_SOURCE: study.energy_source,
        names.DATA: study.workload.data.digest,
        names.OVERRIDES: redact(shlex.join(study.overrides)),
        names.DECISION: study.decision.outcome,
    }
    return tags if study.decision.winner is None else {**tags, names.WINNER: study.decision.winner}


def study_params(study: Study) -> dict[str, str]:
    """Parameters of the study's run: what tells studies apart in a table."""
    return {
        "workload": study.workload.name,
        "task": study.workload.task,
        "baseline": study.baseline.name,
        "arms": str(len(study.arms)),
        "trials": str(study.plan.trials),
        **_conditions(study.plan),
        "policy": str(study.decision.policy.get("name", "")),
        "seed": str(study.plan.seed),
    }


def comparison(study: Study) -> dict[str, Any]:
    """One row per arm, in the form of ``mlflow.log_table``: ``columns`` and ``data``."""
    judgements = {judgement.arm: judgement for judgement in study.decision.judgements}
    points = {arm.name: {point.key: point.value for point in metrics(arm) if point.step == 0} for arm in study.arms}
    keys = sorted({key for of_arm in points.values() for key in of_arm})
    data = []
    for arm in study.arms:
        judgement = judgements.get(arm.name)
        eligible = judgement.eligible if judgement else None
        reason = arm.failure or (judgement.reason if judgement else "")
        row: list[Any] = [
            arm.name,
            arm.role,
            arm.status,
            verdict(arm),
            eligible,
            arm.name == study.decision.winner,
            reason,
        ]
        data.append(row + [points[arm.name].get(key) for key in keys])
    return {"columns": ["arm", "role", "status", "verdict", "eligible", "winner", "reason", *keys], "data": data}


# ---------------------------------------------------------------------------------------------------------------------
# the arms


def verdict(arm: ArmResult) -> str:
    """The call on p50 latency; the role where there is none (baseline), ``failed`` for a failed arm."""
    if arm.status == "failed":
        return "failed"
    found = arm.verdicts.get("latency/p50_ms")
    return found.call if found is not None else ("baseline" if arm.role == "baseline" else "none")


def arm_tags(study: Study, arm: ArmResult, colour: str) -> dict[str, str]:
    """Tags of an arm's run."""
    tags = {
        **arm.tags,
        names.KIND: "arm",
        names.STUDY: study.name,
        names.WORKLOAD: study.workload.name,
        names.ARM: arm.name,
        names.ROLE: arm.role,
        names.VERDICT: verdict(arm),
        names.SHIP: str(arm.name == study.decision.winner).lower(),
        names.STATUS: arm.status,
        names.NOISE: study.noise.level,
        names.ENERGY_SOURCE: arm.tags.get(names.ENERGY_SOURCE, study.energy_source),
        names.SCHEMA: str(study.schema),
        names.ABSENT: _absent(arm),
        "mlflow.runColor": colour,
    }
    if arm.artifact is not None:
        tags[names.ARTIFACT] = arm.artifact.digest
    if arm.failure:
        tags[names.ERROR] = redact(arm.failure)
    return tags


def _absent(arm: ArmResult) -> str:
    """Reasons by metric as JSON; reasons are shortened together where there are too many for a tag."""
    text = json.dumps(arm.absent, ensure_ascii=False)
    limit = 200
    while len(text) > _ABSENT_LIMIT and limit > 10:
        text = json.dumps({key: reason[:limit] for key, reason in arm.absent.items()}, ensure_ascii=False)
        limit //= 2
    return text


def arm_params(study: Study, arm: ArmResult) -> dict[str, str]:
    """Parameters of an arm's run: its recipe step by step, and what really served it.

    ``study.created`` is the axis of time in MLflow's charts, which have none of their own for figures of many runs.
    """
    effective = dict(arm.effective)
    settings = arm.recipe.runtime
    params = {
        "study.created": study.created[:19].replace("T", " "),
        "recipe": " + ".join(step.name for step in arm.recipe.steps) or "none",
        "runtime": str(effective.pop("runtime", settings.name)),
        "threads": str(effective.pop("threads", settings.threads)),
        "device": str(effective.pop("device", settings.device)),
        **_conditions(study.plan),
    }
    if "precision" in effective:
        params["precision"] = str(effective.pop("precision"))
    if arm.artifact is not None:
        params |= {"artifact.format": arm.artifact.format, "artifact.digest": arm.artifact.digest}
    params |= _step_params(arm.recipe.steps)
    params |= {f"runtime.{name}": str(value) for name, value in settings.options.items()}
    params |= {f"effective.{name}": str(value) for name, value in effective.items()}
    return {_param_key(key): value for key, value in params.items()}


def _step_params(steps: Iterable[StepSpec]) -> dict[str, str]:
    params: dict[str, str] = {}
    seen: dict[str, int] = {}
    for step in steps:
        seen[step.name] = seen.get(step.name, 0) + 1
        prefix = step.name if seen[step.name] == 1 else f"{step.name}.{seen[step.name]}"
        params |= {f"{prefix}.{name}": str(value) for name, value in step.params.items()}
    return params


def metrics(arm: ArmResult) -> list[Point]:
    """Every number of an arm: headline metrics at step 0, intervals of comparisons, series by swept value."""
    points: list[tuple[str, float | None, int]] = []
    for name, estimate in arm.metrics.items():
        points.append((name, estimate.value, 0))
        if name.startswith(_INTERVALS):
            points += [(f"{name}_low", estimate.low, 0), (f"{name}_high", estimate.high, 0)]
    for name, series in arm.series.items():
        points += [(name, point.estimate.value, point.step) for point in series]
    return [
        Point(names.metric_key(name), rounded(value), step)
        for name, value, step in points
        if value is not None and math.isfinite(value)
    ]


def recipe(arm: ArmResult) -> dict[str, Any]:
    """``recipe.json``: the recipe as written, and what each step did."""
    built = to_dict(arm.artifact) if arm.artifact is not None else None
    if built is not None:
        built.pop("path")  # a directory of the machine that built it means nothing elsewhere
    return {"recipe": to_dict(arm.recipe), "artifact": built, "failure": arm.failure}


# ---------------------------------------------------------------------------------------------------------------------
# what was measured, besides the tables of mlbench.tables


def measurement_record(measurement: Measurement) -> dict[str, Any]:
    """``measurement.json``: what belongs to no single arm. Messages of workers are in it, so it is redacted."""
    record = {name: getattr(measurement, name) for name in _MEASUREMENT}
    lists = {"lost": measurement.lost, "refused": measurement.refused, "machine_looks": measurement.machine_looks}
    record |= {key: [to_dict(item) for item in items] for key, items in lists.items()}
    plain: dict[str, Any] = redacted(
        {**record, "epoch_ns": measurement.epoch_ns, "boot": measurement.boot}, keep=fixed_words()
    )
    return plain


def worker_records(measurement: Measurement, arm: str) -> list[dict[str, Any]]:
    """``workers.json``: what each worker of the arm said of itself; its warm-up calls are in ``samples.parquet``.

    ``counted`` is false in a trial that does not count.
    """
    kept = [field.name for field in fields(WorkerReport) if field.name not in ("warmup_ns", "arm")]
    reports = [(True, worker) for worker in measurement.workers if worker.arm == arm]
    reports += [(False, worker) for worker in measurement.void_workers if worker.arm == arm]
    plain = redacted(
        [{**{name: getattr(worker, name) for name in kept}, _COUNTED: counted} for counted, worker in reports]
    )
    return [{"arm": arm, **worker} for worker in plain]


def workers_from(
    records: Any, warmup: Mapping[tuple[int, int | None], Any]
) -> tuple[list[WorkerReport], list[WorkerReport]]:
    """Worker reports from :func:`worker_records` and the warm-up calls by trial and threads.

    Returns:
        Those of trials that count, and the void ones.

    Raises:
        RecordError: The records do not fit.
    """
    found: dict[bool, list[WorkerReport]] = {True: [], False: []}
    try:
        for record in records:
            kept = {name: value for name, value in record.items() if name != _COUNTED}
            worker = WorkerReport(
                **{**kept, "modules": tuple(record["modules"]), "cpus": tuple(record.get("cpus", ()))},
                warmup_ns=warmup.get((record["trial"], record.get("threads")), np.empty(0, np.int64)),
            )
            found[bool(record.get(_COUNTED, True))].append(worker)
    except (TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"'{names.WORKERS_JSON}' is not readable: {error}") from error
    return found[True], found[False]


def measurement_from(plan: Plan, record: Any, arms: Iterable[OfArm]) -> Measurement:
    """A measurement from :func:`measurement_record` and what was read for each arm.

    Turns are by trial, and within one in order of time. The clock may have started anew between two trials of a study
    that was resumed, but not within one.

    Raises:
        RecordError: The record does not fit.
    """
    found = tuple(arms)
    try:
        return Measurement(
            plan=plan,
            turns=_by_time(turn for arm in found for turn in arm.turns),
            workers=_by_trial(worker for arm in found for worker in arm.workers),
            predictions=tuple(item for arm in found for item in arm.predictions),
            lost=tuple(_lost(loss) for loss in record["lost"]),
            machine_looks=tuple(from_dict(MachineLook, look) for look in record.get("machine_looks", ())),
            epoch_ns=record.get("epoch_ns", 0),
            boot=record.get("boot", ""),
            refused=tuple(from_dict(Refusal, refusal) for refusal in record.get("refused", ())),
            void=_by_time(turn for arm in found for turn in arm.void),
            void_workers=_by_trial(worker for arm in found for worker in arm.void_workers),
            **{name: record[name] for name in _MEASUREMENT},
        )
    except (TypeError, KeyError, RecordError) as error:
        raise RecordError(f"'{names.MEASUREMENT_JSON}' is not readable: {error}") from error


def _by_time(turns: Iterable[Turn]) -> tuple[Turn, ...]:
    return tuple(sorted(turns, key=lambda turn: (turn.trial, turn.start_ns)))


def _by_trial(workers: Iterable[WorkerReport]) -> tuple[WorkerReport, ...]:
    return tuple(sorted(workers, key=lambda worker: worker.trial))


def _lost(record: Any) -> LostTrial:
    """A lost trial; up to schema version 1 one that was measured once more kept its number (``repeated``)."""
    loss = from_dict(LostTrial, record)
    return replace(loss, repeated_as=loss.trial) if record.get("repeated") is True and not loss.repeated else loss


def _conditions(plan: Plan) -> dict[str, str]:
    """The conditions as parameters; an axis that is not swept is left out."""
    lengths, threads = plan.sweep("input_length"), plan.sweep("threads")
    params = {"batch_sizes": _listing(plan.batch_sizes)}
    if lengths:
        params["input_lengths"] = _listing(key.input_length for key in lengths)
    if threads:
        params["thread_counts"] = _listing(key.threads for key in threads)
    return params


def _listing(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in values)


def _param_key(key: str) -> str:
    return names.metric_key(key)  # MLflow accepts the same characters in both
