"""Directories of files with checksums, as the artifact store and the journal keep them."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import suppress
from pathlib import Path

_ROOM = 1 << 20  # bytes; with less than that a disk is full for whoever writes a file of any size
_FULL = (errno.ENOSPC, errno.EDQUOT)


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


def no_room(error: BaseException, *places: Path) -> str:
    """That a disk is full on which something failed, in a sentence; nothing where none is.

    Tools tell it in words of their own, so the disks are looked at as well. Ask before anything is removed.

    Args:
        error: What was raised; what caused it counts too.
        places: Directories that it may have written to.
    """
    for place in places:
        with suppress(OSError):
            if shutil.disk_usage(place).free < _ROOM:
                return f"no space is left on the disk of {place}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return f"no space is left on the disk of {cause.filename or 'some file'}"
        cause = cause.__cause__ or cause.__context__
    return ""
