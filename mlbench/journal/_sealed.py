"""Sealed directories: written in one piece, with the checksum of every file, and checked before they are read."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlbench.disk import discard, files_in, flush, sha256
from mlbench.outside import parse_json

SUMS = "SHA256SUMS.json"


class DamagedError(Exception):
    """A sealed directory is not what was written; the message is a clause."""


def seal(place: Path, fill: Callable[[Path], None]) -> None:
    """Write a directory: filled beside its place, flushed to disk, then renamed there. What was there before is gone.

    Args:
        place: The directory to be.
        fill: Writes files, also in sub-folders, into the empty private directory that it is given.

    Raises:
        OSError: It cannot be written; nothing is left behind, and what was there before stays.
    """
    work = Path(tempfile.mkdtemp(prefix=f".{place.name}-", dir=place.parent))
    try:
        fill(work)
        sums = {name: sha256(work / name) for name in files_in(work)}
        (work / SUMS).write_text(json.dumps(sums, indent=2, sort_keys=True), encoding="utf-8")
        for path in (*work.rglob("*"), work):
            flush(path)
        if place.exists():
            discard(place)
        work.rename(place)
        flush(place.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def check(place: Path) -> None:
    """See that a sealed directory is what was written.

    Raises:
        DamagedError: A file is missing, has changed, or does not belong there.
    """
    try:
        sums = parse_json((place / SUMS).read_text(encoding="utf-8"))
        present = {name for name in files_in(place) if name != SUMS}
        if not isinstance(sums, dict):
            raise DamagedError(f"{place.name}: its checksums cannot be read")
        if present != set(sums):
            odd = min(present ^ set(sums))
            raise DamagedError(f"{place.name}/{odd} is {'missing' if odd in sums else 'not part of it'}")
        for name, expected in sums.items():
            if sha256(place / name) != expected:
                raise DamagedError(f"{place.name}/{name} has changed")
    except FileNotFoundError:
        raise DamagedError(f"{place.name}: its checksums are missing") from None
    except (OSError, ValueError):
        raise DamagedError(f"{place.name}: its checksums cannot be read") from None
