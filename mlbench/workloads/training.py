"""The training loop of the workload's model and of the ``fine_tune`` step: deterministic, blind to the test set."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from mlbench.config import TrainConfig
from mlbench.errors import MlbenchError
from mlbench.records import IGNORED
from mlbench.registry import load
from mlbench.workloads import Progress, Split

Loss = Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor]
BatchLoss = Callable[[list[torch.Tensor], torch.Tensor, torch.Tensor], torch.Tensor]

THREADS = 2  # fixed: the number of threads changes the order of sums, and so the last bits of the weights


class TrainingError(MlbenchError):
    """Training cannot be done, or came to nothing; the message says why."""


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came out of training.

    Attributes:
        epochs: Passes over the training split.
        rows: Items of the training split.
        loss: Mean loss over the last epoch: cross-entropy with label smoothing for classes.
        validation: Quality on the validation split afterwards, by name (``accuracy`` for classes).
    """

    epochs: int
    rows: int
    loss: float
    validation: dict[str, float]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a step has to say in the training loop.

    Attributes:
        loss: Of a batch's inputs, the model's first output and the labels; None is the task's.
        after_step: Called after every change of the weights.
        after_epoch: Called with the number of the epoch; true ends the training.
    """

    loss: BatchLoss | None = None
    after_step: Callable[[], None] | None = None
    after_epoch: Callable[[int], bool] | None = None


@contextmanager
def deterministic(seed: int, threads: int = THREADS, *, strict: bool = True) -> Iterator[None]:
    """Same seed, same bits: seeds every generator and fixes the threads, and restores both afterwards.

    Args:
        seed: For torch, NumPy's global generator and ``random``; factories may use any of them.
        threads: Threads inside operators.
        strict: Refuse kernels that are not deterministic (torch's quantized ones do not say that they are).
    """
    count = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    warn_only = torch.is_deterministic_algorithms_warn_only_enabled()
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002 - factories may use the global generator
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002 - as above
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before, warn_only=warn_only)
            torch.set_num_threads(count)
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002 - as above


def train(
    module: nn.Module,
    train_split: Split,
    validation: Split,
    config: TrainConfig,
    progress: Progress,
    *,
    label: str,
    threads: int = THREADS,
    hooks: Hooks | None = None,
) -> TrainingReport:
    """Train in place: AdamW, one-cycle learning rate, the task's loss, optional random shifts.

    Args:
        module: Takes the inputs in order and returns what the task reads first: class scores, (items, classes).
        train_split: What is learned from.
        validation: What the report is made on; nothing is chosen by it.
        config: Epochs, learning rate and so on; ``config.seed`` fixes the result bit for bit.
        progress: Told ``<label>: epoch i/n``.
        label: What is done, for the progress text.
        threads: Threads inside operators.
        hooks: What is done otherwise than by default.

    Returns:
        The report; the module is left in evaluation mode.

    Raises:
        TrainingError: ``max_shift`` without an image input, nothing to train, a task without a loss, or the loss is
            no longer a number.
    """
    images = [index for index, array in enumerate(train_split.inputs.values()) if array.ndim == 4]
    if config.max_shift and not images:
        raise TrainingError("max_shift needs an input of shape (items, channels, height, width), but there is none")
    if not any(weight.requires_grad for weight in module.parameters()):
        raise TrainingError("the model has no weights to train")
    with deterministic(config.seed, threads):
        shifted = images if config.max_shift else []
        epochs, loss = _fit(module, train_split, config, shifted, progress, label, hooks or Hooks())
        scores = call(module, validation.inputs)[0]
    quality = load("task", validation.task)().score(np.asarray(scores, dtype=np.float64), validation.labels)
    return TrainingReport(epochs, len(train_split), loss, quality)


def _fit(
    module: nn.Module,
    split: Split,
    config: TrainConfig,
    images: list[int],
    progress: Progress,
    label: str,
    hooks: Hooks,
) -> tuple[int, float]:
    """Epochs that were trained, and the mean loss over the last of them."""
    inputs = [torch.from_numpy(np.array(array)) for array in split.inputs.values()]
    labels = torch.from_numpy(np.array(split.labels))
    loss_of = hooks.loss or _smoothed(split.task, config.label_smoothing)
    rows = len(split)
    generator = torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        config.learning_rate,
        epochs=config.epochs,
        steps_per_epoch=len(_batches(torch.arange(rows), config.batch_size)),
    )
    module.train()
    mean = math.nan
    for epoch in range(1, config.epochs + 1):
        progress(f"{label}: epoch {epoch}/{config.epochs}")
        total = 0.0
        order = torch.randperm(rows, generator=generator)
        for index in _batches(order, config.batch_size):
            batch = [tensor[index] for tensor in inputs]
            for position in images:
                batch[position] = _shift(batch[position], config.max_shift, generator)
            optimizer.zero_grad()
            scores = output_tensors(module(*batch))[0]
            loss = loss_of(batch, scores, labels[index])
            loss.backward()  # type: ignore[no-untyped-call]  # torch's own signature is untyped
            optimizer.step()
            if hooks.after_step is not None:
                hooks.after_step()
            scheduler.step()
            total += loss.item() * len(index)
        mean = total / rows
        if not math.isfinite(mean):
            raise TrainingError(
                f"{label}: the loss is {mean} in epoch {epoch} of {config.epochs}; a smaller learning_rate "
                f"than {config.learning_rate} may help"
            )
        if hooks.after_epoch is not None and hooks.after_epoch(epoch):
            break
        module.train()
    module.eval()
    return epoch, mean


def _smoothed(task: str, smoothing: float) -> BatchLoss:
    loss = task_loss(task)
    return lambda _batch, scores, labels: loss(scores, labels, smoothing)


def task_loss(task: str) -> Loss:
    """The loss that a model of that task is trained with: outputs, labels and label smoothing in, a scalar out.

    Raises:
        TrainingError: The task has none.
    """
    losses: dict[str, Loss] = {"class": _class_loss, "multi_hot": _pair_loss, "number": _number_loss}
    losses["token"] = _token_loss
    if task == "embedding":
        raise TrainingError("the task 'embedding' has no loss to train with; give the model's weights")
    return losses[load("task", task).labels]


def _class_loss(scores: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    if scores.ndim == 1 or scores.shape[1] == 1:  # a binary classifier with one output
        target = labels.to(scores.dtype) * (1 - smoothing) + smoothing / 2
        return nn.functional.binary_cross_entropy_with_logits(scores.reshape(-1), target)
    return nn.functional.cross_entropy(scores, labels, label_smoothing=smoothing)


def _pair_loss(scores: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    target = labels.to(scores.dtype) * (1 - smoothing) + smoothing / 2
    return nn.functional.binary_cross_entropy_with_logits(scores, target)


def _number_loss(scores: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:  # noqa: ARG001
    return nn.functional.mse_loss(scores.reshape(-1), labels.to(scores.dtype))


def _token_loss(scores: torch.Tensor, labels: torch.Tensor, smoothing: float) -> torch.Tensor:
    return nn.functional.cross_entropy(
        scores.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, label_smoothing=smoothing
    )


def _batches(order: torch.Tensor, size: int) -> list[torch.Tensor]:
    """Consecutive pieces of ``size`` items; a last piece of one joins its neighbour (batch statistics need two)."""
    pieces = list(torch.split(order, size))
    if size > 1 and len(pieces) > 1 and len(pieces[-1]) == 1:
        pieces[-2:] = [torch.cat(pieces[-2:])]
    return pieces


def _shift(images: torch.Tensor, most: int, generator: torch.Generator) -> torch.Tensor:
    """The batch moved by up to ``most`` pixels each way, zeros coming in at the edges."""
    down, right = (int(step) for step in torch.randint(0, 2 * most + 1, (2,), generator=generator))
    height, width = images.shape[-2:]
    padded = nn.functional.pad(images, (most, most, most, most))
    return padded[..., down : down + height, right : right + width]


def output_tensors(result: object) -> tuple[torch.Tensor, ...]:
    """What a module returned, as tensors in order: one tensor, several, or a mapping of them.

    Raises:
        TrainingError: The model returned something else.
    """
    if isinstance(result, Mapping):
        result = tuple(result.values())
    tensors = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    others = [item for item in tensors if not isinstance(item, torch.Tensor)]
    if others or not tensors:
        found = type(others[0]).__name__ if others else "nothing"
        raise TrainingError(f"the model returned {found} where tensors are needed, class scores first")
    return tensors


def call(
    module: nn.Module, inputs: Mapping[str, npt.NDArray[np.generic]], batch_size: int = 256
) -> tuple[npt.NDArray[np.generic], ...]:
    """Every output of the module for all items, in order; evaluation mode, no gradients."""
    rows = len(next(iter(inputs.values())))
    module.eval()
    parts = []
    with torch.inference_mode():
        for start in range(0, rows, batch_size):
            batch = [torch.from_numpy(np.array(array[start : start + batch_size])) for array in inputs.values()]
            parts.append([tensor.numpy() for tensor in output_tensors(module(*batch))])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))
