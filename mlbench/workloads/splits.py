"""From raw data to train, validation and test splits with their record."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.records import DataInfo, LabelKind, TensorSpec
from mlbench.registry import find, load
from mlbench.workloads import Data, RawData, Split, cutting
from mlbench.workloads.cutting import Indices, Items
from mlbench.workloads.labels import class_counts, read_labels
from mlbench.workloads.options import parse, problems

_WHERE = "workload.data"
_UNBALANCED = 10  # the largest class over the smallest, from where on it is worth a sentence

Encode = Callable[[RawData], RawData]


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


def make_data(config: DataConfig, task: str = "classification", encode: Encode | None = None) -> Data:
    """Read the data and split it: by the source's own splits, or stratified, the same for the same seed.

    Both fractions are shares of all rows used, and matter where the source names no such split. With ``rows``, a
    stratified subset of that size is used.

    Args:
        config: The data as configured.
        task: Name of the task; it says what labels are.
        encode: Turns the raw data into what the model takes (text into tokens); None where it takes it as it is.

    Raises:
        InputError: The data cannot be read or is not fit; the sentence names the key or file.
    """
    found = check_data(config)
    if found:
        raise InputError(found)
    source = load("dataset", config.source)()
    kind: LabelKind = load("task", task).labels
    raw: RawData = source.load(parse(source.options, config.options, f"{_WHERE}.options"))
    if encode is not None:
        raw = encode(raw)
    inputs, notes = _usable(raw.inputs)
    labels, classes = read_labels(raw, kind, config.classes)
    items = Items(labels, kind, classes, raw.splits, raw.source)
    parts = cutting.split(items, config)
    splits = {
        name: Split(
            {key: np.ascontiguousarray(array[rows]) for key, array in inputs.items()},
            labels[rows],
            task,
            {key: array[rows] for key, array in raw.originals.items()},
        )
        for name, rows in parts.items()
    }
    counts = {name: class_counts(split.labels, kind, classes) for name, split in splits.items()}
    notes += [*raw.notes, *_twins(splits), *_balance(counts, classes)]
    info = DataInfo(
        source=raw.source,
        digest=_digest(inputs, labels, classes, parts),
        rows={name: len(split) for name, split in splits.items()},
        classes=classes,
        class_counts=counts,
        inputs=tuple(_spec(key, array, sequence=key in raw.sequences) for key, array in inputs.items()),
        notes=tuple(notes),
        columns=raw.columns,
    )
    return Data(info, splits["train"], splits["validation"], splits["test"], raw.collation)


def _spec(name: str, array: npt.NDArray[Any], *, sequence: bool) -> TensorSpec:
    """The first axis is free, and so is the second one of a sequence."""
    free = 2 if sequence else 1
    return TensorSpec(name, array.dtype.name, (*[None] * free, *array.shape[free:]))


def _usable(inputs: Mapping[str, npt.NDArray[Any]]) -> tuple[dict[str, npt.NDArray[Any]], list[str]]:
    """Inputs as models take them: numbers without gaps; float64 becomes float32, and a note says so."""
    usable, notes = {}, []
    for name, array in inputs.items():
        if array.dtype.kind not in "fiub":
            raise InputError(
                f"{_WHERE}: input '{name}' has dtype {array.dtype}, but inputs must be numbers (text needs a model "
                "with a tokenizer)"
            )
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


def _row_hashes(split: Split) -> list[bytes]:
    arrays = [array.reshape(len(split), -1) for array in split.inputs.values()]
    return [hashlib.sha256(b"".join(array[row].tobytes() for array in arrays)).digest() for row in range(len(split))]


def _twins(splits: Mapping[str, Split]) -> list[str]:
    """Rows of the test and validation splits that are, byte for byte, in the training split too."""
    known = set(_row_hashes(splits["train"]))
    found = []
    for name in ("test", "validation"):
        twins = sum(row in known for row in _row_hashes(splits[name]))
        if twins:
            found.append(f"{twins} of {len(splits[name])} {name} rows also occur in the training split")
    return found


def _balance(counts: Mapping[str, Mapping[str, int]], classes: tuple[str, ...]) -> list[str]:
    """Sentences for classes that one split lacks, and for classes of very different size."""
    found = []
    for name in ("train", "test"):
        absent = [label for label in classes if counts[name] and not counts[name][label]]
        if absent:
            more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
            found.append(f"class '{absent[0]}'{more} does not occur in the {name} split")
    present = {label: count for label, count in counts["test"].items() if count}
    if present:
        least, most = min(present, key=present.__getitem__), max(present, key=present.__getitem__)
        if present[most] >= _UNBALANCED * present[least]:
            found.append(
                f"classes are unbalanced: the test split has {present[most]} of '{most}' and {present[least]} of "
                f"'{least}'; read averages over classes beside the accuracy"
            )
    return found


def _digest(
    inputs: Mapping[str, npt.NDArray[Any]],
    labels: npt.NDArray[Any],
    classes: tuple[str, ...],
    parts: Mapping[str, Indices],
) -> str:
    """SHA-256 over names, dtypes, shapes and bytes of all arrays, the class names and the split's indices."""
    digest = hashlib.sha256()

    def add(pieces: Iterable[tuple[str, npt.NDArray[Any]]]) -> None:
        for name, array in pieces:
            digest.update(f"{name}|{array.dtype.str}|{list(array.shape)}|".encode())
            digest.update(np.ascontiguousarray(array).tobytes())

    add(inputs.items())
    add([("labels", labels)])
    digest.update("|".join(classes).encode())
    add(parts.items())
    return digest.hexdigest()
