"""One real server on loopback carries the whole way; the rest needs none."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from urllib.request import urlopen

import browsers
import pytest
from tiny_study import EXAMPLE, REPORTS, arms_of, make_measurement, make_study

from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.errors import InputError, TrackingError
from mlbench.reporting import render_html
from mlbench.tracking import (
    connect,
    content,
    experiment_url,
    load_measurement,
    load_study,
    promote,
    publish,
    rollback,
    server,
    study_url,
    ui,
    view,
)
from mlbench.tracking.pages import dashboard_url
from mlbench.tracking.uris import Location

saved_views = pytest.mark.skipif(not view.supported(), reason="this MLflow knows no saved views")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def address(template_store, tmp_path_factory, served):
    """A server on a store of its own."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copyfile(template_store, folder / "mlflow.db")
    with served(folder, f"sqlite:///{folder}/mlflow.db") as found:
        yield found


@pytest.fixture(scope="module")
def run_ids(address, artifacts):
    """Two studies on the server, with the winner's model each."""
    tracker, study, found = connect(TrackingConfig(uri=address)), make_study(artifacts), []
    for name in ("first", "second"):
        runs = tracker.open_study(name, study.config, study.overrides)
        winner = {"fast": arms_of(artifacts)["fast"]}
        study, measured = replace(study, name=name), make_measurement()
        pages = {**REPORTS, "report_html": render_html(study, {}, measured.turns)}
        publish(study, measured, runs, arms=winner, example=EXAMPLE, **pages)
        found.append(runs.run_id)
    return found


@pytest.mark.e2e
def test_the_whole_way_over_http(address, run_ids, artifacts):
    tracker = connect(TrackingConfig(uri=address))
    study, arms, measured = make_study(artifacts), arms_of(artifacts), make_measurement()

    loaded = load_study(tracker, run_ids[0])
    assert loaded.study == content.public(replace(study, name="first"))
    assert len(load_measurement(tracker, loaded).turns) == len(measured.turns)
    assert load_study(tracker, "latest").run_id == run_ids[1]
    assert load_study(tracker, run_ids[0][:12]).run_id == run_ids[0]

    config = RegistryConfig()
    assert promote(tracker, run_ids[0], config).version == 1
    assert not promote(tracker, run_ids[0], config).changed
    assert promote(tracker, run_ids[1], config).previous == 1
    assert rollback(tracker, "mlbench-tiny").version == 1
    assert tracker.client.get_model_version_by_alias("mlbench-tiny", "champion").version in ("1", 1)

    again = tracker.resume_study(run_ids[0])
    publish(replace(study, name="first"), measured, again, arms={"fast": arms["fast"]}, example=EXAMPLE, **REPORTS)
    assert len(tracker.client.search_logged_models([tracker.experiment_id])) == 2


@pytest.mark.e2e
@browsers.needed
@saved_views
def test_every_page_in_a_real_browser(address, run_ids):
    """What a user opens: the saved views with their charts, the run with its report, and the registered version."""
    tracker = connect(TrackingConfig(uri=address))
    promote(tracker, run_ids[0], RegistryConfig(model_name="shown", alias="edge"))
    own = study_url(tracker, run_ids[0])
    charts = own.rpartition("=")[0]
    run = f"{address}/#/experiments/{tracker.experiment_id}/runs/{run_ids[0]}"
    asked = []
    with browsers.launched() as browser:
        page = browser.new_context(viewport={"width": 1600, "height": 3000}).new_page()
        page.set_default_timeout(90_000)
        page.on("request", lambda request: asked.append(request.url))

        def visit(url, *words):
            page.goto("about:blank")  # all pages are one program, which keeps its state between addresses
            page.goto(url)
            for text in words:
                page.get_by_text(text, exact=True).first.wait_for()

        def drawn(at_least, selector=".js-plotly-plot"):
            page.locator(selector).nth(at_least - 1).wait_for()

        visit(own, "mlbench: first", "Speed against quality", "By batch size", "Against the baseline")
        drawn(6)  # speed against quality, speed-ups, three headline figures, the sweep
        drawn(1, ".parcoords")
        page.get_by_text("Show change from baseline").first.wait_for()
        assert page.get_by_text("broken", exact=True).count() > 0  # every arm, also the one without figures
        for what, name in (("arms", "every arm over time"), ("winners", "winners over time")):
            visit(f"{charts}={view.trend_key(what, 'tiny')}", f"mlbench: tiny, {name}", "Over time")
            drawn(5)
        visit(experiment_url(tracker), "mlbench: all studies", "first", "second", "promote")
        visit(run, "Ship it", "mlbench.decision")
        second = run.replace(run_ids[0], run_ids[1])  # another test publishes the first one again
        visit(f"{second}/artifacts/report/report.html", "report.html")
        report = page.frame_locator("iframe#html")
        report.get_by_role("heading", name="Ship fast").first.wait_for()
        report.locator(".js-plotly-plot .main-svg").first.wait_for()  # drawn, from what is inside the page
        arm = load_study(tracker, run_ids[0]).arms["fast"]
        visit(f"{address}/#/experiments/{tracker.experiment_id}/runs/{arm}", "fast", "mlbench.verdict", "recipe")
        visit(f"{address}/#/experiments/{tracker.experiment_id}/models", "tiny-fast")
        model = tracker.client.get_run(arm).data.tags["mlbench.model"]
        visit(f"{address}/#/experiments/{tracker.experiment_id}/models/{model}", "tiny-fast", "latency/p50_ms")
        visit(f"{address}/#/models/shown/versions/1", "mlbench.policy", "keep_accuracy", "fast")
    assert [url for url in asked if not url.startswith((address, "data:", "blob:", "about:"))] == []


@pytest.mark.e2e
def test_the_page_of_a_tracking_server_is_said_and_opened(address):
    tracker = connect(TrackingConfig(uri=address))
    said, opened = [], []
    ui(tracker, say=said.append, opened=opened.append)
    assert opened == said[:1] == [f"{address}/mlbench/"]
    own = f"MLflow's own page: {address}/#/experiments/{tracker.experiment_id}/runs?workflowType=machine_learning"
    assert said[1].startswith(own)
    with urlopen(said[0]) as page:
        assert b"Studies" in page.read()


@pytest.mark.e2e
def test_the_page_of_a_local_store_is_served_until_it_is_interrupted(store, tmp_path):
    port = free_port()
    code = (
        "import sys; from mlbench.config import TrackingConfig; from mlbench.tracking import connect, ui\n"
        "ui(connect(TrackingConfig(uri=sys.argv[1])), port=int(sys.argv[2]), open_browser=False,"
        " say=lambda text: print(text, flush=True))\nprint('over')"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, store, str(port)], stdout=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        first = process.stdout.readline()
        assert first == f"http://127.0.0.1:{port}/mlbench/\n"
        assert process.stdout.readline().startswith(f"MLflow's own page: http://127.0.0.1:{port}/#/experiments/1/runs")
        with urlopen(f"http://127.0.0.1:{port}/health") as page:
            assert page.status == 200
        process.send_signal(signal.SIGINT)
        rest, _ = process.communicate(timeout=60)
    assert rest.splitlines()[-1] == "over"
    assert process.returncode == 0
    with socket.socket() as probe, pytest.raises(ConnectionRefusedError):
        probe.connect(("127.0.0.1", port))


class TestUi:
    @pytest.fixture
    def fake(self, monkeypatch):
        """The server, replaced by a process that is told what to do."""

        def start(script):
            real = subprocess.Popen

            def popen(_command, **options):
                return real([sys.executable, "-c", script], **options)

            monkeypatch.setattr(server.subprocess, "Popen", popen)

        return start

    def test_a_server_that_does_not_start_says_why(self, tracker, fake):
        fake("import sys; print('no such option http://me:secret@h', file=sys.stderr); sys.exit(2)")
        with pytest.raises(TrackingError, match=r"did not start: no such option http://\*\*\*@h"):
            ui(tracker, port=free_port(), say=print)

    def test_a_server_that_says_nothing(self, tracker, fake):
        fake("import sys; sys.exit(2)")
        with pytest.raises(TrackingError, match="it said nothing"):
            ui(tracker, port=free_port(), say=print)

    def test_a_server_that_never_answers_is_ended(self, tracker, fake, monkeypatch):
        monkeypatch.setattr(server, "_START_SECONDS", 0.3)
        fake("import time; time.sleep(600)")
        with pytest.raises(TrackingError, match="did not answer"):
            ui(tracker, port=free_port(), say=print)

    def test_a_server_that_ends_by_itself(self, tracker, monkeypatch, fake):
        monkeypatch.setattr(server, "_await", lambda *_args: None)
        fake("import sys; sys.exit(3)")
        opened = []
        with pytest.raises(TrackingError, match="ended by itself with exit code 3"):
            ui(tracker, port=free_port(), say=lambda _text: None, opened=opened.append)
        assert len(opened) == 1

    def test_a_server_that_does_not_want_to_end_is_killed(self, tracker, monkeypatch, fake, tmp_path):
        ready = []
        monkeypatch.setattr(server, "_await", lambda process, *_args: ready.append(process))
        monkeypatch.setattr(server, "_STOP_SECONDS", 0.2)
        deaf = tmp_path / "deaf"
        fake(
            "import pathlib, signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
            f"pathlib.Path({str(deaf)!r}).touch(); time.sleep(600)"
        )

        def interrupt(_text):
            while not deaf.exists():
                time.sleep(0.01)
            raise KeyboardInterrupt

        ui(tracker, port=free_port(), open_browser=False, say=interrupt)
        assert ready[0].returncode == -signal.SIGKILL

    def test_sigterm_ends_like_an_interruption(self, tracker, monkeypatch, fake):
        monkeypatch.setattr(server, "_await", lambda *_args: None)
        fake("import time; time.sleep(600)")
        ui(tracker, port=free_port(), open_browser=False, say=lambda _text: os.kill(os.getpid(), signal.SIGTERM))
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL

    def test_a_port_that_is_taken(self, tracker):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            with pytest.raises(InputError, match=f"port {port} on 127.0.0.1 cannot be used"):
                ui(tracker, port=port, say=print)

    @pytest.mark.parametrize("port", [0, -1, 70000])
    def test_a_port_that_is_none(self, tracker, port):
        with pytest.raises(InputError, match="is no port"):
            ui(tracker, port=port, say=print)


class TestWhichPage:
    """The dashboard where there is one, else MLflow's own."""

    def test_a_server_without_our_pages(self, tracker, monkeypatch):
        """Which may also be one that does not answer, or asks who somebody is."""
        monkeypatch.setattr(server, "_answers", lambda _address: False)
        remote = replace(tracker, location=Location("http://host:5000", "tracking.uri"))
        said, opened = [], []
        ui(remote, say=said.append, opened=opened.append)
        assert said == opened == [experiment_url(remote)]

    def test_nobody_is_there(self):
        assert not server._answers(f"http://127.0.0.1:{free_port()}/mlbench/")

    @pytest.mark.parametrize(("user", "sent"), [("me", "Basic bWU6c2VjcmV0"), ("", None)])
    def test_a_server_that_asks_who_somebody_is_gets_what_mlflow_would_send(self, monkeypatch, user, sent):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", user)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "secret")
        asked = []
        monkeypatch.setattr(server, "urlopen", lambda request, timeout: asked.append(request) or nullcontext())
        assert server._answers("http://host/mlbench/")
        assert asked[0].get_header("Authorization") == sent

    def test_a_checkout_that_was_not_installed(self, tracker, monkeypatch):
        asked = []

        def stop(command, **_options):
            asked.append(command)
            raise KeyboardInterrupt

        monkeypatch.setattr(server, "entry_points", lambda **_wanted: ())
        monkeypatch.setattr(server.subprocess, "Popen", stop)
        ui(tracker, port=free_port(), say=print)
        assert "--app-name" not in asked[0]


class TestPages:
    def test_of_the_dashboard(self, tracker):
        assert dashboard_url(tracker, None, 5001) == "http://127.0.0.1:5001/mlbench/"
        remote = replace(tracker, location=Location("http://me:secret@host:5000/mlflow/", "tracking.uri"))
        assert dashboard_url(remote, "a" * 32) == f"http://host:5000/mlflow/mlbench/studies/{'a' * 32}"

    def test_of_a_local_store(self, tracker):
        assert experiment_url(tracker) == "http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning"
        assert experiment_url(tracker, 5001).startswith("http://127.0.0.1:5001/")

    @saved_views
    def test_of_all_studies_with_a_saved_view(self, published):
        tracker, _ = published
        assert "compareRunsMode=TABLE&viewStateShareKey=" in experiment_url(tracker)

    def test_of_a_server_without_credentials(self, tracker):
        remote = replace(tracker, location=Location("http://me:secret@host:5000/mlflow/", "tracking.uri"))
        assert experiment_url(remote).startswith("http://host:5000/mlflow/#/experiments/1/")

    @saved_views
    def test_of_a_study_with_a_saved_view(self, published):
        tracker, run_id = published
        assert "&compareRunsMode=CHART&viewStateShareKey=" in study_url(tracker, run_id)

    def test_of_a_study_without_one(self, tracker):
        run_id = tracker.open_study("study", {}, []).run_id
        url = study_url(tracker, run_id)
        assert f"searchFilter=tags.mlflow.parentRunId%20%3D%20%27{run_id}%27" in url
        assert "orderByKey=metrics.%60latency%2Fp50_ms%60" in url
