"""Single weights become zero: as many as said, without masks, kept by training, and nobody is promised speed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from mlbench.errors import BuildError, WorkerError
from mlbench.records import Artifact
from mlbench.runtimes.torch_module import load_module
from mlbench.runtimes.torch_tuned import Tuned, pack_semi_structured
from mlbench.variants import BuildContext
from mlbench.variants.sparsify import (
    NO_SPEED_UP,
    PruneSemiStructured,
    Zeros,
    fits_semi_structured,
    prune_magnitude,
    sparsity,
    two_of_four,
)
from mlbench.workloads import Workload

STEP = {"name": "prune_unstructured", "ratio": 0.8}
TUNE = {"name": "fine_tune", "epochs": 1, "learning_rate": 0.01}


@pytest.mark.parametrize("scope", ["local", "global"])
def test_the_share_is_zero_and_no_mask_stays(built: Callable[..., Artifact], tiny: Workload, scope: str) -> None:
    artifact = built({**STEP, "scope": scope})
    changed, module = artifact.steps[0].changed, load_module(artifact)
    assert changed["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert sorted(changed["sparsity_by_layer"]) == sorted(
        name for name, layer in module.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))
    )
    shares = list(changed["sparsity_by_layer"].values())
    assert (max(shares) - min(shares) < 0.02) is (scope == "local")
    assert not [name for name, _ in module.named_buffers() if "mask" in name]
    assert not [name for name, _ in module.named_parameters() if "orig" in name]
    assert artifact.size_bytes == pytest.approx(tiny.source.size_bytes, rel=0.01)
    assert changed["notice"] == NO_SPEED_UP
    assert changed["validation_accuracy"] < changed["validation_accuracy_before"]


def test_the_smallest_go() -> None:
    layer = nn.Linear(4, 1, bias=False)
    layer.weight.data = torch.tensor([[0.1, -3.0, 0.2, 2.0]])
    prune_magnitude(nn.Sequential(layer), 0.5, "global")
    assert layer.weight.tolist() == [[0.0, -3.0, 0.0, 2.0]]
    assert sparsity(nn.Sequential(layer)) == {"sparsity": 0.5, "sparsity_by_layer": {"0": 0.5}}


def test_training_keeps_the_zeros(built: Callable[..., Artifact]) -> None:
    artifact = built(STEP, TUNE)
    changed = artifact.steps[1].changed
    assert changed["validation_accuracy"] > changed["validation_accuracy_before"]
    assert sparsity(load_module(artifact))["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert changed["zeros_kept"] == pytest.approx(0.8 * 9500, rel=0.05)
    free = built(STEP, {**TUNE, "keep_zeros": False})
    assert "zeros_kept" not in free.steps[1].changed
    assert sparsity(load_module(free))["sparsity"] < 0.1


def test_zeros_come_back() -> None:
    layer = nn.Linear(2, 1, bias=False)
    layer.weight.data = torch.tensor([[0.0, 1.0]])
    zeros = Zeros(nn.Sequential(layer))
    layer.weight.data += 1
    zeros.restore()
    assert (zeros.count, layer.weight.tolist()) == (1, [[0.0, 2.0]])


@pytest.mark.parametrize(
    ("model", "ratio", "words"),
    [
        ("flat", 0.5, "the model has no convolution or linear layer to prune"),
        ("narrow", 1e-6, "no weight became zero with ratio 1e-06"),
    ],
)
def test_nothing_to_prune(
    failure: Callable[..., str], own_model: Callable[[str], Workload], model: str, ratio: float, words: str
) -> None:
    assert failure({**STEP, "ratio": ratio}, on=own_model(model)) == f"step 'prune_unstructured': {words}"


def test_two_of_four() -> None:
    weight = torch.tensor([[1.0, -4.0, 3.0, 2.0, 0.0, 0.5, -0.25, 0.0]])
    assert two_of_four(weight).tolist() == [[0, 1, 1, 0, 0, 1, 1, 0]]


def test_two_of_four_is_for_cuda_and_says_so(failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    said = failure({"name": "prune_semi_structured"})
    assert "kernels only for CUDA devices of compute capability 8.0 or later, and torch finds none here" in said
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    assert failure({"name": "prune_semi_structured"}) == said


def test_with_a_device_the_pattern_is_made(
    tiny: Workload, own_model: Callable[[str], Workload], tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbench.variants.sparsify.fits_semi_structured", lambda layer: layer.in_features % 4 == 0)
    step, context = PruneSemiStructured(), BuildContext(tiny, lambda text: None)
    built = step.apply(tiny.source, step.params(), context, tmp_path)  # type: ignore[arg-type]  # a path
    assert built.meta["tuning"]["semi_structured"] == built.changed["packed_layers"] == ["classifier.1", "classifier.4"]
    assert built.changed["sparsity_by_layer"]["classifier.1"] == 0.5
    monkeypatch.undo()
    with pytest.raises(BuildError, match="no linear layer has a width"):
        step.apply(own_model("narrow").source, step.params(), context, tmp_path)  # type: ignore[arg-type]  # a path


def test_which_layers_the_kernels_take() -> None:
    assert fits_semi_structured(SimpleNamespace(in_features=64, out_features=32))  # type: ignore[arg-type]  # enough
    assert not fits_semi_structured(SimpleNamespace(in_features=32, out_features=32))  # type: ignore[arg-type]  # enough


def test_packed_weights_are_for_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    net = Tuned(nn.Sequential(nn.Linear(4, 2)), torch.float32, None)
    with pytest.raises(WorkerError, match="CUDA devices only"):
        pack_semi_structured(net, ["0"], "cpu")
    monkeypatch.setattr(torch.sparse, "to_sparse_semi_structured", torch.zeros_like)
    pack_semi_structured(net, ["0"], "cuda")
    assert net.module[0].weight.abs().sum() == 0


def test_the_same_every_time(built: Callable[..., Artifact], scores: Callable[..., np.ndarray]) -> None:
    np.testing.assert_array_equal(scores(built(STEP)), scores(built(STEP)))
