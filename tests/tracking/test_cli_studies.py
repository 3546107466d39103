"""Commands on studies, against a real store."""

import json
import re
import sys
from pathlib import Path

import pytest
from tiny_study import arms_of, make_measurement, make_study

from mlbench import cli
from mlbench.errors import ExitCode
from mlbench.records import Decision, Study, from_dict, from_json
from mlbench.reporting.across import CAUTION


@pytest.fixture(autouse=True)
def _store_of_the_environment(request, monkeypatch):
    """The commands find the store as a user's would."""
    for name in ("three", "published"):
        if name in request.fixturenames:
            tracker, _ = request.getfixturevalue(name)
            monkeypatch.setenv("MLFLOW_TRACKING_URI", tracker.location.uri)
            return


def words(text):
    return " ".join(text.split())


# ---------------------------------------------------------------------------------------------------------------------
# show and compare


def test_show_prints_the_table_and_the_decision(published, capsys):
    assert cli.main(["show"]) == 0
    said = words(capsys.readouterr().out)
    for name in ("baseline", "fast", "script", "slow", "broken", "Decision: Ship fast: 2 times as fast"):
        assert name in said
    assert "secret" not in said


def test_show_as_json_is_the_record(published, artifacts, capsys):
    _, run_id = published
    for reference in ("latest", run_id, run_id[:8], "tiny-20260101-000000"):
        assert cli.main(["show", reference, "--json"]) == 0
        study = from_json(Study, capsys.readouterr().out)
        assert (study.name, study.decision.winner) == ("tiny-20260101-000000", "fast")


def test_an_unknown_study_is_wrong_input(published, capsys):
    assert cli.main(["show", "tiny-20260101-00000"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("mlbench: no study 'tiny-20260101-00000' in")
    assert "did you mean tiny-20260101-000000?" in err


def test_options_say_where_to_look(published, tmp_path, capsys):
    missing = f"sqlite:///{tmp_path}/nowhere.db"
    assert cli.main(["show", "--tracking-uri", missing]) == 2
    assert "nowhere.db" in capsys.readouterr().err
    assert not (tmp_path / "nowhere.db").exists()
    assert cli.main(["show", "--experiment", "elsewhere"]) == 2
    assert "elsewhere" in capsys.readouterr().err


def test_compare_prints_every_arm_of_every_study(three, capsys):
    _, run_ids = three
    assert cli.main(["compare", *run_ids[:2]]) == 0
    said = capsys.readouterr().out
    assert len(re.findall(r"^  fast|^> fast|^fast", said, re.MULTILINE)) == 2
    assert "tiny-20260101-000000" in said
    assert words(CAUTION) in words(said)


def test_compare_as_json(three, capsys):
    _, run_ids = three
    assert cli.main(["compare", *run_ids, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert [study["run_id"] for study in said["studies"]] == list(run_ids)
    assert {arm["name"] for arm in said["studies"][0]["arms"]} >= {"baseline", "fast"}
    assert said["caution"]


def test_compare_needs_two_different_studies(published, capsys):
    _, run_id = published
    assert cli.main(["compare", run_id, "latest"]) == 2
    assert "compare needs at least two different studies" in capsys.readouterr().err


# ---------------------------------------------------------------------------------------------------------------------
# promote and rollback


def test_promote_and_rollback(three, capsys):
    tracker, run_ids = three

    def champion():
        return int(tracker.client.get_model_version_by_alias("mlbench-tiny", "champion").version)

    assert cli.main(["promote", run_ids[0], "--dry-run"]) == 0
    sentence, make, wait, register, *writes = capsys.readouterr().out.splitlines()
    assert sentence == "'mlbench-tiny' a new version (fast) would be 'champion'"
    assert make == "  - make the registered model 'mlbench-tiny'"
    assert "makes other promotions wait" in wait
    assert register.startswith("  - register 'models:/m-")
    assert "  - set the alias 'champion' to the new version (now: unset)" in writes
    assert list(tracker.client.search_registered_models()) == []
    assert cli.main(["promote", run_ids[0]]) == 0
    assert capsys.readouterr().out == "'mlbench-tiny' version 1 (fast) is now 'champion'\n"
    assert cli.main(["promote", "latest", "--json"]) == 0
    out, _ = capsys.readouterr()
    said = json.loads(out)
    assert (said["version"], said["previous"], said["changed"], said["run_id"]) == (2, 1, True, run_ids[2])
    assert champion() == 2
    assert cli.main(["rollback", "mlbench-tiny", "--dry-run", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dry_run"] is True
    assert champion() == 2
    assert cli.main(["rollback", "mlbench-tiny"]) == 0
    assert "went back from version 2 to version 1" in capsys.readouterr().out
    assert champion() == 1
    assert cli.main(["rollback", "mlbench-tiny"]) == 2
    assert "nothing to go back to" in capsys.readouterr().err


def test_promote_under_another_name(published, capsys):
    tracker, run_id = published
    assert cli.main(["promote", run_id, "--model-name", "mine", "--alias", "edge"]) == 0
    assert capsys.readouterr().out == "'mine' version 1 (fast) is now 'edge'\n"
    assert int(tracker.client.get_model_version_by_alias("mine", "edge").version) == 1


def test_promote_takes_names_from_the_studys_configuration(published, monkeypatch, capsys):
    _tracker, run_id = published
    names = {"model_name": "from-config", "alias": "${oc.env:ALIAS}", "promote": False}
    configured(monkeypatch, registry=names)
    assert cli.main(["promote", run_id]) == 2
    err = capsys.readouterr().err
    assert "registry.alias is ${oc.env:ALIAS}" in err
    assert "--alias" in err
    assert cli.main(["promote", run_id, "--alias", "edge"]) == 0
    assert capsys.readouterr().out == "'from-config' version 1 (fast) is now 'edge'\n"


def configured(monkeypatch, **config):
    """Let the loaded study have this configuration."""
    from dataclasses import replace

    from mlbench import tracking
    from mlbench.tracking import load

    real = load.load_study

    def loaded(*given):
        found = real(*given)
        return replace(found, study=replace(found.study, config=config))

    monkeypatch.setattr(tracking, "load_study", loaded, raising=False)


@pytest.mark.parametrize(("outcome", "code"), [("hold", 3), ("inconclusive", 4)])
def test_what_was_not_decided_is_not_promoted(published, monkeypatch, capsys, artifacts, outcome, code):
    from mlbench.tracking import registry

    study = make_study(artifacts, outcome=outcome)
    real = registry.load_study
    monkeypatch.setattr(registry, "load_study", lambda *given: _with_study(real(*given), study))
    assert cli.main(["promote", "latest"]) == code
    assert "promotes nothing" in capsys.readouterr().err


def _with_study(loaded, study):
    from dataclasses import replace

    return replace(loaded, study=study)


# ---------------------------------------------------------------------------------------------------------------------
# report and ui


def test_report_writes_the_pages(published, tmp_path, capsys):
    assert cli.main(["report", "--output", "pages/of it"]) == 0
    pages = [tmp_path / "pages" / "of it" / name for name in ("report.html", "report.md")]
    assert capsys.readouterr().out.splitlines() == [str(page.relative_to(tmp_path)) for page in pages]
    for page in pages:
        assert "Ship fast" in page.read_text(encoding="utf-8")
    assert cli.main(["report", "--json"]) == 0
    written = {name: f"report/{name}" for name in ("report.html", "report.md")}
    assert json.loads(capsys.readouterr().out) == {"study": published[1], "pages": written}


def test_report_refuses_what_it_cannot_write(published, tmp_path, capsys):
    (tmp_path / "taken").touch()
    assert cli.main(["report", "--output", "taken"]) == 2
    assert capsys.readouterr().err == "mlbench: --output taken: is there already and is no directory\n"
    assert cli.main(["report", "--output", "taken/below"]) == 2
    assert capsys.readouterr().err == "mlbench: --output taken/below: cannot be written: Not a directory\n"


def test_ui_opens_the_page_of_a_study(published, monkeypatch, capsys):
    from mlbench import tracking

    calls = []

    def shown(tracker, **more):
        more.pop("say")("http://there")
        calls.append((tracker.experiment, more))

    monkeypatch.setattr(tracking, "ui", shown, raising=False)
    _, run_id = published
    assert cli.main(["ui", "--no-browser", "--port", "5999"]) == 0
    assert cli.main(["ui", "latest"]) == 0
    assert capsys.readouterr().out == "http://there\n" * 2
    assert calls == [
        ("mlbench", {"port": 5999, "open_browser": False, "run_id": None}),
        ("mlbench", {"port": 5000, "open_browser": True, "run_id": run_id}),
    ]


# ---------------------------------------------------------------------------------------------------------------------
# run, without a study of its own


@pytest.fixture
def stub(monkeypatch, artifacts):
    """``run_study`` replaced: it prints where it should not, and returns a study made beforehand."""
    import os
    import subprocess

    from mlbench import study as module

    seen = []

    def run_study(composition, progress, *, wait, resume):
        seen.append(composition)
        progress.phase("working")
        sys.stdout.write("library words\n")
        os.write(1, b"words of C\n")
        subprocess.run([sys.executable, "-c", "print('words of a child')"], check=True)
        return module.Outcome("f" * 32, make_study(artifacts), ExitCode.POLICY_NOT_MET, ("look there",))

    monkeypatch.setattr(module, "run_study", run_study)
    return seen


def test_run_prints_the_result_and_last_the_study(stub, capfd):
    assert cli.main(["run", "protocol.trials=4", "variants=[]"]) == 3
    out, err = capfd.readouterr()
    lines = out.splitlines()
    assert lines[-1] == "study " + "f" * 32
    assert "look there" in out
    assert "Decision: Ship fast" in words(out)
    assert "words" not in out
    assert [said in err for said in ("library words", "words of C", "words of a child", "working")] == [True] * 4
    assert "protocol.trials=4: fewer than 6 trials cannot give a verdict" in words(err)
    assert "variants: none is selected" in words(err)
    assert stub[0].overrides == ("protocol.trials=4", "variants=[]")


def test_run_as_json_prints_the_decision_alone(stub, capfd, artifacts):
    assert cli.main(["run", "--json", "variants=[pruned]", "--experiment", "mine"]) == 3
    said = json.loads(capfd.readouterr().out)
    assert said["study"] == "f" * 32
    assert from_dict(Decision, said) == make_study(artifacts).decision
    assert stub[0].config.tracking.experiment == "mine"


def test_output_is_given_back_after_an_error(stub, monkeypatch, capfd):
    from mlbench import study as module

    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(module, "run_study", fail)
    assert cli.main(["run", "variants=[]"]) == 1
    capfd.readouterr()
    assert cli.main(["list", "tasks"]) == 0
    assert "classification" in capfd.readouterr().out


def test_the_measurement_of_a_study_is_read_for_its_report(published, monkeypatch, artifacts, tmp_path):
    """The report gets every timed call at the headline batch size, not the record alone."""
    given = {}

    def render(study, samples, turns, noise):
        given.update({name: len(values) for name, values in samples.items()}, turns=len(turns))
        return ""

    monkeypatch.setattr("mlbench.delivery.render_html", render)
    assert cli.main(["report", "--output", "out"]) == 0
    measurement = make_measurement()
    assert set(given) == {*arms_of(artifacts), "turns"}
    assert given["turns"] == len(measurement.turns)
    headline = [turn for turn in measurement.turns if turn.arm == "fast" and turn.batch_size == 1]
    assert given["fast"] == sum(len(turn.timed_ns) for turn in headline)
    assert Path("out/report.html").read_text(encoding="utf-8") == ""
