"""What the schema of :mod:`mlbench.config` allows, in words: for messages, for overrides, and for the documentation."""

from __future__ import annotations

import dataclasses
import difflib
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Le, Len, Lt

from mlbench.config import StudyConfig

if TYPE_CHECKING:
    from pydantic import ValidationError

REQUIRED = dataclasses.MISSING
ANYTHING: Any = Any  # a place below free-form values: every key is allowed there

_SCALARS = {
    int: ("a whole number", "whole numbers"),
    float: ("a number", "numbers"),
    str: ("text", "texts"),
    bool: ("true or false", "truth values"),
}
_BOUNDS = ((Ge, "of at least", "ge"), (Gt, "above", "gt"), (Le, "at most", "le"), (Lt, "below", "lt"))


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the schema.

    Attributes:
        path: Dotted path; ``<name>`` stands for a name that the user chooses, ``[]`` for every item of a list.
        expected: What it may hold, in words.
        default: The schema's default, or :data:`REQUIRED`.
    """

    path: str
    expected: str
    default: Any

    @property
    def default_text(self) -> str:
        """The default as documentation shows it."""
        if self.default is REQUIRED:
            return "required"
        return (self.default or "empty") if isinstance(self.default, str) else show(self.default)


@cache
def fields(record: Any) -> dict[str, Any]:
    """Field names of a configuration record (a dataclass type) with their annotations, constraints kept."""
    hints = typing.get_type_hints(record, include_extras=True)
    return {name: hint for name, hint in hints.items() if typing.get_origin(hint) is not ClassVar}


def _unwrap(annotation: Any) -> tuple[Any, tuple[Any, ...], bool]:
    """The bare type, its constraints, and whether null is allowed."""
    constraints: tuple[Any, ...] = ()
    nullable = False
    while True:
        origin = typing.get_origin(annotation)
        if origin is typing.Annotated:
            annotation, *more = typing.get_args(annotation)
            constraints += tuple(more)
        elif origin in (typing.Union, types.UnionType):
            parts = [part for part in typing.get_args(annotation) if part is not types.NoneType]
            nullable = nullable or len(parts) < len(typing.get_args(annotation))
            if len(parts) > 1:
                return typing.Union[tuple(parts)], constraints, nullable  # noqa: UP007 - made of a list
            annotation = parts[0]
        else:
            return annotation, constraints, nullable


def _record(annotation: Any) -> bool:
    return dataclasses.is_dataclass(annotation)


def describe(annotation: Any) -> str:
    """What a value of this annotation may be: "a whole number of at least 1, or null"."""
    bare, constraints, nullable = _unwrap(annotation)
    return _singular(bare, constraints) + (", or null" if nullable else "")


def _bounds(constraints: Sequence[Any]) -> str:
    parts = [
        f"{words} {getattr(constraint, attribute)}"
        for kind, words, attribute in _BOUNDS
        for constraint in constraints
        if isinstance(constraint, kind)
    ]
    return " " + " and ".join(parts) if parts else ""


def _singular(bare: Any, constraints: Sequence[Any]) -> str:
    origin = typing.get_origin(bare)
    if bare in _SCALARS:
        return _SCALARS[bare][0] + _bounds(constraints)
    if origin is Literal:
        choices = [str(choice) for choice in typing.get_args(bare)]
        return f"'{choices[0]}'" if len(choices) == 1 else "one of " + ", ".join(choices)
    if origin is tuple:
        item, item_constraints, _ = _unwrap(typing.get_args(bare)[0])
        filled = " (not empty)" if any(isinstance(limit, Len) for limit in constraints) else ""
        return f"a list of {_plural(item, item_constraints)}{filled}"
    if origin is typing.Union:
        return " or ".join(_singular(*_unwrap(part)[:2]) for part in typing.get_args(bare))
    if _record(bare):
        return "a mapping with the keys " + ", ".join(fields(bare))
    return "a mapping"


def _plural(bare: Any, constraints: Sequence[Any]) -> str:
    if typing.get_origin(bare) is Literal:
        return "names out of " + ", ".join(str(choice) for choice in typing.get_args(bare))
    return _SCALARS[bare][1] + _bounds(constraints) if bare in _SCALARS else "mappings"


def child(annotation: Any, part: str | int) -> Any | None:
    """The annotation below one part of a path: :data:`ANYTHING` where every key is allowed, None where none is."""
    if annotation is ANYTHING:
        return ANYTHING
    bare, _, _ = _unwrap(annotation)
    if _record(bare):
        return fields(bare).get(str(part))
    origin = typing.get_origin(bare)
    if origin is dict:
        return typing.get_args(bare)[1]
    if origin is tuple and str(part).isdecimal():
        return typing.get_args(bare)[0]
    return None


def is_record(path: Sequence[str]) -> bool:
    """Whether the path names a section with keys of its own, such as ``protocol``."""
    here: Any = StudyConfig
    for part in path:
        here = child(here, part)
    return here is not None and _record(_unwrap(here)[0])


def dotted(parts: Sequence[str | int]) -> str:
    """A path as users write it: ``scenario.batch_sizes[1]``."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text


def show(value: Any) -> str:
    """A value as it is written in YAML on one line, shortened."""
    if isinstance(value, str):
        text = f"'{value}'"
    elif value is None or isinstance(value, bool):
        text = json.dumps(value)
    elif isinstance(value, Mapping):
        text = "{" + ", ".join(f"{key}: {show(item)}" for key, item in value.items()) + "}"
    elif isinstance(value, (list, tuple)):
        text = "[" + ", ".join(show(item) for item in value) + "]"
    else:
        text = str(value)
    return text if len(text) <= 80 else text[:77] + "..."


# ---------------------------------------------------------------------------------------------------------------------
# unknown keys


def unknown_key(path: Sequence[str | int], root: Any = StudyConfig, prefix: Sequence[str | int] = ()) -> str | None:
    """Why there can be no such key, with the nearest names; None when the schema allows the path."""
    here = root
    for index, part in enumerate(path):
        below = child(here, part)
        if below is None:
            return _no_key([*prefix, *path[:index]], str(part), here, whole=[*prefix, *path])
        here = below
    return None


def _no_key(parent: Sequence[str | int], name: str, annotation: Any, whole: Sequence[str | int]) -> str:
    bare, _, _ = _unwrap(annotation)
    place = dotted(parent)
    if not _record(bare):
        what = "is a list: its items are numbered from 0" if typing.get_origin(bare) is tuple else "has no keys"
        return f"{dotted(whole)}: no such key; {place} {what}, it holds {describe(annotation)}"
    near = [dotted([*parent, field]) for field in difflib.get_close_matches(name, fields(bare), 2, 0.7)]
    elsewhere = [key.path for key in keys() if key.path.rpartition(".")[2] == name]
    near = elsewhere[:2] if elsewhere and not place else near or elsewhere[:2]
    if near:
        return f"{dotted([*parent, name])}: no such key; did you mean {' or '.join(near)}?"
    return f"{dotted([*parent, name])}: no such key; known{' in ' + place if place else ''}: {', '.join(fields(bare))}"


# ---------------------------------------------------------------------------------------------------------------------
# validation


def problems(error: ValidationError, root: Any = StudyConfig, prefix: Sequence[str | int] = ()) -> list[str]:
    """One plain sentence for each thing that pydantic found wrong."""
    found = error.errors()
    return [
        _sentence(item["type"], item["loc"], item.get("input"), item["msg"], root, prefix)
        for item in found
        # a list whose items are wrong is also "too short" for pydantic, which does not count them
        if not (item["type"] == "too_short" and any(_inside(other["loc"], item["loc"]) for other in found))
    ]


def _inside(path: Sequence[str | int], outer: Sequence[str | int]) -> bool:
    return len(path) > len(outer) and tuple(path[: len(outer)]) == tuple(outer)


def _sentence(
    kind: str, path: Sequence[str | int], value: Any, message: str, root: Any, prefix: Sequence[str | int]
) -> str:
    unknown = unknown_key(path, root, prefix)
    if unknown is not None:
        return unknown
    here = root
    for part in path:
        here = child(here, part)
    name = dotted([*prefix, *path])
    if here is ANYTHING:
        return f"{name}: {show(value)} is not allowed ({message})"
    if kind == "finite_number":
        return f"{name}: {show(value)} is not a finite number"
    if kind == "missing":
        return f"{name}: has no value; it must be {describe(here)}"
    return f"{name}: {show(value)} is not {describe(here)}"


def booleans(value: Any, annotation: Any = StudyConfig, path: tuple[str | int, ...] = ()) -> Iterator[str]:
    """A sentence for each true or false that stands where a number is wanted (Python takes them for 1 and 0)."""
    bare, _, _ = _unwrap(annotation)
    if isinstance(value, bool) and bare in (int, float):
        yield f"{dotted(path)}: {show(value)} is not {describe(annotation)}"
    parts: Iterator[tuple[Any, Any]] = iter(())
    if isinstance(value, Mapping):
        parts = iter(value.items())
    elif isinstance(value, (list, tuple)):
        parts = iter(enumerate(value))
    for part, item in parts:
        below = child(annotation, part)
        if below is not None and below is not ANYTHING:
            yield from booleans(item, below, (*path, part))


# ---------------------------------------------------------------------------------------------------------------------
# documentation


def keys(record: Any = StudyConfig, prefix: str = "") -> Iterator[Key]:
    """Every key of a configuration record, in the order of the schema."""
    defaults = {item.name: item for item in dataclasses.fields(record)}
    for name, annotation in fields(record).items():
        path = f"{prefix}{name}"
        bare, _, nullable = _unwrap(annotation)
        item = defaults[name]
        default = item.default if item.default_factory is dataclasses.MISSING else item.default_factory()
        inner = None
        if _record(bare):
            inner, below = bare, f"{path}."
        elif typing.get_origin(bare) is dict and _record(typing.get_args(bare)[1]):
            inner, below = typing.get_args(bare)[1], f"{path}.<name>."
        elif typing.get_origin(bare) is tuple and _record(typing.get_args(bare)[0]):
            inner, below = typing.get_args(bare)[0], f"{path}[]."
        if inner is None or nullable or below.endswith("[]."):
            expected = describe(annotation) if inner is None else "a list of mappings"
            yield Key(path, "a mapping, or null" if inner is not None and nullable else expected, default)
        if inner is not None:
            yield from keys(inner, below)
