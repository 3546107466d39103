"""Why an arm is no faster than the recipe that it extends (docs/method.md, "Why an arm is no faster")."""

from __future__ import annotations

from mlbench.explaining._explaining import explained, needs_explaining, to_profile
from mlbench.explaining._parents import parents

__all__ = ["explained", "needs_explaining", "parents", "to_profile"]
