"""Where the configuration tree lies: the packaged one, and the user's own directories before it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from mlbench.errors import InputError, MlbenchError

PATH_VARIABLE = "MLBENCH_CONFIG_PATH"


def packaged() -> Path:
    """The tree that comes with mlbench: inside the package in a wheel, beside the package in a checkout.

    Raises:
        MlbenchError: Neither is there; the installation is broken.
    """
    package = Path(__file__).resolve().parent
    for candidate in (package / "conf", package.parent / "conf"):
        if (candidate / "config.yaml").is_file():
            return candidate
    raise MlbenchError(f"the configuration tree is missing from {package}: install mlflow-mlbench again")


def directories(config_dirs: Iterable[str | os.PathLike[str]] = ()) -> tuple[Path, ...]:
    """All directories of the configuration, the one that wins first: ``config_dirs``, the environment's, the packaged.

    Raises:
        InputError: One of the user's directories does not exist; all such are named.
    """
    found, problems = look(config_dirs)
    if problems:
        raise InputError(problems)
    return found


def look(config_dirs: Iterable[str | os.PathLike[str]] = ()) -> tuple[tuple[Path, ...], list[str]]:
    """As :func:`directories`: those that are there, and a sentence for each one that is not."""
    wanted = [("--config-dir", os.fspath(item)) for item in config_dirs]
    wanted += [(PATH_VARIABLE, item) for item in os.environ.get(PATH_VARIABLE, "").split(os.pathsep) if item]
    problems = []
    found: list[Path] = []
    for origin, name in wanted:
        path = Path(name).expanduser().absolute()
        if not path.is_dir():
            what = "is not a directory" if path.exists() else "does not exist"
            problems.append(f"configuration directory '{name}' ({origin}) {what}")
        elif path not in found:
            found.append(path)
    return (*found, packaged()), problems
