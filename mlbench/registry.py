"""One registry for everything that a configuration selects by short name.

Built-in parts are listed in :mod:`mlbench.parts`. Third parties register theirs through entry points in the groups of
:data:`GROUPS`; their names may not shadow built-in ones.
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable
from functools import cache
from importlib.metadata import entry_points
from typing import Any

from mlbench.errors import InputError, MlbenchError
from mlbench.parts import BUILTIN, Entry, Kind

GROUPS: dict[Kind, str] = {
    "model": "mlbench.models",
    "dataset": "mlbench.datasets",
    "task": "mlbench.tasks",
    "step": "mlbench.steps",
    "runtime": "mlbench.runtimes",
    "probe": "mlbench.probes",
}


@cache
def entries(kind: Kind) -> dict[str, Entry]:
    """All registered parts of one kind by name: built-in ones first, then entry points."""
    found = {entry.name: entry for entry in BUILTIN if entry.kind == kind}
    for point in entry_points(group=GROUPS[kind]):
        if point.name not in found:
            provider = point.dist.name if point.dist is not None else "unknown"
            found[point.name] = Entry(kind, point.name, point.value, f"from {provider}", provider=provider)
    return found


def find(kind: Kind, name: str) -> Entry:
    """The part of that kind and name.

    Raises:
        InputError: No such name; the message holds the nearest ones.
    """
    entry = next((entry for entry in BUILTIN if entry.kind == kind and entry.name == name), None)
    if entry is None:
        entry = entries(kind).get(name)
    if entry is None:
        raise InputError(f"unknown {kind} '{name}'; {suggest(name, entries(kind))}")
    return entry


def load(kind: Kind, name: str) -> Any:
    """The registered object itself, imported now. Classes come back as classes.

    Raises:
        InputError: No such name, or what it needs is not installed (the message names the extra).
        MlbenchError: A third party's part cannot be imported (the message names its distribution).
    """
    entry = find(kind, name)
    reason = entry.missing()
    if reason is not None:
        raise InputError(f"{kind} '{name}' {reason}")
    module, _, attribute = entry.target.partition(":")
    if entry.provider == "mlbench":
        return getattr(importlib.import_module(module), attribute)
    try:
        return getattr(importlib.import_module(module), attribute)
    except Exception as error:  # anything can happen in somebody else's module
        raise MlbenchError(
            f"{kind} '{name}' of {entry.provider} ({entry.target}) cannot be imported: {type(error).__name__}: {error}"
        ) from error


def suggest(name: str, known: Iterable[str]) -> str:
    """A clause for error messages: the nearest known names, or all of them."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if near:
        return "did you mean " + " or ".join(near) + "?"
    return "known: " + (", ".join(names) if names else "none")
