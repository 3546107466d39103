"""Directories of files with checksums, as the artifact store and the journal keep them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path


def files_in(directory: Path) -> list[str]:
    """Every file below a directory, relative to it, in sorted order."""
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_file())


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or a directory's entries, are on the disk (``fsync``)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
