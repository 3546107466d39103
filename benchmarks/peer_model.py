"""The model that optimum-benchmark and mlbench both measure. A module of its own, because workers import it."""

from __future__ import annotations

from typing import Any


def encoder(hidden: int, layers: int, heads: int) -> Any:
    """A small BERT encoder with random weights, in evaluation mode."""
    from transformers import BertConfig, BertModel

    config = BertConfig(
        vocab_size=1000,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * hidden,
        max_position_embeddings=128,
    )
    return BertModel(config, add_pooling_layer=False).eval()
