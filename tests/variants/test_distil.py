"""Distillation: the student comes nearer to the baseline, deterministically, and the test split plays no part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from mlbench.errors import BuildError
from mlbench.records import IGNORED, Artifact
from mlbench.runtimes.torch_module import load_module
from mlbench.variants import BuildContext
from mlbench.variants.distil import Distil, DistilParams, teacher_loss
from mlbench.workloads import Split, Workload

PRUNE = {"name": "prune_structured", "ratio": 0.5}
STEP = {"name": "distil", "epochs": 3, "learning_rate": 0.01}


def test_the_student_comes_nearer_to_the_teacher(built: Callable[..., Artifact]) -> None:
    changed = built(PRUNE, STEP).steps[1].changed
    assert changed["teacher_flip_rate"] < changed["teacher_flip_rate_before"] - 0.2
    assert changed["validation_accuracy"] > changed["validation_accuracy_before"] + 0.2
    assert changed["rows"] == 288


def test_the_test_split_plays_no_part_and_it_is_the_same_every_time(
    tiny: Workload, built: Callable[..., Artifact], tmp_path: Path
) -> None:
    first = built(PRUNE, STEP)
    test = Split({name: array[::-1] * 3 for name, array in tiny.data.test.inputs.items()}, tiny.data.test.labels)
    context = BuildContext(replace(tiny, data=replace(tiny.data, test=test)), lambda text: None)
    step = Distil()
    params = step.resolve(DistilParams(epochs=3, learning_rate=0.01), context)
    again = step.apply(built(PRUNE), params, context, tmp_path)
    other = load_module(replace(first, path=str(tmp_path), meta=again.meta)).state_dict()
    for name, tensor in load_module(first).state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), other[name].numpy())


def test_zeros_stay(built: Callable[..., Artifact]) -> None:
    artifact = built({"name": "prune_unstructured", "ratio": 0.6}, {**STEP, "epochs": 1})
    assert artifact.steps[1].changed["sparsity"] == pytest.approx(0.6, abs=0.01)


def test_only_a_torch_module_can_teach(tiny: Workload) -> None:
    context = BuildContext(replace(tiny, source=replace(tiny.source, format="onnx")), lambda text: None)
    with pytest.raises(BuildError, match="the baseline is onnx; only a torch module can teach"):
        Distil().resolve(DistilParams(), context)


def test_an_embedding_is_learned_from_the_teacher_alone(tiny: Workload) -> None:
    train = replace(tiny.data.train, task="embedding")
    context = BuildContext(replace(tiny, data=replace(tiny.data, train=train)), lambda text: None)
    with pytest.raises(BuildError, match="teacher_share must be 1"):
        Distil().resolve(DistilParams(), context)
    assert Distil().resolve(DistilParams(teacher_share=1), context).teacher_share == 1


SCORES = torch.tensor([[2.0, 0.0, -1.0], [0.5, 0.5, 0.0]])
WANTED = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])


def test_scores_are_compared_as_probabilities_at_the_temperature() -> None:
    p, q = (WANTED / 2).softmax(1), (SCORES / 2).softmax(1)
    by_hand = 4 * (p * (p / q).log()).sum(1).mean()
    found = teacher_loss("class", SCORES, WANTED, torch.zeros(2), 2.0)
    torch.testing.assert_close(found, by_hand)
    assert teacher_loss("class", WANTED, WANTED, torch.zeros(2), 2.0) == pytest.approx(0, abs=1e-6)


def test_other_kinds_of_answers() -> None:
    labels = torch.zeros(2)
    torch.testing.assert_close(teacher_loss("number", SCORES, WANTED, labels, 2.0), ((SCORES - WANTED) ** 2).mean())
    pairs = functional.binary_cross_entropy_with_logits(SCORES / 2, (WANTED / 2).sigmoid())
    torch.testing.assert_close(teacher_loss("multi_hot", SCORES, WANTED, labels, 2.0), pairs)
    single = teacher_loss("class", SCORES[:, :1], WANTED[:, :1], labels, 1.0)
    torch.testing.assert_close(
        single, functional.binary_cross_entropy_with_logits(SCORES[:, :1], WANTED[:, :1].sigmoid())
    )
    tokens = torch.tensor([[0, IGNORED]])
    torch.testing.assert_close(
        teacher_loss("token", SCORES[None], WANTED[None], tokens, 1.0),
        teacher_loss("class", SCORES[:1], WANTED[:1], labels, 1.0),
    )
