"""MLflow's server from within: its application with pages of ours, its own store, and who may look.

What is used of MLflow here beyond its public API (the Flask application, three environment variables, addresses of
``mlflow-artifacts``) is looked up when the server starts; a version that has it no more serves its own pages without
ours, and a warning says so.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

import mlflow
from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlbench.errors import TrackingError
from mlbench.tracking.client import Tracker
from mlbench.tracking.uris import Location

_logger = logging.getLogger(__name__)

ROOT = "/mlbench"
_PROXIED = "/api/2.0/mlflow-artifacts/artifacts/"
_HARMLESS = ("mlflow.server.security", "mlflow.server.workspace_helpers", "flask_cors", "prometheus_flask_exporter")
"""Modules whose hooks before a request decide nothing about who is asking."""
_WORKSPACES = "MLFLOW_ENABLE_WORKSPACES"


def application(make_view: Callable[[str], Callable[..., Any]]) -> Any:
    """MLflow's application with the pages below :data:`ROOT`, in the form that the chosen server needs.

    Where this MLflow has nothing that pages can be added to in this way, they are left out, and a warning says so.

    Args:
        make_view: Makes a Flask view from the address of the pages' root; it answers everything below, GET and POST.
    """
    from mlflow.server import app

    try:
        root = _prefix() + ROOT
        view = make_view(root)
        for rule, name in ((root, "mlbench"), (f"{root}/", "mlbench_root"), (f"{root}/<path:rest>", "mlbench_pages")):
            app.add_url_rule(rule, name, view, methods=["GET", "POST"])
    except (ImportError, AttributeError, AssertionError, TypeError, TrackingError) as error:
        _logger.warning("the pages of mlbench cannot be part of this MLflow server, so they are left out: %s", error)
    if os.environ.get("_MLFLOW_SGI_NAME") != "uvicorn":
        return app  # gunicorn and waitress serve Flask as it is
    from mlflow.server.fastapi_app import create_fastapi_app

    return create_fastapi_app(app)


def _prefix() -> str:
    """What the server puts before all its addresses (``--static-prefix``), without a slash at the end."""
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR

    return os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")


def server_tracker() -> Tracker:
    """The store of this server, asked directly. Runs are found by their id, so no experiment is named.

    Raises:
        TrackingError: This process is no MLflow server.
    """
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    uri = os.environ.get(BACKEND_STORE_URI_ENV_VAR)
    if not uri:
        raise TrackingError("this process serves no MLflow store: start it with 'mlflow server --app-name mlbench'")
    registry = os.environ.get(REGISTRY_STORE_URI_ENV_VAR) or uri
    mlflow.set_tracking_uri(uri)  # as the server itself does, only not as late: a registration goes by them
    mlflow.set_registry_uri(registry)
    client = _ServerClient(uri, registry)
    return Tracker(client, Location(uri, "this server"), "", "")


def closed() -> str:
    """Why the pages are not shown, in one sentence; empty where everybody may do everything anyway.

    MLflow's REST API asks nobody who they are unless a hook does (its basic-auth, or another). Such a hook decides by
    the addresses that it knows, and ours are not among them: what it would allow cannot be told, so nothing is shown.
    """
    from mlflow.server import app

    asking = [_named(hook) for hook in _hooks(app.before_request_funcs) if not _harmless(hook)]
    if asking:
        return (
            f"This server checks who may do what ({', '.join(asking)}), and the pages of mlbench cannot tell what it "
            "would allow you, so they show and change nothing. The commands mlbench show, compare and promote go "
            "through its REST API, with your rights."
        )
    if os.environ.get(_WORKSPACES, "").lower() in ("true", "1"):
        return (
            f"This server has workspaces ({_WORKSPACES}), which the pages of mlbench do not keep apart, so they show "
            "nothing. The commands mlbench show, compare and promote work in the workspace that they are given."
        )
    return ""


def _hooks(by_blueprint: dict[Any, list[Any]]) -> Iterable[Any]:
    return by_blueprint.get(None, [])


def _harmless(hook: Any) -> bool:
    return str(getattr(hook, "__module__", "")).startswith(_HARMLESS)


def _named(hook: Any) -> str:
    return str(getattr(hook, "__module__", type(hook).__name__))


class _ServerClient(MlflowClient):
    """MLflow's client within its server: artifacts that the server keeps for others are read where it keeps them."""

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        repository, root = self._kept(run_id)
        local: str = repository.download_artifacts(f"{root}{path}", dst_path)  # type: ignore[no-untyped-call]
        return local

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        repository, root = self._kept(run_id)
        found = repository.list_artifacts(f"{root}{path or ''}".rstrip("/") or None)
        return [FileInfo(info.path.removeprefix(root), info.is_dir, info.file_size) for info in found]

    def _kept(self, run_id: str) -> tuple[ArtifactRepository, str]:
        """Where the run's artifacts are, and the folder in it: empty, or with a slash at the end."""
        from mlflow.server.constants import ARTIFACTS_DESTINATION_ENV_VAR

        uri = self.get_run(run_id).info.artifact_uri
        folder = proxied_folder(uri)
        if folder is None:
            return get_artifact_repository(uri), ""
        destination = os.environ.get(ARTIFACTS_DESTINATION_ENV_VAR)
        if not destination:
            raise TrackingError(f"the artifacts of the run {run_id} are kept by a server that serves artifacts ({uri})")
        return get_artifact_repository(destination), f"{folder}/"


def proxied_folder(uri: str) -> str | None:
    """The folder below the server's ``--artifacts-destination`` that an artifact root stands for; None for others.

    >>> proxied_folder("mlflow-artifacts:/1/abc/artifacts"), proxied_folder("s3://bucket/1/abc/artifacts")
    ('1/abc/artifacts', None)
    """
    parts = urlsplit(uri)
    if parts.scheme == "mlflow-artifacts":
        return parts.path.strip("/")
    if parts.scheme in ("http", "https") and _PROXIED in parts.path:
        return parts.path.partition(_PROXIED)[2].strip("/")
    return None


__all__ = ["ROOT", "application", "closed", "proxied_folder", "server_tracker"]
