"""A registered version becomes an artifact again that answers like the one that was measured."""

import os
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import mlflow
import numpy as np
import pytest
from tiny_study import EXAMPLE, INPUTS, arms_of, make_study

from mlbench.config import RegistryConfig
from mlbench.errors import InputError
from mlbench.incumbent import absence, fit_incumbent, incumbent
from mlbench.records import Collation
from mlbench.runtimes.loading import open_session
from mlbench.tracking import Champion, OpenStudy, fetch, find_champion, find_registered, forms, models, promote
from mlbench.tracking.saving import save_here
from mlbench.variants.store import Store

NAME = "mlbench-tiny"


def registered(tracker, run_id, arm, model_id=None):
    """The champion that this arm of the study would be."""
    loaded = tracker.client.search_runs([tracker.experiment_id], f"tags.`mlbench.arm` = '{arm}'")
    model_id = model_id or loaded[0].data.tags["mlbench.model"]
    tags = {"mlbench.run": run_id, "mlbench.arm": arm}
    version = mlflow.register_model(f"models:/{model_id}", NAME, tags=tags).version
    return Champion(NAME, "champion", int(version))


def answers(artifact, settings):
    session = open_session(artifact, settings)
    return session.outputs(session.run(session.prepare(EXAMPLE)))[0]


@pytest.mark.parametrize(
    ("name", "format_"), [("fast", "onnx"), ("baseline", "pt2"), ("script", "torchscript"), ("whole", "onnx")]
)
def test_every_form_answers_as_it_was_measured(published, artifacts, tmp_path, monkeypatch, name, format_):
    tracker, run_id = published
    arm, model_id = arms_of(artifacts)["fast" if name == "whole" else name], None
    if name == "whole":  # in the form that needs mlbench, which holds any artifact as it is
        monkeypatch.setattr(models, "forms", lambda *_: (forms._MLBENCH,))
        again = replace(arm, artifact=replace(arm.artifact, digest="e" * 64))
        tags = {"mlbench.artifact": again.artifact.digest}
        model_id = models.log_model(tracker, run_id, again, "whole", tags, EXAMPLE, save_here).model_id
    known = find_registered(tracker, registered(tracker, run_id, arm.name, model_id))
    assert (known.arm, known.study, known.recipe) == (arm.name, "tiny-20260101-000000", arm.recipe)
    (tmp_path / "out").mkdir()
    artifact = fetch(tracker, known, tmp_path / "out")
    assert artifact.format == format_
    assert artifact.inputs == arm.artifact.inputs
    expected = answers(arm.artifact, arm.settings)
    assert np.abs(answers(artifact, arm.settings) - expected).max() < 1e-4


def test_a_version_that_is_not_by_mlbench(published):
    tracker, run_id = published
    done = promote(tracker, run_id, RegistryConfig())
    version = mlflow.register_model(f"models:/{done.model_id}", NAME).version
    with pytest.raises(
        InputError, match=r"version 2 of 'mlbench-tiny' cannot take part: it was not promoted by mlbench"
    ):
        find_registered(tracker, Champion(NAME, "champion", int(version)))


def test_a_form_that_cannot_be_measured_again(published):
    tracker, run_id = published
    done = promote(tracker, run_id, RegistryConfig())
    tracker.client.set_logged_model_tags(done.model_id, {"mlbench.model.form": "sklearn"})
    with pytest.raises(
        InputError, match="its model is logged as 'sklearn', and onnx, pytorch, torchscript and mlbench"
    ):
        find_registered(tracker, find_champion(tracker, RegistryConfig(), "tiny"))


# ---------------------------------------------------------------------------------------------------------------------
# as an arm


class Given:
    """What the incumbent asks for of a study's configuration and workload."""

    def __init__(self, study, wanted=True, inputs=INPUTS, factory="tiny_nets:tiny_cnn", trust=False):
        self.incumbent = wanted
        self.registry = RegistryConfig(trust=trust)
        self.source = SimpleNamespace(meta={"factory": factory})
        self.data = SimpleNamespace(collation=Collation())
        self.info = replace(
            study.workload, data=replace(study.workload.data, inputs=inputs), model={"factory": factory}
        )


@pytest.fixture
def begun(published, artifacts, tmp_path):
    """A study that begins when there is a champion, and where its artifacts are kept."""
    tracker, run_id = published
    promote(tracker, run_id, RegistryConfig())
    champion = find_champion(tracker, RegistryConfig(), "tiny")
    return tracker.open_study("next", {}, [], champion), make_study(artifacts), Store(tmp_path / "store")


def test_the_champion_joins_as_an_arm(begun):
    runs, study, store = begun
    given, said = Given(study), []
    (arm,) = incumbent(given, runs.tracker, runs.champion, given, store, said.append)
    assert (arm.name, arm.role) == ("incumbent", "incumbent")
    assert arm.recipe.description == (
        "version 1 of 'mlbench-tiny' ('champion'): fast of the study tiny-20260101-000000"
    )
    assert arm.settings == study.arm("fast").recipe.runtime
    assert store.find(arm.artifact.digest) is not None
    assert said == ["fetching version 1 of 'mlbench-tiny'"]
    assert absence(given, [arm]) == ()
    assert runs.tracker.resume_study(runs.run_id).champion == runs.champion


def test_no_champion_is_said_and_none_is_wanted(begun):
    runs, study, store = begun
    before = OpenStudy(runs.tracker, "first", runs.run_id, champion=Champion(NAME, "champion", None))
    assert incumbent(Given(study), before.tracker, before.champion, Given(study), store, print) == ()
    (notice,) = absence(Given(study), ())
    assert notice.message.startswith("incumbent: there is no champion yet")
    unasked = Given(study, wanted=False)
    assert (incumbent(unasked, runs.tracker, runs.champion, unasked, store, print), absence(unasked, ())) == ((), ())


def test_a_champion_of_another_workload_cannot_take_part(begun):
    runs, study, store = begun
    other = Given(study, inputs=(replace(INPUTS[0], name="words"),))
    with pytest.raises(InputError, match=r"version 1 .* cannot take part: it takes .*, and the workload gives words"):
        incumbent(other, runs.tracker, runs.champion, other, store, print)
    with pytest.raises(InputError, match="cannot take part"):  # before anything is built
        fit_incumbent(other, runs.tracker, runs.champion, other)


def test_code_that_is_not_the_workloads_own_is_not_run(begun, artifacts, monkeypatch):
    runs, study, store = begun
    known = find_registered(runs.tracker, runs.champion)
    monkeypatch.setattr("mlbench.incumbent.find_registered", lambda *_: replace(known, artifact=artifacts.torch))
    other = Given(study, factory="elsewhere:net")
    with pytest.raises(InputError, match="it is made by the code tiny_nets:tiny_cnn, which is not the workload's own"):
        incumbent(other, runs.tracker, runs.champion, other, store, print)


@pytest.mark.parametrize(
    ("format_", "words"),
    [
        ("pt2", "it is an exported program with pickled parts"),
        ("torchscript", "it is TorchScript"),
        ("aoti", "it is a compiled library"),
        ("sklearn", "it is a pickle"),
        ("their_own", "it is of the format their_own"),
    ],
)
def test_a_champion_that_could_run_code_takes_trust(begun, monkeypatch, format_, words):
    runs, study, store = begun
    known = find_registered(runs.tracker, runs.champion)
    program = replace(known, artifact=replace(known.artifact, format=format_))
    monkeypatch.setattr("mlbench.incumbent.find_registered", lambda *_: program)
    monkeypatch.setattr("mlbench.incumbent.examine", lambda *_: None)  # who would serve their_own is another matter
    given = Given(study)
    with pytest.raises(
        InputError, match=rf"{words}.*, and loading it runs whatever code is in it; .*registry.trust=true"
    ):
        incumbent(given, runs.tracker, runs.champion, given, store, print)
    assert bool(store.entries()) == (format_ == "pt2")  # whose file has to be looked at
    trusted = Given(study, trust=True)
    assert [arm.artifact.format for arm in incumbent(trusted, runs.tracker, runs.champion, trusted, store, print)] == [
        format_
    ]


@pytest.mark.skipif(
    not hasattr(mlflow.pytorch, "_validate_pt2_archive_is_pickle_free"),
    reason="this MLflow cannot tell, so trust is asked",
)
def test_an_exported_program_without_pickles_takes_none(begun):
    runs, study, store = begun
    given, version = Given(study), runs.tracker.client.get_model_version(NAME, "1")
    known = registered(runs.tracker, version.tags["mlbench.run"], "baseline")
    now = OpenStudy(runs.tracker, "next", runs.run_id, champion=known)
    assert [arm.artifact.format for arm in incumbent(given, now.tracker, now.champion, given, store, print)] == ["pt2"]


def test_a_logged_model_names_no_file_outside_of_it(begun, monkeypatch, tmp_path):
    runs, study, store = begun
    given, secret = Given(study), tmp_path / "secret"
    secret.write_text("not a model")
    real = mlflow.artifacts.download_artifacts

    def download(**asked):
        folder = real(**asked)
        if not str(asked.get("artifact_uri")).startswith("models:/"):
            return folder
        path = Path(folder) / "MLmodel"
        path.write_text(path.read_text().replace("data: model.onnx", f"data: {secret}"))
        return folder

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", download)
    with pytest.raises(InputError, match=r"is not one that mlbench wrote: .* does not stay in its directory"):
        incumbent(given, runs.tracker, runs.champion, given, store, print)


def test_a_logged_model_that_does_not_fit_into_memory_is_not_read(begun, monkeypatch):
    runs, study, store = begun
    given, real, tiny = Given(study), os.sysconf, {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 10}
    monkeypatch.setattr(os, "sysconf", lambda name: tiny.get(name) or real(name))
    with pytest.raises(InputError, match=r"the logged model m-\w+ is not read: it unpacks to"):
        incumbent(given, runs.tracker, runs.champion, given, store, print)
