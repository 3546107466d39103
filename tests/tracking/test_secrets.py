"""A secret planted wherever one can stand is found in no file and no row that a study leaves."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_study import EXAMPLE, arms_of, make_measurement, make_study

from mlbench import masking
from mlbench.compose import compose
from mlbench.config import ProtocolConfig, RegistryConfig, TrackingConfig
from mlbench.delivery import conclusion_of, deliver
from mlbench.gate import judge
from mlbench.journal import Journal, Planned
from mlbench.records import ConstraintResult, Judgement, LostTrial, Notice, Recipe, Refusal, RuntimeSettings, StepSpec
from mlbench.reporting.gate import render_gate_markdown, render_junit
from mlbench.resuming import journaled_arm, open_runs
from mlbench.tracking import keep_measurement
from mlbench.tracking.saving import save_here
from mlbench.tracking.uris import Location

PASSWORD, TOKEN, TAKEN, WRITTEN = "Pl4nted-password", "Pl4nted-token", "Pl4nted-taken", "Pl4nted-written"
ADDRESSED = "Pl4nted-address"  # of which nothing but the address says that it is a secret
PLANTED = (PASSWORD, TOKEN, TAKEN, WRITTEN, ADDRESSED)
GOAL = {"metric": "quality/accuracy", "against": "absolute", "min": 0.0}
TEXT = f"http://me:{PASSWORD}@host said {PASSWORD}, {TOKEN}, {TAKEN} and {WRITTEN}"


@pytest.fixture(autouse=True)
def _planted(monkeypatch):
    monkeypatch.setattr(masking, "_hidden", {})
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    monkeypatch.setenv("MINE", TAKEN)


@pytest.fixture
def composition():
    """A configuration that takes one secret from the environment and has another one written out."""
    return compose(
        [
            "+policy.environment={note: '${oc.env:MINE}', api_key: " + WRITTEN + "}",
            f"baseline.description='{TEXT}'",
            "variants=[]",
            f"tracking.uri=http://me:{ADDRESSED}@host",
        ]
    )


def planted_arms(artifacts):
    arms = arms_of(artifacts)
    recipe = Recipe("fast", (StepSpec("export_onnx", {"note": TEXT}),), description=TEXT)
    artifact = replace(arms["slow"].artifact, meta={**arms["slow"].artifact.meta, "args": {"key": TAKEN}})
    slow = replace(arms["slow"], artifact=replace(artifact, meta={**artifact.meta, "delay_percent": 0.0}))
    return {**arms, "fast": replace(arms["fast"], recipe=recipe), "slow": slow}


def planted_study(artifacts, composition):
    study = make_study(artifacts, config=composition.record, overrides=composition.overrides)
    fast = replace(
        study.arm("fast"),
        recipe=replace(planted_arms(artifacts)["fast"].recipe, runtime=RuntimeSettings(options={"x": TEXT})),
        absent={"energy/joules_per_sample": TEXT},
        effective={"providers": TEXT},
        failure=TEXT,
    )
    broken = replace(study.arm("broken"), failure=TEXT)
    arms = tuple({"fast": fast, "broken": broken}.get(arm.name, arm) for arm in study.arms)
    return replace(
        study,
        arms=arms,
        environment={**study.environment, "note": TEXT},
        warnings=(Notice("planted", TEXT, TEXT),),
        workload=replace(study.workload, model={"factory": "tiny_nets:tiny_cnn", "args": {"key": TAKEN}}),
        decision=replace(
            study.decision,
            sentence=TEXT,
            judgements=(Judgement("fast", True, (ConstraintResult(TEXT, True, None, TEXT),), TEXT),),
            policy={"name": "p", "environment": {"note": TEXT}, "constraints": [GOAL]},
        ),
    )


def planted_measurement():
    measured = make_measurement()
    workers = tuple(replace(worker, effective={"said": TEXT}) for worker in measured.workers)
    lost, refused = (LostTrial("script", 1, TEXT),), (Refusal("slow", 0, TEXT),)
    return replace(measured, workers=workers, lost=lost, refused=refused, absent={"energy/joules_per_sample": TEXT})


def leaks(folder: Path) -> list[str]:
    """Every file and every cell of a database below a folder that holds a planted secret."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file() and any(word.encode() in path.read_bytes() for word in PLANTED):
            found.append(str(path.relative_to(folder)))
        if path.suffix == ".db":
            with sqlite3.connect(path) as database:
                tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
                rows = ((name, row) for name in tables for row in database.execute(f'select * from "{name}"'))
                found += [name for name, row in rows if any(word in str(row) for word in PLANTED)]
    return found


def test_nothing_that_a_study_leaves_holds_a_planted_secret(tracker, artifacts, composition, tmp_path, capfd):
    study, measured, arms = planted_study(artifacts, composition), planted_measurement(), planted_arms(artifacts)
    addressed = replace(tracker, location=Location(f"http://me:{ADDRESSED}@host", "tracking.uri"))
    runs, begun = open_runs(composition, addressed, None)
    assert begun.tracking_uri == "http://***@host"
    config = replace(composition.config, registry=RegistryConfig(), tracking=TrackingConfig())
    with Journal.begin(tmp_path / "cache", begun) as journal:
        journal.plan(Planned(measured.plan, ProtocolConfig(), tuple(map(journaled_arm, arms.values()))))
        journal.trial(0, measured)
        conclusion = conclusion_of(study, config, EXAMPLE)
        journal.conclude(conclusion, measured)
    delivered = deliver(tracker, runs.run_id, conclusion, measured, {"fast": arms["fast"]})
    assert delivered.promotion is not None
    gate = judge(conclusion.study, ["fast"])
    (tmp_path / "gate.md").write_text(render_gate_markdown(conclusion.study, gate))
    (tmp_path / "gate.xml").write_text(render_junit(conclusion.study, gate))

    other = tracker.open_study("kept", composition.record, composition.overrides)
    other.open_arm("fast", "variant")
    keep_measurement(measured, other)
    other.fail(RuntimeError(TEXT))
    assert leaks(tmp_path) == []
    said = capfd.readouterr()
    assert not any(word in said.out + said.err for word in PLANTED)
    written = {path.name for path in tmp_path.rglob("*")}
    assert {"report.html", "report.md", "study.json", "workers.json", "measurement.json", "MLmodel"} <= written


def test_the_search_finds_what_is_there(tmp_path):
    (tmp_path / "file").write_text(f"x{TAKEN}x")
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("create table t (a)")
        database.execute("insert into t values (?)", (TEXT,))
    assert {"file", "t", "a.db"} <= set(leaks(tmp_path))


def test_an_artifact_whose_arguments_hold_a_secret_is_no_model(tracker, artifacts):
    from mlbench.tracking import models

    arm = planted_arms(artifacts)["slow"]
    masking.hide(TAKEN)
    run = tracker.client.create_run(tracker.experiment_id).info.run_id
    tuned = replace(arm, artifact=replace(arm.artifact, format="torch_tuned"))
    record = models.log_model(tracker, run, tuned, "m", {}, EXAMPLE, save_here)
    assert record.model_id is None
    assert "a secret is among the arguments that it is made with" in record.reason


def test_the_password_of_a_store_is_on_no_command_line(monkeypatch):
    from mlbench.tracking import server

    seen = []

    def start(command, **options):
        seen.append((command, options["env"]))
        raise OSError("not started")

    monkeypatch.setattr(server.subprocess, "Popen", start)
    with pytest.raises(OSError, match="not started"), server.serving(f"postgresql://me:{PASSWORD}@db/mlflow", 45_678):
        pass
    ((command, environment),) = seen
    assert PASSWORD not in " ".join(command)
    assert environment["MLFLOW_BACKEND_STORE_URI"] == f"postgresql://me:{PASSWORD}@db/mlflow"
    assert PASSWORD not in repr(Location(f"http://me:{PASSWORD}@host", "tracking.uri"))
