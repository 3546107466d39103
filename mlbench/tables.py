"""Bulk data as columns: one row per call, per turn, per prediction, written to and read from Parquet.

Each file holds one arm and says in its metadata which table it is (``mlbench.table``), of which schema version
(``mlbench.schema``) and of which arm (``mlbench.arm``). pyarrow is imported when a file is touched.

=============  =======================================================================================================
table          columns
=============  =======================================================================================================
samples        one row per call: ``trial``, ``round``, ``position``, ``batch_size``, ``input_length`` and ``threads``
               (null where not swept), ``counted`` (false in a trial that does not count, see
               :class:`mlbench.records.Measurement`: kept, and in no figure; these rows come last), ``phase``
               (``warmup``, ``discarded`` or ``timed``), ``call`` (from 0 within its turn and phase), ``group`` (calls
               per timed value), ``ns``. Warm-up belongs to no turn: its ``round`` and ``position`` are null.
hardware       one row per turn: ``trial``, ``round``, ``position``, ``batch_size``, ``input_length``, ``threads``,
               ``counted`` (as above), ``start_ns``, ``end_ns``, ``cpu_ns``, ``wall_ns``, and one column per hardware
               figure, null where it could not be read.
predictions    one row per test item, in test-set order: ``row``, ``label``, ``predicted`` (what the task made of the
               outputs), ``output_0`` ... ``output_n``. Several labels per item are ``label_0`` ... ``label_n``, and
               so are predictions.
=============  =======================================================================================================
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.outside import LimitError, check_table
from mlbench.records import SCHEMA_VERSION, ConditionKey, Measurement, Predictions, RecordError, Turn

Columns = dict[str, npt.NDArray[Any]]

PHASES = ("warmup", "discarded", "timed")
_NULL = -1  # in arrays, where the file has null
_CONDITION = ("batch_size", "input_length", "threads")
_TURN_KEY = ("trial", "round", "position", *_CONDITION)
_NULLABLE = ("round", "position", "input_length", "threads")
_TURN_TIMES = ("start_ns", "end_ns", "cpu_ns", "wall_ns")
_COUNTED = "counted"  # not in what was written up to schema version 1, where every trial counts
_SAMPLES = (*_TURN_KEY, _COUNTED, "phase", "call", "group", "ns")


def write_samples(path: Path, arm: str, measurement: Measurement) -> None:
    """Write every call of one arm: warm-up, discarded and timed.

    Args:
        path: File to write; replaced as a whole or not at all.
        arm: Arm name.
        measurement: Where its turns and worker reports are.
    """
    import pyarrow as pa

    blocks: list[Columns] = []
    for counted, reports, turns in (
        (True, measurement.workers, measurement.turns),
        (False, measurement.void_workers, measurement.void),
    ):
        for report in reports:
            if report.arm == arm:
                first = measurement.plan.first_of(report.threads)
                where = (report.trial, _NULL, _NULL, *_numbers(first), counted)
                blocks.append(_calls(where, "warmup", report.warmup_ns, 1))
        for turn in turns:
            if turn.arm == arm:
                where = (turn.trial, turn.round, turn.position, *_numbers(turn.key), counted)
                blocks.append(_calls(where, "discarded", turn.discarded_ns, 1))
                blocks.append(_calls(where, "timed", turn.timed_ns, turn.group))
    columns = {name: np.concatenate([b[name] for b in blocks]) if blocks else np.empty(0, int) for name in _SAMPLES}
    arrays: dict[str, Any] = {
        name: pa.array(columns[name], pa.int32(), mask=columns[name] == _NULL if name in _NULLABLE else None)
        for name in (*_TURN_KEY, "call", "group")
    }
    arrays[_COUNTED] = pa.array(columns[_COUNTED], pa.bool_())
    arrays["phase"] = pa.DictionaryArray.from_arrays(pa.array(columns["phase"], pa.int8()), list(PHASES))
    arrays["ns"] = pa.array(columns["ns"], pa.int64())
    _write(path, "samples", arm, {name: arrays[name] for name in _SAMPLES})


def read_samples(path: Path) -> Columns:
    """Every call of one arm, as written by :func:`write_samples`.

    Returns:
        Arrays of equal length by column name: warm-up calls, then turns, by trial and within one in the order of
        measurement; last come the rows that do not count, whose trials are in no order. ``round`` and ``position`` are
        -1 for warm-up calls, ``input_length`` and ``threads`` where they are not swept; ``phase`` holds text, and
        ``counted`` truth values.

    Raises:
        RecordError: Damaged, not a samples table, or written by a newer mlbench.
    """
    import pyarrow as pa

    needed = dict.fromkeys((name for name in _SAMPLES if name != _COUNTED), "i") | {"phase": "t"}
    table = _read(path, "samples", needed)
    columns: Columns = {}
    for name in _SAMPLES:
        if name == _COUNTED:
            columns[name] = _read_counted(table)
        elif name == "phase":
            columns[name] = np.asarray(table.column(name).cast(pa.string()).to_pylist(), dtype=np.str_)
        else:
            columns[name] = table.column(name).fill_null(_NULL).to_numpy()
    return columns


def write_hardware(path: Path, arm: str, measurement: Measurement) -> None:
    """Write one row per turn of one arm: when it ran and its hardware figures.

    Args:
        path: File to write; replaced as a whole or not at all.
        arm: Arm name.
        measurement: Where its turns are.
    """
    import pyarrow as pa

    counted = [turn for turn in measurement.turns if turn.arm == arm]
    turns = [*counted, *(turn for turn in measurement.void if turn.arm == arm)]
    arrays: dict[str, Any] = {name: pa.array([getattr(turn, name) for turn in turns], pa.int32()) for name in _TURN_KEY}
    arrays[_COUNTED] = pa.array([index < len(counted) for index in range(len(turns))], pa.bool_())
    arrays |= {name: pa.array([getattr(turn, name) for turn in turns], pa.int64()) for name in _TURN_TIMES}
    figures = sorted({name for turn in turns for name in turn.hardware})
    arrays |= {name: pa.array([turn.hardware.get(name) for turn in turns], pa.float64()) for name in figures}
    _write(path, "hardware", arm, arrays)


def read_hardware(path: Path) -> Columns:
    """One row per turn, as written by :func:`write_hardware`.

    Returns:
        Arrays of equal length by column name; hardware figures are float64, not-a-number where absent;
        ``input_length`` and ``threads`` are -1 where they are not swept; ``counted`` holds truth values.

    Raises:
        RecordError: Damaged, not a hardware table, or written by a newer mlbench.
    """
    table = _read(path, "hardware", dict.fromkeys((*_TURN_KEY, *_TURN_TIMES), "i"), others="if")
    columns = {
        name: table.column(name).fill_null(_NULL).to_numpy() if name in _TURN_KEY else table.column(name).to_numpy()
        for name in table.column_names
    }
    return {**columns, _COUNTED: _read_counted(table)}


def _read_counted(table: Any) -> npt.NDArray[np.bool_]:
    """Which rows are of trials that count."""
    if _COUNTED not in table.column_names:
        return np.ones(table.num_rows, bool)
    counted: npt.NDArray[np.bool_] = table.column(_COUNTED).to_numpy()
    return counted


def write_predictions(path: Path, predictions: Predictions) -> None:
    """Write the raw model output of one arm for the whole test set.

    Args:
        path: File to write; replaced as a whole or not at all.
        predictions: Outputs of shape (rows, ...); further axes are laid out flat, the shape is kept in the metadata.
    """
    import pyarrow as pa

    rows = len(predictions.labels)
    outputs = np.asarray(predictions.outputs, np.float64)
    arrays = {"row": pa.array(np.arange(rows), pa.int32()), **_laid_out("label", predictions.labels)}
    if predictions.decided is not None:
        arrays |= _laid_out("predicted", predictions.decided)
    flat = outputs.reshape(rows, -1)
    arrays |= {f"output_{index}": pa.array(flat[:, index], pa.float64()) for index in range(flat.shape[1])}
    shape = ",".join(str(size) for size in outputs.shape[1:])
    _write(path, "predictions", predictions.arm, arrays, {"mlbench.output_shape": shape})


def read_predictions(path: Path) -> Predictions:
    """The raw model output of one arm, as written by :func:`write_predictions`.

    Raises:
        RecordError: Damaged, not a predictions table, or written by a newer mlbench.
    """
    table = _read(path, "predictions", {"row": "i", "output_0": "f"}, others="if")
    shape = _said(table, "mlbench.output_shape")
    flat = np.column_stack([table.column(name).to_numpy() for name in _columns(table, "output")])
    try:
        outputs = flat.reshape(len(flat), *(int(size) for size in shape.split(",") if size))
    except ValueError as error:
        raise RecordError(f"'{path.name}' is damaged: its outputs do not have the shape ({shape})") from error
    arm = _said(table, "mlbench.arm")
    labels = _read_laid_out(table, "label")
    if labels is None:
        raise RecordError(f"'{path.name}' is damaged: it lacks the column label")
    return Predictions(arm=arm, outputs=outputs, labels=labels, decided=_read_laid_out(table, "predicted"))


def _laid_out(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    """One column for one value per item, numbered columns for several; whole numbers and floats stay what they are."""
    import pyarrow as pa

    kind = pa.int64() if values.dtype.kind in "iub" else pa.float64()
    if values.ndim == 1:
        return {name: pa.array(values, kind)}
    return {f"{name}_{index}": pa.array(values[:, index], kind) for index in range(values.shape[1])}


def _read_laid_out(table: Any, name: str) -> npt.NDArray[Any] | None:
    """What :func:`_laid_out` wrote, or None."""
    if name in table.column_names:
        values: npt.NDArray[Any] = table.column(name).to_numpy()
        return values
    columns = _columns(table, name)
    return np.column_stack([table.column(column).to_numpy() for column in columns]) if columns else None


def _columns(table: Any, name: str) -> list[str]:
    return [column for column in table.column_names if column.startswith(f"{name}_")]


def turns_of(arm: str, samples: Columns, hardware: Columns) -> tuple[tuple[Turn, ...], tuple[Turn, ...]]:
    """The arm's turns, put together again from its two tables.

    Args:
        arm: Arm name.
        samples: From :func:`read_samples`.
        hardware: From :func:`read_hardware`.

    Returns:
        Turns of the trials that count and the void ones, each in the order of the hardware table.
    """
    key = np.column_stack([samples[name] for name in ("trial", "round", *_CONDITION)])
    spans = _spans(key)
    figures = [name for name in hardware if name not in (*_TURN_KEY, *_TURN_TIMES, _COUNTED)]
    turns: dict[bool, list[Turn]] = {True: [], False: []}
    for index in range(len(hardware["trial"])):
        numbers = {name: int(hardware[name][index]) for name in (*_TURN_KEY, *_TURN_TIMES)}
        condition = tuple(numbers.pop(name) for name in _CONDITION)
        span = spans.get((numbers["trial"], numbers["round"], *condition), slice(0, 0))
        phase, ns, group = samples["phase"][span], samples["ns"][span], samples["group"][span]
        timed = phase == "timed"
        read = {name: float(hardware[name][index]) for name in figures}
        turns[bool(hardware[_COUNTED][index])].append(
            Turn(
                arm=arm,
                discarded_ns=ns[phase == "discarded"],
                timed_ns=ns[timed],
                group=int(group[timed][0]) if timed.any() else 1,
                hardware={name: value for name, value in read.items() if not np.isnan(value)},
                **_condition(condition)._asdict(),
                **numbers,
            )
        )
    return tuple(turns[True]), tuple(turns[False])


def warmup_of(samples: Columns) -> dict[tuple[int, int | None], npt.NDArray[np.int64]]:
    """Nanoseconds of the warm-up calls by trial and the condition's threads, from :func:`read_samples`."""
    warm = samples["phase"] == "warmup"
    trials, threads, ns = samples["trial"][warm], samples["threads"][warm], samples["ns"][warm]
    workers = {(int(trial), int(count)) for trial, count in zip(trials, threads, strict=True)}
    return {
        (trial, None if count == _NULL else count): ns[(trials == trial) & (threads == count)]
        for trial, count in sorted(workers)
    }


def _numbers(key: ConditionKey) -> tuple[int, ...]:
    return tuple(_NULL if value is None else value for value in key)


def _condition(numbers: tuple[int, ...]) -> ConditionKey:
    batch_size, *others = numbers
    return ConditionKey(batch_size, *(None if value == _NULL else value for value in others))


def _calls(where: tuple[int, ...], phase: str, ns: npt.NDArray[np.int64], group: int) -> Columns:
    count = len(ns)
    columns: Columns = {name: np.full(count, value) for name, value in zip((*_TURN_KEY, _COUNTED), where, strict=True)}
    columns["phase"] = np.full(count, PHASES.index(phase))
    columns["call"] = np.arange(count)
    columns["group"] = np.full(count, group)
    columns["ns"] = np.asarray(ns, np.int64)
    return columns


def _spans(key: npt.NDArray[Any]) -> dict[tuple[int, ...], slice]:
    """Where each run of equal rows lies; a turn's calls lie together, as they were written."""
    if not len(key):
        return {}
    starts = np.concatenate([[0], np.flatnonzero((key[1:] != key[:-1]).any(axis=1)) + 1, [len(key)]])
    return {tuple(int(part) for part in key[start]): slice(int(start), int(stop)) for start, stop in pairwise(starts)}


def _write(path: Path, table: str, arm: str, arrays: Mapping[str, Any], more: Mapping[str, str] | None = None) -> None:
    """Write to a temporary file beside ``path``, flush it to disk, then rename: readers see all or nothing."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    metadata = {"mlbench.table": table, "mlbench.schema": str(SCHEMA_VERSION), "mlbench.arm": arm, **(more or {})}
    content = pa.table(dict(arrays)).replace_schema_metadata(metadata)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            pq.write_table(content, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _read(path: Path, table: str, needed: Mapping[str, str], others: str = "") -> Any:
    """The table in a file, its columns what they should be.

    Args:
        path: The file.
        table: Which table it should be.
        needed: Columns that must be there, and what each holds: ``i`` whole numbers, ``f`` floats, ``t`` texts.
        others: What further columns may hold, besides truth values (``b``) in ``counted``.

    Raises:
        RecordError: Damaged, another table, more than fits into memory, or written by a newer mlbench.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = file.metadata
            unpacked = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            check_table(about.num_rows, about.num_columns, unpacked)
            content = file.read()
        names = content.column_names
    except (OSError, pa.ArrowException, LimitError, UnicodeDecodeError) as error:
        raise RecordError(f"'{path.name}' cannot be read as a Parquet table: {error}") from error
    found = _said(content, "mlbench.table")
    if found != table:
        kind = f"a table of {found}" if found else "not a table of mlbench"
        raise RecordError(f"'{path.name}' is {kind}, but a table of {table} was expected")
    schema = _said(content, "mlbench.schema")
    if not schema.isascii() or not schema.isdigit() or int(schema[:9]) > SCHEMA_VERSION:
        raise RecordError(
            f"'{path.name}' has schema version {schema or 'unknown'}, but this mlbench reads up to {SCHEMA_VERSION}: "
            "upgrade mlflow-mlbench"
        )
    missing = [name for name in needed if name not in names]
    if missing:
        raise RecordError(f"'{path.name}' is damaged: it lacks the columns {', '.join(missing)}")
    times, kinds = Counter(names), {**needed, _COUNTED: "b"}
    odd = [name for name in names if times[name] > 1 or not _holds(content, name, kinds.get(name, others))]
    if odd:
        raise RecordError(f"'{path.name}' is damaged: its column {odd[0]} does not hold what it should")
    return content


def _holds(table: Any, name: str, kinds: str) -> bool:
    """Whether a column has one of these types, and a value in every row where it must."""
    import pyarrow.types as is_

    column = table.column(name)
    kind = column.type.value_type if is_.is_dictionary(column.type) else column.type
    tests = {"i": is_.is_integer, "f": is_.is_floating, "t": is_.is_string, "b": is_.is_boolean}
    found = next((short for short, is_kind in tests.items() if is_kind(kind)), "?")
    may_be_absent = found == "f" or name in _NULLABLE
    return found in kinds and (may_be_absent or column.null_count == 0)


def _said(table: Any, key: str) -> str:
    """What a file says of itself; empty for nothing, or for nothing that can be read."""
    raw: bytes = (table.schema.metadata or {}).get(key.encode(), b"")
    return raw.decode(errors="replace")
