"""Studies read back from MLflow, which is the database: nothing here looks at local files."""

from __future__ import annotations

import re
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from mlbench import tables
from mlbench.errors import InputError
from mlbench.records import Measurement, Plan, RecordError, Study, from_json
from mlbench.registry import suggest
from mlbench.tracking import content, files, names
from mlbench.tracking.calls import doing, is_absent
from mlbench.tracking.runs import children

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_SHOWN = 8
_KNOWN = 20
_IS_STUDY = f"tags.`{names.KIND}` = 'study'"
_NEWEST = ["attributes.start_time DESC"]


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A study as MLflow holds it.

    Attributes:
        run_id: The study's run.
        experiment_id: Where it is.
        status: ``FINISHED``, ``KILLED`` ...
        arms: Run ids by arm name.
    """

    study: Study
    run_id: str
    experiment_id: str
    status: str
    arms: dict[str, str]


@dataclass(frozen=True, slots=True)
class StudyEntry:
    """One line of a list of studies."""

    run_id: str
    name: str
    started: str
    status: str
    decision: str
    winner: str


def studies(tracker: Tracker, limit: int = 50) -> list[StudyEntry]:
    """The experiment's studies, newest first.

    Raises:
        TrackingError: MLflow refused.
    """
    with doing("list the studies"):
        return [_entry(run) for run in _search(tracker, _IS_STUDY, limit)]


def load_study(tracker: Tracker, reference: str = "latest") -> LoadedStudy:
    """Read a study.

    Args:
        tracker: Where from; names, beginnings of ids and ``latest`` are looked up in its experiment.
        reference: Run id, the beginning of one (at least 4 characters), name of the study, or ``latest``.

    Raises:
        InputError: No such study, several, or a run that is no finished study of mlbench; the message names candidates.
        RecordError: The study was written by a newer mlbench, or is damaged.
        TrackingError: MLflow refused.
    """
    with doing(f"read the study '{reference}'"):
        run = find_run(tracker, reference)
        if names.DECISION not in run.data.tags:
            raise InputError(
                f"the study '{_name(run)}' (run {run.info.run_id}, {run.info.status}) has no result: it is still "
                "running, or ended before it was published"
            )
        study = from_json(Study, _text(tracker, run.info.run_id, names.STUDY_JSON))
        found = children(tracker, run)
        arms = {child.data.tags[names.ARM]: child.info.run_id for child in found if names.ARM in child.data.tags}
    return LoadedStudy(study, run.info.run_id, run.info.experiment_id, run.info.status, arms)


def load_measurement(tracker: Tracker, loaded: LoadedStudy) -> Measurement:
    """Everything that was measured in a study: calls, turns, worker reports and predictions of every arm.

    Raises:
        RecordError: Written by a newer mlbench, or damaged.
        TrackingError: MLflow refused.
    """
    arms = []
    with doing(f"read the measurement of '{loaded.study.name}'"):
        plan = from_json(Plan, _text(tracker, loaded.run_id, names.PLAN_JSON))
        record = files.parse_json(_text(tracker, loaded.run_id, names.MEASUREMENT_JSON), names.MEASUREMENT_JSON)
        for arm in (name for name in plan.arms if name in loaded.arms):
            with tempfile.TemporaryDirectory(prefix="mlbench-read-") as name:
                arms.append(files.read_arm(_fetch(tracker, loaded.arms[arm], Path(name)), arm))
    return content.measurement_from(plan, record, arms)


def load_samples(tracker: Tracker, loaded: LoadedStudy, arm: str) -> tables.Columns:
    """Every call of one arm, also those that do not count (``counted``); see :func:`mlbench.tables.read_samples`.

    Raises:
        InputError: The study has no such arm, or nothing was measured of it.
        RecordError: Written by a newer mlbench, or damaged.
        TrackingError: MLflow refused.
    """
    if arm not in loaded.arms:
        raise InputError(f"the study '{loaded.study.name}' has no arm '{arm}'; {suggest(arm, loaded.arms)}")
    with doing(f"read the samples of '{arm}'"), tempfile.TemporaryDirectory(prefix="mlbench-read-") as name:
        found = _fetch(tracker, loaded.arms[arm], Path(name))
        if names.SAMPLES not in found:
            raise InputError(f"nothing was measured of the arm '{arm}' of the study '{loaded.study.name}'")
        return tables.read_samples(found[names.SAMPLES])


# ---------------------------------------------------------------------------------------------------------------------
# finding the run


def find_run(tracker: Tracker, reference: str) -> Run:
    """The study's run that a reference means.

    Raises:
        InputError: None, several, or a run that is no study; the message names candidates.
    """
    if reference == "latest":
        found = _search(tracker, f"{_IS_STUDY} and tags.`{names.DECISION}` != ''", 1)
        if not found:
            raise InputError(f"there is no study yet in {_where(tracker)}")
        return found[0]
    exact = _by_id(tracker, reference)
    if exact is not None:
        return exact
    candidates = _by_name(tracker, reference) or _by_prefix(tracker, reference)
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        shown = "; ".join(_line(run) for run in candidates[:_SHOWN])
        more = "" if len(candidates) <= _SHOWN else f"; and {len(candidates) - _SHOWN} more"
        raise InputError(f"'{reference}' means {len(candidates)} studies, give the run id of one: {shown}{more}")
    known = dict.fromkeys(_name(run) for run in _search(tracker, _IS_STUDY, _KNOWN))
    raise InputError(f"no study '{reference}' in {_where(tracker)}; {suggest(reference, known)}")


def _by_id(tracker: Tracker, reference: str) -> Run | None:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", reference):
        return None
    try:
        run = tracker.client.get_run(reference)
    except MlflowException as error:
        if not is_absent(error):
            raise
        raise InputError(f"no run '{reference}' in the MLflow store {tracker.location.shown()}") from error
    kind = run.data.tags.get(names.KIND)
    if kind == "study":
        return run
    parent = run.data.tags.get("mlflow.parentRunId")
    hint = f"; it is an arm of the study {parent}" if kind == "arm" and parent else ""
    raise InputError(f"the run '{reference}' is no study of mlbench{hint}")


def _by_name(tracker: Tracker, reference: str) -> list[Run]:
    if "'" in reference:  # MLflow's filters have no escape for it, and study names hold none
        return []
    return _search(tracker, f"{_IS_STUDY} and tags.`{names.STUDY}` = '{reference}'", 100)


def _by_prefix(tracker: Tracker, reference: str) -> list[Run]:
    if not re.fullmatch(r"[0-9a-f]{4,31}", reference):
        return []
    return _search(tracker, f"{_IS_STUDY} and attributes.run_id LIKE '{reference}%'", 100)


def _search(tracker: Tracker, condition: str, limit: int) -> list[Run]:
    return list(tracker.client.search_runs([tracker.experiment_id], condition, max_results=limit, order_by=_NEWEST))


def _entry(run: Run) -> StudyEntry:
    tags = run.data.tags
    decision, winner = tags.get(names.DECISION, ""), tags.get(names.WINNER, "")
    return StudyEntry(run.info.run_id, _name(run), _started(run), run.info.status, decision, winner)


def _line(run: Run) -> str:
    return f"{run.info.run_id} ({_name(run)}, {_started(run)})"


def _name(run: Run) -> str:
    name: str = run.data.tags.get(names.STUDY) or run.info.run_name
    return name


def _started(run: Run) -> str:
    return datetime.fromtimestamp(run.info.start_time / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _where(tracker: Tracker) -> str:
    return f"the experiment '{tracker.experiment}' of the MLflow store {tracker.location.shown()}"


# ---------------------------------------------------------------------------------------------------------------------
# reading artifacts


def _text(tracker: Tracker, run_id: str, path: str) -> str:
    with tempfile.TemporaryDirectory(prefix="mlbench-read-") as folder:
        try:
            local = tracker.client.download_artifacts(run_id, path, folder)
            return Path(local).read_text(encoding="utf-8")
        except (MlflowException, OSError, UnicodeDecodeError) as error:
            raise RecordError(f"the run {run_id} has no readable artifact '{path}'") from error


def _fetch(tracker: Tracker, run_id: str, folder: Path) -> dict[str, Path]:
    """The run's own artifacts by name, downloaded; models stay where they are."""
    present = {info.path for info in tracker.client.list_artifacts(run_id)}
    return {
        name: Path(tracker.client.download_artifacts(run_id, name, str(folder)))
        for name in files.OF_ARM
        if name in present
    }
