"""Models small enough to be built in a test."""

import numpy as np
import torch
from torch import nn


class Sum(nn.Module):
    """Takes two inputs."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, left, right):
        return self.layer(left + right)


class ByPlace(nn.Module):
    """Answers every item by its place in the batch, so that no exported graph is right for all batch sizes."""

    def forward(self, x):
        return torch.stack([item.mean() * float(place + len(x)) for place, item in enumerate(x)])[:, None]


def tiny_cnn(width=4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(width * 64, 3))


def narrow(classes=10):
    """Linear layers only: compiling takes seconds for every kernel."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, classes))


def two_inputs():
    torch.manual_seed(0)
    return Sum()


def images(rows, seed=0):
    return np.random.default_rng(seed).random((rows, 1, 8, 8)).astype(np.float32)
