"""Fine-tuning: on the training split alone, with the workload's own settings where the recipe says nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from mlbench.records import Artifact
from mlbench.variants import BuildContext
from mlbench.variants.fine_tune import FineTune, FineTuneParams
from mlbench.workloads import Split, Workload

PRUNE = {"name": "prune_structured", "ratio": 0.5}
TUNE = {"name": "fine_tune", "epochs": 3, "learning_rate": 0.01}


def test_it_regains_what_pruning_cost(built: Callable[..., Artifact]) -> None:
    artifact = built(PRUNE, TUNE)
    changed = artifact.steps[1].changed
    assert changed["validation_accuracy"] > changed["validation_accuracy_before"] + 0.2
    assert changed["validation_accuracy_before"] == artifact.steps[0].changed["validation_accuracy"]
    assert changed["rows"] == 288
    assert artifact.meta["parameters"] == artifact.steps[0].changed["parameters"]


def test_it_sees_the_training_split_alone(tiny: Workload, built: Callable[..., Artifact], store: object) -> None:
    """Other validation and test items must leave the weights as they are."""
    from mlbench.records import Recipe, StepSpec
    from mlbench.runtimes.torch_module import load_module
    from mlbench.variants.build import build

    def noise(split: Split) -> Split:
        return Split({name: array[::-1] * 3 for name, array in split.inputs.items()}, split.labels)

    data = replace(tiny.data, validation=noise(tiny.data.validation), test=noise(tiny.data.test))
    other = build(
        Recipe("x", (StepSpec("fine_tune", {key: value for key, value in TUNE.items() if key != "name"}),)),
        replace(tiny, data=data),
        store,  # type: ignore[arg-type]  # an empty one: nothing is taken from the shared one
        lambda text: None,
    )
    ours, theirs = load_module(built(TUNE)).state_dict(), load_module(other).state_dict()
    for name, tensor in ours.items():
        np.testing.assert_array_equal(tensor.numpy(), theirs[name].numpy())


def test_training_that_diverges_fails_this_arm_alone(failure: Callable[..., str]) -> None:
    said = failure({"name": "fine_tune", "epochs": 2, "learning_rate": 1e30})
    assert said.startswith("step 'fine_tune': fine_tune: the loss is ")
    assert "a smaller learning_rate than 1e+30 may help" in said


def test_progress_names_step_and_epoch(tiny: Workload, store: object) -> None:
    from mlbench.records import Recipe, StepSpec
    from mlbench.variants.build import build

    said: list[str] = []
    build(Recipe("short", (StepSpec("fine_tune", {"epochs": 1}),)), tiny, store, said.append)  # type: ignore[arg-type]
    assert said == [
        "building short, step 1 of 1: fine_tune",
        "building short, step 1 of 1: fine_tune: epoch 1/1",
    ]


@pytest.mark.parametrize("name", ["epochs", "learning_rate"])
def test_the_recipes_own_values_win(tiny: Workload, name: str) -> None:
    params = FineTune().resolve(FineTuneParams(), BuildContext(tiny, lambda text: None))
    assert getattr(params, name) == getattr(FineTuneParams(), name)
    assert getattr(params, name) != tiny.info.model["train"][name]
