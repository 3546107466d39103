"""Pruning in stages: each goes further, training stops when validation says so, and the best weights are kept."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from mlbench.records import Artifact
from mlbench.runtimes.torch_module import load_module
from mlbench.variants.prune_iterative import _Best
from mlbench.variants.sparsify import NO_SPEED_UP, sparsity
from mlbench.workloads import Workload

STEP = {"name": "prune_iterative", "ratio": 0.5, "stages": 2, "epochs": 2, "patience": 1, "learning_rate": 0.01}


def test_channels_go_in_stages(built: Callable[..., Artifact]) -> None:
    artifact = built(STEP)
    changed = artifact.steps[0].changed
    first, second = changed["stages"]
    assert changed["parameters_before"] > first["parameters"] > second["parameters"] == changed["parameters"]
    assert sum(weight.numel() for weight in load_module(artifact).parameters()) == changed["parameters"]
    assert all(1 <= stage["epochs"] <= 2 for stage in changed["stages"])
    assert all(stage["best_epoch"] <= stage["epochs"] for stage in changed["stages"])
    assert changed["widths"]["features.0"] == [16, 8]
    assert changed["widths"]["classifier.1"] == [32, 16]
    assert "classifier.4" not in changed["widths"]  # what the model answers with
    assert "notice" not in changed
    assert changed["validation_accuracy"] > 0.5


def test_single_weights_go_in_stages_and_stay_away(built: Callable[..., Artifact]) -> None:
    artifact = built({**STEP, "kind": "unstructured", "ratio": 0.8})
    changed = artifact.steps[0].changed
    assert [stage["sparsity"] for stage in changed["stages"]] == pytest.approx([0.4, 0.8], abs=0.01)
    found = sparsity(load_module(artifact))
    assert found["sparsity"] == changed["sparsity"] == pytest.approx(0.8, abs=0.01)
    assert found["sparsity_by_layer"] == changed["sparsity_by_layer"]
    assert len(changed["sparsity_by_layer"]) == 6
    assert "widths" not in changed
    assert changed["notice"] == NO_SPEED_UP


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("flat", "the model has no convolution or linear layer to prune"),
        ("narrow", "nothing could be removed with ratio 0.5 and round_to 8"),
    ],
)
def test_nothing_to_prune(
    failure: Callable[..., str], own_model: Callable[[str], Workload], model: str, words: str
) -> None:
    assert failure(STEP, on=own_model(model)) == f"step 'prune_iterative': {words}"


def test_training_stops_when_validation_no_longer_improves(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([1.0, 0.8, 0.9, 0.7, 0.75, 0.9])
    monkeypatch.setattr(_Best, "_measure", lambda self: next(losses))
    layer = nn.Linear(1, 1, bias=False)
    best = _Best(layer, tiny.data.validation, patience=2)
    stopped = []
    for epoch in range(1, 6):
        nn.init.constant_(layer.weight, float(epoch))
        stopped.append(best.after_epoch(epoch))
    assert stopped == [False, False, False, False, True]
    best.restore()
    assert (best.epoch, best.loss, layer.weight.item()) == (3, 0.7, 3.0)
    assert torch.equal(layer.weight, torch.full((1, 1), 3.0))
