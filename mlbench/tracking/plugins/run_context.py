"""Tags that say what a run ran on: ``mlbench.env.cpu.model``, ``mlbench.env.version.torch`` and so on, on every run.

MLflow asks whenever a run is started. The facts are gathered once in a process, and never at the cost of the run.
"""

from __future__ import annotations

import logging
import os
from functools import cache

from mlflow.tracking.context.abstract_context import RunContextProvider

SWITCH = "MLBENCH_RUN_TAGS"
PREFIX = "mlbench.env."
_OFF = ("0", "false", "no", "off")
_logger = logging.getLogger(__name__)


class EnvironmentContext(RunContextProvider):
    """Hardware and software of this machine, unless the variable ``MLBENCH_RUN_TAGS`` says ``off``."""

    def in_context(self) -> bool:
        """Whether tags are wanted."""
        return os.environ.get(SWITCH, "").strip().lower() not in _OFF

    def tags(self) -> dict[str, str]:
        """The facts as tags; nothing where they cannot be gathered."""
        return dict(_facts())


@cache
def _facts() -> dict[str, str]:
    try:
        from mlbench.environment import environment

        return {f"{PREFIX}{name}": value for name, value in environment().items() if value}
    except Exception as error:  # noqa: BLE001 - somebody else's run must not fail for a tag
        _logger.warning("mlbench could not describe this machine, so the run has no tags that do: %s", error)
        return {}


__all__ = ["PREFIX", "SWITCH", "EnvironmentContext"]
