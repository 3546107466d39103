import copy
import json
import os
import pickle
import shutil
import subprocess
import sys
from dataclasses import replace
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny_nets
import torch
from sklearn.base import BaseEstimator
from threadpoolctl import threadpool_info, threadpool_limits
from tiny_nets import images
from tiny_study import (
    EXAMPLE,
    INPUTS,
    OUTPUTS,
    arms_of,
    onnx_weights,
    save_script,
    sklearn_artifact,
    split_onnx_artifact,
    split_onnx_weights,
    torch_artifact,
)

from mlbench.errors import TrackingError
from mlbench.records import Arm, Artifact, Recipe, RuntimeSettings, TensorSpec, to_dict
from mlbench.runtimes.kept import settings_kept
from mlbench.tracking import forms, load_study, mlbench_served_v1, served_artifact, served_torchscript
from mlbench.tracking.import_path import SERVED, import_path_kept
from mlbench.tracking.models import find_model, log_model
from mlbench.tracking.saving import save_here
from mlbench.workloads.onnx_data import is_split

WITHOUT_MLBENCH = """
import sys, json
from importlib import metadata
sys.modules["mlbench"] = None  # as where it is not installed, and so has no plugins either
found = metadata.entry_points
others = lambda points: metadata.EntryPoints(p for p in points if not p.value.startswith("mlbench."))
metadata.entry_points = lambda **of: others(found(**of))
import numpy as np, mlflow
rows = np.load(sys.argv[1])
for location in sys.argv[2:]:
    model = mlflow.pyfunc.load_model(location)
    session = getattr(model._model_impl, "rt", None)  # that of mlflow.onnx
    if session is not None:
        options = session.get_session_options()
        sessions = {"onnx_threads": options.intra_op_num_threads, "providers": session.get_providers()}
    shape = model.metadata.signature.inputs.inputs[0].shape[1:]
    for count in (1, 3):
        answer = model.predict(rows[:count].reshape(count, *shape))
        answer = next(iter(answer.values())) if isinstance(answer, dict) else answer
        print(json.dumps(np.asarray(answer).tolist()))
"""
HOW_SERVED = """
import torch
print(json.dumps({"threads": torch.get_num_threads(), **sessions}))
"""


def oracle(arm, rows):
    """The answer by other means than the logged model: numpy for ONNX, the module itself for torch."""
    if arm == "fast":
        weight, bias = onnx_weights()
        return rows.reshape(len(rows), -1) @ weight + bias
    with torch.inference_mode():
        return tiny_nets.tiny_cnn().eval()(torch.from_numpy(rows)).numpy()


@pytest.fixture
def run_id(tracker):
    run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
    tracker.client.log_param(run_id, "recipe", "none")
    return run_id


def pools():
    """Threads of the libraries in this process, as this thread has them."""
    found = {"blas": set(), "openmp": set()}
    for pool in threadpool_info():
        found[pool["user_api"]].add(pool["num_threads"])
    return found


def logged(tracker, run_id, artifact, example=EXAMPLE, settings=None):
    arm = Arm("arm", "variant", Recipe("arm"), artifact, settings or RuntimeSettings())
    tags = {"mlbench.arm": "arm", "mlbench.artifact": artifact.digest}
    return log_model(tracker, run_id, arm, "tiny-arm", tags, example, save_here)


@pytest.mark.e2e
def test_every_model_answers_alike_in_a_fresh_process_without_mlbench(published, tmp_path):
    tracker, run_id = published
    arms = {"baseline": "pytorch", "fast": "onnx", "script": "torchscript"}
    locations = []
    for arm, form in arms.items():
        tags = tracker.client.get_run(load_study(tracker, run_id).arms[arm]).data.tags
        assert tags["mlbench.model.form"] == form
        locations.append(tracker.client.get_logged_model(tags["mlbench.model"]).artifact_location)
    fitted, artifact = sklearn_artifact(tmp_path / "sklearn")
    record = logged(tracker, load_study(tracker, run_id).arms["fast"], artifact, example=None)
    assert (record.form, record.reason) == ("sklearn", "")
    locations.append(tracker.client.get_logged_model(record.model_id).artifact_location)
    rows = images(3, seed=5)
    np.save(tmp_path / "rows.npy", rows)
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_MLBENCH + HOW_SERVED, str(tmp_path / "rows.npy"), *locations],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    *lines, served = map(json.loads, done.stdout.splitlines())
    answers = list(map(np.array, lines))
    for number, arm in enumerate(arms):
        assert answers[2 * number] == pytest.approx(oracle(arm, rows[:1]), abs=1e-4)
        assert answers[2 * number + 1] == pytest.approx(oracle(arm, rows), abs=1e-4)
    assert answers[7] == pytest.approx(fitted.predict_proba(rows.reshape(3, 64)), abs=1e-4)
    # as measured: one thread each, whatever the machine has
    assert served == {"threads": 1, "onnx_threads": 1, "providers": ["CPUExecutionProvider"]}


@pytest.mark.e2e
def test_compiled_forms_answer_alike_in_a_fresh_process(tracker, run_id, artifacts, tmp_path):
    """Half precision, an exported program and an OpenVINO model are served by mlbench, with the threads as measured."""
    import openvino as ov

    program, converted = tmp_path / "program", tmp_path / "converted"
    program.mkdir()
    converted.mkdir()
    free = {0: torch.export.Dim("items")}
    exported = torch.export.export(tiny_nets.tiny_cnn().eval(), (torch.from_numpy(images(2)),), dynamic_shapes=(free,))
    torch.export.save(exported, program / "model.pt2")
    ov.save_model(ov.convert_model(Path(artifacts.onnx.path) / "model.onnx"), converted / "model.xml")
    half = {**artifacts.torch.meta, "tuning": {"weights": "float32", "autocast": "bfloat16", "channels_last": True}}
    made = {
        "half": replace(artifacts.torch, digest="7" * 64, format="torch_tuned", meta=half),
        "program": replace(artifacts.torch, format="pt2", path=str(program), entry="model.pt2", meta={}),
        "fast": replace(artifacts.onnx, format="openvino", path=str(converted), entry="model.xml"),
    }
    rows = images(3, seed=5)
    np.save(tmp_path / "rows.npy", rows)
    locations = []
    for artifact in made.values():
        record = logged(tracker, run_id, artifact)
        assert (record.form, record.reason) == ("mlbench", "")
        locations.append(tracker.client.get_logged_model(record.model_id).artifact_location)
    code = WITHOUT_MLBENCH.replace('sys.modules["mlbench"] = None', "") + "import torch; print(torch.get_num_threads())"
    command = [sys.executable, "-c", code, str(tmp_path / "rows.npy"), *locations]
    code_of_the_model = {**os.environ, "PYTHONPATH": os.pathsep.join((str(Path(__file__).parent), *sys.path))}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=code_of_the_model)
    assert done.returncode == 0, done.stderr
    *answers, threads = map(json.loads, done.stdout.splitlines())
    assert threads == 1
    for number, arm in enumerate(made):
        near = 0.05 if arm == "half" else 1e-3
        assert np.array(answers[2 * number]) == pytest.approx(oracle(arm, rows[:1]), abs=near)
        assert np.array(answers[2 * number + 1]) == pytest.approx(oracle(arm, rows), abs=near)


class TestNeeds:
    """What no requirements file can say is said on the model."""

    def said(self, artifact):
        return forms.needs(forms.Content(artifact, RuntimeSettings(threads=3), EXAMPLE))

    def test_nothing_where_any_machine_will_do(self, artifacts):
        assert [self.said(item) for item in (artifacts.torch, artifacts.script, artifacts.onnx)] == ["", "", ""]

    def test_compiled_ahead_of_time(self, artifacts):
        assert "AVX512" in self.said(replace(artifacts.torch, format="aoti", meta={"cpu_capability": "AVX512"}))

    def test_compiled_when_it_is_loaded(self, artifacts):
        tuned = replace(artifacts.torch, format="torch_tuned", meta={"compile": {"freezing": False, "dynamic": None}})
        assert self.said(tuned).startswith("a C++ compiler: ")

    def test_what_is_wrapped_has_needs_of_its_own(self, artifacts):
        wrapped = replace(artifacts.torch, format="pyfunc", meta={"flavor": "xgboost"})
        assert "(xgboost): its own requirements.txt" in self.said(wrapped)

    def test_another_interpreter_has_versions_of_its_own(self, artifacts):
        content = forms.Content(artifacts.onnx, RuntimeSettings(python="old/bin/python"), EXAMPLE)
        assert "the versions of old/bin/python" in forms.needs(content)


class TestLoggedModel:
    @pytest.fixture
    def model(self, published):
        tracker, run_id = published
        run = tracker.client.get_run(load_study(tracker, run_id).arms["fast"])
        return tracker.client.get_logged_model(run.data.tags["mlbench.model"])

    def test_name_tags_and_parameters(self, model):
        assert model.name == "tiny-fast"
        assert model.tags["mlbench.arm"] == "fast"
        assert model.tags["mlbench.artifact"] == "c" * 64
        assert model.params["artifact.format"] == "onnx"

    def test_it_knows_where_it_came_from(self, model):
        import mlflow

        info = mlflow.models.get_model_info(model.artifact_location)
        assert info.run_id == model.source_run_id
        assert info.metadata["mlbench.artifact"] == "c" * 64
        assert info.signature.inputs.inputs[0].shape == (-1, 1, 8, 8)
        assert info.saved_input_example_info is not None

    def test_requirements_are_pinned_to_what_an_index_serves(self, model):
        text = (Path(model.artifact_location.removeprefix("file://")) / "requirements.txt").read_text()
        wanted = dict(line.split("==") for line in text.split())
        assert set(wanted) == {"mlflow", "numpy", "onnx", "onnxruntime"}
        assert not any("+" in version for version in wanted.values())

    def test_session_options_are_those_that_were_measured(self, model):
        import mlflow

        flavor = mlflow.models.get_model_info(model.artifact_location).flavors["onnx"]
        assert flavor["providers"] == ["CPUExecutionProvider"]
        assert flavor["onnx_session_options"]["intra_op_num_threads"] == 1
        assert flavor["onnx_session_options"]["extra_session_config"]["session.intra_op.allow_spinning"] == "0"

    def test_wrong_types_are_refused_by_the_signature(self, model):
        import mlflow

        loaded = mlflow.pyfunc.load_model(model.artifact_location)
        with pytest.raises(mlflow.exceptions.MlflowException, match=r"incompatible|float64"):
            loaded.predict(images(2).astype(np.float64))


def named(artifact, **settings):
    """Forms that are tried, by name."""
    return [form.name for form in forms.forms(artifact, RuntimeSettings(**settings))]


class TestForms:
    def test_the_leanest_first(self, artifacts):
        names = {kind: named(getattr(artifacts, kind)) for kind in ("torch", "script", "onnx")}
        assert names == {
            "torch": ["pytorch", "mlbench"],
            "script": ["torchscript", "mlbench"],
            "onnx": ["onnx", "mlbench"],
        }

    def test_a_format_of_a_third_party(self, artifacts):
        assert named(replace(artifacts.onnx, format="other")) == ["mlbench"]

    @pytest.mark.parametrize(
        ("kind", "settings"),
        [
            ("torch", {"options": {"matmul_precision": "medium"}}),
            ("torch", {"options": {"channels_last": True}}),
            ("torch", {"inter_threads": 2}),
            ("script", {"options": {"matmul_precision": "high"}}),
            ("script", {"inter_threads": 2}),
            ("onnx", {"options": {"graph_level": "disable"}}),
            ("onnx", {"options": {"io_binding": True}}),
            ("onnx", {"options": {"memory_arena": False}}),
        ],
    )
    def test_what_a_lean_form_cannot_say_is_served_by_mlbench(self, artifacts, kind, settings):
        assert named(getattr(artifacts, kind), **settings) == ["mlbench"]

    def test_what_is_said_as_it_is_without_saying_so(self, artifacts):
        options = {"matmul_precision": "highest", "channels_last": False}
        assert named(artifacts.torch, options=options) == ["pytorch", "mlbench"]
        assert named(artifacts.onnx, options={"graph_level": "basic"}, inter_threads=2) == ["onnx", "mlbench"]

    def test_weights_that_lie_beside_a_graph_go_with_it(self, tracker, run_id, tmp_path):
        import mlflow

        artifact = split_onnx_artifact(tmp_path / "split")
        assert is_split(tmp_path / "split" / "model.onnx")
        record = logged(tracker, run_id, artifact)
        assert (record.form, record.reason) == ("onnx", "")
        shutil.rmtree(tmp_path / "split")  # so that it is loaded from files of its own
        (tmp_path / "elsewhere").mkdir()
        place = mlflow.artifacts.download_artifacts(f"models:/{record.model_id}", dst_path=str(tmp_path / "elsewhere"))
        assert is_split(Path(place) / "model.onnx")
        rows = images(3, seed=5)
        first, second = split_onnx_weights()
        answer = mlflow.pyfunc.load_model(place).predict(rows)
        assert answer["scores"] == pytest.approx(rows.reshape(3, 64) @ first @ second, rel=1e-4, abs=1e-4)

    def test_a_torch_module_with_several_inputs(self, tracker, run_id, tmp_path):
        specs = (TensorSpec("left", "float32", (None, 4)), TensorSpec("right", "float32", (None, 4)))
        artifact = torch_artifact(
            tmp_path / "two",
            "tiny_nets:two_inputs",
            tiny_nets.two_inputs(),
            specs,
            (TensorSpec("y", "float32", (None, 3)),),
        )
        record = logged(tracker, run_id, artifact, example=None)
        assert (record.form, record.reason) == ("mlbench", "")
        import mlflow

        loaded = mlflow.pyfunc.load_model(f"models:/{record.model_id}")
        rows = {name: np.ones((2, 4), np.float32) for name in ("left", "right")}
        expected = tiny_nets.two_inputs()(torch.ones(2, 4), torch.ones(2, 4)).detach().numpy()
        assert loaded.predict(rows) == pytest.approx(expected, abs=1e-5)

    def test_a_model_that_would_answer_differently_is_served_by_its_own_runtime(self, tracker, run_id, tmp_path):
        artifact = torch_artifact(
            tmp_path / "fixed",
            "tiny_nets:ByPlace",
            tiny_nets.ByPlace(),
            INPUTS,
            (TensorSpec("y", "float32", (None, 1)),),
        )
        record = logged(tracker, run_id, artifact)
        assert record.form == "mlbench"
        assert record.reason.startswith("not as pytorch: ")
        model = tracker.client.get_logged_model(record.model_id)
        assert model.tags["mlbench.model.form"] == "mlbench"
        assert [found.status for found in tracker.client.search_logged_models([tracker.experiment_id])] == ["READY"]
        import mlflow

        path = mlflow.artifacts.download_artifacts(model.artifact_location + "/requirements.txt")
        assert "mlflow-mlbench==" in Path(path).read_text()

    def test_a_broken_artifact_leaves_no_model(self, tracker, run_id, artifacts, tmp_path):
        broken = replace(artifacts.onnx, path=str(tmp_path / "nowhere"))
        record = logged(tracker, run_id, broken)
        assert record.model_id is None
        assert "not as onnx: " in record.reason
        assert "not as mlbench: " in record.reason
        assert tracker.client.search_logged_models([tracker.experiment_id]) == []

    def test_several_outputs_of_a_script_come_by_name(self, tracker, run_id, tmp_path):
        import mlflow

        class Two(torch.nn.Module):
            def forward(self, x):
                return x.mean(dim=(1, 2, 3)), x.sum(dim=(1, 2, 3))

        (tmp_path / "s").mkdir()
        save_script(Two(), torch.ones(2, 1, 8, 8), tmp_path / "s" / "model.ts")
        outputs = (TensorSpec("mean", "float32", (None,)), TensorSpec("sum", "float32", (None,)))
        artifact = Artifact("e" * 64, "torchscript", str(tmp_path / "s"), "model.ts", INPUTS, outputs, 100)
        record = logged(tracker, run_id, artifact)
        assert record.form == "torchscript", record.reason
        answer = mlflow.pyfunc.load_model(f"models:/{record.model_id}").predict(images(2))
        assert list(answer) == ["mean", "sum"]
        assert answer["sum"] == pytest.approx(images(2).sum(axis=(1, 2, 3)), rel=1e-4)

    def test_native_warnings_of_torch_stay_off_the_terminal(self, capfd):
        with forms._native_warnings_away():
            os.write(2, b"warning from C++")
        os.write(2, b"error of ours")
        assert capfd.readouterr().err == "error of ours"

    @pytest.mark.parametrize("kind", ["torch", "sklearn"])
    def test_no_code_of_a_model_stays_behind(self, tracker, run_id, artifacts, tmp_path, kind, monkeypatch):
        monkeypatch.delitem(sys.modules, SERVED.stem, raising=False)  # of whoever loaded a model by MLflow's own means
        artifact = artifacts.torch if kind == "torch" else sklearn_artifact(tmp_path / "sklearn")[1]
        before = list(sys.path)
        record = logged(tracker, run_id, artifact, example=None)
        assert (record.form, record.reason) == ({"torch": "pytorch"}.get(kind, kind), "")
        assert sys.path == before
        assert SERVED.stem not in sys.modules

    def test_pools_keep_their_threads(self, tracker, run_id, tmp_path):
        with threadpool_limits(3):
            before = pools()
            logged(tracker, run_id, sklearn_artifact(tmp_path / "sklearn")[1], example=None)
            assert before == {**before, "blas": {3}}
            assert pools() == before

    def test_torch_keeps_its_threads(self, tracker, run_id, artifacts):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            logged(tracker, run_id, artifacts.torch)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)


class TestServed:
    """The scripts that MLflow copies into a model, by themselves: MLflow runs the copy."""

    def loaded(self, model, artifacts, **config):
        model.load_context(SimpleNamespace(artifacts=artifacts, model_config=config))
        return model

    def test_a_script_has_the_threads_that_were_measured(self, artifacts):
        config = {"inputs": ["images"], "outputs": ["scores"], "threads": 2}
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            path = str(Path(artifacts.script.path) / "model.ts")
            self.loaded(served_torchscript.TorchScriptModel(), {"model": path}, **config)
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_a_program_has_the_threads_that_were_measured_or_are_asked_for(self, tracker, run_id, artifacts):
        import mlflow

        record = logged(tracker, run_id, artifacts.torch, settings=RuntimeSettings(threads=2))
        assert record.form == "pytorch"
        location = tracker.client.get_logged_model(record.model_id).artifact_location
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(1)
            mlflow.pyfunc.load_model(location)
            assert torch.get_num_threads() == 2
            mlflow.pyfunc.load_model(location, model_config={"threads": 1})
            assert torch.get_num_threads() == 1
        finally:
            torch.set_num_threads(before)

    def test_an_estimator_has_the_threads_that_were_measured(self, tracker, run_id, tmp_path, monkeypatch):
        import mlflow
        from sklearn.base import clone
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        monkeypatch.delitem(sys.modules, SERVED.stem, raising=False)  # other tests have loaded models
        own = make_pipeline(StandardScaler(), RandomForestClassifier(3, n_jobs=-1, random_state=0))
        fitted, artifact = sklearn_artifact(tmp_path / "sklearn", own)
        record = logged(tracker, run_id, artifact, example=None, settings=RuntimeSettings(threads=2))
        assert (record.form, record.reason) == ("sklearn", "")
        location = tracker.client.get_logged_model(record.model_id).artifact_location
        with settings_kept(), import_path_kept():
            loaded = mlflow.pyfunc.load_model(location)
            estimator = loaded.get_raw_model()
            assert (estimator.steps[-1][1].n_jobs, estimator.served_threads, pools()["blas"]) == (2, 2, {2})
            rows = images(5, seed=3).reshape(5, 64)
            assert loaded.predict(rows) == pytest.approx(fitted.predict_proba(rows))
            assert (type(estimator).__name__, isinstance(estimator, type(fitted))) == ("Pipeline", True)
            assert clone(estimator).get_params().keys() == fitted.get_params().keys()
            kept = pickle.dumps(estimator)
            assert copy.deepcopy(estimator).predict(rows).tolist() == fitted.predict(rows).tolist()
        assert SERVED.stem not in sys.modules
        assert type(pickle.loads(kept)) is type(fitted)  # who keeps it again has no need of our module

    def test_openmp_has_the_threads_at_every_call_of_any_thread(self):
        class Asks(BaseEstimator):
            def predict(self, data):
                return pools()["openmp"]

            def predict_proba(self, data, *, more=0):
                return [*self.predict(data), data, more]

        before = pools()
        with settings_kept():
            model = mlbench_served_v1.limited(Asks(), 3)
            assert model.predict(None) == {3}
            assert ThreadPool(1).apply(model.predict, (None,)) == {3}
            assert model.predict_proba("rows", more=4) == [3, "rows", 4]
            assert pools() == {**before, "blas": {3}}  # OpenMP's is for the call alone
        assert pools() == before

    def test_what_is_pickled_answers_as_the_estimator_and_can_be_copied(self):
        served = mlbench_served_v1.Served(SimpleNamespace(classes=("a", "b"), _own=1), 2)
        assert served.classes == ("a", "b")
        with pytest.raises(AttributeError):
            mlbench_served_v1.Served.__new__(mlbench_served_v1.Served)._estimator  # noqa: B018 - as copying asks

    def test_a_script_takes_an_array_or_arrays_by_name(self, artifacts):
        path = str(Path(artifacts.script.path) / "model.ts")
        config = {"inputs": ["images"], "outputs": ["scores"], "quantized_engine": None}
        model = self.loaded(served_torchscript.TorchScriptModel(), {"model": path}, **config)
        expected = pytest.approx(oracle("script", images(3)), abs=1e-5)
        assert model.predict(None, images(3)) == expected
        assert model.predict(None, {"images": images(3)}) == expected

    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (lambda x: x.sum(dim=1), np.full(2, 64.0)),
            (lambda x: (x.sum(dim=1), x.mean(dim=1)), {"sum": np.full(2, 64.0), "mean": np.ones(2)}),
            (lambda x: {"own": x.sum(dim=1)}, {"own": np.full(2, 64.0)}),
        ],
    )
    def test_what_a_script_may_return(self, tmp_path, answer, expected):
        class Module(torch.nn.Module):
            def forward(self, x):
                return answer(x.reshape(len(x), -1))

        save_script(Module(), torch.ones(2, 1, 8, 8), tmp_path / "model.ts")
        engine = torch.backends.quantized.engine
        config = {"inputs": ["x"], "outputs": ["sum", "mean"], "quantized_engine": engine}
        model = self.loaded(served_torchscript.TorchScriptModel(), {"model": str(tmp_path / "model.ts")}, **config)
        given = np.ones((2, 1, 8, 8), np.float32)
        found = model.predict(None, given)
        assert found == pytest.approx(expected) if isinstance(expected, np.ndarray) else list(found) == list(expected)
        if isinstance(expected, dict):
            assert all(found[name] == pytest.approx(expected[name]) for name in expected)

    def test_any_artifact_through_its_runtime(self, artifacts):
        config = {"artifact": to_dict(replace(artifacts.onnx, path="")), "settings": to_dict(RuntimeSettings())}
        model = self.loaded(served_artifact.ServedArtifact(), {"files": artifacts.onnx.path}, **config)
        expected = pytest.approx(oracle("fast", images(3)), abs=1e-4)
        assert model.predict(None, images(3)) == expected
        assert model.predict(None, {"images": images(3)}) == expected


class TestProof:
    """A model that answers otherwise than the artifact is not logged in that form."""

    def content(self, artifacts):
        return forms.Content(artifacts.onnx, RuntimeSettings(), EXAMPLE)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            (lambda answer: {"scores": answer["scores"] + 0.1}, "batch size 1 it answers differently"),
            (lambda answer: {"scores": answer["scores"][:, :2]}, "batch size 1 it answers differently"),
            (lambda answer: {**answer, "more": answer["scores"]}, "2 outputs instead of 1"),
            (
                lambda answer: {"scores": answer["scores"] if len(answer["scores"]) == 1 else answer["scores"][::-1]},
                "size 3",
            ),
        ],
    )
    def test_any_difference_is_seen(self, artifacts, tmp_path, monkeypatch, change, reason):
        inner = forms.mlflow.pyfunc.load_model

        def load(path):
            model = inner(path)
            return SimpleNamespace(predict=lambda batch: change(model.predict(batch)))

        monkeypatch.setattr(forms.mlflow.pyfunc, "load_model", load)
        form = forms.forms(artifacts.onnx, RuntimeSettings())[0]
        with pytest.raises(forms.UnfitError, match=reason):
            forms.save_verified(form, self.content(artifacts), tmp_path / "model")

    def test_without_torch_there_is_nothing_to_keep(self, monkeypatch):
        monkeypatch.delitem(sys.modules, "torch")
        with forms.settings_kept():
            assert "torch" not in sys.modules


class TestExample:
    def test_real_items_are_taken(self, artifacts):
        assert forms.example_for(artifacts.onnx, EXAMPLE)["images"] is not None
        assert np.array_equal(forms.example_for(artifacts.onnx, EXAMPLE)["images"], EXAMPLE["images"])

    @pytest.mark.parametrize("given", [None, {}, {"other": images(3)}, {"images": images(1)}])
    def test_made_up_where_they_are_not_enough(self, artifacts, given):
        made = forms.example_for(artifacts.onnx, given)
        assert made["images"].shape == (2, 1, 8, 8)
        assert made["images"].dtype == np.float32

    def test_whole_numbers_are_zero(self, artifacts):
        tokens = replace(artifacts.onnx, inputs=(TensorSpec("ids", "int64", (None, None)),))
        made = forms.example_for(tokens, None)["ids"]
        assert made.tolist() == [[0, 0], [0, 0]]


class TestOnce:
    def test_a_second_call_finds_the_first_ones_model(self, tracker, run_id, artifacts):
        first, second = (logged(tracker, run_id, artifacts.onnx) for _ in range(2))
        assert first == second
        assert len(tracker.client.search_logged_models([tracker.experiment_id])) == 1

    def test_another_artifact_is_another_model(self, tracker, run_id, artifacts):
        first = logged(tracker, run_id, artifacts.onnx)
        second = logged(tracker, run_id, replace(artifacts.onnx, digest="0" * 64))
        assert first.model_id != second.model_id

    def test_a_half_delivered_model_is_replaced(self, tracker, run_id, artifacts, monkeypatch):
        def cut(*_args):
            raise OSError("disk full")

        monkeypatch.setattr(type(tracker.client), "log_model_artifacts", cut)
        with pytest.raises(TrackingError, match="disk full"):
            logged(tracker, run_id, artifacts.onnx)
        monkeypatch.undo()
        assert find_model(tracker, run_id, artifacts.onnx.digest) is None
        record = logged(tracker, run_id, artifacts.onnx)
        found = tracker.client.search_logged_models([tracker.experiment_id])
        assert [(model.model_id, model.status) for model in found] == [(record.model_id, "READY")]

    def test_a_delayed_artifact_is_no_model(self, tracker, run_id, artifacts):
        record = logged(tracker, run_id, artifacts.delayed)
        assert record.model_id is None
        assert "delay" in record.reason


def test_requirements_leave_out_what_is_not_installed():
    found = forms.requirements(("numpy", "no-such-distribution"))
    assert [line.split("==")[0] for line in found] == ["numpy"]


def test_outputs_are_described(artifacts):
    signature = forms.signature(arms_of(artifacts)["fast"].artifact)
    assert signature.outputs.inputs[0].shape == (-1, 3)
    assert OUTPUTS[0].name == "scores"


@pytest.mark.parametrize(
    ("kind", "meta", "beside"),
    [
        ("executorch", {}, ["executorch"]),
        ("openvino", {}, ["openvino"]),
        ("pt2", {"torchao": True}, ["torchao"]),
        ("torch_tuned", {"torchao": True, "compile": {}}, ["torchao"]),
        ("aoti", {}, []),
        ("torch_tuned", {}, []),
    ],
)
def test_formats_that_only_mlbench_serves_name_what_they_need(kind, meta, beside):
    artifact = Artifact("d" * 64, kind, "", "model", INPUTS, OUTPUTS, 0, meta=meta)
    (form,) = forms.forms(artifact, RuntimeSettings())
    assert form.name == "mlbench"
    assert list(form.libraries) == ["mlflow", "numpy", "mlflow-mlbench", "torch", "onnxruntime", *beside]
