import os
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import create_engine

from mlbench.config import DataConfig, ModelConfig, TrackingConfig, WorkloadConfig
from mlbench.errors import ExitCode, InputError
from mlbench.tracking import client, connect
from mlbench.tracking.client import locate, look_into


def config(uri=None, experiment="mlbench"):
    return TrackingConfig(uri=uri, experiment=experiment)


def workload(model=None, data="digits"):
    source = ModelConfig("torch_factory") if model is None else ModelConfig("mlflow", path=model)
    return WorkloadConfig("w", source, DataConfig(data))


class TestLocate:
    def test_the_configuration_wins(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://elsewhere")
        assert locate(config("http://here")).shown() == "'http://here' (tracking.uri)"

    def test_then_the_environment(self, monkeypatch, tmp_path):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///x.db")
        assert locate(config()).shown() == f"'sqlite:///{tmp_path}/x.db' (MLFLOW_TRACKING_URI)"

    def test_then_mlflows_own_default(self, tmp_path):
        assert locate(config()).shown() == f"'sqlite:///{tmp_path}/mlflow.db' (MLflow's default)"

    def test_what_the_process_has_set_counts(self):
        mlflow.set_tracking_uri("http://notebook")
        assert locate(config()).uri == "http://notebook"


class TestConnect:
    def test_makes_the_experiment_once(self, store):
        first, second = connect(config(store)), connect(config(store))
        assert first.experiment_id == second.experiment_id
        assert first.experiment == "mlbench"
        assert first.adopted is None
        assert mlflow.get_tracking_uri() == store

    def test_a_relative_store_stays_where_it_is(self, store, tmp_path, monkeypatch):
        tracker = connect(config("sqlite:///mlflow.db"))
        (tmp_path / "elsewhere").mkdir()
        monkeypatch.chdir(tmp_path / "elsewhere")
        assert tracker.location.uri == store
        tracker.client.create_run(tracker.experiment_id)
        assert not list(Path.cwd().iterdir())

    def test_a_directory_with_a_blank_leaves_no_stray_directory(self, template_store, tmp_path, monkeypatch):
        folder = tmp_path / "a b"
        folder.mkdir()
        (folder / "mlflow.db").write_bytes(template_store.read_bytes())
        monkeypatch.chdir(folder)
        connect(config())
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a b"]

    def test_says_nothing(self, tmp_path, capfd):
        connect(config(f"sqlite:///{tmp_path}/fresh.db"))
        assert capfd.readouterr() == ("", "")

    def test_a_deleted_experiment(self, store):
        experiment = MlflowClient(store).create_experiment("gone")
        MlflowClient(store).delete_experiment(experiment)
        with pytest.raises(InputError, match=f"'gone' is deleted.*restore --experiment-id {experiment}"):
            connect(config(store, "gone"))

    @pytest.mark.parametrize("name", ["", "x" * 501])
    def test_an_experiment_name_that_mlflow_refuses(self, store, name):
        with pytest.raises(InputError, match=r"tracking\.experiment"):
            connect(config(store, name))

    def test_another_process_makes_the_experiment_first(self, store, monkeypatch):
        inner = MlflowClient.create_experiment

        def beaten(client, name):
            inner(client, name)
            return inner(client, name)

        monkeypatch.setattr(MlflowClient, "create_experiment", beaten)
        assert connect(config(store)).experiment == "mlbench"

    def test_an_experiment_that_cannot_be_made(self, store, monkeypatch):
        def refuse(*_args):
            raise MlflowException("not allowed")

        monkeypatch.setattr(MlflowClient, "create_experiment", refuse)
        with pytest.raises(InputError, match="cannot be used: not allowed"):
            connect(config(store))


class TestReading:
    """``create=False``: commands that only read leave nothing behind."""

    def test_no_such_experiment(self, store):
        with pytest.raises(InputError, match=r"no experiment 'mine'.*--experiment NAME: .*'Default'"):
            connect(config(store, "mine"), create=False)
        assert MlflowClient(store).get_experiment_by_name("mine") is None

    def test_no_store(self, tmp_path):
        with pytest.raises(InputError, match="there is no MLflow store"):
            connect(config(f"sqlite:///{tmp_path}/none.db"), create=False)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize(
        ("model", "data"), [("models:/none@x", "digits"), ("runs:/1/m", "digits"), (None, "mlflow")]
    )
    def test_a_workload_out_of_a_store_that_is_not_there(self, tmp_path, model, data):
        with pytest.raises(InputError, match="there is no MLflow store"):
            look_into(config(f"sqlite:///{tmp_path}/none.db"), workload(model, data))
        assert list(tmp_path.iterdir()) == []

    def test_a_workload_out_of_a_store_without_the_experiment(self, store):
        look_into(config(store, "mine"), workload("models:/m@champion"))
        assert mlflow.get_tracking_uri() == store
        assert MlflowClient(store).get_experiment_by_name("mine") is None

    def test_a_model_that_is_in_no_store_needs_none(self, tmp_path, monkeypatch):
        look_into(config(f"sqlite:///{tmp_path}/none.db"), workload("file:/models/m"))
        monkeypatch.setenv("MLFLOW_REGISTRY_URI", "http://registry")
        look_into(config(f"sqlite:///{tmp_path}/none.db"), workload("models:/m@champion"))
        assert list(tmp_path.iterdir()) == []

    def test_an_experiment_that_is_there(self, tracker, store):
        assert connect(config(store), create=False).experiment_id == tracker.experiment_id


class TestRefusals:
    def test_nobody_listens(self, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
        with pytest.raises(InputError) as caught:
            connect(config())
        message = str(caught.value)
        assert "'http://***@127.0.0.1:9' (MLFLOW_TRACKING_URI) does not answer as one: connection refused" in message
        assert "secret" not in message
        assert caught.value.exit_code is ExitCode.WRONG_INPUT

    @pytest.mark.parametrize(("status", "reason"), [(404, "404"), (401, "wants credentials"), (503, "503")])
    def test_something_else_listens_and_is_asked_once(self, status, reason):
        asked = []

        class Other(BaseHTTPRequestHandler):
            def do_GET(self):
                asked.append(self.path)
                self.send_response(status)
                self.end_headers()

            do_POST = do_GET  # noqa: N815 - the name is the protocol's

            def log_message(self, *_args):
                pass

        with HTTPServer(("127.0.0.1", 0), Other) as server:
            Thread(target=server.serve_forever, daemon=True).start()
            with pytest.raises(InputError, match=f"does not answer as one: .*{reason}"):
                connect(config(f"http://127.0.0.1:{server.server_port}"))
            server.shutdown()
        assert len(asked) == 1  # MLflow's own retries take four minutes

    def test_a_file_that_is_no_database(self, tmp_path):
        (tmp_path / "x.db").write_text("not a database, but long enough to be looked at" * 50)
        with pytest.raises(InputError, match=r"x\.db' \(tracking\.uri\) cannot be used: file is not a database"):
            connect(config("sqlite:///x.db"))

    def test_a_directory_that_is_not_there(self, tmp_path):
        with pytest.raises(InputError, match=f"no directory '{tmp_path}/none'"):
            connect(config("sqlite:///none/x.db"))
        assert list(tmp_path.iterdir()) == []

    def test_a_database_of_another_mlflow(self, store, tmp_path):
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            database.execute("UPDATE alembic_version SET version_num = 'ffffffffffff'")
        with pytest.raises(InputError, match="cannot be used: Detected out-of-date database schema"):
            connect(config(store))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_store_that_may_only_be_read(self, store, tmp_path):
        (tmp_path / "mlflow.db").chmod(0o400)
        with pytest.raises(InputError, match="may only be read"):
            connect(config(store))

    def test_a_store_that_may_only_be_read_says_so(self, store, monkeypatch):
        monkeypatch.setattr(os, "access", lambda _path, mode: mode != os.W_OK)
        with pytest.raises(InputError, match="may only be read"):
            connect(config(store))

    def test_a_database_that_does_not_answer(self):
        with pytest.raises(
            InputError, match=r"'mysql\+pymysql://\*\*\*@127\.0\.0\.1:9/x' \(tracking\.uri\) cannot be used"
        ):
            connect(config("mysql+pymysql://me:secret@127.0.0.1:9/x"))

    def test_a_database_is_asked_once_and_within_seconds(self, store, monkeypatch):
        asked = []

        def engine(uri, connect_args):
            asked.append((uri, connect_args))
            return create_engine(store)

        monkeypatch.setattr(client, "create_engine", engine)
        with pytest.raises(InputError, match="psycopg"):  # past the check, MLflow wants the driver
            connect(config("postgresql://me:secret@127.0.0.1:9/x"))
        assert asked == [("postgresql://me:secret@127.0.0.1:9/x", {"connect_timeout": 5})]

    def test_a_kind_of_store_that_mlflow_does_not_have(self):
        with pytest.raises(InputError, match=r"tracking\.uri"):
            connect(config("localhost:5000"))

    def test_a_plain_directory(self):
        with pytest.raises(InputError, match=r"tracking\.uri\) cannot be used: "):
            connect(config("mlruns"))


class TestAdoption:
    def test_the_run_that_mlflow_run_opened(self, store, monkeypatch):
        experiment = MlflowClient(store).create_experiment("of the user")
        run = MlflowClient(store).create_run(experiment)
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        tracker = connect(config(store))
        assert tracker.adopted == run.info.run_id
        assert tracker.experiment_id == experiment
        assert tracker.experiment == "of the user"
        assert MlflowClient(store).get_experiment_by_name("mlbench") is None

    def test_not_by_commands_that_only_read(self, tracker, store, monkeypatch):
        run = tracker.client.create_run(tracker.experiment_id)
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        assert connect(config(store), create=False).adopted is None

    def test_a_run_of_another_store(self, store, monkeypatch):
        monkeypatch.setenv("MLFLOW_RUN_ID", "0" * 32)
        with pytest.raises(InputError, match=r"MLFLOW_RUN_ID.*leave tracking\.uri unset"):
            connect(config(store))

    def test_a_run_that_has_ended(self, tracker, store, monkeypatch):
        run = tracker.client.create_run(tracker.experiment_id)
        tracker.client.set_terminated(run.info.run_id)
        monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
        with pytest.raises(InputError, match=r"already ended \(FINISHED\)"):
            connect(config(store))


class TestNesting:
    def test_below_the_run_that_is_named(self, store, monkeypatch):
        """As somebody does whose own sweep starts a study in each of its jobs."""
        client = MlflowClient(store)
        sweep = client.create_run(client.create_experiment("sweeps"))
        monkeypatch.setenv("MLBENCH_PARENT_RUN_ID", sweep.info.run_id)
        tracker = connect(config(store))
        assert (tracker.parent, tracker.adopted, tracker.experiment) == (sweep.info.run_id, None, "sweeps")
        reading = connect(config(store), create=False)
        assert (reading.parent, reading.experiment) == (None, "sweeps")

    def test_a_parent_of_another_store(self, store, monkeypatch):
        monkeypatch.setenv("MLBENCH_PARENT_RUN_ID", "0" * 32)
        with pytest.raises(InputError, match=r"MLBENCH_PARENT_RUN_ID\) is not in .*: unset MLBENCH_PARENT_RUN_ID"):
            connect(config(store))

    def test_below_the_active_run_of_the_same_experiment(self, tracker, store, template_store, tmp_path):
        import shutil

        import mlflow

        with mlflow.start_run(experiment_id=tracker.experiment_id) as active:
            assert connect(config(store)).parent == active.info.run_id
            assert connect(config(store), create=False).parent is None
            assert connect(TrackingConfig(uri=store, experiment="another")).parent is None
            shutil.copyfile(template_store, tmp_path / "other.db")
            other = f"sqlite:///{tmp_path}/other.db"
            MlflowClient(other).create_experiment("mlbench")
            assert connect(config(other)).parent is None  # the experiment has the same number, in another store
            mlflow.set_tracking_uri(store)
        assert connect(config(store)).parent is None


@pytest.mark.e2e
def test_four_processes_may_be_the_first_at_once(tmp_path):
    code = (
        "from mlbench.config import TrackingConfig; from mlbench.tracking import connect; import sys; "
        "sys.stdin.read(1); print(connect(TrackingConfig(uri=sys.argv[1])).experiment_id)"
    )
    command = [sys.executable, "-c", code, f"sqlite:///{tmp_path}/fresh.db"]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    with ThreadPoolExecutor() as pool:
        said = list(pool.map(lambda process: process.communicate("x", timeout=200), processes))
    assert [process.returncode for process in processes] == [0, 0, 0, 0], said
    assert {out for out, _ in said} == {"1\n"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fresh.db"]


def test_a_process_that_is_killed_while_it_makes_the_store_leaves_none(tmp_path, monkeypatch):
    from mlflow.store.db import utils

    def killed(_engine):
        raise KeyboardInterrupt  # what the tables made so far look like to whoever comes next

    monkeypatch.setattr(utils, "_upgrade_db", killed)
    with pytest.raises(KeyboardInterrupt):
        connect(config(f"sqlite:///{tmp_path}/fresh.db"))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []
    assert connect(config(f"sqlite:///{tmp_path}/fresh.db")).experiment == "mlbench"
    assert [path.name for path in tmp_path.iterdir()] == ["fresh.db"]
