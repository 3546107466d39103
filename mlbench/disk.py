"""Directories of files with checksums, as the artifact store and the journal keep them, and what may be read there."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import shutil
import stat
from contextlib import suppress
from pathlib import Path, PurePosixPath

_SHOWN = 80
_ROOM = 1 << 20  # bytes; with less than that a disk is full for whoever writes a file of any size
_FULL = (errno.ENOSPC, errno.EDQUOT)


class OutsideError(ValueError):
    """A name that would lead out of its directory; the message is a clause."""


def inside(folder: Path, name: str) -> Path:
    """The file or directory of that name below a folder, whether or not it is there.

    Raises:
        OutsideError: The name is empty, absolute or no name, climbs with ``..``, or passes through a symbolic link.
    """
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}..."
    parts = PurePosixPath(name).parts
    if not parts or name.startswith("/") or ".." in parts or "\0" in name:
        raise OutsideError(f"{shown!r} does not stay in its directory")
    here = folder
    try:
        for part in parts:
            here /= part
            if here.is_symlink():
                raise OutsideError(f"{shown!r} is, or lies behind, a symbolic link")
    except OSError as error:
        raise OutsideError(f"{shown!r} is no name of a file: {error.strerror}") from error
    return here


def is_private(directory: Path) -> bool:
    """Whether it is a real directory of this user's, or the machine's administrator's, and nobody else can write there.

    Raises:
        OSError: There is no such directory, or it cannot be looked at.
    """
    found = directory.lstat()
    return stat.S_ISDIR(found.st_mode) and found.st_uid in (0, os.geteuid()) and not found.st_mode & 0o022


def files_in(directory: Path) -> list[str]:
    """Every file below a directory, relative to it, in sorted order; symbolic links too, wherever they lead."""
    return sorted(
        path.relative_to(directory).as_posix() for path in directory.rglob("*") if path.is_symlink() or path.is_file()
    )


def sha256(path: Path) -> str:
    """The file's SHA-256 in hexadecimal.

    Raises:
        OSError: It cannot be read, or is a symbolic link.
    """
    if path.is_symlink():
        raise OSError(errno.ELOOP, f"{path.name} is a symbolic link")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush(path: Path) -> None:
    """Wait until a file, or a directory's entries, are on the disk (``fsync``)."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def discard(place: Path) -> None:
    """Move a directory, or what stands there, out of the way in one step, so that nobody sees half of it; remove it.

    It stays beside its place until it is gone, which takes no room: a full disk may be what it is removed for.

    Raises:
        OSError: It cannot be moved.
    """
    grave = place.with_name(f".removing-{secrets.token_hex(8)}")
    place.rename(grave)
    if grave.is_dir() and not grave.is_symlink():
        shutil.rmtree(grave, ignore_errors=True)
    else:
        grave.unlink(missing_ok=True)


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
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:  # what caused an error may go round in a circle
        seen.add(id(cause))
        if isinstance(cause, OSError) and cause.errno in _FULL:
            return f"no space is left on the disk of {cause.filename or 'some file'}"
        cause = cause.__cause__ or cause.__context__
    return ""
