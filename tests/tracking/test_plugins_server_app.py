"""MLflow's server from within, without starting one."""

import shutil
from types import SimpleNamespace

import pytest
from flask import Flask

from mlbench.errors import TrackingError
from mlbench.tracking import load_samples, load_study
from mlbench.tracking.plugins import server_app

STORE, REGISTRY, KEPT = (
    "_MLFLOW_SERVER_FILE_STORE",
    "_MLFLOW_SERVER_REGISTRY_STORE",
    "_MLFLOW_SERVER_ARTIFACT_DESTINATION",
)


@pytest.fixture
def app(monkeypatch):
    """MLflow's Flask application, replaced by one that is as it is at first."""
    import mlflow.server

    made = Flask("mlflow.server")
    monkeypatch.setattr(mlflow.server, "app", made)
    monkeypatch.delenv("_MLFLOW_SGI_NAME", raising=False)
    return made


def pages(root):
    return lambda rest="": f"{root}: {rest}"


def test_pages_are_served_below_their_root(app, monkeypatch):
    monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", "/behind/")
    assert server_app.application(pages) is app
    client = app.test_client()
    for path, answer in (("", ""), ("/", ""), ("/studies/a b", "studies/a b")):
        assert client.get(f"/behind/mlbench{path}").text == f"/behind/mlbench: {answer}"
    assert client.post("/behind/mlbench/x").text == "/behind/mlbench: x"
    assert client.get("/mlbench/").status_code == 404


def test_where_pages_cannot_be_made_the_server_serves_its_own(app, caplog):
    def refuse(_root):
        raise TrackingError("no store here")

    assert server_app.application(refuse) is app
    assert "left out: no store here" in caplog.text
    assert app.test_client().get("/mlbench/").status_code == 404


def hook_of(module):
    def hook():
        return None

    hook.__module__ = module
    return hook


class TestClosed:
    def test_a_server_that_asks_nobody_is_open(self, app, monkeypatch):
        from mlflow.server.workspace_helpers import workspace_before_request_handler

        monkeypatch.delenv("MLFLOW_ENABLE_WORKSPACES", raising=False)
        app.before_request(workspace_before_request_handler)
        assert server_app.closed() == ""

    def test_a_server_that_asks_who_somebody_is_in_a_way_of_its_own_shows_nothing(self, app):
        app.before_request(hook_of("company.login"))
        assert "company.login" in server_app.closed()
        assert "mlbench show, compare and promote" in server_app.closed()

    def test_where_mlflows_own_checks_decide_the_pages_are_shown(self, app):
        """By requests that these checks see, too: see ``test_plugins_caller.py``."""
        app.before_request(hook_of("mlflow.server.auth"))
        app.before_request(hook_of("flask_wtf.csrf"))
        assert server_app.closed() == ""

    def test_workspaces(self, app, monkeypatch):
        monkeypatch.setenv("MLFLOW_ENABLE_WORKSPACES", "true")
        assert "workspaces" in server_app.closed()

    def test_the_hooks_of_this_mlflow_are_known(self):
        """A new hook of MLflow's own would close the pages: then it has to be looked at."""
        from mlflow.server import app

        hooks = [hook.__module__ for hook in app.before_request_funcs.get(None, [])]
        assert all(module.startswith(server_app._HARMLESS) for module in hooks), hooks


class TestStore:
    def test_a_process_that_is_no_server(self, monkeypatch):
        monkeypatch.delenv(STORE, raising=False)
        with pytest.raises(TrackingError, match="serves no MLflow store"):
            server_app.server_tracker()

    def test_studies_are_read_from_the_servers_own_store(self, published, monkeypatch):
        tracker, run_id = published
        monkeypatch.setenv(STORE, tracker.location.uri)
        monkeypatch.delenv(REGISTRY, raising=False)
        loaded = load_study(server_app.server_tracker()(), run_id)
        assert loaded.study == load_study(tracker, run_id).study
        assert len(load_samples(server_app.server_tracker()(), loaded, "fast")["ns"])

    def test_with_checks_of_rights_nothing_is_read_past_them(self, app, published, monkeypatch):
        tracker, _ = published
        monkeypatch.setenv(STORE, tracker.location.uri)
        chosen = server_app.server_tracker()
        assert isinstance(chosen().client, server_app._ServerClient)
        app.before_request(hook_of("mlflow.server.auth"))
        assert not isinstance(chosen().client, server_app._ServerClient)

    def test_artifacts_that_the_server_keeps_are_read_where_it_keeps_them(self, published, monkeypatch, tmp_path):
        tracker, run_id = published
        root = tmp_path / "kept" / "1"
        uris = {}
        for one in (run_id, *load_study(tracker, run_id).arms.values()):
            uri = tracker.client.get_run(one).info.artifact_uri
            shutil.copytree(uri.removeprefix("file://"), root / one / "artifacts")
            uris[one] = f"mlflow-artifacts:/1/{one}/artifacts"
        monkeypatch.setenv(STORE, tracker.location.uri)
        monkeypatch.setenv(KEPT, str(tmp_path / "kept"))
        inside = server_app.server_tracker()()
        real = type(inside.client).get_run

        def get_run(client, one):
            run = real(client, one)
            run.info._artifact_uri = uris.get(one, run.info.artifact_uri)
            return run

        monkeypatch.setattr(type(inside.client), "get_run", get_run)
        loaded = load_study(inside, run_id)
        assert loaded.study.name == "tiny-20260101-000000"
        assert len(load_samples(inside, loaded, "fast")["ns"])
        monkeypatch.delenv(KEPT)
        with pytest.raises(TrackingError, match="kept by a server that serves artifacts"):
            load_study(inside, run_id)

    @pytest.mark.parametrize(
        ("uri", "folder"),
        [
            ("mlflow-artifacts://host:5000/1/a/artifacts", "1/a/artifacts"),
            ("https://host/api/2.0/mlflow-artifacts/artifacts/1/a/artifacts", "1/a/artifacts"),
            ("https://host/elsewhere", None),
            ("/tmp/mlruns/1/a/artifacts", None),
        ],
    )
    def test_where_an_artifact_root_is(self, uri, folder):
        assert server_app.proxied_folder(uri) == folder


def test_the_flask_view_hands_on_what_was_asked():
    from mlbench.dashboard.app import flask_view
    from mlbench.dashboard.web import MOST_BODY, data

    seen = []
    site = SimpleNamespace(answer=lambda request: seen.append(request) or data({"a": 1}, 418))
    app = Flask("test")
    view = flask_view(site, "/mlbench")
    app.add_url_rule("/mlbench/<path:rest>", "pages", view, methods=["GET", "POST"])
    client = app.test_client()
    client.set_cookie("mlbench_token", "abc")
    answer = client.get("/mlbench/studies/x/?q=a%20b&arm=1&arm=2", headers={"Sec-Fetch-Site": "none"})
    assert (answer.status_code, answer.json, answer.headers["X-Content-Type-Options"]) == (418, {"a": 1}, "nosniff")
    (request,) = seen
    assert (request.method, request.path, request.root) == ("GET", "/studies/x", "/mlbench")
    assert request.query == {"q": ("a b",), "arm": ("1", "2")}
    assert (request.headers["sec-fetch-site"], request.cookies["mlbench_token"]) == ("none", "abc")
    client.head("/mlbench/x")
    assert seen[-1].method == "GET"
    client.post("/mlbench/x", data={"confirm": "yes"})
    assert (seen[-1].method, seen[-1].form) == ("POST", {"confirm": ("yes",)})
    assert client.post("/mlbench/x", data={"a": "x" * MOST_BODY}).status_code == 413
    assert len(seen) == 3
