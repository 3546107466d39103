"""What was measured, as files: the ones that an arm's run and the study's run keep. No MLflow in here.

A folder holds one sub-folder per arm (``samples.parquet``, ``hardware.parquet``, ``workers.json``,
``predictions.parquet``; each where there is something to keep) and ``measurement.json``, what belongs to no single arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbench import outside, tables
from mlbench.records import Measurement, Plan, RecordError, to_json
from mlbench.tracking import content, names

OF_ARM = (names.SAMPLES, names.HARDWARE, names.PREDICTIONS, names.WORKERS_JSON)


def write_arm(folder: Path, arm: str, measurement: Measurement) -> None:
    """Write what was measured of one arm into a folder that is there."""
    workers = content.worker_records(measurement, arm)
    if workers or any(turn.arm == arm for turn in (*measurement.turns, *measurement.void)):
        tables.write_samples(folder / names.SAMPLES, arm, measurement)
        tables.write_hardware(folder / names.HARDWARE, arm, measurement)
        (folder / names.WORKERS_JSON).write_text(content.as_json(workers), encoding="utf-8")
    for predictions in measurement.predictions:
        if predictions.arm == arm:
            tables.write_predictions(folder / names.PREDICTIONS, predictions)


def read_arm(files: Mapping[str, Path], arm: str) -> content.OfArm:
    """What was measured of one arm, from those of its files that there are, by name.

    Raises:
        RecordError: Damaged, or written by a newer mlbench.
    """
    predictions = (tables.read_predictions(files[names.PREDICTIONS]),) if names.PREDICTIONS in files else ()
    found = content.OfArm(predictions=predictions)
    if names.SAMPLES in files:
        absent = [name for name in (names.HARDWARE, names.WORKERS_JSON) if name not in files]
        if absent:
            raise RecordError(f"of the arm '{arm}' {' and '.join(absent)} is missing")
        samples = tables.read_samples(files[names.SAMPLES])
        turns, void = tables.turns_of(arm, samples, tables.read_hardware(files[names.HARDWARE]))
        workers, void_workers = content.workers_from(_json(files[names.WORKERS_JSON]), tables.warmup_of(samples))
        found = content.OfArm(turns, tuple(workers), predictions, void, tuple(void_workers))
    return found


def write_study(folder: Path, measurement: Measurement) -> None:
    """Write the plan, and what belongs to no single arm, into a folder that is there."""
    (folder / names.PLAN_JSON).write_text(to_json(measurement.plan), encoding="utf-8")
    record = content.as_json(content.measurement_record(measurement))
    (folder / names.MEASUREMENT_JSON).write_text(record, encoding="utf-8")


def write_measurement(folder: Path, measurement: Measurement) -> None:
    """Write a whole measurement except its plan below a folder that is there."""
    for arm in measurement.plan.arms:
        (folder / arm).mkdir()
        write_arm(folder / arm, arm, measurement)
    record = content.as_json(content.measurement_record(measurement))
    (folder / names.MEASUREMENT_JSON).write_text(record, encoding="utf-8")


def read_measurement(folder: Path, plan: Plan) -> Measurement:
    """A measurement of that plan, as written by :func:`write_measurement`.

    Raises:
        RecordError: Damaged, or written by a newer mlbench.
    """
    arms = []
    for arm in plan.arms:
        files = {name: folder / arm / name for name in OF_ARM if (folder / arm / name).is_file()}
        arms.append(read_arm(files, arm))
    return content.measurement_from(plan, _json(folder / names.MEASUREMENT_JSON), arms)


def parse_json(text: str, name: str) -> Any:
    """Plain values from JSON text.

    Raises:
        RecordError: It is none; the message names the file.
    """
    try:
        return outside.parse_json(text)
    except ValueError as error:
        raise RecordError(f"'{name}' is not readable: {error}") from error


def _json(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecordError(f"'{path.name}' is not readable: {error}") from error
    return parse_json(text, path.name)
