"""Calls that begin with texts."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from mlbench.runtimes.tokenized import TokenizedSession

WORDS = {"[PAD]": 0, "[SEP]": 1, "a": 2, "b": 3, "c": 4}


class Counting:
    """Gives how many real tokens there are, and remembers what it was given."""

    def __init__(self, device: Any = None) -> None:
        self.device = device
        self.compiled: list[Any] = []

    def prepare(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return batch

    def run(self, prepared: dict[str, np.ndarray]) -> np.ndarray:
        self.seen = prepared
        return prepared["attention_mask"].sum(axis=1)

    def outputs(self, result: np.ndarray) -> tuple[np.ndarray, ...]:
        return (result,)

    def effective(self) -> dict[str, Any]:
        return {"runtime": "counting"}

    def compile(self, prepared: Any) -> None:
        self.compiled.append(prepared)


@pytest.fixture
def tokenizer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "true")
    own = Tokenizer(WordLevel(WORDS, unk_token="[PAD]"))
    own.pre_tokenizer = Whitespace()
    own.post_processor = TemplateProcessing("$A [SEP]", "$A [SEP] $B:1 [SEP]:1", [("[SEP]", 1)])
    own.enable_truncation(4)
    own.enable_padding(length=None)
    own.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def test_texts_are_padded_to_the_longest_of_their_batch_and_cut(tokenizer: Path) -> None:
    inner = Counting()
    session = TokenizedSession(inner, tokenizer, ["input_ids", "attention_mask"])
    prepared = session.prepare({"text 0": np.array(["a", "b c"])})
    assert prepared == ["a", "b c"]
    (counted,) = session.outputs(session.run(prepared))
    assert counted.tolist() == [2, 3]
    assert inner.seen["input_ids"].tolist() == [[2, 1, 0], [3, 4, 1]]
    assert inner.seen["input_ids"].dtype == np.int64
    assert session.run(["a b c a b"]).tolist() == [4]
    assert session.effective()["timing"] == "end-to-end"
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


def test_pairs_have_their_kinds(tokenizer: Path) -> None:
    inner = Counting()
    session = TokenizedSession(inner, tokenizer, ["input_ids", "attention_mask", "token_type_ids"])
    session.run(session.prepare({"text 0": np.array(["a"]), "text 1": np.array(["b"])}))
    assert inner.seen["input_ids"].tolist() == [[2, 1, 3, 1]]
    assert inner.seen["token_type_ids"].tolist() == [[0, 0, 1, 1]]


def test_lists_of_words(tokenizer: Path) -> None:
    inner = Counting()
    session = TokenizedSession(inner, tokenizer, ["input_ids", "attention_mask"], words=True)
    prepared = session.prepare({"original 0": np.array(['["a", "b"]', '["c"]'])})
    assert prepared == [["a", "b"], ["c"]]
    assert session.run(prepared).tolist() == [3, 2]
    assert inner.seen["input_ids"].tolist() == [[2, 3, 1], [4, 1, 0]]


def test_compiling_and_the_devices_own_clock_are_given_tokens(tokenizer: Path) -> None:
    log: list[Any] = []
    device = SimpleNamespace(
        synchronize=lambda: log.append("synchronize"),
        reset_peak=lambda: log.append("reset"),
        peak_mib=lambda: 3.0,
        call_ms=lambda prepared: float(prepared["attention_mask"].sum()),
    )
    session = TokenizedSession(Counting(device), tokenizer, ["input_ids", "attention_mask"])
    session.compile(["a b"])
    assert session.device is not None
    session.device.synchronize()
    session.device.reset_peak()
    assert (session.device.call_ms(["a b"]), session.device.peak_mib(), log) == (3.0, 3.0, ["synchronize", "reset"])
    assert TokenizedSession(Counting(), tokenizer, ["input_ids"]).device is None


def test_where_a_model_runs_is_asked_with_tokens(tokenizer: Path) -> None:
    inner = Counting()
    assert not hasattr(TokenizedSession(inner, tokenizer, ["input_ids"]), "placement")
    inner.placement = lambda prepared: {"nodes": prepared["input_ids"].tolist()}  # type: ignore[attr-defined]
    assert TokenizedSession(inner, tokenizer, ["input_ids"]).placement(["a b"]) == {"nodes": [[2, 3, 1]]}
