"""Every page, on a store that answers like MLflow's client."""

from __future__ import annotations

import dataclasses
import gzip
import json
import re
from collections.abc import Callable

import pytest
from dashboard_store import Store
from flask import Flask
from reporting_studies import EVIL
from voided import with_void

from mlbench.dashboard import studies as pages
from mlbench.dashboard.app import flask_view
from mlbench.dashboard.site import Site
from mlbench.dashboard.web import Answer, Request
from mlbench.records import Measurement, Study
from mlbench.reporting.across import CAUTION

Ask = Callable[..., Answer]


def text(answer: Answer) -> str:
    assert answer.status == 200, answer.body
    return answer.body.decode()


def shown(answer: Answer) -> dict:
    assert (answer.status, answer.content_type) == (200, "application/json"), answer.body
    return json.loads(answer.body)


OUTSIDE = [
    f"/static/{name}"
    for name in ("x", "..", "../x", "..%2fx", "..%2f..%2fweb.py", "%2e%2e/web.py", "/etc/passwd", "failed.html.j2")
]


class TestList:
    def test_a_page_is_one_search_and_reads_no_study(self, ask: Ask, store: Store, study: Study) -> None:
        for number in range(60):
            store.add(dataclasses.replace(study, name=f"study-{number}", arms=study.arms[:1]))
        page = text(ask(""))
        assert store.asked == {"search_experiments": 1, "search_runs": 1}
        assert page.count('name="study"') == 50
        assert "study-59" in page
        assert ">study-9<" not in page
        (older,) = re.findall(r'rel="next" href="/mlbench(/[^"]*)"', page)
        second = text(ask(older.removeprefix("/")))
        assert second.count('name="study"') == 10
        assert ">study-9<" in second
        assert "Newest studies" in second

    @pytest.mark.parametrize(
        ("query", "found"),
        [
            ("q=DIGITS", ["digits-2026-01-05-1412"]),
            ("q=other&in=workload", ["another"]),
            ("q=int8&in=winner", ["digits-2026-01-05-1412"]),
            ("decision=hold", ["another"]),
            ("experiment=2", ["another"]),
            ("experiment=nonsense&decision=nonsense&in=nonsense", ["another", "digits-2026-01-05-1412"]),
        ],
    )
    def test_search(self, ask: Ask, store: Store, study: Study, query: str, found: list[str]) -> None:
        store.add(study)
        held = dataclasses.replace(study.decision, outcome="hold", winner=None)
        workload = dataclasses.replace(study.workload, name="other")
        store.add(dataclasses.replace(study, name="another", decision=held, workload=workload), experiment="2")
        page = text(ask(f"?{query}"))
        assert re.findall(r'<a href="/mlbench/studies/\w+">([^<]*)</a>', page) == found

    def test_a_study_without_a_result_is_listed_and_cannot_be_opened(
        self, ask: Ask, store: Store, study: Study
    ) -> None:
        run_id = store.add(study)
        del store.runs[run_id].data.tags["mlbench.decision"]
        page = text(ask("?decision=none"))
        assert study.name in page
        assert f"/studies/{run_id}" not in page
        assert "disabled" in page

    def test_nothing_found_and_nothing_there(self, ask: Ask, store: Store) -> None:
        assert "There is no study in this store yet" in text(ask(""))
        assert "No study is like that" in text(ask("?q=x"))
        store.experiments = {}
        assert "There is no study in this store yet" in text(ask(""))

    def test_a_search_that_cannot_be_written_is_refused(self, ask: Ask) -> None:
        answer = ask("?q='%22")
        assert answer.status == 404
        assert b"both kinds of quotation marks" in answer.body


class TestStudy:
    def test_the_page_shows_decision_arms_and_evidence(self, ask: Ask, store: Store, study: Study) -> None:
        page = text(ask(f"/studies/{store.add(study)}"))
        assert "Ship pruned_onnx_int8" in page
        assert all(f"{arm.name}<" in page for arm in study.arms)
        assert "the machine was noisy" in page
        assert "aten::grid_sampler" in page  # why an arm failed
        assert page.count('name="arm"') == len(study.arms)
        assert '<option value="latency/p50_ms" selected>' in page
        assert "<script>" not in page  # scripts are files of our own

    def test_what_is_chosen_is_in_the_address(self, ask: Ask, store: Store, study: Study) -> None:
        page = text(ask(f"/studies/{store.add(study)}?filter=1&arm=0&arm=2&x=memory/disk_mib&condition=32&kind=spread"))
        assert len(re.findall(r'name="arm" value="\d" checked', page)) == 2
        assert '<option value="memory/disk_mib" selected>' in page
        assert '<option value="32" selected>' in page
        assert len(re.findall(r'<tr data-arm="\d"[^>]* hidden>', page)) == len(study.arms) - 2

    def test_the_plane_has_the_chosen_arms_and_axes(self, ask: Ask, store: Store, study: Study) -> None:
        run_id = store.add(study)
        figure = shown(ask(f"/studies/{run_id}/plane.json?filter=1&arm=0&arm=6&x=memory/disk_mib&y=latency/p95_ms"))
        assert figure["title"] == "p95 latency against size on disk"
        assert {trace["name"] for trace in figure["data"]} == {"baseline", "pruned_onnx_int8"}
        assert "On the front: pruned_onnx_int8. Dominated by pruned_onnx_int8: baseline." in figure["caption"]

    def test_samples_are_the_timed_calls_of_the_chosen_condition(
        self, ask: Ask, store: Store, study: Study, measurement: Measurement
    ) -> None:
        run_id = store.add(study, measurement)
        figure = shown(ask(f"/studies/{run_id}/samples.json?filter=1&arm=0&arm=7&condition=8"))
        expected = [turn for turn in measurement.turns if turn.arm == "baseline" and turn.batch_size == 8]
        calls = sum(len(turn.timed_ns) for turn in expected)
        assert [row[:2] for row in figure["table"]["rows"]] == [["baseline", f"{calls:,}"]]  # arm 7 has failed
        assert "batch size 8" in figure["caption"]
        assert store.asked["samples.parquet"] == 1

    def test_calls_of_a_trial_that_does_not_count_are_not_drawn(
        self, ask: Ask, store: Store, study: Study, measurement: Measurement
    ) -> None:
        as_it_was, with_a_lost_trial = (
            shown(ask(f"/studies/{store.add(study, measured)}/samples.json?filter=1&arm=0&condition=8"))
            for measured in (measurement, with_void(measurement, 1, "baseline"))
        )
        assert with_a_lost_trial["table"] == as_it_was["table"]
        assert with_a_lost_trial["data"] == as_it_was["data"]

    def test_a_study_without_samples_says_so(self, ask: Ask, store: Store, study: Study) -> None:
        figure = shown(ask(f"/studies/{store.add(study)}/samples.json?filter=1&arm=0"))
        assert figure["data"] == []
        assert "No samples are stored" in figure["layout"]["annotations"][0]["text"]

    def test_timed_calls_are_told_by_every_swept_property(self) -> None:
        import numpy as np

        from mlbench.records import ConditionKey

        columns = {
            "phase": np.array(["warmup", "timed", "timed", "timed", "timed"]),
            "counted": np.array([True, True, True, True, False]),  # the last one is of a trial that was lost
            "batch_size": np.array([1, 1, 1, 8, 8]),
            "input_length": np.array([-1, -1, 64, -1, -1]),
            "threads": np.array([-1, -1, -1, -1, -1]),
            "ns": np.array([1, 2, 3, 4, 5]),
        }
        assert pages.timed(columns, ConditionKey(1)).tolist() == [2]
        assert pages.timed(columns, ConditionKey(1, 64)).tolist() == [3]
        assert pages.timed(columns, ConditionKey(8)).tolist() == [4]


class TestCompare:
    def test_arms_of_several_studies_are_said_not_to_be_side_by_side(
        self, ask: Ask, store: Store, study: Study, later: Study
    ) -> None:
        first, second = store.add(study), store.add(later, experiment="2")
        page = text(ask(f"/compare?study={first}&study={second}"))
        assert "Not measured side by side." in page
        assert CAUTION in page
        assert "Another CPU" in page
        figure = shown(ask(f"/compare/figure.json?study={first}&study={second}&filter=1&arm=0.6&arm=1.6"))
        assert [trace["name"] for trace in figure["data"]] == ["[1] pruned_onnx_int8", "[2] pruned_onnx_int8"]

    def test_arms_of_one_study_are_said_to_be(self, ask: Ask, store: Store, study: Study, later: Study) -> None:
        first, second = store.add(study), store.add(later)
        page = text(ask(f"/compare?study={first}&study={second}&filter=1&arm=1.0&arm=1.6&metric=memory/disk_mib"))
        assert "Side by side." in page
        assert CAUTION not in page
        assert "Not the same in all of them" not in page
        assert page.count("<td>[2]</td>") == 2
        assert "<td>[1]</td>" not in page

    def test_no_arm_chosen(self, ask: Ask, store: Store, study: Study) -> None:
        assert "No arm is chosen" in text(ask(f"/compare?study={store.add(study)}&filter=1"))

    @pytest.mark.parametrize(
        ("query", "reason"),
        [("", "choose studies"), ("study=" + "&study=".join(str(n) for n in range(21)), "at most 20")],
    )
    def test_what_cannot_be_compared(self, ask: Ask, query: str, reason: str) -> None:
        answer = ask(f"/compare?{query}")
        assert answer.status == 404
        assert reason in answer.body.decode().lower()


class TestModels:
    @pytest.fixture
    def model(self, store: Store, study: Study, later: Study) -> str:
        for number, one in enumerate((study, later), start=1):
            tags = {"mlbench.run": store.add(one), "mlbench.study": one.name, "mlbench.arm": "pruned_onnx_int8"}
            tags |= {"mlbench.promoted": f"2026-01-0{number}T10:00:00+00:00", "mlbench.p50_ms": "0.15 ms"}
            store.add_version("digits <i>", tags | ({"mlbench.replaced": "1"} if number == 2 else {}))
        store.add_version("digits <i>", {})
        store.aliases["digits <i>"] = {"champion": "2", "previous": "1"}
        return "/models/digits <i>"

    def test_models_are_listed(self, ask: Ask, model: str) -> None:
        page = text(ask("/models"))
        assert 'href="/mlbench/models/digits%20%3Ci%3E"' in page
        assert "champion: version 2" in page

    def test_many_models_are_paged(self, ask: Ask, store: Store) -> None:
        for number in range(51):
            store.add_version(f"model-{number:02}", {})
        page = text(ask("/models"))
        assert "model-49" in page
        assert "model-50" not in page
        (older,) = re.findall(r'rel="next" href="/mlbench([^"]*)"', page)
        assert "model-50" in text(ask(older))

    def test_changes_of_the_champion(self, ask: Ask, model: str) -> None:
        page = text(ask(model))
        moves = re.findall(
            r'<th scope="row" class="moment">([^<]*)</th><td>(\w+)</td><td>([^<]*)</td><td>([^<]*)', page
        )
        assert moves == [
            ("2026-01-02 10:00", "promoted", "version 2", "version 1"),
            ("2026-01-01 10:00", "promoted", "version 1", "nothing"),
        ]
        assert "not by mlbench" in page
        assert "<i>" not in page

    def test_regressions_are_marked(self, ask: Ask, model: str) -> None:
        figure = shown(ask(f"{model}/trend.json"))
        (newest, first) = figure["table"]["rows"]
        assert newest[0] == "version 2"
        assert newest[3] == "worse: regression"
        assert "not measured side by side with version 1" in newest[4]
        assert first[3] == "-"

    def test_a_model_without_champions(self, ask: Ask, store: Store) -> None:
        store.add_version("plain", {})
        assert "mlbench has promoted no version" in text(ask("/models/plain"))
        assert ask("/models/plain/trend.json").status == 404

    def test_a_champion_whose_study_is_gone(self, ask: Ask, store: Store) -> None:
        store.add_version("old", {"mlbench.run": "f" * 32, "mlbench.promoted": "2026-01-01", "mlbench.arm": "a"})
        assert "cannot be read any more" in text(ask("/models/old"))


class TestSite:
    def test_hostile_names_are_shown_as_they_are(self, ask: Ask, store: Store, hostile: Study) -> None:
        run_id = store.add(hostile)
        store.add_version(EVIL, {"mlbench.study": EVIL, "mlbench.run": run_id, "mlbench.arm": EVIL})
        store.aliases[EVIL] = {EVIL: "1"}
        for address in ("", f"/studies/{run_id}", f"/compare?study={run_id}", "/models", f"/models/{EVIL}"):
            page = text(ask(address))
            assert "&lt;script&gt;alert(1)" in page, address
            assert "<script>" not in page, address
            assert "<img" not in page, address
            assert "<b>other" not in page

    @pytest.mark.parametrize(
        "address",
        ["/nothing", "/studies/abc", f"/studies/{'f' * 32}", "/models/none", *OUTSIDE],
    )
    def test_what_is_not_there(self, ask: Ask, address: str) -> None:
        answer = ask(address)
        assert answer.status == 404
        assert b"All studies" in answer.body

    def test_other_methods(self, ask: Ask) -> None:
        assert ask("/models", method="POST").status == 405

    def test_where_rights_cannot_be_told_nothing_is_shown(self, store: Store, study: Study) -> None:
        store.add(study)
        site = Site(lambda: store.tracker, lambda: "This server checks who may do what.")
        for path in ("", "/models", f"/studies/{'0' * 32}", f"/studies/{'0' * 32}/plane.json"):
            answer = site.answer(Request("GET", path))
            assert answer.status == 403
            assert b"checks who may do what" in answer.body
        assert not store.asked

    def test_a_damaged_study_and_an_error_of_ours(
        self, ask: Ask, store: Store, study: Study, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        run_id = store.add(study)
        (store.folder / run_id / "study.json").write_text("{}")
        assert ask(f"/studies/{run_id}").status == 422
        monkeypatch.setattr(Store, "search_runs", lambda *_args, **_options: 1 / 0)
        answer = ask("")
        assert answer.status == 500
        assert b"ZeroDivisionError" not in answer.body
        assert "ZeroDivisionError" in caplog.text

    def test_a_tracking_store_that_fails(self, ask: Ask, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
        def away(*_args, **_options):
            raise OSError("no route to http://me:secret@host")

        monkeypatch.setattr(Store, "search_experiments", away)
        answer = ask("")
        assert answer.status == 502
        assert b"secret" not in answer.body

    def test_static_files_may_be_kept_and_are_packed(self, ask: Ask) -> None:
        page = text(ask("/models"))
        for name in ("report.css", "dashboard.css", "dashboard.js", "plotly.js"):
            assert re.search(rf"/mlbench/static/{re.escape(name)}\?[\w.]+", page)
            plain = ask(f"/static/{name}")
            packed = ask(f"/static/{name}", headers={"accept-encoding": "gzip, br"})
            assert "immutable" in plain.headers["Cache-Control"]
            assert gzip.decompress(packed.body) == plain.body
            assert plain.content_type.startswith(("text/css", "text/javascript"))

    @pytest.mark.parametrize("address", OUTSIDE)
    def test_nothing_but_our_own_files_is_served(self, store: Store, address: str) -> None:
        """As a server reads the address, which decodes it first."""
        app = Flask("test")
        view = flask_view(Site(lambda: store.tracker), "/mlbench")
        app.add_url_rule("/mlbench/<path:rest>", "pages", view)
        answer = app.test_client().get(f"/mlbench{address}", follow_redirects=True)
        assert answer.status_code == 404
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert b"All studies" in answer.data

    def test_a_page_is_refused_from_another_list(self, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
        from mlflow.exceptions import MlflowException

        def refuse(*_args, **_options):
            raise MlflowException("Invalid page token")

        monkeypatch.setattr(Store, "search_runs", refuse)
        assert ask("?page=x").status == 404
        assert ask("").status == 502
