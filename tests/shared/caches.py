"""Artifact caches of tests that drive the program: what one has built the others find."""

from __future__ import annotations

import os
from pathlib import Path


def share_artifacts(cache: Path) -> None:
    """Let a cache have its artifacts where all tests have theirs; its journals stay its own."""
    shared = Path(os.environ["MLBENCH_CACHE_DIR"]) / "artifacts"
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.mkdir(mode=0o700, exist_ok=True)
    if not (cache / "artifacts").exists():
        (cache / "artifacts").symlink_to(shared, target_is_directory=True)
