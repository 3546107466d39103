"""From raw data to a stratified, seeded train/validation/test split with its record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.records import DataInfo, TensorSpec
from mlbench.registry import find, load
from mlbench.workloads import Data, RawData, Split
from mlbench.workloads.options import parse, problems

_WHERE = "workload.data"
_SPLITS = ("train", "validation", "test")
_LEAST_PER_CLASS = len(_SPLITS)

Indices = npt.NDArray[np.int64]


def check_data(config: DataConfig) -> list[str]:
    """Problems that can be said without reading the data, as sentences; cheap."""
    found = []
    try:
        reason = find("dataset", config.source).missing()
    except InputError as error:
        return [f"{_WHERE}.source: {sentence}" for sentence in error.problems]
    if reason is not None:
        found.append(f"{_WHERE}.source: dataset '{config.source}' {reason}")
    else:
        found += problems(load("dataset", config.source).options, config.options, f"{_WHERE}.options")
    if config.test_fraction + config.validation_fraction >= 1:
        found.append(
            f"{_WHERE}: test_fraction {config.test_fraction} and validation_fraction {config.validation_fraction} "
            "leave nothing to train on; together they must be below 1"
        )
    return found


def make_data(config: DataConfig) -> Data:
    """Read the data and split it: stratified by class, the same for the same seed.

    Both fractions are shares of all rows used. With ``rows``, a stratified subset of that size is split.

    Raises:
        InputError: The data cannot be read or is not fit; the sentence names the key or file.
    """
    found = check_data(config)
    if found:
        raise InputError(found)
    source = load("dataset", config.source)()
    raw: RawData = source.load(parse(source.options, config.options, f"{_WHERE}.options"))
    inputs, notes = _usable(raw.inputs)
    index = _subset(raw, config)
    parts = dict(zip(_SPLITS, _split(raw, index, config), strict=True))
    splits = {
        name: Split({key: np.ascontiguousarray(array[rows]) for key, array in inputs.items()}, raw.labels[rows])
        for name, rows in parts.items()
    }
    twins = _shared_rows(splits["train"], splits["test"])
    if twins:
        notes.append(f"{twins} of {len(splits['test'])} test rows also occur in the training split")
    info = DataInfo(
        source=raw.source,
        digest=_digest(inputs, raw, parts),
        rows={name: len(split) for name, split in splits.items()},
        classes=raw.classes,
        class_counts={name: _counts(split.labels, raw.classes) for name, split in splits.items()},
        inputs=tuple(TensorSpec(key, array.dtype.name, (None, *array.shape[1:])) for key, array in inputs.items()),
        notes=tuple(notes),
    )
    return Data(info, splits["train"], splits["validation"], splits["test"])


def _usable(inputs: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Inputs as models take them: numbers without gaps; float64 becomes float32, and a note says so."""
    usable, notes = {}, []
    for name, array in inputs.items():
        if array.dtype.kind not in "fiub":
            raise InputError(f"{_WHERE}: input '{name}' has dtype {array.dtype}, but inputs must be numbers")
        if array.dtype.kind == "f":
            bad = ~np.isfinite(array.reshape(len(array), -1)).all(axis=1)
            if bad.any():
                raise InputError(
                    f"{_WHERE}: input '{name}' has values that are not finite (NaN or infinity) in {int(bad.sum())} of "
                    f"{len(array)} rows, the first in row {int(bad.argmax())}; fill or drop them"
                )
        if array.dtype == np.float64:
            notes.append(f"input '{name}' was float64 and is used as float32")
        usable[name] = array.astype(np.float32) if array.dtype == np.float64 else array
    return usable, notes


def _counts(labels: Indices, classes: tuple[str, ...]) -> dict[str, int]:
    counts = np.bincount(labels, minlength=len(classes))
    return {name: int(count) for name, count in zip(classes, counts, strict=True)}


def _subset(raw: RawData, config: DataConfig) -> Indices:
    """Indices of the rows used, ascending, each class large enough to be split.

    Raises:
        InputError: One class only, too few rows, or a class too small.
    """
    total = len(raw.labels)
    if len(raw.classes) < 2:
        only = raw.classes[0] if raw.classes else "none"
        raise InputError(f"{_WHERE}: all {total} rows have the same class ({only}); classification needs at least two")
    if config.rows is not None and config.rows > total:
        raise InputError(f"{_WHERE}.rows: {config.rows} rows are asked for, but {raw.source} has {total}")
    _require_classes(raw.labels, raw.classes)
    index = np.arange(total)
    if config.rows is None or config.rows == total:
        return index
    least = _LEAST_PER_CLASS * len(raw.classes)
    if config.rows < least:
        raise InputError(
            f"{_WHERE}.rows: {config.rows} rows are too few for {len(raw.classes)} classes in {len(_SPLITS)} splits; "
            f"at least {least} are needed"
        )
    index, _ = _cut(index, raw.labels, total - config.rows, config.seed)
    _require_classes(raw.labels[index], raw.classes)
    return np.sort(index)


def _require_classes(labels: Indices, classes: tuple[str, ...]) -> None:
    for name, count in _counts(labels, classes).items():
        if count < _LEAST_PER_CLASS:
            raise InputError(
                f"{_WHERE}: class '{name}' has only {count} of {len(labels)} rows; each class needs at least "
                f"{_LEAST_PER_CLASS}, one for each of {', '.join(_SPLITS)}"
            )


def _split(raw: RawData, index: Indices, config: DataConfig) -> tuple[Indices, Indices, Indices]:
    rows = len(index)
    tests = int(np.ceil(config.test_fraction * rows))
    validations = int(np.ceil(config.validation_fraction * rows))
    sizes = {"train": rows - tests - validations, "validation": validations, "test": tests}
    for name, size in sizes.items():
        if size < len(raw.classes):
            raise InputError(
                f"{_WHERE}: the {name} split would have {size} of {rows} rows, fewer than the {len(raw.classes)} "
                "classes; use more rows or other fractions"
            )
    rest, test = _cut(index, raw.labels, tests, config.seed)
    train, validation = _cut(rest, raw.labels, validations, config.seed)
    for name, part in zip(_SPLITS, (train, validation, test), strict=True):
        empty = [label for label, count in _counts(raw.labels[part], raw.classes).items() if count == 0]
        if empty:
            raise InputError(
                f"{_WHERE}: class '{empty[0]}' is too small to be in every split (the {name} split would have none); "
                "use more rows or other fractions"
            )
    return train, validation, test


def _cut(index: Indices, labels: Indices, size: int, seed: int) -> tuple[Indices, Indices]:
    """Split indices into the rest and ``size`` of them, stratified."""
    from sklearn.model_selection import train_test_split

    try:
        rest, part = train_test_split(index, test_size=size, stratify=labels[index], random_state=seed)
    except ValueError as error:
        raise InputError(f"{_WHERE}: the data cannot be split by class: {error}") from None
    return rest, part


def _row_hashes(split: Split) -> list[bytes]:
    arrays = [array.reshape(len(split), -1) for array in split.inputs.values()]
    return [hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).digest() for row in range(len(split))]


def _shared_rows(train: Split, test: Split) -> int:
    """How many rows of the test split are, byte for byte, in the training split too."""
    known = set(_row_hashes(train))
    return sum(row in known for row in _row_hashes(test))


def _digest(inputs: Mapping[str, npt.NDArray[Any]], raw: RawData, parts: Mapping[str, Indices]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays, the class names and the split's indices."""
    digest = hashlib.sha256()

    def add(pieces: Iterable[tuple[str, npt.NDArray[Any]]]) -> None:
        for name, array in pieces:
            digest.update(f"{name}|{array.dtype.str}|{list(array.shape)}|".encode())
            digest.update(np.ascontiguousarray(array).tobytes())

    add(inputs.items())
    add([("labels", raw.labels)])
    digest.update("|".join(raw.classes).encode())
    add(parts.items())
    return digest.hexdigest()
