"""Records as JSON and back."""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from functools import cache
from typing import Any, cast

from mlbench.errors import MlbenchError
from mlbench.records._types import SCHEMA_VERSION, T


class RecordError(MlbenchError):
    """A stored record cannot be read: damaged, or written by a newer mlbench."""


@cache
def _adapter(cls: Hashable) -> Any:
    from pydantic import TypeAdapter  # imported late: the worker never needs it

    return TypeAdapter(cast("type[Any]", cls))


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
    try:
        data = json.loads(text)
    except ValueError as error:
        raise RecordError(f"this is not a readable {cls.__name__}: {error}") from error
    return from_dict(cls, data)
