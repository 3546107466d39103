"""From text to tokens, the same for every arm: collation, padding and truncation are part of the workload."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.records import IGNORED, Collation
from mlbench.workloads import RawData

_DATA = "workload.data.options.inputs"
_OPTIONS = "workload.model.options"
_CHECKED = 64  # items whose tokens are made in both ways
Padding = Literal["longest", "batch", "fixed"]
Timing = Literal["model-only", "end-to-end"]


@dataclass(frozen=True, slots=True)
class Tokenizing:
    """How text becomes tokens.

    Attributes:
        max_length: Longer texts are cut to so many tokens, special ones included.
        padding: ``longest``: all to the longest text of the data; ``batch``: to the longest of each batch; ``fixed``:
            all to ``max_length``.
        source: What messages call the tokenizer.
        timing: ``model-only``: tokens are made before anything is timed; ``end-to-end``: in every call.
    """

    max_length: int
    padding: Padding
    source: str
    timing: Timing = "model-only"


def tokenize(raw: RawData, tokenizer: Any, how: Tokenizing, classes: tuple[str, ...] = ()) -> RawData:
    """The data with token ids in place of text, and what is left to do for each batch.

    Inputs are ``input_ids`` and ``attention_mask``, and ``token_type_ids`` for pairs of texts, where the tokenizer says
    that its model takes them: int64, (items, tokens).
    Lists of words take labels of the words, which go to the first token of each.

    Args:
        raw: Data whose inputs are one text, or two.
        tokenizer: A fast tokenizer of transformers.
        how: Length and padding.
        classes: Names of the classes of word labels, in the order of the model's outputs.

    Raises:
        InputError: There is no text, or more than two; or there are words without labels, or padded by batch.
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
    if words and how.padding == "batch":
        raise InputError(
            f"{_OPTIONS}.padding: batch is for texts; the labels of words belong to tokens, as many for every item: "
            "longest or fixed"
        )
    if words and raw.labels.dtype.kind != "O":
        raise InputError(f"{_DATA}: the data has lists of words, which need a label for each word, in lists as long")
    kinds = len(texts) == 2 and "token_type_ids" in tokenizer.model_input_names
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
        return_token_type_ids=kinds,
    )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if kinds else [])]
    inputs = {name: np.asarray(encoded[name], dtype=np.int64) for name in names}
    labels = _word_labels(raw, encoded, inputs["input_ids"].shape, classes) if words else raw.labels
    full = int((inputs["attention_mask"].sum(axis=1) == how.max_length).sum())
    notes = (*raw.notes, *([_cut_note(full, len(labels), how)] if full else []))
    found = replace(raw, inputs=inputs, labels=labels, sequences=tuple(names), notes=notes)
    if how.timing == "end-to-end":
        return _end_to_end(replace(found, originals=_originals(raw, words=words)), tokenizer, how, words=words)
    if how.padding == "batch":
        return replace(found, collation=Collation(trim="attention_mask"))
    return found


def _originals(raw: RawData, *, words: bool) -> dict[str, npt.NDArray[np.str_]]:
    """What calls begin with: texts, or lists of words as JSON."""
    if not words:
        return dict(raw.inputs)
    return {name: np.array([json.dumps(list(item)) for item in array]) for name, array in raw.inputs.items()}


def _end_to_end(raw: RawData, tokenizer: Any, how: Tokenizing, *, words: bool) -> RawData:
    """The data with a tokenizer that makes the same tokens of the texts, or words, of one batch.

    Raises:
        InputError: The tokenizer cannot be written down, or makes other tokens without its own library around it.
    """
    if not tokenizer.is_fast:
        raise InputError(
            f"{_OPTIONS}.timing: the tokenizer of {how.source} cannot be written down, only model-only can"
        )
    from tokenizers import Tokenizer

    length = {"fixed": how.max_length, "longest": raw.inputs["input_ids"].shape[1], "batch": None}[how.padding]
    own = Tokenizer.from_str(tokenizer.backend_tokenizer.to_str())
    own.enable_truncation(how.max_length)
    own.enable_padding(
        direction="right",
        pad_id=tokenizer.pad_token_id,
        pad_type_id=tokenizer.pad_token_type_id,
        pad_token=tokenizer.pad_token,
        length=length,
    )
    columns = [array[:_CHECKED].tolist() for array in raw.originals.values()]
    if words:
        items = [json.loads(text) for text in columns[0]]
    else:
        items = columns[0] if len(columns) == 1 else list(zip(*columns, strict=True))
    made = own.encode_batch(items, is_pretokenized=words)
    for item, row in zip(made, raw.inputs["input_ids"], strict=False):
        if item.ids != row[: len(item.ids)].tolist():
            raise InputError(
                f"{_OPTIONS}.timing: workers have no transformers, and the tokenizer of {how.source} makes other "
                "tokens without it, so only model-only can be timed"
            )
    padded = "the longest of its batch" if length is None else f"{length} tokens"
    begin = "lists of words" if words else "texts"
    note = f"every call begins with {begin}: tokenizing and padding to {padded} are timed with the model, on one thread"
    return replace(raw, collation=Collation(tokenizer=own.to_str(), words=words), notes=(*raw.notes, note))


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
                labels[row, column] = _index(tags[word], place, raw.classes, row)
            last = word
    return labels


def _index(tag: Any, place: dict[str, int], known: Sequence[str], row: int) -> int:
    """Where a tag stands among the model's classes: by its name, which the data may know of whole numbers."""
    if not isinstance(tag, str):
        number = int(tag)
        if not known or number == IGNORED:
            return number
        if not 0 <= number < len(known):
            raise InputError(f"workload.data: label {number} in row {row} is not a place among {len(known)} classes")
        tag = known[number]
    if tag not in place:
        raise InputError(f"workload.data: label '{tag}' in row {row} is not among the classes of the model")
    return place[tag]
