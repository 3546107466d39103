"""MLflow puts the code of a model that it loads on the import path for good, and its folder here is a temporary one."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

SERVED = Path(__file__).with_name("mlbench_served_v1.py")  # what goes into logged models


@contextmanager
def import_path_kept() -> Iterator[None]:
    """Take away what was put on the import path meanwhile, and the modules that came from there.

    Left behind, the path would point at a folder that is deleted and that anybody may make again, and the next model's
    module of the same name would not be read.
    """
    path, modules = list(sys.path), set(sys.modules)
    try:
        yield
    finally:
        added = tuple(f"{Path(entry).resolve()}/" for entry in sys.path if entry not in path)
        sys.path[:] = path
        for name in set(sys.modules) - modules:
            file = getattr(sys.modules[name], "__file__", None)
            if file and added and str(Path(file).resolve()).startswith(added):
                del sys.modules[name]


@contextmanager
def by_own_name(file: Path) -> Iterator[ModuleType]:
    """A file of ours as the module that it is inside a model, where it is no part of a package."""
    name = file.stem
    present = sys.modules.get(name)
    if present is not None:  # a model that was loaded before has brought it
        yield present
        return
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        sys.modules.pop(name, None)


__all__ = ["SERVED", "by_own_name", "import_path_kept"]
