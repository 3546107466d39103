"""Tables in files: CSV, Parquet and JSON Lines, in one file or one for each split."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.outside import LimitError, check_file, check_table, parse_json
from mlbench.workloads import RawData
from mlbench.workloads.columns import OPTIONS, SPLIT_NAMES, Column, Mapped, raw_data

SPLIT = "(split)"  # the column of given split files; parentheses keep it apart from the user's

Table = dict[str, Column]


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Where the table is, and which of its columns are what; see :class:`mlbench.workloads.columns.Mapped`.

    Attributes:
        path: One file, or one for each split: ``{train: a.csv, test: b.csv}``.
    """

    path: str | dict[str, str]
    inputs: dict[str, str | tuple[str, ...]] | tuple[str, ...] = field(default_factory=dict)
    labels: str | tuple[str, ...] = "label"
    split: str | None = None


@dataclass(frozen=True, slots=True)
class CsvOptions(TableOptions):
    """As other tables, and what separates the columns."""

    delimiter: str = ","


class Csv:
    """Text with one row per line, the first of them the names of the columns; UTF-8."""

    options: type[Any] = CsvOptions

    def load(self, options: CsvOptions) -> RawData:
        """Read the file or files.

        Raises:
            InputError: A file cannot be read, or a column is missing or cannot be used.
        """
        if len(options.delimiter) != 1:
            raise InputError(f"{OPTIONS}.delimiter: '{options.delimiter}' must be one character")
        return _load(options, lambda path: read_csv(path, options.delimiter))


class Parquet:
    """Apache Parquet; lists in cells become a row of an input."""

    options: type[Any] = TableOptions

    def load(self, options: TableOptions) -> RawData:
        """Read the file or files.

        Raises:
            InputError: A file cannot be read, or a column is missing or cannot be used.
        """
        return _load(options, read_parquet)


class JsonLines:
    """One JSON object per line; a key that a line lacks is an empty cell."""

    options: type[Any] = TableOptions

    def load(self, options: TableOptions) -> RawData:
        """Read the file or files.

        Raises:
            InputError: A file cannot be read, or a column is missing or cannot be used.
        """
        return _load(options, read_jsonl)


def _load(options: TableOptions, read: Callable[[Path], Table]) -> RawData:
    if isinstance(options.path, str):
        path = _existing(options.path, f"{OPTIONS}.path")
        return raw_data(read(path), Mapped(options.inputs, options.labels, options.split), path.name)
    if options.split is not None:
        raise InputError(f"{OPTIONS}.split: the files in 'path' are the splits already; give one of the two")
    files = split_files(options.path)
    tables = {name: read(path) for name, path in files.items()}
    source = ", ".join(path.name for path in files.values())
    return raw_data(joined(tables, source), Mapped(options.inputs, options.labels, SPLIT), source)


def split_files(paths: Mapping[str, str]) -> dict[str, Path]:
    """The file of each split, by the split's name here.

    Raises:
        InputError: A split has a name that is none, or a file does not exist.
    """
    found: dict[str, Path] = {}
    for name, path in paths.items():
        known = SPLIT_NAMES.get(name.lower())
        if known is None:
            raise InputError(f"{OPTIONS}.path: '{name}' is no split; a split is one of {', '.join(SPLIT_NAMES)}")
        if known in found:
            raise InputError(f"{OPTIONS}.path: the {known} split is given twice")
        found[known] = _existing(path, f"{OPTIONS}.path.{name}")
    return found


def joined(tables: Mapping[str, Table], source: str) -> Table:
    """One table of several, with a column that says which split a row is from.

    Raises:
        InputError: The tables have different columns.
    """
    first, *others = tables.values()
    for table in others:
        if set(table) != set(first):
            odd = sorted(set(table) ^ set(first))
            raise InputError(f"{OPTIONS}.path: the files {source} have different columns ({', '.join(odd[:3])})")
    whole = {name: _concatenated([table[name] for table in tables.values()]) for name in first}
    lengths = {name: len(next(iter(table.values()), ())) for name, table in tables.items()}
    whole[SPLIT] = np.repeat(list(lengths), list(lengths.values()))
    return whole


def _concatenated(columns: list[Column]) -> Column:
    if any(column.dtype.kind == "O" for column in columns):
        return objects(list(chain.from_iterable(columns)))
    return np.concatenate(columns)


def _existing(text: str, key: str) -> Path:
    path = Path(text).expanduser()
    if not path.is_file():
        raise InputError(f"{key}: {path} {'is a directory' if path.is_dir() else 'does not exist'}; a file is expected")
    try:
        check_file(path)
    except LimitError as error:
        raise InputError(f"{key}: {path} is not read: {error}") from None
    return path


def read_csv(path: Path, delimiter: str = ",") -> Table:
    """Columns of text by name.

    Raises:
        InputError: The file is no such table; the sentence names the line.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, delimiter=delimiter, strict=True)
            header = next(reader, [])
            rows = []
            for row in reader:
                if row and len(row) != len(header):
                    raise InputError(
                        f"{OPTIONS}.path: line {reader.line_num} of {path.name} has {len(row)} cells, but the first "
                        f"line names {len(header)} columns"
                    )
                if row:
                    rows.append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{OPTIONS}.path: {path} cannot be read as CSV in UTF-8: {error}") from None
    return _table(header, [list(column) for column in zip(*rows, strict=True)], path, texts=True)


def read_parquet(path: Path) -> Table:
    """Columns by name, with the file's own types.

    Raises:
        InputError: The file cannot be read.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with pq.ParquetFile(path) as file:
            about = file.metadata
            unpacked = sum(about.row_group(index).total_byte_size for index in range(about.num_row_groups))
            check_table(about.num_rows, about.num_columns, unpacked)
            return from_arrow(file.read(), path.name)
    except (OSError, pa.ArrowException, LimitError, UnicodeDecodeError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(f"{OPTIONS}.path: {path} cannot be read as Parquet: {reason}") from None


def from_arrow(table: Any, source: str) -> Table:
    """Columns of an Arrow table by name; what is no plain number becomes Python values.

    Raises:
        InputError: The table has no rows.
    """
    import pyarrow.types as kinds

    if not table.num_rows:
        raise InputError(f"{OPTIONS}.path: {source} has no rows")
    found: Table = {}
    for name in table.column_names:
        column = table.column(name)
        plain = kinds.is_integer(column.type) or kinds.is_floating(column.type) or kinds.is_boolean(column.type)
        found[name] = column.to_numpy() if plain and not column.null_count else objects(column.to_pylist())
    return found


def read_jsonl(path: Path) -> Table:
    """Columns of Python values by name.

    Raises:
        InputError: A line is no JSON object; the sentence names it.
    """
    records: list[dict[str, Any]] = []
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    records.append(_record(line, number, path))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{OPTIONS}.path: {path} cannot be read as JSON Lines: {error}") from None
    names = list(dict.fromkeys(name for record in records for name in record))
    return _table(names, [[record.get(name) for record in records] for name in names], path, texts=False)


def _record(line: str, number: int, path: Path) -> dict[str, Any]:
    try:
        record = parse_json(line, finite=False)  # an empty cell, as Python writes it
    except ValueError as error:
        raise InputError(f"{OPTIONS}.path: line {number} of {path.name} is not JSON: {error}") from None
    if not isinstance(record, dict):
        raise InputError(f"{OPTIONS}.path: line {number} of {path.name} is no JSON object")
    return record


def _table(names: list[str], columns: list[list[Any]], path: Path, *, texts: bool) -> Table:
    if not columns or not columns[0]:
        raise InputError(f"{OPTIONS}.path: {path.name} has no rows")
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{OPTIONS}.path: {path.name} has {names.count(twice[0])} columns named '{twice[0]}'")
    return {
        name: np.array(column, dtype=np.str_) if texts else objects(column)
        for name, column in zip(names, columns, strict=True)
    }


def objects(values: list[Any]) -> npt.NDArray[np.object_]:
    """Python values as they are, shape (items,): lists must not become further axes."""
    found = np.empty(len(values), dtype=object)
    found[:] = values
    return found
