"""One study's journal: begun, planned, trial by trial, concluded, delivered."""

from __future__ import annotations

import errno
import fcntl
import os
import re
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import numpy as np

from mlbench.disk import discard, is_private
from mlbench.errors import InputError, MlbenchError
from mlbench.journal import _sealed
from mlbench.journal._records import Begun, Conclusion, Options, Planned
from mlbench.records import Measurement, Plan, RecordError, Study, from_json, to_json, trials_in
from mlbench.sittings import Epoch, continued
from mlbench.tracking import files

T = TypeVar("T")

_LOCK = "lock"
_BEGUN, _PLANNED, _REST, _CONCLUDED, _DELIVERED = "begun", "planned", "rest", "concluded", "delivered"
_TRIAL = "trial-"
_RECORD = "record.json"
_STUDY = "study.json"
_PRIVATE = 0o700
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")  # it comes from the tracking server, and names a directory


class JournalError(MlbenchError):
    """The journal cannot be written, or is damaged."""


class JournalBusyError(MlbenchError):
    """The study's coordinator is alive, or another process is delivering it."""


class Journal:
    """A journal whose lock is held; a context manager that gives the lock back.

    Made by :meth:`begin` and :meth:`open`.
    """

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._lock = lock

    @classmethod
    def begin(cls, root: Path, begun: Begun) -> Journal:
        """Start the journal of a study.

        Args:
            root: The cache directory.
            begun: What is begun.

        Raises:
            InputError: Nothing can be written there, or the run has no proper id.
        """
        if not _RUN_ID.fullmatch(begun.run_id):
            raise InputError(f"the MLflow store calls the study's run '{begun.run_id[:80]}', which is no id of a run")
        path = _folder(root) / begun.run_id
        try:
            path.mkdir(mode=_PRIVATE, parents=True, exist_ok=True)
            journal = cls(path, _locked(path, create=True))
            journal._write(_BEGUN, lambda folder: _put(folder, _RECORD, begun))
        except (OSError, JournalError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise InputError(
                f"cache_dir: no journal of the study can be kept in {path} ({reason}); name another directory with "
                "cache_dir or $MLBENCH_CACHE_DIR"
            ) from error
        return journal

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Take an existing journal.

        Raises:
            JournalBusyError: Somebody holds it.
            JournalError: It is gone, or others than this user can write there.
        """
        try:
            _check_private(path)
            return cls(path, _locked(path, create=False))
        except FileNotFoundError:
            raise JournalError(f"the journal {path} is gone") from None
        except OSError as error:
            raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from error

    @classmethod
    def peek(cls, path: Path) -> Begun:
        """What was begun in a journal, whoever holds it.

        Raises:
            JournalError: Damaged, or others than this user can write there.
        """
        try:
            _check_private(path)
        except OSError as error:
            raise JournalError(f"the journal {path} cannot be read: {error.strerror}") from error
        return cls(path, -1).begun()

    def close(self) -> None:
        """Give the lock back; may be called again."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # -----------------------------------------------------------------------------------------------------------------
    # writing

    def plan(self, planned: Planned) -> None:
        """Keep the order of work.

        Raises:
            JournalError: It cannot be written.
        """
        self._write(_PLANNED, lambda folder: _put(folder, _RECORD, planned))

    def trial(self, number: int, part: Measurement) -> None:
        """Keep a finished trial.

        Args:
            number: From 0; also of a trial that does not count.
            part: What was measured in that trial, and nothing else.

        Raises:
            JournalError: It cannot be written.
        """
        self._write(f"{_TRIAL}{number:04d}", lambda folder: files.write_measurement(folder, part))

    def conclude(self, conclusion: Conclusion, measurement: Measurement) -> None:
        """Keep what was concluded, and what was measured besides the trials that are here already.

        All predictions are kept once more, since concluding adds decisions to them.

        Raises:
            JournalError: It cannot be written.
        """
        kept = set(self.trials())
        rest = replace(
            measurement,
            turns=tuple(turn for turn in measurement.turns if turn.trial not in kept),
            workers=tuple(worker for worker in measurement.workers if worker.trial not in kept),
            lost=tuple(loss for loss in measurement.lost if loss.trial not in kept),
            void=tuple(turn for turn in measurement.void if turn.trial not in kept),
            void_workers=tuple(worker for worker in measurement.void_workers if worker.trial not in kept),
        )
        self._write(_REST, lambda folder: files.write_measurement(folder, rest))
        self._write(_CONCLUDED, lambda folder: _put_conclusion(folder, conclusion))

    def reopen(self) -> None:
        """Forget what was concluded, and trials that were not finished: the study goes on.

        Raises:
            JournalError: It cannot be written.
        """
        try:
            for name in (_CONCLUDED, _DELIVERED, _REST):
                if self._has(name):
                    discard(self.path / name)
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error.strerror or error}") from error

    def mark_delivered(self) -> None:
        """Note that MLflow has what was concluded, where the journal is kept because the study can be resumed.

        Raises:
            JournalError: It cannot be written.
        """
        self._write(_DELIVERED, lambda _folder: None)

    def remove(self) -> None:
        """Remove the journal: nothing in it is needed any more.

        Raises:
            JournalError: It cannot be removed.
        """
        try:
            discard(self.path)
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be removed: {error.strerror}") from error

    def _write(self, name: str, fill: Callable[[Path], None]) -> None:
        try:
            _sealed.seal(self.path / name, fill)
        except OSError as error:
            raise JournalError(f"the journal {self.path} cannot be written: {error.strerror or error}") from error

    # -----------------------------------------------------------------------------------------------------------------
    # reading

    def begun(self) -> Begun:
        """What was begun.

        Raises:
            JournalError: Damaged.
        """
        return self._read(_BEGUN, lambda folder: _get(folder, _RECORD, Begun))

    def planned(self) -> Planned | None:
        """The order of work; None where the study ended before it was known.

        Raises:
            JournalError: Damaged.
        """
        return self._read(_PLANNED, lambda folder: _get(folder, _RECORD, Planned)) if self._has(_PLANNED) else None

    def trials(self) -> tuple[int, ...]:
        """Numbers of the trials that are kept."""
        found = (path.name.removeprefix(_TRIAL) for path in self.path.glob(f"{_TRIAL}*"))
        return tuple(sorted(int(number) for number in found if number.isdecimal()))

    def finished(self, plan: Plan) -> tuple[list[Measurement], list[str]]:
        """The finished trials of that plan, and a sentence for each that is damaged and has to be measured again."""
        parts, damaged = [], []
        for name in self._trial_names():
            try:
                parts.append(self._read(name, lambda folder: files.read_measurement(folder, plan)))
            except JournalError as error:
                damaged.append(str(error))
        return parts, damaged

    def counted(self, plan: Plan) -> int:
        """How many trials of that plan are kept and count: see :func:`mlbench.records.trials_in`."""
        return trials_in(plan, self.finished(plan)[0])

    def measurement(self, plan: Plan) -> Measurement:
        """All that was measured when the study was concluded.

        Args:
            plan: As it was carried out: a look may have ended it before its last trial.

        Raises:
            JournalError: Damaged.
        """
        rest = self._read(_REST, lambda folder: files.read_measurement(folder, plan))
        read = (self._read(name, lambda folder: files.read_measurement(folder, plan)) for name in self._trial_names())
        parts = (*(continued(part, Epoch(rest.epoch_ns, rest.boot)) for part in read), rest)
        return replace(
            rest,
            turns=tuple(chain.from_iterable(part.turns for part in parts)),
            workers=tuple(chain.from_iterable(part.workers for part in parts)),
            lost=tuple(chain.from_iterable(part.lost for part in parts)),
            void=tuple(chain.from_iterable(part.void for part in parts)),
            void_workers=tuple(chain.from_iterable(part.void_workers for part in parts)),
        ).sorted_out()

    def conclusion(self) -> Conclusion | None:
        """What was concluded; None where the study ended before.

        Raises:
            JournalError: Damaged.
        """
        return self._read(_CONCLUDED, _get_conclusion) if self.is_concluded else None

    @property
    def is_empty(self) -> bool:
        """Whether the study's process ended before it wrote anything."""
        return not self._has(_BEGUN) and not self._has(_PLANNED)

    @property
    def is_concluded(self) -> bool:
        """Whether the study came to its end, so that it can be delivered."""
        return self._has(_CONCLUDED)

    @property
    def is_delivered(self) -> bool:
        """Whether MLflow has what was concluded."""
        return self._has(_DELIVERED)

    def _has(self, name: str) -> bool:
        return (self.path / name).is_dir()

    def _trial_names(self) -> list[str]:
        return [f"{_TRIAL}{number:04d}" for number in self.trials()]

    def _read(self, name: str, get: Callable[[Path], T]) -> T:
        try:
            _sealed.check(self.path / name)
            return get(self.path / name)
        except (_sealed.DamagedError, RecordError, OSError, ValueError, EOFError, MemoryError) as error:
            raise JournalError(f"the journal {self.path} is damaged: {error}") from error


def journals(root: Path) -> list[Path]:
    """The journals below a cache directory."""
    folder = _folder(root)
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _folder(root: Path) -> Path:
    return root / "studies"


def _locked(path: Path, *, create: bool) -> int:
    """A descriptor that holds the journal's lock; the lock dies with its holder."""
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (os.O_CREAT if create else 0)
    descriptor = os.open(path / _LOCK, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _check_still_there(descriptor, path)
    except BlockingIOError:
        os.close(descriptor)
        raise JournalBusyError(f"the study {path.name} is under way") from None
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check_still_there(descriptor: int, path: Path) -> None:
    """Whoever held the lock before may have removed the journal and the lock with it."""
    if not os.path.samestat(os.fstat(descriptor), (path / _LOCK).stat()):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))


def _check_private(path: Path) -> None:
    if not is_private(path):
        raise JournalError(f"the journal {path} is not this user's own: nothing is read from it")


def _put(folder: Path, name: str, record: Any) -> None:
    (folder / name).write_text(to_json(record), encoding="utf-8")


def _get(folder: Path, name: str, kind: type[T]) -> T:
    return from_json(kind, (folder / name).read_text(encoding="utf-8"))


def _put_conclusion(folder: Path, conclusion: Conclusion) -> None:
    _put(folder, _STUDY, conclusion.study)
    options = Options(conclusion.log_models, conclusion.registry, tuple(conclusion.example))
    _put(folder, _RECORD, options)
    for index, values in enumerate(conclusion.example.values()):
        np.save(folder / f"{index}.npy", values, allow_pickle=False)


def _get_conclusion(folder: Path) -> Conclusion:
    options = _get(folder, _RECORD, Options)
    example = {name: np.load(folder / f"{index}.npy", allow_pickle=False) for index, name in enumerate(options.inputs)}
    study = _get(folder, _STUDY, Study)
    return Conclusion(study, options.log_models, options.registry, example)
