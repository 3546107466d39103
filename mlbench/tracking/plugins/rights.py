"""MLflow's basic-auth around an application that has our pages: the two in one server, where that is asked for.

Who may do what is decided by MLflow alone, at its own addresses, which the pages go through
(:mod:`mlbench.tracking.plugins.caller`). At the addresses of the pages themselves it is enough to be somebody: MLflow
has no rule for them, and refuses whatever it has no rule for.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from mlbench.errors import InputError

AUTH = "MLBENCH_SERVER_AUTH"
"""Names the app of MLflow's that checks who may do what; there is one."""
MODULE = "mlflow.server.auth"
_BASIC = "basic-auth"
_SECRET = "MLFLOW_FLASK_SERVER_SECRET_KEY"  # noqa: S105 - the name of a variable


def protection() -> Callable[[Any, str], Any] | None:
    """What makes an application one that checks who may do what, from it and the root of the pages.

    Returns:
        The application in the form that the chosen server needs; None where :data:`AUTH` asks for no checks.

    Raises:
        InputError: What :data:`AUTH` asks for cannot be had.
    """
    chosen = os.environ.get(AUTH, "")
    if not chosen:
        return None
    if chosen != _BASIC:
        raise InputError(f"{AUTH}={chosen}: mlbench knows '{_BASIC}' only, which is MLflow's own")
    try:
        auth = import_module(MODULE)
        create_app, authenticate = auth.create_app, auth.authenticate_request
    except (ImportError, AttributeError) as error:
        raise InputError(f"{AUTH}={chosen} needs 'pip install mlflow[auth]' ({error})") from error
    if not os.environ.get(_SECRET):
        raise InputError(
            f"{AUTH}={chosen}: MLflow wants a random text of yours in {_SECRET}, the same for every server"
        )

    def protect(app: Any, root: str) -> Any:
        made = create_app(app)
        hooks = app.before_request_funcs[None]
        hooks[:] = [_eased(hook, authenticate, root) if hook.__module__ == MODULE else hook for hook in hooks]
        return made

    return protect


def prepare() -> None:
    """What is done before the processes of a server start: see that the checks can be had, and make the administrator.

    MLflow does that for its own app alone, and without it every process of the server would, again and again where it
    fails. A version that has no such function leaves it to them.

    Raises:
        InputError: What :data:`AUTH` asks for cannot be had, or there is no administrator yet and none can be made.
    """
    if protection() is None:
        return
    make_administrator = getattr(import_module(MODULE), "bootstrap_admin_user", None)
    if make_administrator is not None:
        from mlflow.exceptions import MlflowException

        try:
            make_administrator()
        except MlflowException as error:
            raise InputError(f"{AUTH}={_BASIC}: {error}") from error


def _eased(hook: Callable[[], Any], authenticate: Callable[[], Any], root: str) -> Callable[[], Any]:
    """MLflow's hook, which at the addresses of our pages only asks who somebody is."""

    @wraps(hook)
    def decide() -> Any:
        from flask import Response, request

        if request.path != root and not request.path.startswith(f"{root}/"):
            return hook()
        known = authenticate()
        return known if isinstance(known, Response) else None

    return decide


__all__ = ["AUTH", "MODULE", "prepare", "protection"]
