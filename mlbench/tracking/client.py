"""The way to MLflow: which store, is it there, which experiment."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.entities import Experiment, Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking._tracking_service.utils import _get_store
from requests.exceptions import RequestException
from sqlalchemy import create_engine
from sqlalchemy.exc import SQLAlchemyError

from mlbench.config import TrackingConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.tracking import names
from mlbench.tracking.calls import first_line, impatient, quiet
from mlbench.tracking.champion import Champion
from mlbench.tracking.runs import OpenStudy, open_study, resume_study
from mlbench.tracking.uris import Location, absolute

_PROJECT, _PARENT = "MLFLOW_RUN_ID", "MLBENCH_PARENT_RUN_ID"
_KINDS = "http://HOST:PORT, sqlite:///FILE, postgresql://..., mysql://..., mssql://... or databricks"
_REGISTERED = "models:/"
_IN_STORE = (_REGISTERED, "runs:/", "mlflow-artifacts:/")
_CONNECT_LIMIT = {"postgresql": {"connect_timeout": 5}, "mysql": {"connect_timeout": 5}, "mssql": {"timeout": 5}}


@dataclass(frozen=True, slots=True)
class Tracker:
    """A store that answers, and the experiment in it.

    Attributes:
        location: The absolute tracking URI and where it was set.
        adopted: The run that ``mlflow run`` opened for this process, which becomes the study's run; usually None.
        parent: The run below which the study goes: the project's, where another study is that already; usually None.
    """

    client: MlflowClient
    location: Location
    experiment_id: str
    experiment: str
    adopted: str | None = None
    parent: str | None = None

    def open_study(
        self,
        name: str,
        config: Mapping[str, Any],
        overrides: Sequence[str] = (),
        champion: Champion | None = None,
    ) -> OpenStudy:
        """Open the study's run, or adopt the one that ``mlflow run`` opened.

        Args:
            name: Name of the study.
            config: The composed configuration, kept as ``config.yaml`` from the start.
            overrides: Overrides as the user gave them.
            champion: Where the alias points at this moment, recorded so that a later move is noticed.

        Raises:
            TrackingError: MLflow refused.
        """
        return open_study(self, name, config, overrides, champion)

    def resume_study(self, run_id: str) -> OpenStudy:
        """A study that was opened before, with its arms, so that it can be published again.

        Raises:
            InputError: That run is no study of mlbench.
            TrackingError: MLflow refused.
        """
        return resume_study(self, run_id)


def connect(config: TrackingConfig, *, create: bool = True) -> Tracker:
    """Find the store, see that it answers, and find the experiment. Sets MLflow's tracking URI for this process.

    Args:
        config: ``uri`` or else ``MLFLOW_TRACKING_URI`` or else MLflow's own default; ``experiment``.
        create: Create the experiment (and a fresh local store) where there is none, as a study needs; commands that
            only read pass False.

    Raises:
        InputError: The store does not answer, is damaged, lacks the experiment, or the experiment is deleted. The
            message names the URI without credentials.
    """
    problem = names.check_experiment_name(config.experiment)
    if problem:
        raise InputError(problem)
    location = locate(config)
    with impatient(), quiet(), _plain_refusals(location), _only_one(location):
        _check_local(location, create=create)
        mlflow.set_tracking_uri(location.uri)
        client = MlflowClient(location.uri)
        client.search_experiments(max_results=1)
        # under `mlflow run` studies are in the project run's experiment, and so are looked for there
        unnamed = config.experiment == TrackingConfig().experiment
        above, free = _above(client, location) if create or unnamed else (None, False)
        if above is not None:
            experiment = client.get_experiment(above.info.experiment_id)
        else:
            experiment = _experiment(client, config.experiment, location, create=create)
            above = _active(client, experiment) if create else None
    run_id = above.info.run_id if create and above is not None else None
    adopted, parent = (run_id, None) if free else (None, run_id)
    return Tracker(client, location, experiment.experiment_id, experiment.name, adopted, parent)


def look_into(config: TrackingConfig, workload: WorkloadConfig) -> None:
    """Let a workload that is in MLflow be read from the study's store, before anything is made there.

    Sets MLflow's tracking URI for this process, where it is the store that is asked: a model may also be named by the
    address of its files.

    Raises:
        InputError: The store does not answer, or there is none.
    """
    path = (workload.model.path or "") if workload.model.source == "mlflow" else ""
    if workload.data.source != "mlflow" and not path.startswith(_IN_STORE):
        return
    location = locate(config)
    with impatient(), quiet(), _plain_refusals(location):
        mlflow.set_tracking_uri(location.uri)
        if path.startswith(_REGISTERED) and mlflow.get_registry_uri() != location.uri:
            return  # MLFLOW_REGISTRY_URI: registered models are elsewhere
        _check_local(location, create=False)
        MlflowClient(location.uri).search_experiments(max_results=1)


def connect_to_run(uri: str, run_id: str) -> Tracker:
    """The store that holds this run, and the experiment that the run is in; sets MLflow's tracking URI as well.

    Raises:
        InputError: The store does not answer, or has no such run.
    """
    location = Location(absolute(uri, Path.cwd()), "the study")
    with impatient(), quiet(), _plain_refusals(location), _only_one(location):
        _check_local(location, create=False)
        mlflow.set_tracking_uri(location.uri)
        client = MlflowClient(location.uri)
        experiment = client.get_experiment(client.get_run(run_id).info.experiment_id)
    return Tracker(client, location, experiment.experiment_id, experiment.name)


def locate(config: TrackingConfig) -> Location:
    """The tracking URI that this configuration means, made absolute."""
    if config.uri:
        uri, origin = config.uri, "tracking.uri"
    elif os.environ.get("MLFLOW_TRACKING_URI"):
        uri, origin = mlflow.get_tracking_uri(), "MLFLOW_TRACKING_URI"
    else:
        uri, origin = mlflow.get_tracking_uri(), "MLflow's default"
    return Location(absolute(uri, Path.cwd()), origin)


@contextmanager
def _plain_refusals(location: Location) -> Iterator[None]:
    """Whatever goes wrong on the way to the store is the user's to put right: one sentence that names the URI."""
    try:
        yield
    except (MlflowException, RequestException, SQLAlchemyError, sqlite3.Error, OSError, ImportError) as error:
        if location.is_http:
            message = (
                f"the MLflow server {location.shown()} does not answer as one: {_reason(error)}; start it, or choose "
                "another with tracking.uri=URI"
            )
        else:
            message = f"the MLflow store {location.shown()} cannot be used: {_reason(error)}"
        raise InputError(message) from error


def _reason(error: BaseException) -> str:
    """The innermost cause in plain words: requests wraps a refused connection five layers deep."""
    text = first_line(error)
    for mark, reason in {
        "Connection refused": "connection refused",
        "Name or service not known": "its host name is not known",
        "Temporary failure in name resolution": "its host name cannot be resolved",
        "No route to host": "no route to the host",
        "timed out": "no answer within the time limit",
        "unsupported URI": f"MLflow knows no such kind of store; it takes {_KINDS}",
        "maintenance mode": "MLflow keeps new runs in a database, such as sqlite:///mlflow.db ('mlflow "
        "migrate-filestore' moves the old ones, MLFLOW_ALLOW_FILE_STORE=true insists on files)",
        "error code 401": "it wants credentials (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD)",
    }.items():
        if mark in text:
            return reason
    return text.rstrip(".")


@contextmanager
def _only_one(location: Location) -> Iterator[None]:
    """Let one process at a time touch an SQLite store for the first time: MLflow's own set-up fails in parallel.

    The lock is the directory itself, so nothing is left behind. A file system that cannot lock directories leaves
    MLflow's own behaviour.
    """
    path = location.sqlite_path
    if path is None or not path.parent.is_dir():
        yield
        return
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _check_local(location: Location, *, create: bool) -> None:
    """See at once what MLflow would find out after a minute of retries."""
    path = location.sqlite_path
    if path is None:
        _check_database(location)
        return
    if not path.parent.is_dir():
        raise InputError(f"the MLflow store {location.shown()} cannot be used: no directory '{path.parent}'")
    if not path.exists() and not create:
        raise InputError(f"there is no MLflow store {location.shown()} yet: nothing was recorded there")
    if create and path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"the MLflow store {location.shown()} cannot be used: it may only be read")
    if not path.exists() and not location.uri.partition("?")[2]:
        _make_store(path)
    with closing(sqlite3.connect(path, timeout=30)) as database:
        database.execute("SELECT count(*) FROM sqlite_master").fetchone()


def _make_store(path: Path) -> None:
    """A fresh SQLite store in one step: MLflow makes its tables one by one, and half of them nobody can use any more.

    So they are made beside the place, and renamed: a process that is killed meanwhile leaves no store.
    """
    with tempfile.TemporaryDirectory(prefix=".mlbench-store-", dir=path.parent) as folder:
        fresh = Path(folder) / path.name
        MlflowClient(f"sqlite:///{fresh}").search_experiments(max_results=1)
        store = _get_store(f"sqlite:///{fresh}")  # type: ignore[no-untyped-call] # the very one that the client uses
        store.engine.dispose()  # no connection to it is left when it is renamed
        fresh.rename(path)


def _check_database(location: Location) -> None:
    dialect = location.scheme.partition("+")[0]
    if dialect not in _CONNECT_LIMIT:
        return
    engine = create_engine(location.uri, connect_args=_CONNECT_LIMIT[dialect])
    try:
        engine.connect().close()
    finally:
        engine.dispose()


def _experiment(client: MlflowClient, name: str, location: Location, *, create: bool) -> Experiment:
    experiment = client.get_experiment_by_name(name)
    if experiment is None and create:
        try:
            client.create_experiment(name)
        except MlflowException as error:
            if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):  # another process was first: fine
                raise
        experiment = client.get_experiment_by_name(name)
    if experiment is None:
        others = ", ".join(repr(other.name) for other in client.search_experiments(max_results=20))
        raise InputError(
            f"no experiment '{name}' in the MLflow store {location.shown()}; choose one with --experiment NAME: "
            f"{others or 'there are none'}"
        )
    if experiment.lifecycle_stage != "active":
        raise InputError(
            f"tracking.experiment '{name}' is deleted in the MLflow store {location.shown()}: restore it with "
            f"'mlflow experiments restore --experiment-id {experiment.experiment_id}', or choose another name"
        )
    return experiment


def _above(client: MlflowClient, location: Location) -> tuple[Run | None, bool]:
    """The run that this process works for, and whether it is free to become the study's own.

    ``mlflow run`` opens a run for its project. The first study becomes that run, and any further one goes below it, as
    it does below a run that is named as the parent.
    """
    for variable in (_PROJECT, _PARENT):
        run_id = os.environ.get(variable)
        if not run_id:
            continue
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            opened = "that 'mlflow run' opened " if variable == _PROJECT else ""
            action = "under 'mlflow run' leave tracking.uri unset" if variable == _PROJECT else f"unset {variable}"
            raise InputError(
                f"the run {run_id} {opened}({variable}) is not in the MLflow store {location.shown()}: {action}"
            ) from error
        if variable == _PARENT or run.data.tags.get(names.KIND) == "study":
            return run, False
        if run.info.status != RunStatus.to_string(RunStatus.RUNNING):
            raise InputError(
                f"{variable} names the run {run_id}, which has already ended ({run.info.status}): unset it, or start "
                "through 'mlflow run'"
            )
        return run, True
    return None, False


def _active(client: MlflowClient, experiment: Experiment) -> Run | None:
    """The run that is active in this program (``with mlflow.start_run():``), where it is in the same experiment."""
    active = mlflow.active_run()
    if active is None or active.info.experiment_id != experiment.experiment_id:
        return None
    try:
        run: Run = client.get_run(active.info.run_id)
    except MlflowException:  # it is in another store, whose experiment has the same number
        return None
    return run


__all__ = ["Tracker", "connect", "connect_to_run", "locate", "look_into"]
