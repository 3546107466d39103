"""What can be said about a model factory without importing it: its module is found and its source is parsed."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbench.registry import suggest

_WHERE = "workload.model"


def check_factory(factory: str | None, args: Mapping[str, Any]) -> list[str]:
    """Problems of ``factory`` and ``args``, as sentences. The factory's own module is not imported."""
    try:
        json.dumps(args, allow_nan=False)
    except (TypeError, ValueError) as error:
        return [f"{_WHERE}.args must be plain values (numbers, text, lists, mappings): {error}"]
    if factory is None:
        return [f"{_WHERE}.factory is missing; it names the function that makes the model: package.module:function"]
    module, _, name = factory.partition(":")
    if not name.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        return [f"{_WHERE}.factory is '{factory}', but must be package.module:function"]
    path = source_file(factory)
    if path is None:
        return [f"{_WHERE}.factory: module '{module}' was not found; install it, or put its directory on PYTHONPATH"]
    # a compiled module has no source to read: only importing it can tell
    return _check_source(path, module, name, args) if path.suffix == ".py" else []


def _check_source(path: Path, module: str, name: str, args: Mapping[str, Any]) -> list[str]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, ValueError) as error:
        return [f"{_WHERE}.factory: {path} cannot be parsed: {error}"]
    names = _top_level(tree)
    if name not in names:
        if "*" in names or "__getattr__" in names:
            return []
        return [f"{_WHERE}.factory: module '{module}' has no '{name}'; {suggest(name, names)}"]
    definition = names[name]
    return _check_args(definition, args) if isinstance(definition, ast.FunctionDef) else []


def source_file(factory: str) -> Path | None:
    """The file of the factory's module, or None where there is no such module. Parent packages are imported."""
    try:
        spec = importlib.util.find_spec(factory.partition(":")[0])
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin and Path(spec.origin).is_file() else None


def source_digest(factory: str) -> str:
    """SHA-256 of the file that defines the factory, so that an edited model is built anew."""
    path = source_file(factory)
    return hashlib.sha256(path.read_bytes()).hexdigest() if path else ""


def _top_level(tree: ast.Module) -> dict[str, ast.stmt]:
    """Names bound by a module's own statements, also inside ``if`` and ``try``; ``*`` for a star import."""
    names: dict[str, ast.stmt] = {}
    pending: list[ast.stmt] = list(tree.body)
    while pending:
        node = pending.pop(0)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names[node.name] = node
            continue
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            names.update({alias.asname or alias.name: node for alias in node.names})
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign):
            targets = node.targets
        elif isinstance(node, ast.AnnAssign):
            targets = [node.target]
        names.update({target.id: node for target in targets if isinstance(target, ast.Name)})
        pending += [child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt)]
        for handler in getattr(node, "handlers", []):
            pending += handler.body
    return names


def _check_args(function: ast.FunctionDef, args: Mapping[str, Any]) -> list[str]:
    if function.decorator_list:
        return []  # a decorator may change the signature
    spec = function.args
    by_position = [item.arg for item in spec.posonlyargs + spec.args]
    required = set(by_position[: len(by_position) - len(spec.defaults)])
    required |= {item.arg for item, default in zip(spec.kwonlyargs, spec.kw_defaults, strict=True) if default is None}
    allowed = [item.arg for item in spec.args + spec.kwonlyargs]
    found = [f"{_WHERE}.args: '{name}' is missing; {function.name} needs it" for name in sorted(required - set(args))]
    if spec.kwarg is None:
        found += [
            f"{_WHERE}.args: {function.name} takes no '{name}'; {suggest(name, allowed)}"
            for name in args
            if name not in allowed
        ]
    return found
