"""Words that records are made of."""

from __future__ import annotations

from typing import Literal, TypeVar

SCHEMA_VERSION = 2  # 2: trials that do not count are kept, and a second attempt has its own number
MOST_LOOKS = 3  # at the verdicts of one study
T = TypeVar("T")
Role = Literal["baseline", "variant", "incumbent"]
Call = Literal["faster", "slower", "equivalent", "inconclusive"]
Scalar = str | int | float | bool | None
Level = Literal["quiet", "noisy", "unusable"]
Moment = Literal["before", "during", "after"]
LabelKind = Literal["class", "multi_hot", "number", "token"]
"""What the labels of a task are: class indices (items,), zeros and ones (items, classes), numbers (items,), or class
indices (items, tokens) where :data:`IGNORED` marks tokens that do not count."""
IGNORED = -100
SweepAxis = Literal["batch_size", "input_length", "threads"]
