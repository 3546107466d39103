"""Training parameters that a recipe leaves open: the workload's own come before the defaults."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mlbench.config import TrainConfig
from mlbench.variants import BuildContext
from mlbench.variants.distil import DistilParams
from mlbench.variants.fine_tune import FineTuneParams
from mlbench.variants.prune_iterative import PruneIterativeParams
from mlbench.variants.retraining import TrainingParams, explicit, training
from mlbench.workloads import Workload

STEPS = (FineTuneParams(), DistilParams(), PruneIterativeParams(ratio=0.5))


def context(workload: Workload, model: dict[str, object]) -> BuildContext:
    return BuildContext(replace(workload, info=replace(workload.info, model=model)), lambda text: None)


def test_what_is_not_given_comes_from_the_workloads_training(tiny: Workload) -> None:
    own = {"epochs": 99, "learning_rate": 9.0, "batch_size": 7, "max_shift": 2, "seed": 5, "weight_decay": 0.3}
    found = training(explicit(FineTuneParams(epochs=2, max_shift=0), context(tiny, {"train": own})))
    assert found == TrainConfig(2, 1e-3, 7, 0.3, 0.05, 0, 5)


@pytest.mark.parametrize("params", STEPS)
def test_without_own_training_the_defaults_hold(tiny: Workload, params: TrainingParams) -> None:
    found = explicit(params, context(tiny, {}))
    assert type(found) is type(params)
    assert training(found) == TrainConfig(6, 1e-3, 64, 0.01, 0.05, 0, 0)
