"""The runs of one study: the parent, one child per arm, and how they end.

Everything goes through ``MlflowClient``: MLflow's fluent "active run" is global to the process, and reopening a
finished run through it falsifies the run's duration.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mlflow.entities import Param, Run, RunStatus, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.context.registry import resolve_tags
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from mlbench.errors import InputError, TrackingError
from mlbench.masking import redact, redacted
from mlbench.records import SCHEMA_VERSION, Role
from mlbench.tracking import names
from mlbench.tracking.calls import doing, first_line, impatient, is_absent
from mlbench.tracking.champion import Champion
from mlbench.tracking.content import as_yaml

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_TAG_LIMIT = 8000
_PARAM_LIMIT = 6000
_PER_BATCH = 100
_RUNNING = RunStatus.to_string(RunStatus.RUNNING)


@dataclass(frozen=True, slots=True)
class OpenArm:
    """The run of one arm."""

    name: str
    role: Role
    run_id: str


@dataclass(frozen=True, slots=True)
class OpenStudy:
    """The runs of a study that is under way.

    Attributes:
        run_id: The study's run, parent of every arm's run.
        arms: The arms opened so far, by name.
        champion: Where the alias pointed when the study began; None where that was not recorded.
    """

    tracker: Tracker
    name: str
    run_id: str
    arms: dict[str, OpenArm] = field(default_factory=dict)
    champion: Champion | None = None

    def open_arm(self, name: str, role: Role) -> OpenArm:
        """Open the arm's run below the study's, once; the same name gives the same run again.

        Raises:
            TrackingError: MLflow refused.
        """
        if name not in self.arms:
            tags = {MLFLOW_PARENT_RUN_ID: self.run_id, names.KIND: "arm", names.STUDY: self.name}
            tags |= {names.ARM: name, names.ROLE: role, names.SCHEMA: str(SCHEMA_VERSION)}
            with doing(f"open the run of '{name}'"):
                self.arms[name] = OpenArm(name, role, _create(self.tracker, name, tags))
        return self.arms[name]

    def announce_arm(self, name: str, role: Role) -> str:
        """Open the arm's run if MLflow answers at once; otherwise why not. Publishing opens what is missing."""
        try:
            with impatient():
                self.open_arm(name, role)
        except TrackingError as error:
            return str(error)
        return ""

    def reopen(self, *, anew: bool) -> None:
        """Let the study go on: its runs are RUNNING again, and no result of before is shown.

        Args:
            anew: What was published for the arms is replaced by new runs: a metric that was logged cannot be changed.

        Raises:
            TrackingError: MLflow refused.
        """
        client = self.tracker.client
        with doing("open the study's run again"):
            for arm in list(self.arms.values()) if anew else []:
                for model in client.search_logged_models(
                    [self.tracker.experiment_id], filter_string=f"source_run_id = '{arm.run_id}'"
                ):
                    client.delete_logged_model(model.model_id)
                client.delete_run(arm.run_id)
                del self.arms[arm.name]
            for run_id in (self.run_id, *(arm.run_id for arm in self.arms.values())):
                tags = client.get_run(run_id).data.tags
                for tag in (names.DECISION, names.WINNER, names.ERROR):
                    if tag in tags:
                        client.delete_tag(run_id, tag)
                client.update_run(run_id, status=_RUNNING)

    def finish(self) -> None:
        """End the study's run as FINISHED; its arms must have ended."""
        with doing("end the study's run"):
            end(self.tracker, self.run_id, "FINISHED")

    def fail(self, error: BaseException | str) -> None:
        """End every run that is still open as FAILED, with the message in the tag ``mlbench.error``.

        Waits no longer than it must.

        Raises:
            TrackingError: MLflow refused.
        """
        with impatient():
            self._end_all("FAILED", redact(str(error).strip()) or type(error).__name__)

    def discard(self, error: BaseException | str) -> None:
        """Delete the runs of a study that measured nothing, after ending them as :meth:`fail` does.

        The run that ``mlflow run`` opened is MLflow's own, and stays.

        Raises:
            TrackingError: MLflow refused.
        """
        self.fail(error)
        with impatient(), doing("delete the runs of the study"):
            own = [] if self.run_id == self.tracker.adopted else [self.run_id]
            for run_id in (*self._children(), *own):
                self.tracker.client.delete_run(run_id)

    def kill(self, message: str = "interrupted") -> bool:
        """End every run that is still open as KILLED: the study was interrupted. Waits no longer than it must.

        Returns:
            Whether any was open.

        Raises:
            TrackingError: MLflow refused.
        """
        with impatient():
            return self._end_all("KILLED", message)

    def _end_all(self, status: str, message: str) -> bool:
        any_open = False
        with doing(f"end the runs of the study as {status}"):
            for run_id in (*self._children(), self.run_id):
                if self.tracker.client.get_run(run_id).info.status == _RUNNING:
                    any_open = True
                    set_tags(self.tracker, run_id, {names.ERROR: message})
                    end(self.tracker, run_id, status)
        return any_open

    def _children(self) -> list[str]:
        """The runs of its arms, also one whose opening was interrupted before it was noted here."""
        found = children(self.tracker, self.tracker.client.get_run(self.run_id))
        return list(dict.fromkeys([*(arm.run_id for arm in self.arms.values()), *(run.info.run_id for run in found)]))


def open_study(
    tracker: Tracker, name: str, config: Mapping[str, Any], overrides: Sequence[str], champion: Champion | None
) -> OpenStudy:
    """Open the study's run, or adopt the one that ``mlflow run`` opened; see :meth:`Tracker.open_study`."""
    tags = {
        **(champion.tags if champion is not None else {}),
        names.KIND: "study",
        names.STUDY: name,
        names.SCHEMA: str(SCHEMA_VERSION),
        names.OVERRIDES: redact(shlex.join(overrides)),
    }
    with doing("open the study's run"):
        adopted = tracker.adopted
        if adopted is None:
            above = {} if tracker.parent is None else {MLFLOW_PARENT_RUN_ID: tracker.parent}
            run_id = _create(tracker, name, tags | above)
        else:
            run_id = adopted
            # as MLflow's own start_run does: one study per adopted run; further ones of this process go below it
            os.environ.pop("MLFLOW_RUN_ID", None)
            os.environ["MLBENCH_PARENT_RUN_ID"] = run_id
        opened = OpenStudy(tracker, name, run_id, champion=champion)
        try:
            if adopted is not None:
                set_tags(tracker, run_id, tags)
            tracker.client.log_text(run_id, as_yaml(redacted(config)), names.CONFIG_YAML)
        except BaseException as error:  # nobody else knows of the run yet
            with suppress(TrackingError):
                opened.kill() if isinstance(error, KeyboardInterrupt) else opened.fail(first_line(error))
            raise
    return opened


def resume_study(tracker: Tracker, run_id: str) -> OpenStudy:
    """The runs of a study that was opened before; see :meth:`Tracker.resume_study`.

    Where a request to open an arm's run was carried out but its answer was lost, it was made twice: the later run goes.
    """
    with doing(f"read the run {run_id}"):
        try:
            run = tracker.client.get_run(run_id)
        except MlflowException as error:
            if not is_absent(error):
                raise
            raise InputError(f"no run '{run_id}' in the MLflow store {tracker.location.shown()}") from error
        if run.data.tags.get(names.KIND) != "study":
            raise InputError(f"the run '{run_id}' is no study of mlbench")
        arms = {}
        for child in children(tracker, run):
            tags = child.data.tags
            role: Any = tags.get(names.ROLE, "variant")
            if tags[names.ARM] in arms:
                tracker.client.delete_run(child.info.run_id)
                continue
            arms[tags[names.ARM]] = OpenArm(tags[names.ARM], role, child.info.run_id)
    name = run.data.tags.get(names.STUDY, run.info.run_name)
    return OpenStudy(tracker, name, run_id, arms, Champion.from_tags(run.data.tags))


def children(tracker: Tracker, parent: Run) -> list[Run]:
    """The runs of a study's arms, oldest first."""
    found: list[Run] = []
    token = None
    while True:
        page = tracker.client.search_runs(
            [parent.info.experiment_id],
            f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent.info.run_id}' and tags.`{names.KIND}` = 'arm'",
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        found += page
        token = page.token
        if not token:
            return found


def set_tags(tracker: Tracker, run_id: str, tags: Mapping[str, str]) -> None:
    """Set tags, each cut to the length that MLflow keeps."""
    known = [RunTag(key, clip(value, _TAG_LIMIT)) for key, value in tags.items()]
    for start in range(0, len(known), _PER_BATCH):
        tracker.client.log_batch(run_id, tags=known[start : start + _PER_BATCH])


def set_params(tracker: Tracker, run_id: str, params: Mapping[str, str]) -> None:
    """Log parameters that the run does not have yet: MLflow refuses to change one, and ``mlflow run`` logs its own."""
    present = tracker.client.get_run(run_id).data.params
    new = [Param(key, clip(value, _PARAM_LIMIT)) for key, value in params.items() if key not in present]
    for start in range(0, len(new), _PER_BATCH):
        tracker.client.log_batch(run_id, params=new[start : start + _PER_BATCH])


def end(tracker: Tracker, run_id: str, status: str) -> None:
    """End a run; one that has ended already keeps its end time and only takes the status."""
    now = tracker.client.get_run(run_id).info.status
    if now == _RUNNING:
        tracker.client.set_terminated(run_id, status)
    elif now != status:
        tracker.client.update_run(run_id, status=status)


def clip(value: str, limit: int) -> str:
    """The text, cut visibly where it is longer than the limit."""
    return value if len(value) <= limit else value[: limit - 4] + " ..."


def _create(tracker: Tracker, name: str, tags: Mapping[str, str]) -> str:
    # MLflow adds what it knows of the caller, such as the address of a Git remote
    everything = {key: clip(redact(value), _TAG_LIMIT) for key, value in resolve_tags(dict(tags)).items()}
    run = tracker.client.create_run(tracker.experiment_id, tags=everything, run_name=name)
    run_id: str = run.info.run_id
    return run_id


__all__ = [
    "OpenArm",
    "OpenStudy",
    "children",
    "end",
    "first_line",
    "open_study",
    "resume_study",
    "set_params",
    "set_tags",
]
