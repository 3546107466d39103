"""Training: the same seed gives the same bits, the loop learns, and what cannot be trained says so."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mlbench.config import TrainConfig
from mlbench.workloads import Split
from mlbench.workloads.nets import digits_cnn
from mlbench.workloads.training import (
    THREADS,
    TrainingError,
    _batches,
    _shift,
    call,
    deterministic,
    output_tensors,
    train,
)

CONFIG = TrainConfig(epochs=2, learning_rate=0.01, batch_size=16, max_shift=1)


def split(rows: int, seed: int) -> Split:
    """Images with one bright quarter; the class says which."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(0, 4, rows)
    images = generator.normal(0, 0.1, (rows, 1, 8, 8)).astype(np.float32)
    for row, label in enumerate(labels):
        top, left = 4 * (label // 2), 4 * (label % 2)
        images[row, 0, top : top + 4, left : left + 4] += 1
    return Split({"image": images}, labels.astype(np.int64))


def trained(config: TrainConfig = CONFIG, rows: int = 50, threads: int = 1) -> tuple[nn.Module, list[str], float]:
    with deterministic(config.seed):
        module = digits_cnn([4, 4, 4], 8, classes=4)
    said: list[str] = []
    report = train(module, split(rows, 0), split(40, 1), config, said.append, label="training tiny", threads=threads)
    assert report.rows == rows
    return module, said, report.validation["accuracy"]


def bits(module: nn.Module) -> bytes:
    return b"".join(tensor.numpy().tobytes() for tensor in module.state_dict().values())


def test_the_same_seed_gives_the_same_bits() -> None:
    assert bits(trained(threads=THREADS)[0]) == bits(trained(threads=THREADS)[0])
    assert bits(trained()[0]) != bits(trained(replace(CONFIG, seed=1))[0])


def test_it_learns_and_tells_its_progress() -> None:
    module, said, accuracy = trained(replace(CONFIG, epochs=8), rows=200)
    assert accuracy > 0.95
    assert said[2] == "training tiny: epoch 3/8"
    assert len(said) == 8
    assert not module.training


def test_one_step_is_enough_for_the_schedule() -> None:
    trained(replace(CONFIG, epochs=1, batch_size=64), rows=20)


def test_a_last_batch_of_one_joins_its_neighbour() -> None:
    assert [len(piece) for piece in _batches(torch.arange(33), 16)] == [16, 17]
    assert [len(piece) for piece in _batches(torch.arange(34), 16)] == [16, 16, 2]
    assert [len(piece) for piece in _batches(torch.arange(3), 1)] == [1, 1, 1]
    assert [len(piece) for piece in _batches(torch.arange(1), 16)] == [1]


def test_a_shift_moves_the_image_and_fills_with_zeros() -> None:
    image = torch.zeros(1, 1, 5, 5)
    image[0, 0, 2, 2] = 1
    places = set()
    generator = torch.Generator().manual_seed(0)
    for _ in range(50):
        moved = _shift(image, 1, generator)
        assert moved.shape == image.shape
        assert moved.sum() == 1
        places.add(tuple(int(place) for place in moved[0, 0].nonzero()[0]))
    assert places == {(row, column) for row in (1, 2, 3) for column in (1, 2, 3)}
    edge = torch.ones(1, 1, 3, 3)
    assert any(_shift(edge, 1, generator).sum() < 9 for _ in range(10))


def test_shifts_need_an_image() -> None:
    table = Split({"x": np.zeros((8, 3), np.float32)}, np.zeros(8, np.int64))
    with pytest.raises(TrainingError, match="max_shift needs an input of shape"):
        train(nn.Linear(3, 2), table, table, CONFIG, lambda text: None, label="x")


def test_a_model_without_weights() -> None:
    with pytest.raises(TrainingError, match="the model has no weights to train"):
        train(nn.Flatten(), split(8, 0), split(8, 0), CONFIG, lambda text: None, label="x")


def test_a_loss_that_is_no_number_is_told() -> None:
    table = Split({"x": np.full((8, 3), 3e38, np.float32)}, np.zeros(8, np.int64))
    config = TrainConfig(epochs=3, learning_rate=0.5)
    module = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    for weight in module.parameters():
        nn.init.ones_(weight)  # 3 * 3e38 is more than float32 holds
    with pytest.raises(TrainingError, match=r"the loss is (nan|inf) in epoch 1 of 3; a smaller learning_rate than 0.5"):
        train(module, table, table, config, lambda text: None, label="x")


def test_deterministic_restores_what_it_found() -> None:
    def draw() -> tuple[float, float, float]:
        return torch.rand(1).item(), random.random(), float(np.random.rand())  # noqa: NPY002 - the global generator is what is tested

    torch.manual_seed(5), random.seed(5), np.random.seed(5)  # noqa: NPY002 - the global generator is what is tested
    expected = draw()
    torch.manual_seed(5), random.seed(5), np.random.seed(5)  # noqa: NPY002 - the global generator is what is tested
    threads = torch.get_num_threads()
    with deterministic(1, threads + 1):
        inside = draw()
        assert torch.get_num_threads() == threads + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert draw() == expected
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    with deterministic(1, strict=False):
        assert draw() == inside
        assert not torch.are_deterministic_algorithms_enabled()


def test_outputs_of_every_usual_kind() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    assert output_tensors(a) == (a,)
    assert output_tensors([a, b]) == (a, b)
    assert output_tensors({"logits": a, "hidden": b}) == (a, b)
    with pytest.raises(TrainingError, match="returned float where tensors are needed"):
        output_tensors((a, 1.0))
    with pytest.raises(TrainingError, match="returned nothing where tensors are needed"):
        output_tensors(())


def test_call_joins_batches_in_order() -> None:
    module = nn.Flatten()
    images = np.arange(14, dtype=np.float32).reshape(7, 1, 2)
    (result,) = call(module, {"x": images}, batch_size=3)
    np.testing.assert_array_equal(result, images.reshape(7, 2))
