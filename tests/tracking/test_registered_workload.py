"""A model that a study promoted is benchmarked again by its name in the registry, as the documents say it."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tiny_study import REPORTS, arms_of, make_measurement, make_study

from mlbench.config import RegistryConfig, TrackingConfig
from mlbench.records import Artifact, TensorSpec
from mlbench.tracking import connect, load_study, promote, publish

pytestmark = pytest.mark.e2e

CHEAP = (
    "protocol=quick",
    "protocol.trials=1",
    "protocol.rounds=2",
    "protocol.sweep_rounds=2",
    "protocol.warmup_seconds=0",
    "tracking.log_models=false",
)


@pytest.fixture
def digits_model(tmp_path):
    """A linear model of the digits as an ONNX artifact, untrained: what it answers does not matter here."""
    weights = np.random.default_rng(0).normal(size=(64, 10)).astype(np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"], axis=1),
            helper.make_node("MatMul", ["flat", "weights"], ["scores"]),
        ],
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["items", 1, 8, 8])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["items", 10])],
        [numpy_helper.from_array(weights, "weights")],
    )
    folder = tmp_path / "digits"
    folder.mkdir()
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=10)
    onnx.save_model(model, folder / "model.onnx")
    inputs = (TensorSpec("image", "float32", (None, 1, 8, 8)),)
    outputs = (TensorSpec("scores", "float32", (None, 10)),)
    return Artifact("d" * 64, "onnx", str(folder), "model.onnx", inputs, outputs, 2600)


def test_the_champion_is_benchmarked_and_challenged(template_store, artifacts, digits_model, tmp_path):
    shutil.copyfile(template_store, tmp_path / "mlflow.db")
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    tracker = connect(TrackingConfig(uri=uri))
    made = replace(artifacts, onnx=digits_model)
    study, arms = make_study(made), arms_of(made)
    runs = tracker.open_study(study.name, study.config, study.overrides)
    example = {"image": np.zeros((2, 1, 8, 8), np.float32)}
    publish(study, make_measurement(), runs, arms={"fast": arms["fast"]}, example=example, **REPORTS)
    assert promote(tracker, runs.run_id, RegistryConfig()).model_name == "mlbench-tiny"

    command = ["run", "workload=mlflow_model", "model.uri=models:/mlbench-tiny@champion", "incumbent=true"]
    done = subprocess.run(
        [sys.executable, "-m", "mlbench", *command, *CHEAP],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "MLFLOW_TRACKING_URI": uri, "MLBENCH_CACHE_DIR": str(tmp_path / "cache")},
    )
    assert done.returncode == 0, done.stderr
    found = load_study(tracker, "latest").study
    assert found.workload.name == "mlflow_model"
    assert found.config["registry"]["model_name"] == "mlbench-tiny"
    assert {arm.name: arm.role for arm in found.arms} == {"baseline": "baseline", "incumbent": "incumbent"}
    assert all(arm.artifact.format == "onnx" and "latency/p50_ms" in arm.metrics for arm in found.arms)
    assert "version 1 of 'mlbench-tiny' ('champion'): fast of the study" in found.arm("incumbent").recipe.description
    assert found.arm("incumbent").metrics["agreement/flip_rate"].value == 0  # both are what is registered
