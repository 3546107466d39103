"""What all tests share: MLflow's telemetry stays off, and nothing is written into the user's own cache."""

from __future__ import annotations

import os
import signal
import sys
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path

import coverage
import pytest

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
# whoever starts the tests in the background leaves Ctrl-C ignored, and programs under test would inherit that
signal.signal(signal.SIGINT, signal.default_int_handler)
for folder in ("measurement", "probes", "shared"):  # what is in them is used by several test folders
    sys.path.insert(0, str(Path(__file__).parent / folder))

_TRACED = "COVERAGE_PROCESS_CONFIG"  # what coverage leaves in the environment, so that other processes are counted too
_TRACING = pytest.StashKey[str | None]()
_CASES = pytest.StashKey[Counter[str]]()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Of the processes that tests start, workers are counted, in their own tests: coverage doubles a program's time."""
    tracing = item.session.stash.setdefault(_TRACING, os.environ.get(_TRACED))
    os.environ.pop(_TRACED, None)
    if tracing is not None and "measurement" in item.path.parts:
        os.environ[_TRACED] = tracing


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones begin first, so that no process is left with one of them when the others are done."""
    items.sort(key=lambda item: item.get_closest_marker("e2e") is None)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """What runs the lines of other tests once more, often many times, is not counted: counting takes as long again.

    Those are tests with one of the markers below, and all cases but the first two of a parametrized test.
    """
    cases = item.session.stash.setdefault(_CASES, Counter())
    function = item.nodeid.partition("[")[0]
    cases[function] += 1
    again = cases[function] > 2 or any(item.get_closest_marker(name) for name in ("e2e", "repeats", "hypothesis"))
    counting = coverage.Coverage.current() if again else None
    if counting is None:
        return (yield)
    counting.stop()
    try:
        return (yield)
    finally:
        counting.start()


@pytest.fixture(scope="session", autouse=True)
def _own_machine_lock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Studies whose figures nobody looks at do not wait for each other; those that matter run alone anyway."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_LOCK", str(tmp_path_factory.getbasetemp() / "machine.lock"))
        yield


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # what one of pytest's processes has built, the other one finds
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_CACHE_DIR", os.environ.get("MLBENCH_TEST_CACHE", str(base / "cache")))
        yield


@pytest.fixture(scope="module", autouse=True)
def _no_store_is_left_to_the_next() -> Iterator[None]:
    """MLflow keeps the last store that was asked for, and would take it before ``MLFLOW_TRACKING_URI``."""
    yield
    if mlflow := sys.modules.get("mlflow"):
        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
