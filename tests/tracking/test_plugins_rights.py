"""MLflow's basic-auth in one server with our pages: what it takes, and who is asked what."""

import sys
from types import ModuleType

import pytest
from flask import Flask, Response, request
from mlflow.exceptions import MlflowException

from mlbench.errors import InputError
from mlbench.tracking.plugins import rights


@pytest.fixture
def auth(monkeypatch):
    """MLflow's module, replaced by one that knows one name and refuses whatever it has no rule for."""

    def authenticate():
        known = request.headers.get("Who") == "me"
        return object() if known else Response("who are you?", 401)

    def decide():
        refused = authenticate()
        return refused if isinstance(refused, Response) else Response("no rule", 403)

    def create_app(app):
        decide.__module__ = rights.MODULE
        app.before_request(decide)
        return app

    made = ModuleType(rights.MODULE)
    made.create_app, made.authenticate_request = create_app, authenticate
    monkeypatch.setitem(sys.modules, rights.MODULE, made)
    monkeypatch.setenv(rights.AUTH, "basic-auth")
    monkeypatch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "x")
    return made


@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/mlbench", "me", 200),
        ("/mlbench/studies/a", "me", 200),
        ("/mlbench/studies/a", "somebody", 401),
        ("/mlbenches", "me", 403),
        ("/other/mlbench/", "me", 403),
    ],
)
def test_for_our_pages_it_is_enough_to_be_somebody(auth, path, who, status):
    app = Flask("mlflow.server")
    for rule in ("/mlbench", "/mlbench/studies/a", "/mlbenches", "/other/mlbench/"):
        app.add_url_rule(rule, rule, lambda: "shown")
    assert rights.protection()(app, "/mlbench") is app
    assert app.test_client().get(path, headers={"Who": who}).status_code == status


def test_without_being_asked_there_are_no_checks(auth, monkeypatch):
    monkeypatch.delenv(rights.AUTH)
    assert rights.protection() is None
    rights.prepare()


def test_the_administrator_is_made_before_any_process_of_the_server(auth):
    rights.prepare()  # a version that leaves it to them
    made = []
    auth.bootstrap_admin_user = lambda: made.append("admin")
    rights.prepare()
    assert made == ["admin"]


class TestRefusals:
    """A server that was asked to check does so, or does not start."""

    def test_another_app(self, auth, monkeypatch):
        monkeypatch.setenv(rights.AUTH, "oidc-auth")
        with pytest.raises(InputError, match="MLBENCH_SERVER_AUTH=oidc-auth: mlbench knows 'basic-auth' only"):
            rights.protection()

    def test_a_package_that_is_missing(self, auth, monkeypatch):
        monkeypatch.setitem(sys.modules, rights.MODULE, None)
        with pytest.raises(InputError, match=r"needs 'pip install mlflow\[auth\]'"):
            rights.protection()

    def test_no_secret(self, auth, monkeypatch):
        monkeypatch.delenv("MLFLOW_FLASK_SERVER_SECRET_KEY")
        with pytest.raises(InputError, match="a random text of yours in MLFLOW_FLASK_SERVER_SECRET_KEY"):
            rights.protection()

    def test_no_administrator(self, auth):
        def refuse():
            raise MlflowException("needs a password")

        auth.bootstrap_admin_user = refuse
        with pytest.raises(InputError, match="basic-auth: needs a password"):
            rights.prepare()
