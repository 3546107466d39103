"""Small networks for the built-in workloads: plain torch, nothing of mlbench, because workers import this too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn


class _Classifier(nn.Module):
    """A stack of feature layers and a classifier on top."""

    def __init__(self, features: nn.Sequential, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.classifier = classifier

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Class scores, shape (items, classes)."""
        scores: torch.Tensor = self.classifier(self.features(image))
        return scores


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    return [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]


def digits_cnn(widths: Sequence[int] = (64, 128, 128), hidden: int = 128, classes: int = 10) -> nn.Module:
    """A convolutional network for images of shape (items, 1, 8, 8).

    Four 3x3 convolutions with batch normalisation (the last width twice), one halving of the resolution, then two
    linear layers. With the defaults it has 437,514 parameters.

    Args:
        widths: Channels of the three stages.
        hidden: Units of the hidden linear layer.
        classes: Number of classes.
    """
    first, second, third = widths
    features = nn.Sequential(
        *_block(1, first),
        *_block(first, second),
        *_block(second, third),
        nn.MaxPool2d(2),
        *_block(third, third),
        nn.AdaptiveAvgPool2d(2),
    )
    classifier = nn.Sequential(
        nn.Flatten(), nn.Linear(4 * third, hidden), nn.ReLU(), nn.Dropout(0.3), nn.Linear(hidden, classes)
    )
    return _Classifier(features, classifier)
