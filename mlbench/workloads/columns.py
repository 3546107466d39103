"""Columns of a table as arrays that a model takes: which are inputs, which is the label, which names the split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.registry import suggest
from mlbench.workloads import RawData

FEATURES = "features"
OPTIONS = "workload.data.options"
SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
    "dev": "validation",
    "test": "test",
}
"""What a source may call a split, and what it is called here."""

Column = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Mapped:
    """Which columns are what.

    Attributes:
        inputs: Model input -> column, or a list of columns that stand side by side; or a list of columns, each an
            input of its own. Empty: all other columns side by side, as the one input ``features``.
        labels: The column of labels, or several columns of zeros and ones.
        split: The column that names the split.
    """

    inputs: Mapping[str, str | tuple[str, ...]] | tuple[str, ...] = field(default_factory=dict)
    labels: str | tuple[str, ...] = "label"
    split: str | None = None


def raw_data(
    table: Mapping[str, Column], mapped: Mapped, source: str, classes: Mapping[str, tuple[str, ...]] | None = None
) -> RawData:
    """The table as inputs and labels.

    Numbers become one column of an input, (items, 1), lists of equal length a row of it, (items, n); text stays text,
    and lists of words stay lists, (items,), for models that have a tokenizer.

    Args:
        table: Columns of equal length by name; cells may be text, numbers, or lists.
        mapped: Which columns are what.
        source: What messages and the record call the table.
        classes: Class names behind a column of indices, by column, where the source knows them.

    Raises:
        InputError: A column is missing, or holds what cannot be used; the sentence names it.
    """
    labels = (mapped.labels,) if isinstance(mapped.labels, str) else mapped.labels
    if not labels:
        raise InputError(f"{OPTIONS}.labels: name at least one column of {source}")
    taken = [*labels, *([mapped.split] if mapped.split else [])]
    wanted = _wanted(table, mapped, taken, source)
    _require(table, [column for columns in wanted.values() for column in columns], f"{OPTIONS}.inputs", source)
    _require(table, labels, f"{OPTIONS}.labels", source)
    _require(table, [mapped.split] if mapped.split else [], f"{OPTIONS}.split", source)
    inputs = {name: _input(table, columns, source) for name, columns in wanted.items()}
    return RawData(
        inputs=inputs,
        labels=_labels(table, labels, source),
        classes=labels if len(labels) > 1 else (classes or {}).get(labels[0], ()),
        source=source,
        splits=_splits(table[mapped.split], mapped.split, source) if mapped.split else None,
        columns={name: _kind(column) for name, column in table.items()},
    )


def _wanted(
    table: Mapping[str, Column], mapped: Mapped, taken: Sequence[str], source: str
) -> dict[str, tuple[str, ...]]:
    """Columns of each input, in call order."""
    if isinstance(mapped.inputs, Mapping) and mapped.inputs:
        return {
            name: (columns,) if isinstance(columns, str) else tuple(columns) for name, columns in mapped.inputs.items()
        }
    if mapped.inputs:
        return {str(name): (str(name),) for name in mapped.inputs}
    others = tuple(name for name in table if name not in taken)
    if not others:
        raise InputError(f"{OPTIONS}.inputs: {source} has no column besides {', '.join(taken)}, so there is no input")
    return {FEATURES: others}


def _require(table: Mapping[str, Column], names: Sequence[str | None], key: str, source: str) -> None:
    absent = [name for name in names if name is not None and name not in table]
    if absent:
        raise InputError([f"{key}: {source} has no column '{name}'; {suggest(name, table)}" for name in absent])


def _input(table: Mapping[str, Column], columns: tuple[str, ...], source: str) -> Column:
    if not columns:
        raise InputError(f"{OPTIONS}.inputs: an input of {source} names no column")
    if len(columns) == 1:
        column = table[columns[0]]
        if _is_text(column):
            return _texts(column, columns[0], source)
        if _is_words(column):
            return column
        found = _numbers(column, columns[0], source)
        return found[:, None] if found.ndim == 1 else found
    parts = [_numbers(table[name], name, source) for name in columns]
    flat = [part[:, None] if part.ndim == 1 else part.reshape(len(part), -1) for part in parts]
    return np.concatenate([part.astype(np.float32) for part in flat], axis=1)


def _is_text(column: Column) -> bool:
    """Whether a cell is text that is no number."""
    if column.dtype.kind == "O":
        return any(isinstance(cell, str) for cell in column)
    return column.dtype.kind == "U" and _parsed(column) is None and bool((np.char.strip(column) != "").any())


def _is_words(column: Column) -> bool:
    """Whether the cells are lists of words, as for labels of tokens."""
    return column.dtype.kind == "O" and all(
        isinstance(cell, (list, tuple)) and len(cell) and all(isinstance(word, str) for word in cell) for cell in column
    )


def _texts(column: Column, name: str, source: str) -> npt.NDArray[np.str_]:
    for row, cell in enumerate(column):
        if not isinstance(cell, str) or not cell.strip():
            raise InputError(f"{OPTIONS}.inputs: column '{name}' of {source} has no text in row {row}")
    return np.asarray(list(column), dtype=np.str_)


def _parsed(column: Column) -> Column | None:
    """Text as whole numbers, or else as numbers, or None where it is neither."""
    for kind in (np.int64, np.float64):
        try:
            return column.astype(kind)
        except (ValueError, OverflowError):
            continue
    return None


def _numbers(column: Column, name: str, source: str) -> Column:
    """Numbers of a column: (items,), or (items, n) where its cells are lists.

    Raises:
        InputError: A cell is empty, or no number; the sentence names the row.
    """
    where = f"{OPTIONS}.inputs: column '{name}' of {source}"
    if column.dtype.kind in "iufb":
        return column
    if column.dtype.kind == "U":
        parsed = _parsed(column)
        if parsed is not None:
            return parsed
        bad = next(row for row, cell in enumerate(column) if _parsed(np.array([cell])) is None)
        what = f"holds text ('{column[bad][:40]}' in row {bad})" if column[bad].strip() else f"is empty in row {bad}"
        raise InputError(f"{where} {what}, but numbers are needed; 'inputs' says which columns the model takes")
    for row, cell in enumerate(column):
        if cell is None:
            raise InputError(f"{where} is empty in row {row}; fill or drop such rows")
        if isinstance(cell, str):
            raise InputError(
                f"{where} holds text ('{cell[:40]}' in row {row}), but numbers are needed; 'inputs' says which columns "
                "the model takes"
            )
    try:
        found = np.array([np.asarray(cell) for cell in column])
    except ValueError as error:
        raise InputError(f"{where} holds lists of different length; the model needs one shape for all rows") from error
    if found.dtype.kind not in "iufb":
        raise InputError(f"{where} holds {type(column[0]).__name__}, but numbers or lists of numbers are needed")
    return found


def _labels(table: Mapping[str, Column], columns: tuple[str, ...], source: str) -> Column:
    """The labels as they were found: text, numbers, lists, or a table of several columns."""
    if len(columns) > 1:
        return np.column_stack([_numbers(table[name], name, source) for name in columns])
    column, where = table[columns[0]], f"{OPTIONS}.labels: column '{columns[0]}' of {source}"
    if column.dtype.kind == "U":
        empty = np.char.strip(column) == ""
        if empty.any():
            raise InputError(f"{where} is empty in {int(empty.sum())} rows, the first is row {int(empty.argmax())}")
        parsed = _parsed(column)
        return column if parsed is None else parsed
    if column.dtype.kind != "O":
        return column
    empty = np.array([cell is None for cell in column])
    if empty.any():
        raise InputError(f"{where} is empty in {int(empty.sum())} rows, the first is row {int(empty.argmax())}")
    if all(isinstance(cell, (list, tuple, np.ndarray)) for cell in column):
        return column
    kinds = {str if isinstance(cell, str) else type(cell) for cell in column}
    if len(kinds) > 1 and str in kinds:
        raise InputError(f"{where} holds text in some rows and {_names(kinds - {str})} in others")
    return np.array(list(column))


def _names(kinds: set[type]) -> str:
    return ", ".join(sorted(kind.__name__ for kind in kinds))


def _splits(column: Column, name: str, source: str) -> npt.NDArray[np.str_]:
    found = []
    for row, cell in enumerate(column):
        known = SPLIT_NAMES.get(str(cell).strip().lower())
        if known is None:
            raise InputError(
                f"{OPTIONS}.split: column '{name}' of {source} says '{cell}' in row {row}, but a split is one of "
                f"{', '.join(SPLIT_NAMES)}"
            )
        found.append(known)
    return np.array(found, dtype=np.str_)


def _kind(column: Column) -> str:
    """The type of a column, for the record."""
    if column.dtype.kind == "U":
        parsed = _parsed(column)
        return "text" if parsed is None else str(parsed.dtype)
    if column.dtype.kind == "O":
        return ", ".join(sorted({"text" if isinstance(cell, str) else type(cell).__name__ for cell in column}))
    return str(column.dtype)
