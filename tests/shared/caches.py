"""Artifact caches of tests that drive the program: what one has built the others find."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from mlbench.variants.store import MANIFEST


def share_artifacts(cache: Path) -> None:
    """Let a cache have its artifacts where all tests have theirs; its journals stay its own."""
    shared = Path(os.environ["MLBENCH_CACHE_DIR"]) / "artifacts"
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    cache.mkdir(mode=0o700, exist_ok=True)
    if not (cache / "artifacts").exists():
        (cache / "artifacts").symlink_to(shared, target_is_directory=True)


def own_artifacts(cache: Path, digests: Iterable[str]) -> None:
    """Give a cache that shared them its own copies of some artifacts, and of what those were made from."""
    own, wanted = cache / "artifacts", list(digests)
    shared = own.resolve()
    own.unlink()
    own.mkdir(mode=0o700)
    while wanted:
        place = own / wanted.pop()
        if not place.exists():
            shutil.copytree(shared / place.name, place)
            source = json.loads((place / MANIFEST).read_text())["key"].get("input")
            wanted += [source] if source else []
