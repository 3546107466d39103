"""The models of arms that were built by the recipes that come with mlbench, asked in one process that is fresh."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from mlbench.config import DataConfig, ModelConfig, RecipeConfig, TrainConfig, WorkloadConfig
from mlbench.errors import BuildError
from mlbench.recipes import recipe
from mlbench.records import Arm
from mlbench.runtimes.loading import answers
from mlbench.tracking.models import log_model
from mlbench.tracking.saving import save_here
from mlbench.variants.build import build, check
from mlbench.variants.store import Store
from mlbench.workloads.prepare import prepare

pytestmark = [pytest.mark.e2e, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]

CONF = Path(__file__).resolve().parents[2] / "conf"
FORMS = {
    "torch_int8": "torchscript",
    "onnx_int8_static": "onnx",
    "onnx_fp16": "onnx",
    "torch_compiled": "mlbench",
    "torch_aot": "mlbench",
    "torch_pt2e_int8": "mlbench",
    "torchao_int8": "mlbench",
    "executorch_fp32": "mlbench",
    "as_pyfunc": "mlbench",
}
NEAR = {"torchao_int8": 0.05}  # fused kernels round otherwise for other batches
ASK = """
import json, sys
import mlflow, numpy as np
for name, location in json.loads(sys.argv[1]).items():
    rows = np.load(f"{name}.npy")
    model = mlflow.pyfunc.load_model(location)
    for count in (1, len(rows)):
        answer = model.predict(rows[:count])
        answer = next(iter(answer.values())) if isinstance(answer, dict) else answer
        print(json.dumps([name, np.asarray(answer, dtype=float).tolist()]))
"""


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    return Store(os.environ.get("MLBENCH_TEST_CACHE") or tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def network(shelf):
    model = ModelConfig(factory="tiny_nets:narrow", train=TrainConfig(epochs=3, learning_rate=0.01, batch_size=16))
    return prepare(WorkloadConfig("reloaded", model, DataConfig("digits", rows=300)), shelf, lambda text: None)


@pytest.fixture(scope="module")
def estimator(shelf, tmp_path_factory):
    """A model out of MLflow, which is what ``as_pyfunc`` wraps."""
    import mlflow.sklearn
    from mlflow.models import infer_signature
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression

    folder = tmp_path_factory.mktemp("logged") / "model"
    rows, labels = load_iris(return_X_y=True)
    rows = rows.astype(np.float32)
    fitted = LogisticRegression(max_iter=500).fit(rows, labels)
    options = {"serialization_format": "cloudpickle", "pip_requirements": [], "signature": infer_signature(rows)}
    mlflow.sklearn.save_model(fitted, folder, pyfunc_predict_fn="predict_proba", **options)
    model = ModelConfig("mlflow", path=folder.as_uri(), trust=True)
    config = WorkloadConfig("iris", model, DataConfig("sklearn", {"name": "iris"}))
    return prepare(config, shelf, lambda text: None)


def shipped(name):
    ((key, config),) = yaml.safe_load((CONF / "variants" / f"{name}.yaml").read_text(encoding="utf-8")).items()
    return recipe(key, TypeAdapter(RecipeConfig).validate_python(config), 1)


def built(name, workload, shelf):
    """The artifact, or why it cannot be had here."""
    problems = check(shipped(name), workload.source.format)
    if problems:
        return None, "; ".join(problems)
    try:
        return build(shipped(name), workload, shelf, lambda text: None), ""
    except BuildError as error:
        if "C++ compiler" in str(error):
            return None, str(error)
        raise


@pytest.fixture(scope="module")
def asked():
    """What each arm's model answers and should, in the fresh process that all of them share."""
    return {}


@pytest.fixture
def answered(asked, tracker, network, estimator, shelf, tmp_path):
    if asked:
        return asked
    run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
    locations = {}
    for name, form in FORMS.items():
        workload = estimator if name == "as_pyfunc" else network
        artifact, absent = built(name, workload, shelf)
        if artifact is None:
            asked[name] = absent
            continue
        wanted = shipped(name)
        inputs = {key: array[:3] for key, array in workload.data.test.inputs.items()}
        arm = Arm(name, "variant", wanted, artifact, wanted.runtime)
        record = log_model(tracker, run_id, arm, name, {}, inputs, save_here)
        assert (record.form, record.reason) == (form, ""), name
        locations[name] = tracker.client.get_logged_model(record.model_id).artifact_location
        (rows,) = inputs.values()
        np.save(tmp_path / f"{name}.npy", rows)
        ours = [answers(artifact, wanted.runtime, {key: array[:count] for key, array in inputs.items()})
                for count in (1, len(rows))]  # fmt: skip
        asked[name] = (ours, [])
    command = [sys.executable, "-c", ASK, json.dumps(locations)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        name, theirs = json.loads(line)
        asked[name][1].append(np.array(theirs))
    return asked


@pytest.mark.parametrize("name", FORMS)
def test_an_arm_answers_in_a_fresh_process_as_it_was_measured(answered, name):
    if isinstance(answered[name], str):
        pytest.skip(answered[name])
    ours, theirs = answered[name]
    assert len(theirs) == 2
    for mine, other in zip(ours, theirs, strict=True):
        assert other == pytest.approx(mine, abs=NEAR.get(name, 1e-3) * np.abs(mine).max())
