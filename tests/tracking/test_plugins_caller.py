"""A real server that checks who may do what (MLflow's basic-auth): the pages do for each what the REST API would."""

import re
import shutil
from dataclasses import dataclass

import pytest
import requests
from flask import Flask, request
from mlflow.exceptions import MlflowException

from mlbench.tracking.plugins import caller

ADMIN, PASSWORD = ("admin", "a-long-password"), "another-password"
MODEL = "mlbench-tiny"
SETTINGS = """[mlflow]
default_permission = NO_PERMISSIONS
database_uri = sqlite:///{folder}/users.db
admin_username = admin
admin_password = a-long-password
authorization_function = mlflow.server.auth:authenticate_request_basic_auth
auth_cache_ttl_seconds = 60
"""


@dataclass(frozen=True)
class Server:
    """A server with one study, the registered model that it promotes to, and two people besides the administrator."""

    address: str
    run_id: str

    def rest(self, path, **body):
        """A call by the administrator, which has to succeed."""
        answer = requests.post(f"{self.address}/api/{path}", json=body, auth=ADMIN, timeout=30)
        assert answer.status_code == 200, answer.text

    def add(self, user, **permissions):
        """Somebody who may do nothing but this."""
        self.rest("2.0/mlflow/users/create", username=user, password=PASSWORD)
        for kind, permission in permissions.items():
            which = {"resource_type": kind, "resource_id": "1" if kind == "experiment" else MODEL}
            self.rest("3.0/mlflow/users/permissions/grant", username=user, permission=permission, **which)

    def get(self, path, user=None):
        return requests.get(f"{self.address}/mlbench/{path}", auth=user, timeout=30)

    def champion(self):
        asked = {"name": MODEL, "alias": "champion"}
        path = f"{self.address}/api/2.0/mlflow/registered-models/alias"
        found = requests.get(path, params=asked, auth=ADMIN, timeout=30).json()
        return found.get("model_version")

    def promoted(self, user):
        """What the page answers to somebody who confirms the promotion that it shows."""
        page = f"{self.address}/mlbench/studies/{self.run_id}/promote"
        with requests.Session() as session:
            session.auth = user
            shown = session.get(page, timeout=30)
            form = dict(re.findall(r'type="hidden" name="(\w+)" value="([^"]+)"', shown.text))
            form["confirm"] = "yes"
            headers = {"Origin": self.address, "Sec-Fetch-Site": "same-origin"}
            return session.post(page, data=form, headers=headers, timeout=60, allow_redirects=False)


@pytest.fixture(scope="module")
def protected(delivered, tmp_path_factory, served):
    pytest.importorskip("flask_wtf", reason="Flask-WTF is not installed: mlflow[auth]")
    folder = tmp_path_factory.mktemp("protected")
    shutil.copyfile(delivered.path, folder / "mlflow.db")
    (folder / "auth.ini").write_text(SETTINGS.format(folder=folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLBENCH_SERVER_AUTH", "basic-auth")
        patch.setenv("MLFLOW_FLASK_SERVER_SECRET_KEY", "not a secret, a test")
        patch.setenv("MLFLOW_AUTH_CONFIG_PATH", str(folder / "auth.ini"))
        with served(folder, f"sqlite:///{folder}/mlflow.db") as address:
            server = Server(address, delivered.run_ids[0])
            server.rest("2.0/mlflow/registered-models/create", name=MODEL)
            server.add("reader", experiment="READ", registered_model="READ")
            server.add("editor", experiment="READ", registered_model="EDIT")
            server.add("stranger")
            yield server


@pytest.mark.e2e
def test_a_promotion_needs_the_rights_of_the_rest_call(protected):
    """A reader, and somebody with EDIT on the registered model, who may only read the experiment."""
    reader, editor = ("reader", PASSWORD), ("editor", PASSWORD)
    study = protected.get(f"studies/{protected.run_id}", reader)
    assert (study.status_code, "fast" in study.text) == (200, True), study.text

    refused = protected.promoted(reader)
    assert refused.status_code == 403
    assert f"you have no right to register the model &#39;{MODEL}&#39;" in refused.text
    assert protected.champion() is None

    done = protected.promoted(editor)
    assert (done.status_code, done.headers["Location"].endswith("promote?done=1")) == (303, True)
    assert protected.champion()["version"] == "1"
    assert "Promoted." in protected.get(f"studies/{protected.run_id}/promote?done=1", editor).text


@pytest.mark.e2e
def test_what_somebody_may_not_read_is_not_shown(protected):
    """Lists leave it out, as MLflow's own do, and its address is refused."""
    hidden = ("stranger", PASSWORD)
    assert protected.get("").status_code == 401
    assert protected.run_id in protected.get("", ADMIN).text
    listed = protected.get("", hidden)
    assert (listed.status_code, protected.run_id in listed.text) == (200, False), listed.text
    study = protected.get(f"studies/{protected.run_id}", hidden)
    assert (study.status_code, "you have no right to read the study" in study.text) == (403, True)


class TestWithoutAServer:
    """What is asked of MLflow's application, here one that knows one person and remembers what it was asked."""

    @pytest.fixture
    def seen(self, monkeypatch):
        import mlflow.server

        app, seen = Flask("mlflow.server"), []
        monkeypatch.setattr(mlflow.server, "app", app)
        monkeypatch.setenv("_MLFLOW_STATIC_PREFIX", "/pre")

        @app.before_request
        def decide():
            seen.append((request.method, request.path, dict(request.args), dict(request.headers), request.get_data()))
            return None if request.headers.get("Authorization") == "Basic me" else ("Permission denied", 403)

        @app.get("/pre/api/2.0/mlflow/runs/get")
        def get_run():
            if request.args["run_id"] != "a":
                return {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}, 404
            return {"run": {"info": {"run_id": "a", "status": "FINISHED"}, "data": {}}}

        @app.post("/pre/api/2.0/mlflow/registered-models/create")
        def create():
            return {"registered_model": {"name": request.get_json()["name"]}}

        app.add_url_rule("/pre/get-artifact", "artifact", lambda: b"\x00bytes")
        listed = {"files": [{"path": "plan.json", "is_dir": False, "file_size": 3}]}
        app.add_url_rule("/pre/api/2.0/mlflow/artifacts/list", "list", lambda: listed)
        return seen

    @staticmethod
    def asked_by(who):
        import mlflow.server

        headers = {"Authorization": who, "Cookie": "session=1", "Origin": "http://host", "Content-Type": "text/plain"}
        return mlflow.server.app.test_request_context("/mlbench/", "http://host:5000", headers=headers)

    def test_calls_are_made_as_whoever_is_asking(self, seen, tmp_path):
        client = caller.caller_client()
        with self.asked_by("Basic me"):
            assert client.get_run("a").info.status == "FINISHED"
            assert client.create_registered_model("m").name == "m"
            assert [info.path for info in client.list_artifacts("a", "some")] == ["plan.json"]
            kept = client.download_artifacts("a", "b/plan.json", str(tmp_path))
        assert (tmp_path / "b/plan.json").read_bytes() == b"\x00bytes"
        assert kept == str(tmp_path / "b/plan.json")
        run, model, files, file = seen
        assert (run[:2], model[:2]) == (
            ("GET", "/pre/api/2.0/mlflow/runs/get"),
            ("POST", "/pre/api/2.0/mlflow/registered-models/create"),
        )
        assert b'"name"' in model[4]
        assert (files[2], file[2]) == ({"run_id": "a", "path": "some"}, {"run_id": "a", "path": "b/plan.json"})
        for *_, headers, _body in seen:
            assert (headers["Authorization"], headers["Cookie"], headers["Host"]) == (
                "Basic me",
                "session=1",
                "host:5000",
            )
            assert "Origin" not in headers

    def test_refusals_are_those_of_mlflow(self, seen):
        client = caller.caller_client()
        with self.asked_by("Basic me"), pytest.raises(MlflowException, match="no such run") as missing:
            client.get_run("b")
        with self.asked_by("Basic other"), pytest.raises(MlflowException, match="403: Permission denied") as refused:
            client.get_run("a")
        assert (missing.value.error_code, refused.value.error_code) == ("RESOURCE_DOES_NOT_EXIST", "PERMISSION_DENIED")
