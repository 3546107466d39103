"""Overrides in Hydra's syntax: read, checked against the schema and the tree, and explained when they cannot be.

Hydra's own rules are kept with one exception: a key that the schema knows needs no ``+``, whether or not the YAML
files mention it. Imports hydra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from mlbench import schema
from mlbench.registry import suggest

MANY = "variants"  # the one group that takes a list of options

# Ends of keys that name code to run, or permit it: a factory, a file or registered model that may run what is in it, an
# interpreter. They are known wherever they stand, so that no way of writing them differs from the plain one.
_CODE_KEYS = (("model", "factory"), ("model", "trust"), ("registry", "trust"), ("runtime", "python"))
_SHORT = {"model.uri": "workload.model.path"}  # a name for what a workload is most often told
_SUBJECT = re.compile(r"^[~+]*([^=@]+)")


@dataclass(frozen=True, slots=True)
class Request:
    """One override, read.

    Attributes:
        text: As the user wrote it.
        sign: ``""`` (change), ``+`` (add), ``++`` (either) or ``~`` (delete).
        key: Dotted key, or the name of a group.
        value: The parsed value; None also for a deletion.
    """

    text: str
    sign: str
    key: str
    value: Any

    @property
    def path(self) -> tuple[str, ...]:
        """The key's parts."""
        return tuple(self.key.split("."))


def read(text: str, *, trusted: bool = True) -> Request | str:
    """The override, or a sentence that says why it is refused.

    Args:
        text: One override.
        trusted: False for overrides that somebody else wrote; then nothing may read this machine's environment or
            name code to run.
    """
    if text.startswith("-"):
        return f"'{text}' is an option, not an override: give it to the command itself (see mlbench run --help)"
    text = _spelled_out(text)
    try:
        override = OverridesParser.create().parse_override(text)
    except HydraException as error:
        return _grammar(text, error)
    key = override.key_or_group
    if not key:
        return f"'{text}' is not an override: write key=value, +key=value or ~key"
    refused = _refused(text, key, override)
    if refused is None and not trusted:
        refused = _untrusted(text, key, override)
    if refused is not None:
        return refused
    sign = "~" if override.is_delete() else "++" if override.is_force_add() else "+" if override.is_add() else ""
    return Request(text, sign, key, override.value())


def _spelled_out(text: str) -> str:
    """The override with a short key replaced by the one that it stands for."""
    match = _SUBJECT.match(text)
    key = match.group(1).strip() if match else ""
    return text.replace(key, _SHORT[key], 1) if key in _SHORT else text


def _grammar(text: str, error: HydraException) -> str:
    match = _SUBJECT.match(text)
    subject = match.group(1).strip() if match else ""
    if "=" not in text or not subject:
        return f"'{text}' is not an override: write key=value, +key=value or ~key"
    if "[" in subject:
        return _brackets(text)
    if not _parses(f"{subject}=1"):
        return f"'{text}' cannot be read: '{subject}' holds characters that the key of an override may not hold"
    reason = " ".join(str(error).split("\n", maxsplit=1)[0].split()).rstrip(".")
    reason = f" ({reason})" if reason and "Exception" not in reason else ""
    return f"'{text}' cannot be read{reason}: quote a value that holds special characters, {subject}='...'"


def _brackets(text: str) -> str:
    return f"'{text}' cannot be read: items of a list are written with dots, as in variants.NAME.steps.0.name=..."


def _parses(text: str) -> bool:
    try:
        OverridesParser.create().parse_override(text)
    except HydraException:
        return False
    return True


def _refused(text: str, key: str, override: Override) -> str | None:
    if "[" in key:  # Hydra 1.4 would take it, Hydra 1.3 does not
        return _brackets(text)
    if re.match(r"hydra(\W|$)", key):
        return f"'{text}' is refused: mlbench composes its configuration with Hydra but runs no Hydra job"
    if override.package is not None:
        return f"'{text}' is refused: every group has its fixed place, so '@' has no meaning here"
    if override.is_sweep_override():
        return _several(text, key)
    if "_target_" in key.split(".") or has_target(override.value()):
        return f"'{text}' is refused: {NO_TARGET}"
    return None


def _several(text: str, key: str) -> str:
    values = text.partition("=")[2]
    if key != MANY and schema.is_record(key.split(".")):
        return f"'{text}' gives several values, but a study takes one: {key}={values.partition(',')[0]}"
    return (
        f"'{text}' gives several values, but a study takes one: "
        f"for a list write {key}=[{values}], for text with commas {key}='{values}'"
    )


NO_TARGET = "mlbench makes nothing from a '_target_'; parts are selected by the short names that `mlbench list` shows"


def has_target(value: Any) -> bool:
    """Whether a ``_target_`` key hides anywhere in a value."""
    if isinstance(value, Mapping):
        return any(key == "_target_" or has_target(item) for key, item in value.items())
    return isinstance(value, (list, tuple)) and any(has_target(item) for item in value)


def _untrusted(text: str, key: str, override: Override) -> str | None:
    if "${" in text:
        return f"'{text}' is refused: it was not written here, so it may not read this machine's environment"
    if any(_names_code(path, value) for path, value in _leaves(tuple(key.split(".")), override.value())):
        return f"'{text}' is refused: it was not written here, so it may not name code to run"
    return None


def _names_code(path: Sequence[str], value: Any) -> bool:
    """Whether a key and its value name code, or permit it; what takes such a word back does not."""
    return value is not None and value is not False and any(pair in _CODE_KEYS for pair in pairwise(path))


def _leaves(path: tuple[str, ...], value: Any) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Every key that an override sets, however deep in its value, with what it sets it to."""
    yield path, value
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves((*path, *str(key).split(".")), item)
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            yield from _leaves((*path, str(index)), item)


def check_group(request: Request, options: Sequence[str]) -> list[str]:
    """Problems of an override that selects from a group with these options."""
    group, value = request.key, request.value
    if request.sign == "~":
        hint = f"to have none, write {group}=[]" if group == MANY else f"choose another one, {group}=..."
        return [f"'{request.text}' is refused: a study cannot be without '{group}'; {hint}"]
    if isinstance(value, Mapping):
        return [
            f"'{request.text}' is refused: {group}=[a,b] selects by name, +{group}.NAME={{steps: [...]}} adds a new one"
        ]
    names = value if isinstance(value, list) else [value]
    if group != MANY and len(names) != 1:
        return [f"{group}: takes one name, not {schema.show(value)}"]
    texts = ["null" if name is None else str(name) for name in names]
    single = group.rpartition("/")[2]
    single = single.removesuffix("s") if group == MANY else single
    found = [
        f"{request.text}: unknown {single} '{name}'; {suggest(name, options)}"
        for name in dict.fromkeys(texts)
        if name not in options
    ]
    found += [f"{request.text}: '{name}' stands twice" for name in dict.fromkeys(texts) if texts.count(name) > 1]
    return found


def check_value(request: Request, composed: Mapping[str, Any], options: Sequence[str]) -> str | None:
    """Why this override of a value cannot be applied to the composed configuration; None when it can.

    Args:
        request: The override.
        composed: What the groups gave, as plain values, with the overrides before this one.
        options: Names that the group ``variants`` offers, for the message.
    """
    path = request.path
    unknown = schema.unknown_key(path)
    if unknown is not None:
        return unknown
    depth, here = _depth(path, composed)
    missing = depth < len(path)
    if request.sign == "~":
        return _absent(path, depth, here) if missing or here is None else None
    if missing and isinstance(here, list):
        return f"{request.key}: no such item; {'.'.join(path[:depth])} has {len(here)}, numbered from 0"
    if request.sign == "+":
        return (
            None
            if missing
            else f"'{request.text}' is refused: {request.key} is already there; leave out the + to change it"
        )
    if missing and path[0] == MANY and depth == 1 and request.sign == "":
        return _no_variant(path[1], here, options)
    return None


def _depth(path: Sequence[str], composed: Any) -> tuple[int, Any]:
    """How many parts of the path exist, and what stands there."""
    here = composed
    for depth, part in enumerate(path):
        if isinstance(here, Mapping) and part in here:
            here = here[part]
        elif isinstance(here, list) and part.isdecimal() and int(part) < len(here):
            here = here[int(part)]
        else:
            return depth, here
    return len(path), here


def _absent(path: Sequence[str], depth: int, here: Any) -> str:
    known = [str(key) for key in here] if isinstance(here, Mapping) else []
    hint = f"; {suggest(path[depth], known)}" if known else ""
    return f"~{'.'.join(path)}: there is nothing to take away{hint}"


def _no_variant(name: str, selected: Any, options: Sequence[str]) -> str:
    if name in options:
        return f"{MANY}.{name}: this variant is not selected; select it too, {MANY}=[{name},...]"
    known = {*options, *(selected if isinstance(selected, Mapping) else ())}
    near = suggest(name, known)
    return (
        f"{MANY}.{name}: no such variant; {near}{'' if near.endswith('?') else '.'} "
        f"A new one is added with a plus sign: +{MANY}.{name}={{steps: [...]}}"
    )


def foresee(request: Request, composed: dict[str, Any]) -> None:
    """Change plain values as Hydra will change the configuration, so far as :func:`check_value` needs to know."""
    here: Any = composed
    for part in request.path[:-1]:
        if isinstance(here, list):
            here = here[int(part)]
        elif isinstance(here, dict):
            if not isinstance(here.get(part), (dict, list)):
                here[part] = {}
            here = here[part]
    last = request.path[-1]
    if isinstance(here, list):
        here[int(last)] = request.value
    elif isinstance(here, dict) and request.sign == "~":
        here.pop(last, None)
    elif isinstance(here, dict) and isinstance(request.value, dict) and isinstance(here.get(last), dict):
        here[last] |= request.value
    elif isinstance(here, dict):
        here[last] = request.value


def for_hydra(request: Request) -> str:
    """The override as Hydra takes it: known keys are set whether or not the YAML files mention them."""
    return request.text if request.sign == "~" else "++" + request.text.lstrip("+")
