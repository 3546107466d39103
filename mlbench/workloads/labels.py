"""From labels as they were found to labels as the task needs them: class indices, zeros and ones, or numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.records import IGNORED, LabelKind
from mlbench.workloads import RawData

_WHERE = "workload.data"
_BINS = 10

Labels = npt.NDArray[Any]
Indices = npt.NDArray[np.int64]


def read_labels(raw: RawData, kind: LabelKind, given: tuple[str, ...] | None) -> tuple[Labels, tuple[str, ...]]:
    """Labels of that kind, and the names of the classes (empty for numbers).

    Args:
        raw: The data as its source gives it.
        kind: What the task needs.
        given: ``workload.data.classes``: names in the order of the model's outputs; None is the source's own order,
            or the sorted order of what was found.

    Raises:
        InputError: The labels are of another kind, or not among ``given``.
    """
    values = np.asarray(raw.labels)
    if kind == "number":
        if given is not None:
            raise InputError(f"{_WHERE}.classes: numbers have no classes; leave it out, or choose another task")
        return _numbers(values, raw.source), ()
    if given is not None and len(set(given)) < len(given):
        twice = next(name for name in given if given.count(name) > 1)
        raise InputError(f"{_WHERE}.classes: '{twice}' stands {given.count(twice)} times")
    readers = {"class": _classes, "multi_hot": _multi_hot, "token": _tokens}
    labels, classes = readers[kind](values, raw.classes, given, raw.source)
    return labels, classes


def _numbers(values: Labels, source: str) -> npt.NDArray[np.float64]:
    if values.dtype.kind not in "iufb" or values.ndim != 1:
        raise InputError(
            f"{_WHERE}: labels of {source} have dtype {values.dtype} and shape {_shape(values)}, but numbers of shape "
            "(items,) are needed"
        )
    bad = ~np.isfinite(values.astype(np.float64))
    if bad.any():
        raise InputError(
            f"{_WHERE}: labels of {source} are not finite (NaN or infinity) in {int(bad.sum())} of {len(values)} rows, "
            f"the first in row {int(bad.argmax())}"
        )
    return values.astype(np.float64)


def _classes(
    values: Labels, known: tuple[str, ...], given: tuple[str, ...] | None, source: str
) -> tuple[Indices, tuple[str, ...]]:
    if values.dtype.kind not in "iubU":
        raise InputError(
            f"{_WHERE}: labels of {source} have dtype {values.dtype}, but labels must be whole numbers or text"
        )
    if values.ndim != 1:
        raise InputError(f"{_WHERE}: labels of {source} have shape {_shape(values)}, but must have shape (items,)")
    if known:
        found, indices = np.array(known), values.astype(np.int64)
        if len(values) and (indices.min() < 0 or indices.max() >= len(known)):
            raise InputError(
                f"{_WHERE}: labels of {source} run from {indices.min()} to {indices.max()}, but it has {len(known)} "
                f"classes"
            )
    else:
        found, indices = np.unique(values, return_inverse=True)
        indices = indices.reshape(-1)
    names = [str(name) for name in found]
    if given is None:
        return np.asarray(indices, dtype=np.int64), tuple(names)
    used = np.bincount(indices, minlength=len(names))
    place = _places(names, given, {name: int(count) for name, count in zip(names, used, strict=True)})
    return place[indices], given


def _places(names: Sequence[str], given: tuple[str, ...], rows: dict[str, int]) -> Indices:
    """Where each found class stands in the given ones.

    Raises:
        InputError: A class that occurs is not among them.
    """
    order = {name: index for index, name in enumerate(given)}
    strange = [name for name in names if rows[name] and name not in order]
    if strange:
        shown = ", ".join(given[:8]) + (", ..." if len(given) > 8 else "")
        raise InputError(
            f"{_WHERE}: label '{strange[0]}' ({rows[strange[0]]} rows) is not among the {len(given)} classes of the "
            f"model ({shown})"
        )
    return np.array([order.get(name, -1) for name in names], dtype=np.int64)


def _multi_hot(
    values: Labels, known: tuple[str, ...], given: tuple[str, ...] | None, source: str
) -> tuple[Indices, tuple[str, ...]]:
    """Zeros and ones from a table of them, or from lists of class names, or of places among the known ones."""
    if values.ndim == 1 and values.dtype.kind == "O":
        return _from_lists(values, known, given, source)
    if values.ndim != 2 or values.dtype.kind not in "iubf" or not np.isin(values, (0, 1)).all():
        raise InputError(
            f"{_WHERE}: labels of {source} have dtype {values.dtype} and shape {_shape(values)}, but several labels "
            "per item are a table of zeros and ones (items, classes), or a list of class names for each item"
        )
    if known and len(known) != values.shape[1]:
        raise InputError(
            f"{_WHERE}: labels of {source} are {values.shape[1]} columns, but there are {len(known)} classes"
        )
    names = known or tuple(str(index) for index in range(values.shape[1]))
    table = values.astype(np.int64)
    if given is None:
        return table, names
    place = _places(names, given, dict(zip(names, (int(count) for count in table.sum(axis=0)), strict=True)))
    ordered = np.zeros((len(table), len(given)), dtype=np.int64)
    ordered[:, place[place >= 0]] = table[:, place >= 0]
    return ordered, given


def _from_lists(
    values: Labels, known: tuple[str, ...], given: tuple[str, ...] | None, source: str
) -> tuple[Indices, tuple[str, ...]]:
    broken = [row for row, item in enumerate(values) if not isinstance(item, (list, tuple, np.ndarray))]
    if broken:
        raise InputError(f"{_WHERE}: the label of row {broken[0]} of {source} is not a list of class names")
    items = [[_name(label, known, row, source) for label in item] for row, item in enumerate(values)]
    rows: dict[str, int] = {}
    for item in items:
        for name in item:
            rows[name] = rows.get(name, 0) + 1
    found = sorted(rows)
    names = given or known or tuple(found)
    place = dict(zip(found, _places(found, names, rows), strict=True))
    table = np.zeros((len(values), len(names)), dtype=np.int64)
    for row, item in enumerate(items):
        table[row, [place[name] for name in item]] = 1
    return table, names


def _name(label: Any, known: tuple[str, ...], row: int, source: str) -> str:
    """The name of one label of a list: itself, or that of a place among the known classes."""
    if not known or not isinstance(label, (int, np.integer)):
        return str(label)
    if not 0 <= label < len(known):
        raise InputError(f"{_WHERE}: label {label} in row {row} of {source} is not a place among {len(known)} classes")
    return known[label]


def _tokens(
    values: Labels, known: tuple[str, ...], given: tuple[str, ...] | None, source: str
) -> tuple[Indices, tuple[str, ...]]:
    if values.ndim != 2 or values.dtype.kind not in "iu":
        raise InputError(
            f"{_WHERE}: labels of {source} have dtype {values.dtype} and shape {_shape(values)}, but labels of tokens "
            f"are class indices of shape (items, tokens), with {IGNORED} where a token does not count"
        )
    labels = values.astype(np.int64)
    counted = labels[labels != IGNORED]
    if not counted.size:
        raise InputError(f"{_WHERE}: no token of {source} has a label")
    names = given or known or tuple(str(index) for index in range(int(counted.max()) + 1))
    if counted.min() < 0 or counted.max() >= len(names):
        raise InputError(
            f"{_WHERE}: token labels of {source} run from {counted.min()} to {counted.max()}, but there are "
            f"{len(names)} classes ({IGNORED} marks tokens that do not count)"
        )
    return labels, names


def class_counts(labels: Labels, kind: LabelKind, classes: Sequence[str]) -> dict[str, int]:
    """How often each class occurs; empty for numbers."""
    if kind == "number":
        return {}
    if kind == "multi_hot":
        counts = labels.sum(axis=0)
    else:
        counts = np.bincount(labels[labels != IGNORED].reshape(-1), minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def strata(labels: Labels, kind: LabelKind, least: int) -> Indices:
    """A stratum for each item, each of at least ``least`` items, to keep shares equal in all splits; shape (items,).

    Classes are their own strata. Numbers are cut at their deciles, sets of labels go by the set, tokens by the rarest
    class that occurs in the item; what is rarer than ``least`` shares one stratum.
    """
    if kind == "class":
        return np.asarray(labels, dtype=np.int64)
    if kind == "number":
        bins = max(1, min(_BINS, len(labels) // (2 * least)))
        edges = np.quantile(labels, np.linspace(0, 1, bins + 1)[1:-1]) if bins > 1 else np.empty(0)
        codes = np.searchsorted(edges, labels, side="right")
    elif kind == "multi_hot":
        _, codes = np.unique(labels, axis=0, return_inverse=True)
        codes = codes.reshape(-1)
    else:
        codes = _rarest(labels)
    return _merged(np.asarray(codes, dtype=np.int64), least)


def _rarest(labels: Labels) -> Indices:
    """The rarest class in each row of token labels, 0 where no token counts."""
    counts = np.bincount(labels[labels != IGNORED])
    rank = np.argsort(np.argsort(counts, kind="stable"), kind="stable")
    ranks = np.where(labels == IGNORED, len(counts), rank[np.where(labels == IGNORED, 0, labels)])
    rarest: Indices = np.where(ranks.min(axis=1) == len(counts), -1, ranks.min(axis=1)).astype(np.int64) + 1
    return rarest


def _merged(codes: Indices, least: int) -> Indices:
    """Strata that are too small become one; if even that is too small, it joins the largest."""
    _, codes, counts = np.unique(codes, return_inverse=True, return_counts=True)
    codes = codes.reshape(-1)
    small = counts[codes] < least
    if small.any():
        codes[small] = len(counts) if small.sum() >= least else counts.argmax()
    return np.asarray(codes, dtype=np.int64)


def _shape(values: Labels) -> str:
    return str(list(values.shape))
