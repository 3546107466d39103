"""Files from outside are read within limits: how large, how deep, and how much becomes of them in memory.

A small file can be made to unpack into any amount of memory, or to nest deeper than a parser can follow. What exceeds a
limit is a :class:`LimitError`, a ``ValueError``, so that whoever reports a file that cannot be read reports this too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NoReturn

import yaml

MOST_DEPTH = 64
MOST_YAML_BYTES = 1 << 20
MOST_YAML_VALUES = 100_000
MOST_JSON_CHARACTERS = 1 << 29
_CELL_BYTES = 8
_FAST: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same events, ten times as fast


class LimitError(ValueError):
    """More than is read; the message is a clause."""


def parse_json(text: str | bytes, *, finite: bool = True) -> Any:
    """Plain values from JSON text.

    Args:
        text: What to read.
        finite: Refuse NaN and infinity, which JSON does not know but Python writes.

    Raises:
        ValueError: It is none, or exceeds a limit.
    """
    if len(text) > MOST_JSON_CHARACTERS:
        raise LimitError(f"it has {len(text):,} characters, and at most {MOST_JSON_CHARACTERS:,} are read")
    try:
        value = json.loads(text, parse_constant=_no_number if finite else None)
    except RecursionError:
        raise LimitError(_TOO_DEEP) from None
    level, depth = [value] if isinstance(value, dict | list) else [], 0
    while level:
        depth += 1
        _check_depth(depth)
        level = [
            item
            for node in level
            for item in (node.values() if isinstance(node, dict) else node if isinstance(node, list) else ())
            if isinstance(item, dict | list)
        ]
    return value


_TOO_DEEP = f"it is nested more than {MOST_DEPTH} deep"


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def read_yaml(path: Path) -> str:
    """The text of a YAML file whose aliases do not multiply into more than it may hold.

    Raises:
        OSError: It cannot be read.
        UnicodeDecodeError: It is no UTF-8.
        LimitError: It exceeds a limit.
    """
    size = path.stat().st_size
    if size > MOST_YAML_BYTES:
        raise LimitError(f"it has {size:,} bytes, and at most {MOST_YAML_BYTES:,} are read")
    text = path.read_text(encoding="utf-8")
    check_yaml(text)
    return text


def check_yaml(text: str) -> None:
    """See that YAML text holds few enough values, an alias counted as what it stands for, and does not nest too deep.

    What is no YAML passes: whoever loads it will say where.

    Raises:
        LimitError: It exceeds a limit.
    """
    for loader in (_FAST, yaml.SafeLoader):  # what the fast one does not understand, the usual one may
        try:
            _count(text, loader)
        except yaml.YAMLError:
            continue
        return


def _count(text: str, loader: Any) -> None:
    anchored: dict[str, tuple[int, int]] = {}  # values and depth of what an alias may stand for
    unfinished: list[tuple[str | None, int, int]] = [(None, 0, 0)]
    for event in yaml.parse(text, Loader=loader):
        anchor, values, depth = getattr(event, "anchor", None), 1, 0
        if isinstance(event, yaml.CollectionStartEvent):
            unfinished.append((anchor, values, depth))
            _check_depth(len(unfinished) - 1)
            continue
        if isinstance(event, yaml.AliasEvent):
            if anchor not in anchored:
                raise LimitError(f"its alias *{anchor} stands for nothing, or for something that holds itself")
            values, depth = anchored[anchor]
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, values, deepest = unfinished.pop()
            depth = deepest + 1
        elif not isinstance(event, yaml.ScalarEvent):
            continue
        if anchor is not None:
            anchored[anchor] = values, depth
        _check_depth(len(unfinished) - 1 + depth)
        outer, before, deepest = unfinished.pop()
        unfinished.append((outer, before + values, max(deepest, depth)))
        if before + values > MOST_YAML_VALUES:
            raise LimitError(f"it holds more than {MOST_YAML_VALUES:,} values, aliases included")


def _check_depth(depth: int) -> None:
    if depth > MOST_DEPTH:
        raise LimitError(_TOO_DEEP)


def check_file(path: Path) -> None:
    """See that a file that is read as a whole fits into this machine's memory.

    Raises:
        OSError: It cannot be looked at.
        LimitError: It does not.
    """
    check_memory(path.stat().st_size)


def check_table(rows: int, columns: int, unpacked_bytes: int) -> None:
    """See that a table fits into this machine's memory, by what its file says of itself.

    Raises:
        LimitError: It does not.
    """
    check_memory(max(rows * columns * _CELL_BYTES, unpacked_bytes))


def check_memory(needed: int) -> None:
    """See that so many bytes fit into this machine's memory.

    Raises:
        LimitError: They do not.
    """
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise LimitError(
            f"it unpacks to {needed / 2**30:,.1f} GiB, and this machine has {there / 2**30:,.1f} GiB of memory"
        )


__all__ = [
    "MOST_DEPTH",
    "MOST_JSON_CHARACTERS",
    "MOST_YAML_BYTES",
    "MOST_YAML_VALUES",
    "LimitError",
    "check_file",
    "check_memory",
    "check_table",
    "check_yaml",
    "parse_json",
    "read_yaml",
]
