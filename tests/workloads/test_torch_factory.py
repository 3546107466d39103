"""The workload's model: built once per content, from training or from a file, and refused when it does not fit."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mlbench.config import DataConfig, ModelConfig, TrainConfig
from mlbench.errors import InputError
from mlbench.runtimes.torch_module import load_module
from mlbench.variants.store import Store
from mlbench.workloads import Data
from mlbench.workloads.nets import digits_cnn
from mlbench.workloads.splits import make_data
from mlbench.workloads.torch_factory import TorchFactory

ARGS = {"widths": [4, 4, 4], "hidden": 8}
TRAIN = TrainConfig(epochs=1)
MODEL = ModelConfig(factory="mlbench.workloads.nets:digits_cnn", args=ARGS, train=TRAIN)

SOURCE = """
from torch import nn
def two_outputs(classes=10):
    return TwoOutputs(classes)
class TwoOutputs(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.body, self.head = nn.Flatten(), nn.Linear(64, classes)
    def forward(self, image):
        hidden = self.body(image)
        return self.head(hidden), hidden
def wants_vectors():
    return nn.Linear(3, 10)
def no_module():
    return 3
def fails():
    raise ValueError("no such luck")
"""


@pytest.fixture(scope="module")
def data() -> Data:
    return make_data(DataConfig("digits", rows=200))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def factory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModelConfig]:
    """A configuration that names a function of a module of its own."""
    (tmp_path / "own_nets.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "own_nets", raising=False)
    return lambda name: ModelConfig(factory=f"own_nets:{name}", train=TRAIN)


def build(config: ModelConfig, data: Data, store: Store, said: list[str] | None = None) -> Any:
    return TorchFactory().build(config, data, store, (said if said is not None else []).append)


def refusal(config: ModelConfig, data: Data, store: Store) -> str:
    with pytest.raises(InputError) as caught:
        build(config, data, store)
    (sentence,) = caught.value.problems
    return sentence


def test_a_model_is_trained_once(data: Data, store: Store) -> None:
    said: list[str] = []
    first = build(MODEL, data, store, said)
    assert said == ["training digits_cnn: epoch 1/1"]
    again = build(MODEL, data, store, said)
    assert len(said) == 1
    assert again == first
    assert first.format == "torch_module"
    assert first.meta["parameters"] == sum(weight.numel() for weight in digits_cnn(**ARGS).parameters())
    assert first.meta["training"]["rows"] == len(data.train)
    assert (first.outputs[0].name, first.outputs[0].shape) == ("logits", (None, 10))


def test_training_is_the_same_in_another_store(data: Data, tmp_path: Path) -> None:
    files = [Path(build(MODEL, data, Store(tmp_path / name), []).path) / "weights.safetensors" for name in "ab"]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_what_matters_makes_another_model(data: Data, store: Store) -> None:
    other = make_data(DataConfig("digits", rows=200, seed=1))
    digests = {
        build(MODEL, data, store).digest,
        build(MODEL, other, store).digest,
        build(replace(MODEL, train=replace(TRAIN, seed=1)), data, store).digest,
        build(replace(MODEL, args={**ARGS, "hidden": 4}), data, store).digest,
    }
    assert len(digests) == 4


def test_an_edited_factory_is_another_model(
    data: Data, store: Store, tmp_path: Path, factory: Callable[[str], ModelConfig]
) -> None:
    before = build(factory("two_outputs"), data, store)
    (tmp_path / "own_nets.py").write_text(SOURCE + "\n# edited\n")
    assert build(factory("two_outputs"), data, store).digest != before.digest


def test_further_outputs_are_named(data: Data, store: Store, factory: Callable[[str], ModelConfig]) -> None:
    outputs = build(factory("two_outputs"), data, store).outputs
    assert [(spec.name, spec.shape) for spec in outputs] == [("logits", (None, 10)), ("output_1", (None, 64))]


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_from_a_file(data: Data, store: Store, tmp_path: Path, suffix: str) -> None:
    state = digits_cnn(**ARGS).state_dict()
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(state, path)
    else:
        safetensors.torch.save_file(state, path)
    artifact = build(replace(MODEL, train=None, weights=str(path)), data, store)
    loaded = load_module(artifact).state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in state.items())
    assert artifact.meta["training"] == {}


class _Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return (print, ("executed",))


def test_weights_that_cannot_be_used(data: Data, store: Store, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "weights.pt"
    config = replace(MODEL, train=None, weights=str(path))
    torch.save({"w": _Payload()}, path)
    assert "cannot be read as tensors only" in refusal(config, data, store)
    assert "executed" not in capsys.readouterr().out
    torch.save([1, 2], path)
    assert refusal(config, data, store) == f"workload.model.weights: {path} holds list, not a state dict"
    torch.save(digits_cnn([4, 4, 8], 8).state_dict(), path)
    assert "does not fit the model: size mismatch for features.6.weight" in refusal(config, data, store)
    path.write_bytes(b"")
    assert "cannot be read as tensors only" in refusal(config, data, store)
    tensors = tmp_path / "weights.safetensors"
    tensors.write_bytes(b"nonsense")
    assert "cannot be read as tensors only" in refusal(replace(config, weights=str(tensors)), data, store)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("wants_vectors", "what 'own_nets:wants_vectors' makes fails on the data (image [1, 8, 8]): mat1"),
        ("no_module", "factory 'own_nets:no_module' returned int, not a torch.nn.Module"),
        ("fails", "factory 'own_nets:fails' failed: ValueError: no such luck"),
    ],
)
def test_a_factory_that_does_not_fit(
    data: Data, store: Store, factory: Callable[[str], ModelConfig], name: str, sentence: str
) -> None:
    assert sentence in refusal(factory(name), data, store)
    assert store.entries() == []


def test_a_model_for_other_classes(data: Data, store: Store, factory: Callable[[str], ModelConfig]) -> None:
    sentence = refusal(replace(factory("two_outputs"), args={"classes": 7}), data, store)
    assert sentence == "workload.model: the model gives shape [2, 7] for 2 items, but 10 classes need [2, 10]"


def test_training_that_comes_to_nothing(data: Data, store: Store) -> None:
    config = replace(MODEL, train=replace(TRAIN, learning_rate=1e30))
    assert "workload.model.train: training digits_cnn: the loss is nan" in refusal(config, data, store)


def test_configuration_mistakes() -> None:
    check = TorchFactory().check
    assert check(MODEL) == []
    assert check(replace(MODEL, train=None)) == [
        "workload.model needs 'train' or 'weights': an untrained model is not worth comparing"
    ]
    assert check(replace(MODEL, weights="none.pt")) == [
        "workload.model has both 'train' and 'weights'; give one of them",
        "workload.model.weights: none.pt does not exist",
    ]
    assert "workload.model.factory is missing" in check(ModelConfig(train=TRAIN))[0]


def test_build_refuses_what_check_refuses(data: Data, store: Store) -> None:
    assert "workload.model.factory is missing" in refusal(ModelConfig(train=TRAIN), data, store)
