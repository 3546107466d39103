"""Options of a runtime, checked without a validation library, because the worker process checks them too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlbench.registry import suggest


@dataclass(frozen=True, slots=True)
class Option:
    """One option: its default, and its allowed values, or that it is a list of text or a whole number from 1."""

    default: Any
    values: tuple[Any, ...] = ()
    texts: bool = False
    number: bool = False

    def fits(self, value: Any) -> bool:
        """Whether the value is allowed."""
        if self.number:
            return type(value) is int and value >= 1
        if self.texts:
            return isinstance(value, (list, tuple)) and bool(value) and all(isinstance(item, str) for item in value)
        return any(value is allowed or (type(value) is type(allowed) and value == allowed) for allowed in self.values)

    def wanted(self) -> str:
        """What would be right."""
        if self.number:
            return "a whole number of at least 1"
        if self.texts:
            return "a list of names"
        return "one of " + ", ".join(
            str(value).lower() if isinstance(value, bool) else str(value) for value in self.values
        )


def option_problems(known: Mapping[str, Option], options: Mapping[str, Any]) -> list[str]:
    """Problems of the options, as sentences."""
    found = []
    for name, value in options.items():
        if name not in known:
            found.append(f"runtime.options: unknown option '{name}'; {suggest(str(name), known)}")
        elif not known[name].fits(value):
            found.append(f"runtime.options: '{name}' is {value!r}, but must be {known[name].wanted()}")
    return found


def read_options(known: Mapping[str, Option], options: Mapping[str, Any]) -> dict[str, Any]:
    """Every option with its value or default; call :func:`option_problems` first."""
    return {name: options.get(name, option.default) for name, option in known.items()}
