"""Studies that MLflow does not have yet: found in their journals, delivered, and their runs closed."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from mlbench.config import TrackingConfig
from mlbench.delivery import deliver
from mlbench.errors import InputError, MlbenchError
from mlbench.journal import Begun, Journal, JournalBusyError, JournalError, Planned, journals
from mlbench.masking import redact
from mlbench.records import Arm
from mlbench.tracking import Tracker, connect
from mlbench.variants.store import Store

State = Literal["delivered", "failed", "unfinished", "under way", "damaged"]
_URI_VARIABLE = "MLFLOW_TRACKING_URI"


@dataclass(frozen=True, slots=True)
class Synced:
    """One journal, and what became of it.

    Attributes:
        run_id: The study's run.
        name: Name of the study; empty where it cannot be told.
        state: ``delivered`` just now; ``failed`` for this time; ``unfinished``, to be resumed; ``under way``, not
            touched; ``damaged``, not touched either.
        detail: What happened, or what to do, in a sentence.
    """

    run_id: str
    name: str
    state: State
    detail: str


def sync(store: Store, run_id: str | None = None, tracking_uri: str | None = None) -> list[Synced]:
    """Deliver every study that was concluded and not delivered, oldest first; one that fails does not stop the others.

    Args:
        store: The artifacts that the studies were measured with; the journals lie beside them.
        run_id: Only this study: its run id, or the beginning of one.
        tracking_uri: Where to, instead of where the study was begun.

    Returns:
        One entry for every journal there is.

    Raises:
        InputError: There is no such journal, or several.
    """
    read = [_read(path) for path in found_journals(store.root, run_id)]
    tried = [_synced(path, begun, store, tracking_uri) for path, begun in sorted(read, key=_age)]
    return [entry for entry in tried if entry is not None]


def found_journals(root: Path, run_id: str | None = None) -> list[Path]:
    """The journals below a cache directory: all, or the one of that run, of whose id the beginning is enough.

    Raises:
        InputError: There is no such journal, or several.
    """
    known = journals(root)
    found = [path for path in known if run_id is None or path.name.startswith(run_id)]
    if run_id is not None and len(found) != 1:
        what = "several studies" if found else "no study"
        there = ", ".join(path.name for path in known) or "there is none, everything was delivered"
        raise InputError(f"{what} '{run_id}' in the journals of {root}: {there}")
    return found


def _read(path: Path) -> tuple[Path, Begun | str]:
    try:
        return path, Journal.peek(path)
    except JournalError as error:
        return path, str(error)


def _age(entry: tuple[Path, Begun | str]) -> tuple[str, str]:
    path, begun = entry
    return begun.created if isinstance(begun, Begun) else "", path.name


def _synced(path: Path, begun: Begun | str, store: Store, tracking_uri: str | None) -> Synced | None:
    """What became of one journal; None where there is none any more."""
    if isinstance(begun, str):
        return Synced(path.name, "", "damaged", begun) if path.exists() else None
    entry = partial(Synced, begun.run_id, begun.name)
    try:
        with Journal.open(path) as journal:
            planned, conclusion = journal.planned(), journal.conclusion()
            if planned is None or conclusion is None or journal.is_delivered:
                return entry("unfinished", progress_of(journal, planned))
            measurement = journal.measurement(conclusion.study.plan)
            arms, missing = _arms(planned, store)
            tracker = connect(tracking_config(begun, tracking_uri), create=False)
            delivered = deliver(tracker, begun.run_id, conclusion, measurement, arms)
            settle(journal, resumable=conclusion.study.status == "interrupted")
    except JournalBusyError:
        return entry("under way", "its process is alive, so it is not touched")
    except JournalError as error:
        return entry("damaged", str(error))
    except MlbenchError as error:
        return entry("failed", str(error))
    return entry("delivered", "; ".join([*delivered.sentences, *missing]) or "delivered")


def progress_of(journal: Journal, planned: Planned | None) -> str:
    """How far a study came, and how to go on with it."""
    so_far = "nothing" if planned is None else f"{journal.counted(planned.plan)} of {planned.plan.trials} trials"
    return f"{so_far} measured; mlbench run --resume {journal.path.name} goes on with it"


def _arms(planned: Planned, store: Store) -> tuple[dict[str, Arm], list[str]]:
    """The arms whose artifacts are still in the store, and a sentence for each other one."""
    arms, missing = {}, []
    for arm in planned.arms:
        artifact = store.find(arm.digest)
        if artifact is None:
            missing.append(f"no model of {arm.name}: its artifact {arm.digest[:12]} is no longer in {store.root}")
        else:
            arms[arm.name] = Arm(arm.name, arm.role, arm.recipe, artifact, arm.settings)
    return arms, missing


def settle(journal: Journal, *, resumable: bool) -> None:
    """MLflow has everything: the journal goes, unless the study was interrupted and can be resumed.

    Raises:
        JournalError: It cannot be written or removed.
    """
    if resumable:
        journal.mark_delivered()
    else:
        journal.remove()


def tracking_config(begun: Begun, tracking_uri: str | None) -> TrackingConfig:
    """Where a study is delivered to: where it was begun, with the credentials of the environment.

    Raises:
        InputError: The address needs credentials, and the environment has none for it.
    """
    if tracking_uri is not None:
        return TrackingConfig(uri=tracking_uri, experiment=begun.experiment)
    if redact(os.environ.get(_URI_VARIABLE, "")) == begun.tracking_uri:
        return TrackingConfig(uri=os.environ[_URI_VARIABLE], experiment=begun.experiment)
    if "***" in begun.tracking_uri:
        raise InputError(
            f"the study goes to {begun.tracking_uri}, whose credentials are not kept: set {_URI_VARIABLE} to that "
            "address with its credentials, or give --tracking-uri"
        )
    return TrackingConfig(uri=begun.tracking_uri, experiment=begun.experiment)


def close_abandoned(tracker: Tracker, root: Path, say: Callable[[str], None]) -> None:
    """Close the runs of studies in this store whose process is gone, and say what waits to be delivered.

    Args:
        tracker: The store.
        root: The cache directory, where the journals are.
        say: Told about every study whose runs were closed, and about every one that waits.
    """
    for path in journals(root):
        # a journal that is in use, damaged, or of a store that refuses, is for `mlbench sync` to explain
        with suppress(MlbenchError), Journal.open(path) as journal:
            _close_abandoned(tracker, journal, say)


def _close_abandoned(tracker: Tracker, journal: Journal, say: Callable[[str], None]) -> None:
    if journal.is_empty:
        journal.remove()
        return
    begun = journal.begun()
    if journal.is_delivered or begun.tracking_uri != redact(tracker.location.uri):
        return
    if journal.conclusion() is not None:
        say(f"the study {begun.name} was not delivered: mlbench sync {begun.run_id} does it")
    elif tracker.resume_study(begun.run_id).kill("its process ended without a word"):
        say(
            f"the study {begun.name} was left open by a process that is gone, and is closed as KILLED: "
            f"mlbench run --resume {begun.run_id} goes on with it"
        )


__all__ = ["Synced", "close_abandoned", "found_journals", "progress_of", "settle", "sync", "tracking_config"]
