"""Calls that begin with texts: tokenizing and padding a batch inside the clock, the same way for every arm."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Scalar
from mlbench.runtimes import Batch, Device, Session

_PARALLEL = "TOKENIZERS_PARALLELISM"
_FIELDS = {"input_ids": "ids", "attention_mask": "attention_mask", "token_type_ids": "type_ids"}


class TokenizedSession:
    """A session whose calls are given texts. Tokenizing takes one thread, however many the arm has.

    Args:
        session: The session that answers tokens.
        tokenizer: File of a tokenizer of the library ``tokenizers``, with its truncation and padding.
        names: Inputs of the model.
    """

    def __init__(self, session: Session, tokenizer: Path, names: Sequence[str]) -> None:
        os.environ[_PARALLEL] = "false"  # read by the library; its pool would not sleep between turns
        from tokenizers import Tokenizer

        self._session = session
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._names = tuple(names)
        device: Device | None = getattr(session, "device", None)
        self.device: Device | None = None if device is None else _TokenizedDevice(device, self._inputs)
        if hasattr(session, "compile"):
            self.compile = self._compile
        if hasattr(session, "libraries"):
            self.libraries = session.libraries
        if hasattr(session, "placement"):
            self.placement = self._placement

    def prepare(self, batch: Batch) -> list[Any]:
        """Texts, or pairs of texts, as Python values: what a caller of the model has in hand."""
        columns = [array.tolist() for array in batch.values()]
        return columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))

    def run(self, prepared: list[Any]) -> Any:
        """From texts to the model's result."""
        return self._session.run(self._inputs(prepared))

    def outputs(self, result: Any) -> tuple[npt.NDArray[np.generic], ...]:
        """As the wrapped session."""
        return self._session.outputs(result)

    def effective(self) -> dict[str, Scalar]:
        """As the wrapped session, with ``timing`` and the version of ``tokenizers``."""
        import tokenizers

        return {**self._session.effective(), "timing": "end-to-end", "tokenizers": tokenizers.__version__}

    def tokens(self, texts: list[Any]) -> dict[str, npt.NDArray[np.int64]]:
        """The model's inputs, int64, (items, tokens)."""
        encoded = self._tokenizer.encode_batch(texts)
        return {
            name: np.array([getattr(item, _FIELDS[name]) for item in encoded], dtype=np.int64) for name in self._names
        }

    def _inputs(self, texts: list[Any]) -> Any:
        return self._session.prepare(self.tokens(texts))

    def _placement(self, prepared: list[Any]) -> dict[str, Scalar]:
        ask: Any = getattr(self._session, "placement", None)
        found: dict[str, Scalar] = ask(self._inputs(prepared))
        return found

    def _compile(self, prepared: list[Any]) -> None:
        compile_for: Any = getattr(self._session, "compile", None)
        compile_for(self._inputs(prepared))


class _TokenizedDevice:
    """The device of a session that is given texts: on its own clock is what is left when they are tokens."""

    def __init__(self, device: Device, inputs: Callable[[list[Any]], Any]) -> None:
        self._device = device
        self._inputs = inputs

    def synchronize(self) -> None:
        self._device.synchronize()

    def reset_peak(self) -> None:
        self._device.reset_peak()

    def peak_mib(self) -> float:
        return self._device.peak_mib()

    def call_ms(self, prepared: list[Any]) -> float:
        return self._device.call_ms(self._inputs(prepared))
