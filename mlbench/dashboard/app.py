"""What MLflow starts (``mlflow server --app-name mlbench``): its own application, with our pages in it.

MLflow imports this module once before it starts the processes of its server, and again in each of them. So what keeps
the server from checking rights, where that was asked for, is said here: once, instead of by process after process.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlbench.dashboard.site import Site


def create_app() -> Any:
    """MLflow's application with the pages of mlbench below ``/mlbench``.

    The entry point of the group ``mlflow.app``: MLflow calls it once in every process of the server.
    """
    from mlbench.dashboard.site import Site
    from mlbench.tracking.plugins import server_app

    def make_view(root: str) -> Any:
        return flask_view(Site(server_app.server_tracker(), server_app.closed), root)

    return server_app.application(make_view)


def flask_view(site: Site, root: str) -> Any:
    """A Flask view that hands every request to the site.

    Args:
        site: The pages.
        root: The address of their root.
    """
    import flask

    from mlbench.dashboard.web import MOST_BODY, Request, values

    def view(rest: str = "") -> flask.Response:
        asked = flask.request
        if (asked.content_length or 0) > MOST_BODY:
            return flask.Response("too large", 413)
        answer = site.answer(
            Request(
                method="GET" if asked.method == "HEAD" else asked.method,
                path=f"/{rest}".rstrip("/"),
                root=root,
                query=values(asked.query_string.decode("utf-8", "replace")),
                form=values(asked.get_data(as_text=True)) if asked.method == "POST" else {},
                headers={name.lower(): value for name, value in asked.headers},
                cookies=dict(asked.cookies),
                secure=asked.is_secure,
            )
        )
        return flask.Response(answer.body, answer.status, answer.all_headers)

    return view


if "MLBENCH_SERVER_AUTH" in os.environ:
    from mlbench.tracking.plugins.rights import prepare

    prepare()

__all__ = ["create_app", "flask_view"]
