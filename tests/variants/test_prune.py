"""Pruning: channels truly go, outputs keep their shape, the record proves it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from mlbench.records import Artifact
from mlbench.runtimes.torch_module import load_module
from mlbench.workloads import Workload

HALF = {"name": "prune_structured", "ratio": 0.5}


def test_half_of_the_channels_go(built: Callable[..., Artifact], tiny: Workload) -> None:
    artifact = built(HALF)
    changed = artifact.steps[0].changed
    module = load_module(artifact)
    count = sum(weight.numel() for weight in module.parameters())
    assert changed["parameters"] == artifact.meta["parameters"] == count
    assert changed["parameters_before"] == tiny.source.meta["parameters"]
    assert changed["parameters_removed_share"] == pytest.approx(1 - count / tiny.source.meta["parameters"], abs=1e-4)
    assert changed["macs"] < changed["macs_before"] / 3
    assert changed["widths"]["features.0"] == [16, 8]
    assert changed["widths"]["classifier.1"] == [32, 16]
    assert changed["kept_layers"] == ["classifier.4"]
    assert "classifier.4" not in changed["widths"]
    assert module.features[0].weight.shape[0] == module.features[0].out_channels == 8
    assert artifact.size_bytes < tiny.source.size_bytes / 2
    assert 0 <= changed["validation_accuracy"] < changed["validation_accuracy_before"]


def test_the_rest_is_a_multiple_of_round_to(built: Callable[..., Artifact]) -> None:
    fours, ones = (built({**HALF, "ratio": 0.3, "round_to": number}).steps[0].changed["widths"] for number in (4, 1))
    assert all(after % 4 == 0 for _, after in fours.values())
    assert any(after % 4 for _, after in ones.values())


def test_globally_the_least_important_go(built: Callable[..., Artifact]) -> None:
    widths = built({**HALF, "scope": "global", "round_to": 1}).steps[0].changed["widths"]
    assert len({after / before for before, after in widths.values()}) > 1


def test_every_output_keeps_its_width(built: Callable[..., Artifact], own_model: Callable[[str], Workload]) -> None:
    workload = own_model("two_heads")
    changed = built(HALF, on=workload).steps[0].changed
    assert changed["kept_layers"] == ["head", "other"]
    assert changed["widths"] == {"body.1": [64, 32]}


def test_the_same_channels_go_every_time(
    built: Callable[..., Artifact], scores: Callable[..., np.ndarray], tiny: Workload, store: object
) -> None:
    from mlbench.records import Recipe, StepSpec
    from mlbench.variants.build import build

    again = build(
        Recipe("x", (StepSpec("prune_structured", {"ratio": 0.5}),)),
        tiny,
        store,  # type: ignore[arg-type]  # an empty one: nothing is taken from the shared one
        lambda text: None,
    )
    np.testing.assert_array_equal(scores(again), scores(built(HALF)))


@pytest.mark.parametrize(
    ("model", "sentence"),
    [
        ("narrow", "nothing could be removed with ratio 0.5 and round_to 8"),
        ("flat", "the model has no convolution or linear layer to prune"),
    ],
)
def test_nothing_to_prune(
    failure: Callable[..., str], own_model: Callable[[str], Workload], model: str, sentence: str
) -> None:
    assert failure(HALF, on=own_model(model)) == f"step 'prune_structured': {sentence}"
