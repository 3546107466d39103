"""Hugging Face models as plain torch modules: what workers build again from a configuration, without a hub."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


class Encoder(nn.Module):
    """A text model that gives vectors, or scores of a linear classifier on them.

    Token vectors become one by their mean over real tokens (or the first token's), of length 1 where ``normalize``.

    Args:
        model: Gives ``last_hidden_state``.
        pooling: ``mean`` or ``cls``.
        normalize: Vectors of length 1.
        classes: Outputs of the classifier; 0 is none.
    """

    def __init__(self, model: nn.Module, pooling: str, classes: int, hidden: int, *, normalize: bool) -> None:
        super().__init__()
        self.model = model
        self.head = nn.Linear(hidden, classes) if classes else nn.Identity()
        self._mean = pooling == "mean"
        self._normalize = normalize

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Vectors (items, dimensions), or scores (items, classes)."""
        return torch.as_tensor(self.head(self.embed(input_ids, attention_mask, token_type_ids)))

    def embed(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Vectors, (items, dimensions)."""
        tokens = self.model(**_named(input_ids, attention_mask, token_type_ids)).last_hidden_state
        if self._mean:
            weights = attention_mask.unsqueeze(-1).to(tokens.dtype)
            pooled = (tokens * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1e-9)
        else:
            pooled = tokens[:, 0]
        return nn.functional.normalize(pooled, dim=1) if self._normalize else pooled


class Classifier(nn.Module):
    """A text model with a head of its own: scores of items (items, classes), or of tokens (items, tokens, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The head's scores."""
        return torch.as_tensor(self.model(**_named(input_ids, attention_mask, token_type_ids)).logits)


class ImageClassifier(nn.Module):
    """An image model with a head of its own: scores of items, (items, classes)."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
        """The head's scores of pixels (items, channels, height, width)."""
        return torch.as_tensor(self.model(pixel_values=pixel_values).logits)


def _named(ids: torch.Tensor, mask: torch.Tensor, kinds: torch.Tensor | None) -> dict[str, torch.Tensor]:
    named = {"input_ids": ids, "attention_mask": mask}
    return named if kinds is None else {**named, "token_type_ids": kinds}


def encoder(config: Mapping[str, Any], pooling: str = "mean", classes: int = 0, *, normalize: bool = True) -> nn.Module:
    """An :class:`Encoder` of that Hugging Face configuration, weights at random.

    Args:
        config: What ``config.to_dict()`` gave, ``model_type`` included.
        pooling: ``mean`` over real tokens, or ``cls``, the first token.
        classes: Outputs of a linear classifier on top; 0 gives vectors.
        normalize: Vectors of length 1.
    """
    from transformers import AutoModel

    made = _config(config)
    return Encoder(pooler_free(AutoModel.from_config(made)), pooling, classes, made.hidden_size, normalize=normalize)


def classifier(config: Mapping[str, Any], kind: str) -> nn.Module:
    """A :class:`Classifier` or :class:`ImageClassifier` of that Hugging Face configuration, weights at random.

    Args:
        config: What ``config.to_dict()`` gave, ``model_type`` and ``id2label`` included.
        kind: ``sequence``, ``token`` or ``image``.
    """
    import transformers

    auto = {
        "sequence": transformers.AutoModelForSequenceClassification,
        "token": transformers.AutoModelForTokenClassification,
        "image": transformers.AutoModelForImageClassification,
    }
    model = auto[kind].from_config(_config(config))
    return ImageClassifier(model) if kind == "image" else Classifier(model)


def pooler_free(model: nn.Module) -> nn.Module:
    """The model without its pooler, whose output nobody reads: some quantizers stumble over dead branches."""
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # type: ignore[assignment]  # as transformers' own add_pooling_layer=False leaves it
    return model


def _config(values: Mapping[str, Any]) -> Any:
    from transformers import AutoConfig

    given = dict(values)
    return AutoConfig.for_model(given.pop("model_type"), **given)
