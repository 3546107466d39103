"""The user's configuration files as Hydra reads them: within limits, and with nothing in them for Hydra itself.

Hydra would import a package that ``hydra.searchpath`` names, and make objects of what stands below ``hydra.callbacks``.
mlbench runs no Hydra job, so nothing in a file may be addressed to Hydra. Imports hydra.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.plugins.config_source import ConfigLoadError, ConfigResult
from omegaconf import DictConfig

from mlbench.outside import LimitError, read_yaml

SCHEME = "mlbench"
_HYDRA = r"hydra(?!\w)"
_GROUP = re.compile(rf"(?:(?:override|optional)\s+)*/?{_HYDRA}|[^@]*@(?:[^:]*:)?(?:_global_\.)?{_HYDRA}")
_PACKAGE = re.compile(rf"(?:_global_\.)?{_HYDRA}")


class UserFiles(FileConfigSource):  # type: ignore[misc] # hydra publishes no types
    """A directory of the user's: files inside it, and nothing for Hydra in them."""

    @staticmethod
    def scheme() -> str:
        """What the directory's address in Hydra's search path begins with."""
        return SCHEME

    def load_config(self, config_path: str) -> ConfigResult:
        """Read one file.

        Raises:
            ConfigLoadError: It is refused; the message is a sentence that names it.
            yaml.YAMLError, UnicodeDecodeError, OSError: As without limits.
        """
        path = Path(self.path) / self._normalize_file_name(config_path)
        if ".." in Path(config_path).parts:
            raise ConfigLoadError(f"{path}: a file outside of the configuration directory is not read")
        try:
            read_yaml(path)
        except LimitError as error:
            raise ConfigLoadError(f"{path}: it is not read: {error}") from error
        result = super().load_config(config_path)
        for place in _for_hydra(result):
            raise ConfigLoadError(
                f"{path}: {place} is refused: mlbench composes its configuration with Hydra but runs no Hydra job"
            )
        return result


def _for_hydra(result: ConfigResult) -> Iterator[str]:
    """Where a file addresses Hydra itself."""
    package = result.header.get("package")
    if package is not None and _PACKAGE.match(package):
        yield f"'@package {package}'"
    if not isinstance(result.config, DictConfig):
        return
    for key in map(str, result.config):
        if _PACKAGE.match(key):
            yield f"'{key}'"
    defaults: Any = result.config._get_node("defaults")  # noqa: SLF001 - its items may be interpolations, left as they are
    for item in defaults._iter_ex(resolve=False) if hasattr(defaults, "_iter_ex") else ():  # noqa: SLF001
        for group in map(str, item if isinstance(item, DictConfig) else (item,)):
            if _GROUP.match(group):
                yield f"'{group}' among the defaults"


__all__ = ["SCHEME", "UserFiles"]
