"""What tests that drive the program share: its environment, and caches in which one finds what another has built."""

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


def environment(**own: str) -> dict[str, str]:
    """This one and ``own``, without coverage, which doubles a program's time; other tests count its lines."""
    return {**{key: value for key, value in os.environ.items() if not key.startswith("COV")}, **own}
