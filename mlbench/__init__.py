"""mlbench decides, with evidence, which variant of a model to ship, and leaves the evidence in MLflow.

The public API is small: :func:`run_study` runs one study, :func:`load_study` reads one back from MLflow, and both
give a :class:`StudyResult`. Importing this package is cheap; torch, mlflow and hydra are imported when they are first
needed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = ["StudyResult", "__version__", "load_study", "run_study"]

if TYPE_CHECKING:
    from mlbench.api import StudyResult, load_study, run_study


def __getattr__(name: str) -> Any:
    if name in ("StudyResult", "load_study", "run_study"):
        from mlbench import api

        return getattr(api, name)
    raise AttributeError(f"module 'mlbench' has no attribute '{name}'")
