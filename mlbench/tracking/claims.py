"""One promotion at a time, in any MLflow store.

MLflow has no compare-and-swap for aliases, but writing a tag and then reading all tags is enough for mutual exclusion
(Lamport's one-bit algorithm, 1986): who wants to move an alias puts a claim of its own on the registered model, and
goes on only when there is no other claim. Of two that see each other, the one with the smaller name keeps its claim
and waits, the other takes its own away until the first is done.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from requests.exceptions import RequestException
from sqlalchemy.exc import SQLAlchemyError

from mlbench.errors import TrackingError

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_PREFIX = "mlbench.claim."
_STALE_S = 120.0  # far longer than a promotion takes: its process has died
_PATIENCE_S = 60.0
_POLL_S = 0.1


@contextmanager
def claimed(
    tracker: Tracker,
    name: str,
    claimant: str,
    clock: Callable[[], float] = time.time,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[None]:
    """Hold the registered model for oneself; it is made where there is none.

    Args:
        tracker: The store.
        name: Registered model.
        claimant: Who claims, unlike anybody else: also unlike another attempt at the same, which may be under way.
        clock: Seconds since the epoch, comparable between machines.
        sleep: Waits.

    Raises:
        TrackingError: Another promotion did not come to an end.
    """
    _make(tracker, name)
    mine = f"{_PREFIX}{claimant}"
    deadline = clock() + _PATIENCE_S
    try:
        tracker.client.set_registered_model_tag(name, mine, repr(clock()))
        while True:
            others = _others(tracker, name, mine, clock())
            if not others:
                break
            if clock() > deadline:
                raise TrackingError(
                    f"'{name}': another promotion does not come to an end (tag {others[0]} of the registered model); "
                    "nothing was changed, do this again"
                )
            if min(others) < mine:
                _release(tracker, name, mine)
                while _others(tracker, name, mine, clock()) and clock() <= deadline:
                    sleep(_POLL_S)
                tracker.client.set_registered_model_tag(name, mine, repr(clock()))
            else:
                sleep(_POLL_S)
        yield
    finally:
        _release(tracker, name, mine)


def _make(tracker: Tracker, name: str) -> None:
    try:
        tracker.client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
            raise


def _others(tracker: Tracker, name: str, mine: str, now: float) -> list[str]:
    tags = tracker.client.get_registered_model(name).tags
    return sorted(key for key, at in tags.items() if key.startswith(_PREFIX) and key != mine and _live(at, now))


def _live(at: str, now: float) -> bool:
    try:
        return abs(now - float(at)) < _STALE_S
    except ValueError:
        return False


def _release(tracker: Tracker, name: str, mine: str) -> None:
    """Take the claim away; where MLflow does not answer it goes stale by itself."""
    with suppress(MlflowException, RequestException, SQLAlchemyError):
        tracker.client.delete_registered_model_tag(name, mine)


__all__ = ["claimed"]
