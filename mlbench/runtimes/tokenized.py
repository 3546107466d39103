"""Calls that begin with texts: tokenizing and padding a batch inside the clock, the same way for every arm."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Scalar
from mlbench.runtimes import Batch, Session
from mlbench.runtimes.originals import OriginalsSession

_PARALLEL = "TOKENIZERS_PARALLELISM"
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class TokenizedSession(OriginalsSession):
    """A session whose calls are given texts. Tokenizing takes one thread, however many the arm has.

    Args:
        session: The session that answers tokens.
        tokenizer: File of a tokenizer of the library ``tokenizers``, with its truncation and padding.
        names: Inputs of the model.
        words: Texts are lists of words, written as JSON.
    """

    def __init__(self, session: Session, tokenizer: Path, names: Sequence[str], *, words: bool = False) -> None:
        os.environ[_PARALLEL] = "false"  # read by the library; its pool would not sleep between turns
        from tokenizers import Tokenizer

        super().__init__(session)
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._names = tuple(names)
        self._words = words

    def prepare(self, batch: Batch) -> list[Any]:
        """Texts, pairs of texts, or lists of words, as Python values: what a caller of the model has in hand."""
        columns = [array.tolist() for array in batch.values()]
        if self._words:
            return [json.loads(text) for text in columns[0]]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def made(self, items: list[Any]) -> dict[str, npt.NDArray[np.int64]]:
        """The model's inputs, int64, (items, tokens)."""
        encoded = self._tokenizer.encode_batch(items, is_pretokenized=self._words)
        return {
            name: np.array([getattr(item, _FIELDS[name]) for item in encoded], dtype=np.int64) for name in self._names
        }

    def maker(self) -> dict[str, Scalar]:
        """The version of ``tokenizers``."""
        import tokenizers

        return {"tokenizers": tokenizers.__version__}
