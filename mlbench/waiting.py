"""Journals on this disk, looked at and discarded; `mlbench sync` delivers them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from mlbench.disk import files_in
from mlbench.errors import InputError, MlbenchError
from mlbench.journal import Begun, Journal, JournalBusyError, JournalError
from mlbench.sync import found_journals, progress_of, tracking_config
from mlbench.tracking import connect

State = Literal["waits", "unfinished", "under way", "damaged", "discarded", "kept"]


@dataclass(frozen=True, slots=True)
class Waiting:
    """One journal.

    Attributes:
        run_id: The study's run.
        name: Name of the study; empty where it cannot be told.
        state: ``waits`` to be delivered; ``unfinished``, to be resumed; ``under way``; ``damaged``; or what became of
            it: ``discarded``, or ``kept`` although it was to be discarded.
        size_bytes: Of all its files.
        age_s: Since something was last written into it.
        detail: In a sentence.
    """

    run_id: str
    name: str
    state: State
    size_bytes: int
    age_s: float
    detail: str


def journals_kept(root: Path, run_id: str | None = None, clock: Callable[[], float] = time.time) -> list[Waiting]:
    """What every journal below a cache directory is, the oldest first; nothing is changed.

    Raises:
        InputError: There is no journal of that run, or several.
    """
    found = [_looked_at(path, clock()) for path in found_journals(root, run_id)]
    return sorted(found, key=lambda entry: -entry.age_s)


def discard(
    root: Path,
    run_id: str | None = None,
    older_than_s: float | None = None,
    tracking_uri: str | None = None,
    clock: Callable[[], float] = time.time,
) -> list[Waiting]:
    """Remove journals for good: one study's, whatever it holds, or all that were never finished and not touched lately.

    Runs that are still open are closed as KILLED first. A study that waits to be delivered is only discarded by its run
    id, and one whose process is alive not at all.

    Args:
        root: The cache directory.
        run_id: Only this study: its run id, or the beginning of one.
        older_than_s: Without a run id: only what was not written to for so many seconds.
        tracking_uri: Where the runs are, if they have moved.
        clock: Seconds since the epoch.

    Returns:
        One entry for every journal that was looked at.

    Raises:
        InputError: There is no such journal, or several, or it was not said which.
    """
    if run_id is None and older_than_s is None:
        raise InputError("sync --discard: say which study by its run id, or --older-than 30d for all unfinished ones")
    chosen = []
    for entry in journals_kept(root, run_id, clock):
        old = older_than_s is None or entry.age_s > older_than_s
        if old and (run_id is not None or entry.state == "unfinished"):
            chosen.append(_discarded(root, entry, tracking_uri))
        else:
            chosen.append(entry)
    return chosen


def _looked_at(path: Path, now: float) -> Waiting:
    name, state, detail = _state(path)
    written = [path, *path.iterdir()]
    size = sum((path / file).stat().st_size for file in files_in(path))
    return Waiting(path.name, name, state, size, max(0.0, now - max(item.stat().st_mtime for item in written)), detail)


def _state(path: Path) -> tuple[str, State, str]:
    name = ""
    try:
        name = Journal.peek(path).name
        with Journal.open(path) as journal:
            if journal.is_concluded and not journal.is_delivered:
                return name, "waits", f"mlbench sync {path.name} delivers it"
            return name, "unfinished", progress_of(journal, journal.planned())
    except JournalBusyError:
        return name, "under way", "its process is alive"
    except JournalError as error:
        return name, "damaged", str(error)


def _discarded(root: Path, entry: Waiting, tracking_uri: str | None) -> Waiting:
    path = next(path for path in found_journals(root, entry.run_id))
    try:
        with Journal.open(path) as journal:
            said = _closed(journal, tracking_uri)
            journal.remove()
    except MlbenchError as error:
        return replace(entry, state="kept", detail=str(error))
    return replace(entry, state="discarded", detail=said)


def _closed(journal: Journal, tracking_uri: str | None) -> str:
    """Close the runs that are still open.

    Raises:
        MlbenchError: They cannot be closed; the journal is the last that knows of them.
    """
    try:
        begun: Begun = journal.begun()
    except JournalError:
        return "what it had begun could not be read: runs that it left open stay so"
    tracker = connect(tracking_config(begun, tracking_uri), create=False)
    try:
        runs = tracker.resume_study(begun.run_id)
    except InputError:
        return "its run is not in MLflow any more"
    closed = runs.kill("its journal was discarded")
    return "its open runs are closed as KILLED" if closed else "it had no open run"
