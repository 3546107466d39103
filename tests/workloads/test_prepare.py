"""The workload as a whole: mistakes told together and without torch, and the record of what was used."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlbench.config import DataConfig, ModelConfig, TrainConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.variants.store import Store
from mlbench.workloads.nets import digits_cnn
from mlbench.workloads.prepare import check, prepare
from mlbench.workloads.splits import make_data

MODEL = ModelConfig(
    factory="mlbench.workloads.nets:digits_cnn",
    args={"widths": [4, 4, 4], "hidden": 8},
    train=TrainConfig(epochs=1),
)
CONFIG = WorkloadConfig("digits", MODEL, DataConfig("digits", rows=200))


def test_the_record_says_what_was_used(tmp_path: Path) -> None:
    said: list[str] = []
    workload = prepare(CONFIG, Store(tmp_path), said.append)
    assert said == ["reading the data of digits", "training digits_cnn: epoch 1/1"]
    info = workload.info
    assert (info.name, info.task, info.model_digest) == ("digits", "classification", workload.source.digest)
    assert info.model["train"]["epochs"] == 1
    assert info.model["training"]["rows"] == info.data.rows["train"]
    assert info.model["parameters"] == sum(weight.numel() for weight in digits_cnn([4, 4, 4], 8).parameters())
    assert "weights" not in info.model


def test_data_that_was_read_before_is_used(tmp_path: Path) -> None:
    data, said = make_data(CONFIG.data), []
    workload = prepare(CONFIG, Store(tmp_path), said.append, data)
    assert workload.data is data
    assert said == ["training digits_cnn: epoch 1/1"]


def test_all_mistakes_are_told_together(tmp_path: Path) -> None:
    wrong = replace(CONFIG, model=replace(MODEL, factory="nowhere:net"), data=DataConfig("digit"), task="clasification")
    found = check(wrong)
    assert found == [
        "workload.data.source: unknown dataset 'digit'; did you mean digits?",
        "workload.model.factory: module 'nowhere' was not found; install it, or put its directory on PYTHONPATH",
        "workload.task: unknown task 'clasification'; did you mean classification or token_classification?",
    ]
    with pytest.raises(InputError) as caught:
        prepare(wrong, Store(tmp_path), lambda text: None)
    assert list(caught.value.problems) == found
    assert not list(tmp_path.iterdir())


def test_an_unknown_source(tmp_path: Path) -> None:
    found = check(replace(CONFIG, model=replace(MODEL, source="torch_factry")))
    assert found == ["workload.model.source: unknown model 'torch_factry'; did you mean torch_factory?"]


def test_a_source_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.registry.importlib.util.find_spec", lambda name: None)
    found = check(CONFIG)
    assert any(text.startswith("workload.model.source: model 'torch_factory' needs torch") for text in found)


def test_checking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from mlbench.config import *; from mlbench.workloads.prepare import check\n"
        "model = ModelConfig(factory='mlbench.workloads.nets:digits_cnn', train=TrainConfig())\n"
        "assert check(WorkloadConfig('digits', model, DataConfig('digits'))) == []\n"
        "print(sorted({'torch', 'sklearn', 'mlflow', 'pandas', 'hydra', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
