"""MLflow's pages: the server for a local store, or the address of the one that is there already."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import webbrowser
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import entry_points
from types import FrameType
from typing import IO, TYPE_CHECKING
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener, urlopen

from mlbench.errors import InputError, TrackingError
from mlbench.masking import redact
from mlbench.tracking.pages import DEFAULT_PORT, dashboard_url, experiment_url, study_url

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_HOST = "127.0.0.1"
_APP = "mlbench"  # the entry point of the group mlflow.app
_ANSWER_SECONDS = 5.0
_START_SECONDS = 120.0
_STOP_SECONDS = 10.0


def ui(
    tracker: Tracker,
    *,
    port: int = DEFAULT_PORT,
    open_browser: bool = True,
    run_id: str | None = None,
    say: Callable[[str], None],
    opened: Callable[[str], object] = webbrowser.open,
) -> None:
    """Show the page of all studies, or of one. Serves a local store until Ctrl-C; a tracking server serves itself.

    Where the server has the pages of mlbench (``mlflow server --app-name mlbench``) that is the dashboard, and MLflow's
    own page is said, too; otherwise it is MLflow's.

    Args:
        tracker: The store.
        port: Where to serve a local store, on this machine only.
        open_browser: Open the page; where there is no browser its address is still said.
        run_id: The study to show; None shows all.
        say: Told the address.
        opened: Opens an address.

    Raises:
        InputError: The port is taken.
        TrackingError: MLflow's server does not start.
    """
    own = experiment_url(tracker, port) if run_id is None else study_url(tracker, run_id, port)
    ours = dashboard_url(tracker, run_id, port)
    if tracker.location.is_http:
        _show(ours if _answers(ours) else "", own, say, opened if open_browser else None)
        return
    try:
        with _terminable(), serving(tracker.location.uri, port) as server:
            _show(ours if _has_pages() else "", own, say, opened if open_browser else None)
            say("(Ctrl-C ends the server)")
            server.wait()
    except KeyboardInterrupt:
        return
    raise TrackingError(f"MLflow's server ended by itself with exit code {server.returncode}")


def _show(ours: str, own: str, say: Callable[[str], None], opened: Callable[[str], object] | None) -> None:
    """Say the addresses, the one to look at first, and open it."""
    say(ours or own)
    if ours:
        say(f"MLflow's own page: {own}")
    if opened is not None:
        opened(ours or own)


def _has_pages() -> bool:
    """Whether the server that is started here finds our pages: a checkout that was not installed has none."""
    return bool(entry_points(group="mlflow.app", name=_APP))


def _answers(address: str) -> bool:
    """Whether a tracking server has our pages."""
    asked = Request(address, method="HEAD")  # noqa: S310 - the tracking server, http or https
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{what}") for what in ("USERNAME", "PASSWORD"))
    if user and password:  # whom its REST API is asked by, too
        asked.add_unredirected_header("Authorization", f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}")
    try:
        with urlopen(asked, timeout=_ANSWER_SECONDS):  # noqa: S310 - the same
            return True
    except (OSError, ValueError):  # also every HTTP error: there is no such page, or not for everybody
        return False


@contextmanager
def serving(store: str, port: int = DEFAULT_PORT) -> Iterator[subprocess.Popen[bytes]]:
    """MLflow's server on a store, with our pages, answering; ended with all its processes on the way out.

    Args:
        store: Absolute URI of the store.
        port: Where to serve, on this machine only.

    Raises:
        InputError: The port is taken.
        TrackingError: The server does not start.
    """
    _require_free(port)
    command = [sys.executable, "-m", "mlflow", "server", "--host", _HOST, "--port", str(port), "--workers", "1"]
    if _has_pages():
        command += ["--app-name", _APP]
    # without its job runners the server is 2 processes and 0.5 GB instead of 10 and 2.4 GB
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    # the store's address may hold a password, and everybody on the machine can read command lines
    environment["MLFLOW_BACKEND_STORE_URI"] = store
    environment.pop("MLFLOW_TRACKING_URI", None)
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us alone, and we end the whole group
        )
        try:
            _await(server, port, log)
            yield server
        finally:
            _end(server)


def _require_free(port: int) -> None:
    if not 0 < port < 1 << 16:
        raise InputError(f"port {port} is no port: choose one from 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError as error:
            raise InputError(f"port {port} on {_HOST} cannot be used ({error.strerror}): choose another") from error


def _await(server: subprocess.Popen[bytes], port: int, log: IO[bytes]) -> None:
    """Wait until the server answers."""
    opener = build_opener(ProxyHandler({}))  # this machine itself: never through a proxy
    until = time.monotonic() + _START_SECONDS
    while time.monotonic() < until:
        if server.poll() is not None:
            log.seek(0)
            said = log.read().decode(errors="replace").strip().splitlines()
            raise TrackingError(f"MLflow's server did not start: {redact(said[-1]) if said else 'it said nothing'}")
        try:
            with opener.open(f"http://{_HOST}:{port}/health", timeout=2):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    raise TrackingError(f"MLflow's server did not answer within {_START_SECONDS:.0f} seconds")


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and everything it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        try:
            server.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            continue
        return


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM ends the server like Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
