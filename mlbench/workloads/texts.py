"""From text to tokens, the same for every arm: collation, padding and truncation are part of the workload."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.records import IGNORED
from mlbench.workloads import RawData

_DATA = "workload.data.options.inputs"
Padding = Literal["longest", "fixed"]


@dataclass(frozen=True, slots=True)
class Tokenizing:
    """How text becomes tokens.

    Attributes:
        max_length: Longer texts are cut to so many tokens, special ones included.
        padding: ``longest``: all to the longest text of the data; ``fixed``: all to ``max_length``.
        source: What messages call the tokenizer.
    """

    max_length: int
    padding: Padding
    source: str


def tokenize(raw: RawData, tokenizer: Any, how: Tokenizing, classes: tuple[str, ...] = ()) -> RawData:
    """The data with token ids in place of text.

    Inputs are ``input_ids`` and ``attention_mask``, and ``token_type_ids`` for pairs of texts: int64, (items, tokens).
    Lists of words take labels of the words, which go to the first token of each.

    Args:
        raw: Data whose inputs are one text, or two.
        tokenizer: A fast tokenizer of transformers.
        how: Length and padding.
        classes: Names of the classes of word labels, in the order of the model's outputs.

    Raises:
        InputError: There is no text, or more than two.
    """
    texts = list(raw.inputs.values())
    words = len(texts) == 1 and texts[0].dtype.kind == "O"
    if not words and (not 0 < len(texts) < 3 or any(array.dtype.kind != "U" for array in texts)):
        held = ", ".join(f"{name} ({array.dtype})" for name, array in raw.inputs.items())
        raise InputError(
            f"{_DATA}: the model takes text, one column or a pair, but the data has {held}; for example "
            f"inputs: {{text: <column>}}"
        )
    columns = [list(array) if words else array.tolist() for array in texts]
    if tokenizer.pad_token is None:
        raise InputError(f"workload.model.path: the tokenizer of {how.source} has no padding token")
    encoded = tokenizer(
        *columns,
        is_split_into_words=words,
        truncation=True,
        max_length=how.max_length,
        padding="max_length" if how.padding == "fixed" else "longest",
        padding_side="right",  # so that sequences can be cut to a length of their real tokens
        return_tensors="np",
        return_token_type_ids=len(texts) == 2,
    )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if len(texts) == 2 else [])]
    inputs = {name: np.asarray(encoded[name], dtype=np.int64) for name in names}
    labels = _word_labels(raw, encoded, inputs["input_ids"].shape, classes) if words else raw.labels
    full = int((inputs["attention_mask"].sum(axis=1) == how.max_length).sum())
    notes = (*raw.notes, *([_cut_note(full, len(labels), how)] if full else []))
    return replace(raw, inputs=inputs, labels=labels, sequences=tuple(names), notes=notes)


def _cut_note(full: int, rows: int, how: Tokenizing) -> str:
    return f"{full} of {rows} texts fill all {how.max_length} tokens; what is longer was cut (workload.model.options)"


def _word_labels(raw: RawData, encoded: Any, shape: tuple[int, int], classes: Sequence[str]) -> npt.NDArray[np.int64]:
    """Class indices by token, (items, tokens): each word's label at its first token, elsewhere ignored."""
    place = {name: index for index, name in enumerate(classes)}
    labels = np.full(shape, IGNORED, dtype=np.int64)
    for row, tags in enumerate(raw.labels):
        last = None
        if len(tags) != len(next(iter(raw.inputs.values()))[row]):
            raise InputError(
                f"workload.data.options.labels: row {row} has {len(tags)} labels for another number of words"
            )
        for column, word in enumerate(encoded.word_ids(row)):
            if word is not None and word != last:
                labels[row, column] = _index(tags[word], place, row)
            last = word
    return labels


def _index(tag: Any, place: dict[str, int], row: int) -> int:
    if isinstance(tag, str):
        if tag not in place:
            raise InputError(f"workload.data: label '{tag}' in row {row} is not among the classes of the model")
        return place[tag]
    return int(tag)
