"""MLflow's REST API from within its own server, with the rights of whoever asks for a page.

Where a server checks who may do what, the pages go through the addresses that everybody goes through: every read and
every write is a request to MLflow's application, in this process, with the credentials of the request that is being
answered. What MLflow filters, refuses or grants by these is so for the pages by itself, and nothing of it is decided
here.

Beyond MLflow's public API this takes its two REST stores, of which the one method that sends is replaced, and the
registries that find a store by the scheme of its address.
"""

from __future__ import annotations

import contextvars
import json
import os
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import FileInfo
from mlflow.exceptions import MlflowException, RestException, get_error_code
from mlflow.store.model_registry.rest_store import RestStore as RegistryStore
from mlflow.store.tracking.rest_store import RestStore as TrackingStore
from mlflow.tracking._model_registry.utils import _get_store_registry
from mlflow.tracking._tracking_service.utils import _tracking_store_registry
from mlflow.utils.proto_json_utils import parse_dict

_SCHEME = "mlbench-caller"
_URI = f"{_SCHEME}://this-server"
_ABOUT_THE_BODY = ("content-", "transfer-", "accept", "if-")
_OF_THE_BROWSER = ("host", "origin", "referer", "sec-", "connection", "upgrade")


def caller_client() -> MlflowClient:
    """A client that acts for whoever asked for the page that is being made; to be used within a request alone."""
    registries: tuple[Any, Any] = (_tracking_store_registry, _get_store_registry())  # type: ignore[no-untyped-call]
    for registry, store in zip(registries, (_Tracking, _Registry), strict=True):
        registry.register(_SCHEME, lambda store=store, **_: store(_no_host))
    return _CallerClient(_URI, _URI)


def prefix() -> str:
    """What the server puts before all its addresses (``--static-prefix``), without a slash at the end."""
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR

    return os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")


def ask(method: str, path: str, given: Any = None) -> Any:
    """One request to MLflow's application by whoever is asking, as Flask's answer.

    It goes through everything that a request from outside goes through within Flask: the hooks that decide, and those
    that filter what is answered.

    Args:
        method: ``GET``, whose ``given`` goes into the query, or another, whose ``given`` goes into the body as JSON.
        path: Behind the server's prefix, as in ``/api/2.0/mlflow/runs/get``.
        given: Plain values.

    Raises:
        MlflowException: It was not answered with 200; as a client over HTTP would see it.
    """
    from flask import request
    from mlflow.server import app

    headers = {
        name: value
        for name, value in request.headers.items()
        if not name.lower().startswith(_ABOUT_THE_BODY + _OF_THE_BROWSER)
    }
    content = {"query_string": given} if method == "GET" else {"json": given or {}}
    client = app.test_client(use_cookies=False)  # cookies are among the headers
    answer = contextvars.Context().run(  # nothing of the request that is being answered is in reach of this one
        client.open,
        prefix() + path,
        method=method,
        base_url=request.host_url,
        headers=headers,
        environ_overrides={"REMOTE_ADDR": request.remote_addr or ""},
        **content,
    )
    if answer.status_code != 200:
        raise _refusal(answer, path)
    return answer


def _refusal(answer: Any, path: str) -> MlflowException:
    said = answer.get_json(silent=True)
    if isinstance(said, dict):
        return RestException(said)  # type: ignore[no-untyped-call]
    text = answer.get_data(as_text=True)
    return MlflowException(f"{path} was answered with {answer.status_code}: {text}", get_error_code(answer.status_code))  # type: ignore[no-untyped-call]


def _sent(endpoint: str, method: str, json_body: str | None, response: Any) -> Any:
    answer = ask(method, endpoint, json.loads(json_body) if json_body else None)
    parse_dict(json.loads(answer.get_data(as_text=True) or "{}"), response)  # type: ignore[no-untyped-call]
    return response


def _no_host() -> None:
    raise AssertionError("requests of this store stay in this process")


class _Tracking(TrackingStore):
    def _call_endpoint(
        self, api: Any, json_body: str | None = None, endpoint: str | None = None, *_: Any, **more: Any
    ) -> Any:
        known, method = (self._V3_METHOD_TO_INFO if api in self._V3_APIS else self._METHOD_TO_INFO)[api]
        return _sent(endpoint or known, method, json_body, more.get("response_proto") or api.Response())


class _Registry(RegistryStore):
    def _call_endpoint(self, api: Any, json_body: str | None, *_: Any, **__: Any) -> Any:
        endpoint, method = self._get_endpoint_from_method(api)  # type: ignore[no-untyped-call]
        return _sent(endpoint, method, json_body, api.Response())


class _CallerClient(MlflowClient):
    """MLflow's client for the caller; artifacts, too, come from the server's own addresses."""

    def download_artifacts(self, run_id: str, path: str, dst_path: str | None = None) -> str:
        if dst_path is None:
            raise ValueError("dst_path: say where to")
        kept = Path(dst_path) / path
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(ask("GET", "/get-artifact", {"run_id": run_id, "path": path}).get_data())
        return str(kept)

    def list_artifacts(self, run_id: str, path: str | None = None) -> list[FileInfo]:
        given = {"run_id": run_id, **({"path": path} if path else {})}
        found = ask("GET", "/api/2.0/mlflow/artifacts/list", given).get_json().get("files", [])
        return [FileInfo(item["path"], item["is_dir"], item.get("file_size")) for item in found]


__all__ = ["ask", "caller_client", "prefix"]
