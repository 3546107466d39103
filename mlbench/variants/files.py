"""Taking an artifact's files over as they are."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from mlbench.records import Artifact
from mlbench.variants.store import MANIFEST


def take_over(artifact: Artifact, out: Path) -> None:
    """The artifact's files in ``out``, hard-linked where the file system can, without the store's manifest."""
    source = Path(artifact.path)
    for file in sorted(path for path in source.rglob("*") if path.is_file()):
        name = file.relative_to(source)
        if name.as_posix() == MANIFEST:
            continue
        target = out / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(file, target)
        except OSError:
            shutil.copyfile(file, target)
