"""Records as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import is_dataclass
from functools import cache
from typing import Any, Literal, cast, get_args, get_origin, get_type_hints

from mlbench.errors import MlbenchError
from mlbench.records._types import SCHEMA_VERSION, T


class RecordError(MlbenchError):
    """A stored record cannot be read: damaged, or written by a newer mlbench."""


@cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter  # imported late: the worker never needs it

    return TypeAdapter(cast("type[Any]", cls))


@cache
def fixed_words() -> frozenset[str]:
    """Every word that a field of some record may hold where the choice is fixed, such as a role or a verdict's call."""
    from mlbench import records

    kinds = [kind for kind in vars(records).values() if is_dataclass(kind)]
    return frozenset(word for kind in kinds for hint in get_type_hints(kind).values() for word in _words(hint))


def _words(hint: Any) -> Iterator[str]:
    if get_origin(hint) is Literal:
        yield from get_args(hint)
    for part in get_args(hint):
        if not isinstance(part, str):
            yield from _words(part)


def to_dict(record: object) -> dict[str, Any]:
    """The record as JSON-ready plain values (records with numpy arrays have Parquet form instead)."""
    result: dict[str, Any] = _adapter(cast("Hashable", type(record))).dump_python(record, mode="json")
    return result


def to_json(record: object, *, indent: int | None = 2) -> str:
    """The record as JSON text; not-a-number is refused, since a missing number must be absent with a reason.

    Raises:
        ValueError: The record holds NaN or infinity.
    """
    return json.dumps(to_dict(record), indent=indent, allow_nan=False, ensure_ascii=False)


def from_dict(cls: type[T], data: Mapping[str, Any]) -> T:
    """A record from plain values.

    Raises:
        RecordError: The values do not fit the record, or its schema version is newer than this mlbench.
    """
    from pydantic import ValidationError

    schema = data.get("schema", SCHEMA_VERSION) if isinstance(data, Mapping) else SCHEMA_VERSION
    if isinstance(schema, int) and schema > SCHEMA_VERSION:
        raise RecordError(
            f"this {cls.__name__} has schema version {schema}, but this mlbench reads up to {SCHEMA_VERSION}: "
            "upgrade mlflow-mlbench"
        )
    try:
        record: T = _adapter(cast("Hashable", cls)).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"this is not a readable {cls.__name__}: {where}: {first['msg']}") from error
    return record


def from_json(cls: type[T], text: str | bytes) -> T:
    """A record from JSON text.

    Raises:
        RecordError: The text is not JSON, or not this record.
    """
    from mlbench.outside import parse_json  # imported late: the worker needs no YAML

    try:
        data = parse_json(text)
    except ValueError as error:
        raise RecordError(f"this is not a readable {cls.__name__}: {error}") from error
    return from_dict(cls, data)
