"""MLflow's server from within: its application with pages of ours, its own store, and who may look.

What is used of MLflow here beyond its public API (the Flask application, three environment variables, addresses of
``mlflow-artifacts``) is looked up when the server starts; a version that has it no more serves its own pages without
ours, and a warning says so. A server that was asked to check who may do what does so, or does not start.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable
from typing import Any
from urllib.parse import urlsplit

from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from mlbench.errors import TrackingError
from mlbench.tracking.client import Tracker
from mlbench.tracking.plugins import rights
from mlbench.tracking.uris import Location

_logger = logging.getLogger(__name__)

ROOT = "/mlbench"
_PROXIED = "/api/2.0/mlflow-artifacts/artifacts/"
_HARMLESS = (
    "mlflow.server.security", "mlflow.server.workspace_helpers", "flask_cors", "flask_wtf", "prometheus_flask_exporter",
)  # fmt: skip
"""Modules whose hooks before a request decide nothing about who is asking."""
_WORKSPACES = "MLFLOW_ENABLE_WORKSPACES"


def application(make_view: Callable[[str], Callable[..., Any]]) -> Any:
    """MLflow's application with the pages below :data:`ROOT`, in the form that the chosen server needs.

    Where this MLflow has nothing that pages can be added to in this way, they are left out, and a warning says so.

    Args:
        make_view: Makes a Flask view from the address of the pages' root; it answers everything below, GET and POST.

    Raises:
        InputError: Checks of rights that were asked for (:mod:`mlbench.tracking.plugins.rights`) cannot be had.
    """
    from mlflow.server import app

    protect, root = rights.protection(), ROOT
    try:
        from mlbench.tracking.plugins.caller import prefix

        root = prefix() + ROOT
        view = make_view(root)
        for rule, name in ((root, "mlbench"), (f"{root}/", "mlbench_root"), (f"{root}/<path:rest>", "mlbench_pages")):
            app.add_url_rule(rule, name, view, methods=["GET", "POST"])
    except (ImportError, AttributeError, AssertionError, TypeError, TrackingError) as error:
        _logger.warning("the pages of mlbench cannot be part of this MLflow server, so they are left out: %s", error)
    if protect is not None:
        return protect(app, root)
    if os.environ.get("_MLFLOW_SGI_NAME") != "uvicorn":
        return app  # gunicorn and waitress serve Flask as it is
    from mlflow.server.fastapi_app import create_fastapi_app

    return create_fastapi_app(app)


def server_tracker() -> Callable[[], Tracker]:
    """The store of this server, for the request that is being answered.

    It is asked directly where everybody may do everything, and through the REST API with the rights of whoever asks
    where MLflow's basic-auth checks them. Runs are found by their id, so no experiment is named.

    Raises:
        TrackingError: This process is no MLflow server.
    """
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR, REGISTRY_STORE_URI_ENV_VAR

    from mlbench.tracking.plugins.caller import caller_client

    uri = os.environ.get(BACKEND_STORE_URI_ENV_VAR)
    if not uri:
        raise TrackingError("this process serves no MLflow store: start it with 'mlflow server --app-name mlbench'")
    registry = os.environ.get(REGISTRY_STORE_URI_ENV_VAR) or uri
    location = Location(uri, "this server")
    direct = Tracker(_ServerClient(uri, registry), location, "", "")
    callers = Tracker(caller_client(), location, "", "")
    return lambda: callers if _asking() else direct


def closed() -> str:
    """Why the pages are not shown, in one sentence; empty where they are.

    MLflow's REST API asks nobody who they are unless a hook does. With its basic-auth the pages go through that API as
    whoever asks; what any other hook goes by cannot be told, and so nothing is shown.
    """
    unknown = [module for module in _asking() if not module.startswith(rights.MODULE)]
    if unknown:
        return (
            f"This server checks who may do what ({', '.join(unknown)}), and the pages of mlbench cannot tell what it "
            "would allow you, so they show and change nothing. The commands mlbench show, compare and promote go "
            "through its REST API, with your rights."
        )
    if os.environ.get(_WORKSPACES, "").lower() in ("true", "1"):
        return (
            f"This server has workspaces ({_WORKSPACES}), which the pages of mlbench do not keep apart, so they show "
            "nothing. The commands mlbench show, compare and promote work in the workspace that they are given."
        )
    return ""


def _asking() -> list[str]:
    """The modules whose hooks before a request decide by who is asking."""
    from mlflow.server import app

    return [_module(hook) for hook in _hooks(app.before_request_funcs) if not _module(hook).startswith(_HARMLESS)]


def _hooks(by_blueprint: dict[Any, list[Any]]) -> Iterable[Any]:
    return by_blueprint.get(None, [])


def _module(hook: Any) -> str:
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
