"""How a study ends when it does not end well: workers gone, runs closed, and nothing lost that was measured."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from shlex import quote
from types import FrameType

from mlbench.errors import InputError, MlbenchError, TrackingError
from mlbench.journal import Begun, Journal, JournalError
from mlbench.measurement.coordinator import TrialOver
from mlbench.progress import Progress
from mlbench.records import Measurement
from mlbench.tracking import OpenStudy, keep_measurement
from mlbench.variants.store import Store


@contextmanager
def journaled(
    runs: OpenStudy, root: Path, begun: Begun, progress: Progress, resumed: Journal | None = None
) -> Iterator[Journal]:
    """The study's journal, a new one or the one that is resumed.

    Whatever ends the study, no run stays open: KILLED by an interruption, FAILED by an error.

    A journal that holds nothing that was measured goes with them; where MLflow does not let its runs be closed, it
    stays, and the next study closes them. Where the user's input was wrong and nothing was measured, the runs of a
    study that began here go too.
    """
    try:
        journal = resumed or Journal.begin(root, begun)
    except InputError as error:
        _closed(runs, error, progress, leave=False)
        raise
    with journal:
        try:
            yield journal
        except BaseException as error:
            measured = bool(journal.trials())
            if isinstance(error, KeyboardInterrupt) and journal.is_concluded:
                where = "" if root == Store().root else f" --cache-dir {quote(str(root))}"
                progress.notice(f"nothing is lost: mlbench sync {begun.run_id}{where} delivers the study later")
            if _closed(runs, error, progress, leave=measured or resumed is not None) and not measured:
                noting(progress, journal.remove)
            raise


def _closed(runs: OpenStudy, error: BaseException, progress: Progress, *, leave: bool) -> bool:
    """Whether the runs could be closed; or taken back, where the input was wrong and nothing is to be left."""
    try:
        if isinstance(error, KeyboardInterrupt):
            runs.kill()
        elif isinstance(error, InputError) and not leave:
            runs.discard(error)
        else:
            runs.fail(error)
    except TrackingError as refusal:
        progress.notice(f"{refusal}; the next study closes them")
        return False
    return True


def keeper(journal: Journal, progress: Progress) -> TrialOver:
    """Keeps every finished trial in the journal; a disk that is full does not end the measurement."""
    return lambda trial, part: noting(progress, partial(journal.trial, trial, part))


def noting(progress: Progress, action: Callable[[], None]) -> None:
    """Do something to the journal; if that fails the study goes on, and the user knows."""
    try:
        action()
    except JournalError as error:
        progress.notice(str(error))


@contextmanager
def keeping(measurement: Measurement, runs: OpenStudy, journal: Journal, progress: Progress) -> Iterator[None]:
    """Whatever goes wrong while concluding, what was measured is kept: in the journal, and in MLflow if it can be."""
    try:
        yield
    except BaseException:
        try:
            keep_measurement(measurement, runs)
            progress.notice(f"what was measured is kept in MLflow, run {runs.run_id}")
        except MlbenchError as error:
            progress.notice(f"{error}; what was measured is kept in {journal.path}")
        raise


@contextmanager
def terminable() -> Iterator[None]:
    """SIGTERM ends a study like Ctrl-C does: workers gone, runs closed, what was measured kept."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    try:
        previous = signal.signal(signal.SIGTERM, interrupt)
    except ValueError:  # not the main thread: signals are somebody else's business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
