"""Options and parameters as the user wrote them, checked against a frozen dataclass; problems are plain sentences."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from mlbench.errors import InputError
from mlbench.registry import suggest

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
}
_KINDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string": "text"}


def parse(cls: type[Any], values: Mapping[str, Any], where: str) -> Any:
    """An instance of the dataclass ``cls`` made from ``values``.

    Args:
        cls: Frozen dataclass type; field constraints are ``annotated_types`` annotations.
        values: Values by field name, as they come from configuration.
        where: What the values belong to, such as ``workload.data.options``; every sentence starts with it.

    Raises:
        InputError: Unknown, missing or wrong values: one sentence for each.
    """
    from pydantic import TypeAdapter, ValidationError

    names = [item.name for item in fields(cls)]
    found = [f"{where}: unknown key '{key}'; {suggest(str(key), names)}" for key in values if key not in names]
    result = None
    found += [
        f"{where}: {sentence}" for key in values if key in names for sentence in _not_a_number(key, values[key], cls)
    ]
    try:
        result = TypeAdapter(cls).validate_python({key: value for key, value in values.items() if key in names})
    except ValidationError as error:
        by_field: dict[str, list[ErrorDetails]] = {}
        for item in error.errors():
            by_field.setdefault(str(item["loc"][0]), []).append(item)
        found += [f"{where}: {_sentence(key, items, values)}" for key, items in by_field.items()]
    if found:
        raise InputError(found)
    return result


def problems(cls: type[Any], values: Mapping[str, Any], where: str) -> list[str]:
    """The sentences that :func:`parse` would raise; empty when the values are fit."""
    try:
        parse(cls, values, where)
    except InputError as error:
        return list(error.problems)
    return []


def _not_a_number(key: str, value: Any, cls: type[Any]) -> list[str]:
    """What Python takes for a number, but is none: true and false, infinity, NaN."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"'{key}' is {value}, but must be a finite number"]
    if isinstance(value, bool) and bool not in _alternatives(get_type_hints(cls)[key]):
        return [f"'{key}' is {str(value).lower()}, but is not a choice between true and false"]
    return []


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    """The types of a union, or the one type."""
    return get_args(annotation) or (annotation,)


def _sentence(key: str, errors: list[ErrorDetails], values: Mapping[str, Any]) -> str:
    error = errors[0]
    kind = error["type"]
    if kind in ("missing", "missing_argument"):
        return f"'{key}' is missing"
    name = ".".join(str(part) for part in error["loc"]) if len(errors) == 1 else key
    value = error["input"] if len(errors) == 1 else values[key]
    wanted = ""
    if len(errors) == 1 and kind in _BOUNDS:
        bound, word = _BOUNDS[kind]
        wanted = f"{word} {error['ctx'][bound]:g}"
    elif len(errors) == 1 and kind == "literal_error":
        wanted = f"one of {error['ctx']['expected']}".replace(" or ", ", ")
    elif len(errors) == 1:
        wanted = _KINDS.get(kind.partition("_")[0], "")
    if wanted:
        return f"'{name}' is {value!r}, but must be {wanted}"
    messages = "; ".join(dict.fromkeys(item["msg"][:1].lower() + item["msg"][1:] for item in errors))
    return f"'{name}' is {value!r}, which does not fit: {messages}"
