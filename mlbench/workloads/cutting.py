"""Which item goes into which split: as the source says, or stratified and seeded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.records import LabelKind
from mlbench.workloads.labels import class_counts, strata

SPLITS = ("train", "validation", "test")
_WHERE = "workload.data"
_LEAST = len(SPLITS)

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Items:
    """All that splitting looks at.

    Attributes:
        labels: Labels of the task's kind.
        kind: That kind.
        classes: Their names; empty for numbers.
        splits: The split of every item where the source says, shape (items,).
        source: What messages call the data.
    """

    labels: npt.NDArray[Any]
    kind: LabelKind
    classes: tuple[str, ...]
    splits: npt.NDArray[np.str_] | None
    source: str

    def counts(self, index: Indices) -> dict[str, int]:
        """How often each class occurs among these items."""
        return class_counts(self.labels[index], self.kind, self.classes)


def split(items: Items, config: DataConfig) -> dict[str, Indices]:
    """Indices of the items of each split, by its name.

    Raises:
        InputError: Too few items, one class only, or a class too small; the sentence says what would do.
    """
    total = len(items.labels)
    everything = np.arange(total)
    if items.kind == "class" and sum(count > 0 for count in items.counts(everything).values()) < 2:
        only = next((name for name, count in items.counts(everything).items() if count), "none")
        raise InputError(f"{_WHERE}: all {total} rows have the same class ({only}); classification needs at least two")
    if config.rows is not None and config.rows > total:
        raise InputError(f"{_WHERE}.rows: {config.rows} rows are asked for, but {items.source} has {total}")
    if items.splits is None:
        return _by_share(items, _subset(items, config), config)
    return _by_name(items, _named_subset(items, config), config)


# ---------------------------------------------------------------------------------------------------------------------
# as the source says


def _by_name(items: Items, index: Indices, config: DataConfig) -> dict[str, Indices]:
    assert items.splits is not None
    names = items.splits[index]
    parts = {name: index[names == name] for name in SPLITS}
    if not len(parts["train"]):
        raise InputError(f"{_WHERE}: {items.source} names splits, but no row is in the train split")
    for name, share in (("test", config.test_fraction), ("validation", config.validation_fraction)):
        if len(parts[name]):
            continue
        size = int(np.ceil(share * len(index)))
        if size >= len(parts["train"]):
            raise InputError(
                f"{_WHERE}: {items.source} has no {name} split, and {share:g} of all {len(index)} rows cannot be taken "
                f"from the {len(parts['train'])} rows of the train split"
            )
        parts["train"], parts[name] = _cut(items, parts["train"], size, config.seed)
    return {name: np.sort(part) for name, part in parts.items()}


def _named_subset(items: Items, config: DataConfig) -> Indices:
    """Indices of the rows used: every split keeps its share, and every class its share of the split."""
    assert items.splits is not None
    index = np.arange(len(items.labels))
    if config.rows is None or config.rows == len(index):
        return index
    parts = [index[items.splits == name] for name in SPLITS]
    shares = np.array([config.rows * len(part) / len(index) for part in parts])
    sizes = np.floor(shares).astype(int)
    sizes[np.argsort(sizes - shares, kind="stable")[: config.rows - sizes.sum()]] += 1  # the largest remainders
    chosen = [
        _cut(items, part, len(part) - size, config.seed)[0] if 0 < size < len(part) else part[:size]
        for part, size in zip(parts, sizes.tolist(), strict=True)
    ]
    return np.sort(np.concatenate(chosen))


# ---------------------------------------------------------------------------------------------------------------------
# stratified


def _subset(items: Items, config: DataConfig) -> Indices:
    """Indices of the rows used, ascending, each class large enough to be split.

    Raises:
        InputError: Too few rows, or a class too small.
    """
    index = np.arange(len(items.labels))
    _require_classes(items, index)
    if config.rows is None or config.rows == len(index):
        return index
    least = _LEAST * (max(1, len(items.classes)) if items.kind == "class" else 1)
    if config.rows < least:
        raise InputError(
            f"{_WHERE}.rows: {config.rows} rows are too few for {max(1, len(items.classes))} classes in {_LEAST} "
            f"splits; at least {least} are needed"
        )
    index, _ = _cut(items, index, len(index) - config.rows, config.seed)
    _require_classes(items, index)
    return np.sort(index)


def _require_classes(items: Items, index: Indices) -> None:
    if items.kind != "class":
        return
    for name, count in items.counts(index).items():
        if 0 < count < _LEAST:
            raise InputError(
                f"{_WHERE}: class '{name}' has only {count} of {len(index)} rows; each class needs at least {_LEAST}, "
                f"one for each of {', '.join(SPLITS)}"
            )


def _by_share(items: Items, index: Indices, config: DataConfig) -> dict[str, Indices]:
    rows = len(index)
    tests = int(np.ceil(config.test_fraction * rows))
    validations = int(np.ceil(config.validation_fraction * rows))
    sizes = {"train": rows - tests - validations, "validation": validations, "test": tests}
    classes = _occurring(items.counts(index)) if items.kind == "class" else 1
    for name, size in sizes.items():
        if size < classes:
            few = f"fewer than the {classes} classes" if classes > 1 else "which is empty"
            raise InputError(
                f"{_WHERE}: the {name} split would have {size} of {rows} rows, {few}; use more rows or other fractions"
            )
    rest, test = _cut(items, index, tests, config.seed)
    train, validation = _cut(items, rest, validations, config.seed)
    parts = dict(zip(SPLITS, (train, validation, test), strict=True))
    if items.kind == "class":
        _require_everywhere(items, index, parts)
    return parts


def _require_everywhere(items: Items, index: Indices, parts: Mapping[str, Indices]) -> None:
    present = [label for label, count in items.counts(index).items() if count]
    for name, part in parts.items():
        counts = items.counts(part)
        empty = [label for label in present if not counts[label]]
        if empty:
            raise InputError(
                f"{_WHERE}: class '{empty[0]}' is too small to be in every split (the {name} split would have none); "
                "use more rows or other fractions"
            )


def _occurring(counts: Mapping[str, int]) -> int:
    return sum(count > 0 for count in counts.values())


def _cut(items: Items, index: Indices, size: int, seed: int) -> tuple[Indices, Indices]:
    """Split indices into the rest and ``size`` of them, each stratum by its share."""
    from sklearn.model_selection import train_test_split

    groups: Indices | None = strata(items.labels[index], items.kind, least=2)
    assert groups is not None
    if items.kind != "class" and len(np.unique(groups)) > min(size, len(index) - size):
        groups = None  # fewer rows than strata: nothing can be kept in proportion
    try:
        rest, part = train_test_split(index, test_size=size, stratify=groups, random_state=seed)
    except ValueError as error:
        raise InputError(f"{_WHERE}: the data cannot be split by class: {error}") from None
    return rest, part
