"""How mlbench calls MLflow: quietly, with failures as one sentence, and impatiently where somebody waits."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from mlbench.errors import MlbenchError, NotAllowedError, TrackingError
from mlbench.masking import redact

if TYPE_CHECKING:
    from mlflow.exceptions import MlflowException

_CHATTER = ("alembic", "mlflow.models", "mlflow.pytorch", "mlflow.pyfunc", "mlflow.utils")
_TWICE = "mlflow.store.db.utils"  # prints the traceback of every error of the database that it raises
_ONCE = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}
_IMPATIENT = {**_ONCE, "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Turn whatever MLflow, its database or its transport raises into one sentence.

    Args:
        what: What is being done, as in "could not <what>".

    Raises:
        NotAllowedError: MLflow does not allow it to whoever is asking.
        TrackingError: Anything else failed inside that is not an error of mlbench already.
    """
    from mlflow.exceptions import MlflowException
    from requests.exceptions import RequestException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with quiet():
            yield
    except MlbenchError:
        raise
    except (MlflowException, RequestException, SQLAlchemyError, OSError) as error:
        if isinstance(error, MlflowException) and is_forbidden(error):
            raise NotAllowedError(f"MLflow: you have no right to {what}") from error
        raise TrackingError(f"MLflow: could not {what}: {first_line(error)}") from error


def is_forbidden(error: MlflowException) -> bool:
    """Whether MLflow answered that whoever is asking may not do that."""
    from mlflow.protos.databricks_pb2 import PERMISSION_DENIED, ErrorCode

    return bool(error.error_code == ErrorCode.Name(PERMISSION_DENIED))


def is_absent(error: MlflowException) -> bool:
    """Whether MLflow answered that there is no such thing, rather than not at all."""
    from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, RESOURCE_DOES_NOT_EXIST, ErrorCode

    return error.error_code in (ErrorCode.Name(RESOURCE_DOES_NOT_EXIST), ErrorCode.Name(INVALID_PARAMETER_VALUE))


def first_line(error: BaseException) -> str:
    """The error's own words: its first line, without credentials."""
    lines = str(error).strip().splitlines()
    return redact(lines[0]) if lines else type(error).__name__


@contextmanager
def quiet() -> Iterator[None]:
    """Keep MLflow's notes on its own work (schema migrations, progress bars, upload links) off the terminal."""
    with ExitStack() as stack:
        stack.enter_context(_environment({"MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false"}))
        for name in _CHATTER:
            stack.enter_context(_level(name, logging.ERROR))
        stack.enter_context(_level(_TWICE, logging.CRITICAL))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        yield


@contextmanager
def once() -> Iterator[None]:
    """One attempt per request: MLflow would repeat one that was carried out but not answered, and make things twice.

    The user's own setting wins.
    """
    with _environment({name: value for name, value in _ONCE.items() if name not in os.environ}):
        yield


@contextmanager
def impatient() -> Iterator[None]:
    """One attempt of 5 seconds per request instead of MLflow's minutes of retries; the user's own settings win."""
    with _environment({name: value for name, value in _IMPATIENT.items() if name not in os.environ}):
        yield


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _level(name: str, level: int) -> Iterator[None]:
    logger = logging.getLogger(name)
    before = logger.level
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.setLevel(before)
