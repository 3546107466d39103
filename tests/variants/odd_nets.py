"""Models that steps cannot take, or can only take with care."""

from __future__ import annotations

import torch
from torch import nn


class Flat(nn.Module):
    """No layer with weights that anybody prunes or quantizes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(64, 10))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return (image.flatten(1)[:, :, None] * self.scale).sum(1)


class Branching(nn.Module):
    """What it computes depends on the values: no graph can be traced."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        if image.sum() > 3:
            return self.head(image.flatten(1))
        return -self.head(image.flatten(1))


class TwoHeads(nn.Module):
    """Two outputs, each of its own layer."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU())
        self.head = nn.Linear(64, 10)
        self.other = nn.Linear(64, 16)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.body(image)
        return self.head(hidden), self.other(hidden)


class Noisy(nn.Module):
    """Never answers the same twice."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(64, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.head(image.flatten(1)) + torch.rand_like(image[:, 0, 0, :1])


def flat() -> nn.Module:
    return Flat()


def branching() -> nn.Module:
    return Branching()


def two_heads() -> nn.Module:
    return TwoHeads()


def noisy() -> nn.Module:
    return Noisy()


def narrow() -> nn.Module:
    """One hidden unit: nothing left to remove."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10))


class Attentive(nn.Module):
    """A small BERT with random weights; each row of the image is a token."""

    def __init__(self) -> None:
        super().__init__()
        from transformers import BertConfig, BertModel

        config = BertConfig(
            vocab_size=8, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
        )
        self.embed = nn.Linear(8, 32)
        self.bert = BertModel(config, add_pooling_layer=False)
        self.head = nn.Linear(32, 10)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        hidden = self.bert(inputs_embeds=self.embed(image.squeeze(1))).last_hidden_state
        return self.head(hidden.mean(1))


def attentive() -> nn.Module:
    return Attentive()


def loud() -> nn.Module:
    """Weights beyond the largest number of float16."""
    layer = nn.Linear(64, 10)
    nn.init.constant_(layer.weight, 1e6)
    return nn.Sequential(nn.Flatten(), layer)


def bare() -> nn.Module:
    return nn.Flatten()
