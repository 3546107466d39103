"""Property tests: the same examples on every run, and no deadline (a busy machine is not a failure)."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("deterministic", derandomize=True, deadline=None)
settings.load_profile("deterministic")
