"""The content-addressed store: what is built once is never built again, and never trusted unread.

An artifact's directory is named by the SHA-256 of everything that determines it. It is built in a private temporary
directory beside its place and renamed there in one step, so that another process sees all of it or nothing. Its
manifest holds the SHA-256 of every file; each reuse checks them.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlbench.disk import OutsideError, discard, files_in, flush, inside, is_private, no_room, sha256
from mlbench.errors import InputError, MlbenchError
from mlbench.outside import parse_json
from mlbench.records import Artifact, from_dict, to_dict
from mlbench.workloads import Progress

MANIFEST = "artifact.json"
_SCHEMA = 1
_ABANDONED_SECONDS = 24 * 3600
_PRIVATE = 0o700


class StoreError(MlbenchError):
    """The store cannot be written."""


class DamagedError(Exception):
    """A stored artifact is not what its manifest says; the message is a clause."""


@dataclass(frozen=True, slots=True)
class StoreEntry:
    """One stored artifact, for listings.

    Attributes:
        digest: Its key.
        format: As in :class:`mlbench.records.Artifact`; empty when the manifest cannot be read.
        size_bytes: Bytes on disk.
        last_used: Seconds since the epoch of the last build or reuse.
        steps: Names of the recipe steps behind it, in order; empty for a workload's own model.
        damaged: Why it cannot be used, or an empty string.
    """

    digest: str
    format: str
    size_bytes: int
    last_used: float
    steps: tuple[str, ...]
    damaged: str = ""


def default_root() -> Path:
    """``$MLBENCH_CACHE_DIR``, or ``~/.cache/mlbench``."""
    named = os.environ.get("MLBENCH_CACHE_DIR")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "mlbench"


def digest_of(key: Mapping[str, Any]) -> str:
    """SHA-256 of the key as canonical JSON (sorted keys, no blanks, ASCII, no NaN)."""
    text = json.dumps(key, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Store:
    """Artifacts by digest.

    Args:
        root: Directory of the store; None is :func:`default_root`. It is made when something is first built.
        clock: Seconds since the epoch, for "last used".
        owner: A word that nobody else has, for :meth:`abandon`; letters and digits.
    """

    def __init__(self, root: Path | str | None = None, clock: Callable[[], float] = time.time, owner: str = "") -> None:
        self.root = (default_root() if root is None else Path(root).expanduser()).absolute()
        self._clock = clock
        self._owner = owner
        self._notices: list[str] = []

    @property
    def notices(self) -> tuple[str, ...]:
        """What the user must know of this store's use so far, such as a damaged artifact that was built again."""
        return tuple(self._notices)

    def build(
        self, key: Mapping[str, Any], make: Callable[[Path], Artifact], progress: Progress | None = None
    ) -> Artifact:
        """The artifact of that key: the stored one if it is whole, otherwise made now.

        When two processes build the same key at once, both end with the artifact of the one that finished first.

        Args:
            key: Everything that determines the artifact, JSON-ready.
            make: Writes files into the given empty directory and describes them; ``digest``, ``path`` and
                ``size_bytes`` of its answer are filled in here.
            progress: Told when a stored artifact is damaged and built again; :attr:`notices` keeps it too.

        Raises:
            InputError: The store's directory cannot be made, or others can write to the stored artifact.
            StoreError: The artifact cannot be written.
        """
        digest = digest_of(key)
        place = self._place(digest)
        if place.is_dir():
            try:
                return self._take(place, digest)
            except DamagedError as error:
                self._say(f"the stored artifact {digest[:12]} is damaged ({error}); building it again", progress)
                self._discard(place)
        self._make_root()
        with self._work(digest) as work:
            made = make(work)
            try:
                size = self._seal(made, work, digest, key)
                self._publish(work, place, digest)
            except OSError as error:
                raise StoreError(f"the artifact store {self.root} cannot be written: {error}") from error
        return replace(made, digest=digest, path=str(place), size_bytes=size)

    @contextlib.contextmanager
    def _work(self, digest: str) -> Iterator[Path]:
        """An empty directory to build in, that is gone afterwards.

        Raises:
            StoreError: It cannot be made, or what was built in it failed on a full disk, in whatever words.
        """
        try:
            work = Path(tempfile.mkdtemp(prefix=f".building-{digest[:12]}-{self._owner}-", dir=self._artifacts))
        except OSError as error:
            raise StoreError(f"the artifact store {self.root} cannot be written: {error}") from error
        try:
            yield work
        except Exception as error:
            full = no_room(error, self.root, Path(tempfile.gettempdir()))
            if not full:
                raise
            raise StoreError(
                f"artifacts cannot be kept in {self.root}: {full} ({error}); make room (mlbench cache prune) and start "
                "again: what is built already is used"
            ) from error
        finally:
            shutil.rmtree(work, ignore_errors=True)

    def find(self, digest: str) -> Artifact | None:
        """The stored artifact of that digest, every file checked; None where there is none, or it is damaged.

        Raises:
            InputError: Others can write to it.
        """
        try:
            return self._take(self._place(digest), digest)
        except DamagedError:
            return None

    def entries(self) -> list[StoreEntry]:
        """All stored artifacts, the most recently used first."""
        return sorted((self._entry(place) for place in self._places()), key=lambda entry: -entry.last_used)

    def prune(
        self, *, older_than_s: float | None = None, max_bytes: int | None = None, everything: bool = False
    ) -> list[StoreEntry]:
        """Remove stored artifacts, and what interrupted builds left behind.

        Args:
            older_than_s: Remove what was not used for so many seconds.
            max_bytes: Then remove the least recently used ones until the rest fits.
            everything: Remove all.

        Returns:
            What was removed.
        """
        now = self._clock()
        kept: list[StoreEntry] = []
        removed: list[StoreEntry] = []
        for entry in self.entries():
            old = older_than_s is not None and now - entry.last_used > older_than_s
            (removed if everything or old else kept).append(entry)
        total = sum(entry.size_bytes for entry in kept)
        while max_bytes is not None and kept and total > max_bytes:
            last = kept.pop()
            total -= last.size_bytes
            removed.append(last)
        for entry in removed:
            self._discard(self._place(entry.digest))
        self._sweep(now, everything=everything)
        return removed

    def abandon(self) -> None:
        """Remove what builds of this owner have left that ended without tidying up."""
        assert self._owner  # what has no owner may be anybody's, and under way
        for left in self._artifacts.glob(f".building-*-{self._owner}-*"):
            shutil.rmtree(left, ignore_errors=True)

    @property
    def _artifacts(self) -> Path:
        return self.root / "artifacts"

    def _place(self, digest: str) -> Path:
        return self._artifacts / digest

    def _places(self) -> list[Path]:
        if not self._artifacts.is_dir():
            return []
        return [place for place in self._artifacts.iterdir() if place.is_dir() and not place.name.startswith(".")]

    def _say(self, text: str, progress: Progress | None) -> None:
        self._notices.append(text)
        if progress is not None:
            progress(text)

    def _make_root(self) -> None:
        try:
            self._artifacts.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            if not os.access(self._artifacts, os.W_OK | os.X_OK):
                raise PermissionError("no permission to write")
        except OSError as error:
            reason = error.strerror or str(error)
            raise InputError(
                f"cache_dir: artifacts cannot be kept in {self.root} ({reason}); name another directory with "
                "cache_dir or $MLBENCH_CACHE_DIR"
            ) from None

    def _take(self, place: Path, digest: str) -> Artifact:
        """The stored artifact, every file checked against its manifest.

        Raises:
            DamagedError: It is not what it was.
            InputError: Others can write to it: its manifest proves nothing then, and loading it may run code.
        """
        _require_private(place)
        manifest = _read_manifest(place)
        if manifest.get("digest") != digest:
            raise DamagedError("its manifest is of another artifact")
        files = manifest["files"]
        present = {name for name in files_in(place) if name != MANIFEST}
        if present != set(files):
            odd = min(present ^ set(files))
            raise DamagedError(f"{odd} is {'missing' if odd in files else 'not part of it'}")
        for name, facts in files.items():
            try:
                found = sha256(inside(place, name))
            except (OutsideError, OSError) as error:
                raise DamagedError(f"{name} cannot be read: {error}") from None
            if not isinstance(facts, dict) or found != facts.get("sha256"):
                raise DamagedError(f"{name} has changed")
        artifact = _artifact(manifest)
        if artifact.entry not in files:
            raise DamagedError(f"its file {artifact.entry} is not part of it")
        with contextlib.suppress(OSError):  # a read-only store can still be used; only its listing stays behind
            os.utime(place / MANIFEST, times=(self._clock(), self._clock()))
        return replace(artifact, path=str(place))

    def _seal(self, made: Artifact, work: Path, digest: str, key: Mapping[str, Any]) -> int:
        """Write the manifest and flush everything to disk; returns the bytes of all files."""
        if made.entry not in files_in(work):
            raise StoreError(f"artifact {digest[:12]} was built without its file {made.entry}")
        files = {
            name: {"sha256": sha256(work / name), "bytes": (work / name).stat().st_size} for name in files_in(work)
        }
        size = sum((work / name).stat().st_size for name in files)
        manifest = {
            "schema": _SCHEMA,
            "digest": digest,
            "key": key,
            "files": files,
            "artifact": to_dict(replace(made, digest=digest, path="", size_bytes=size)),
        }
        text = json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False)
        (work / MANIFEST).write_text(text, encoding="utf-8")
        os.utime(work / MANIFEST, times=(self._clock(), self._clock()))
        for name in (*files, MANIFEST):
            flush(work / name)
        flush(work)
        return size

    def _publish(self, work: Path, place: Path, digest: str) -> None:
        """Put the finished directory in its place, unless another process was first."""
        while True:
            try:
                work.rename(place)
            except OSError:
                if not place.is_dir():
                    raise
                try:
                    self._take(place, digest)
                except DamagedError:
                    self._discard(place)
                    continue
                return
            flush(place.parent)
            return

    def _discard(self, place: Path) -> None:
        with contextlib.suppress(FileNotFoundError):  # another process was first
            discard(place)

    def _sweep(self, now: float, *, everything: bool) -> None:
        if not self._artifacts.is_dir():
            return
        for left in self._artifacts.glob(".*-*"):
            if everything or now - left.stat().st_mtime > _ABANDONED_SECONDS:  # a running build is younger
                shutil.rmtree(left, ignore_errors=True)

    def _entry(self, place: Path) -> StoreEntry:
        size = sum((place / name).lstat().st_size for name in files_in(place))
        try:
            manifest = _read_manifest(place)
            artifact = _artifact(manifest)
        except DamagedError as error:
            return StoreEntry(place.name, "", size, place.stat().st_mtime, (), str(error))
        used = (place / MANIFEST).stat().st_mtime
        return StoreEntry(place.name, artifact.format, size, used, tuple(step.name for step in artifact.steps))


def _require_private(place: Path) -> None:
    try:
        private = is_private(place)
    except OSError:
        raise DamagedError("it is gone, or cannot be looked at") from None
    if not private:
        raise InputError(
            f"cache_dir: {place} belongs to somebody else, or others can write there, and what they write may run when "
            "it is loaded: make it this user's own (chown, chmod go-w), or name another directory with cache_dir or "
            "$MLBENCH_CACHE_DIR"
        )


def _read_manifest(place: Path) -> dict[str, Any]:
    try:
        manifest = parse_json((place / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedError("its manifest is missing") from None
    except (OSError, ValueError):
        raise DamagedError("its manifest cannot be read") from None
    if (
        not isinstance(manifest, dict)
        or manifest.get("schema") != _SCHEMA
        or not isinstance(manifest.get("files"), dict)
    ):
        raise DamagedError("its manifest was written by another version")
    return manifest


def _artifact(manifest: Mapping[str, Any]) -> Artifact:
    try:
        return from_dict(Artifact, manifest["artifact"])
    except (KeyError, MlbenchError):
        raise DamagedError("its manifest does not describe an artifact") from None
