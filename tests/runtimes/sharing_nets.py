"""Networks for tests of saving: depthwise convolutions, shared weights, buffers that are not kept in state dicts."""

from __future__ import annotations

import torch
from torch import nn


class Sharing(nn.Module):
    """A depthwise block, one linear layer used under two names, and a buffer that is computed."""

    def __init__(self, width: int = 16, bias: bool = True) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1, bias=bias)
        self.norm = nn.BatchNorm2d(width)
        self.depthwise = nn.Conv2d(width, width, 3, padding=1, groups=width)
        self.pointwise = nn.Conv2d(width, 2 * width, 1)
        self.first = nn.Linear(2 * width, 2 * width)
        self.second = nn.Linear(2 * width, 2 * width)
        self.second.weight = self.first.weight
        self.again = self.first
        self.head = nn.Linear(2 * width, 10)
        self.register_buffer("scale", torch.full((2 * width,), 2.0), persistent=False)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = torch.relu(self.norm(self.stem(image)))
        hidden = torch.relu(self.pointwise(self.depthwise(hidden))).mean((2, 3)) * self.scale
        return self.head(torch.relu(self.again(torch.relu(self.second(torch.relu(self.first(hidden)))))))


class Stateful(nn.Module):
    def get_extra_state(self) -> dict[str, int]:
        return {"a": 1}

    def set_extra_state(self, state: dict[str, int]) -> None:
        pass


class Depthwise(nn.Module):
    """A depthwise block without shared weights, which torch-pruning can shrink."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU())
        self.depthwise = nn.Sequential(nn.Conv2d(width, width, 3, padding=1, groups=width), nn.ReLU())
        self.pointwise = nn.Sequential(nn.Conv2d(width, 2 * width, 1), nn.ReLU())
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 32), nn.ReLU())
        self.out = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.out(self.head(self.pointwise(self.depthwise(self.stem(image)))))


def sharing(width: int = 16, bias: bool = True) -> nn.Module:
    return Sharing(width, bias)


def depthwise(width: int = 16) -> nn.Module:
    return Depthwise(width)


def stateful() -> nn.Module:
    return Stateful()


def recurrent() -> nn.Module:
    return nn.LSTM(4, 6, batch_first=True)


def other() -> nn.Module:
    return nn.Sequential(nn.Linear(2, 2))


def not_a_module() -> int:
    return 1


def failing() -> nn.Module:
    raise ValueError("no luck")


constant = 3
