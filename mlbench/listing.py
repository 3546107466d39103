"""What there is to choose from, what of it can be used here, and why the rest cannot. Imports nothing heavy."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from mlbench import registry, tree
from mlbench.errors import MlbenchError
from mlbench.outside import LimitError, read_yaml
from mlbench.parts import Entry, Kind

_GROUPS = {
    "workloads": "workload",
    "variants": "variants",
    "scenarios": "scenario",
    "protocols": "protocol",
    "policies": "policy",
}
_PARTS: dict[str, Kind] = {
    "runtimes": "runtime",
    "steps": "step",
    "probes": "probe",
    "tasks": "task",
    "datasets": "dataset",
    "models": "model",
}
KINDS = (
    "workloads", "variants", "runtimes", "steps", "scenarios", "protocols", "policies", "probes", "tasks", "datasets",
    "models",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to choose.

    Attributes:
        reason: Why it cannot be used here; empty when it can.
        provider: ``mlbench``, the distribution that registered it, or the user's configuration directory.
    """

    name: str
    summary: str
    available: bool = True
    reason: str = ""
    provider: str = "mlbench"


def items(kind: str, config_dirs: Sequence[str | os.PathLike[str]] = ()) -> tuple[Item, ...]:
    """Everything of one kind, one of :data:`KINDS`; configurations by name, registered parts in their own order.

    Raises:
        InputError: One of ``config_dirs`` does not exist.
    """
    if kind in _PARTS:
        return tuple(_part(entry) for entry in registry.entries(_PARTS[kind]).values())
    found: dict[str, Item] = {}
    packaged = tree.packaged()
    for directory in tree.directories(config_dirs):
        for path in sorted((directory / _GROUPS[kind]).glob("*.yaml")):
            provider = "mlbench" if directory == packaged else str(directory)
            found.setdefault(path.stem, _configuration(kind, path, provider))
    return tuple(found[name] for name in sorted(found))


def _part(entry: Entry) -> Item:
    reason = entry.missing()
    if reason is None and (entry.kind == "probe" or entry.provider != "mlbench"):
        try:
            part = registry.load(entry.kind, entry.name)
            reason = part().available() if entry.kind == "probe" else None
        except MlbenchError as error:
            reason = str(error)
    return Item(entry.name, entry.summary, reason is None, reason or "", entry.provider)


def _configuration(kind: str, path: Path, provider: str) -> Item:
    try:
        text = read_yaml(path)
        content = yaml.safe_load(text)
    except LimitError as error:
        return Item(path.stem, "", available=False, reason=f"{path}: it is not read: {error}", provider=provider)
    except (OSError, ValueError, yaml.YAMLError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        return Item(path.stem, "", available=False, reason=f"{path}{where}: this is not valid YAML", provider=provider)
    content = content if isinstance(content, Mapping) else {}
    reasons = list(dict.fromkeys(_NEEDS.get(kind, _nothing)(content)))
    return Item(path.stem, _summary(text, content), not reasons, "; ".join(reasons), provider)


def _summary(text: str, content: Mapping[str, Any]) -> str:
    """The recipe's description, or the comment that the file begins with (its first sentence or line)."""
    for value in content.values():
        if isinstance(value, Mapping) and isinstance(value.get("description"), str):
            return str(value["description"])
    first = text.partition("\n")[0].strip()
    return first.lstrip("# ").rstrip(".") if first.startswith("#") else ""


def _needs_of_recipes(content: Mapping[str, Any]) -> Iterator[str]:
    for recipe in content.values():
        if not isinstance(recipe, Mapping):
            continue
        steps = recipe.get("steps")
        for step in steps if isinstance(steps, list) else []:
            yield from _missing("step", step.get("name") if isinstance(step, Mapping) else None)
        runtime = recipe.get("runtime")
        yield from _missing("runtime", runtime.get("name") if isinstance(runtime, Mapping) else None)


def _needs_of_workload(content: Mapping[str, Any]) -> Iterator[str]:
    yield from _missing("task", content.get("task"))
    sections: tuple[tuple[str, Kind], ...] = (("model", "model"), ("data", "dataset"))
    for section, kind in sections:
        part = content.get(section)
        yield from _missing(kind, part.get("source") if isinstance(part, Mapping) else None)


def _nothing(_: Mapping[str, Any]) -> Iterator[str]:
    return iter(())


_NEEDS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "variants": _needs_of_recipes,
    "workloads": _needs_of_workload,
}


def _missing(kind: Kind, name: object) -> Iterator[str]:
    if not isinstance(name, str) or name == "auto" or "${" in name:
        return
    try:
        reason = registry.find(kind, name).missing()
    except MlbenchError as error:
        yield str(error)
        return
    if reason is not None:
        yield f"{kind} '{name}' {reason}"
