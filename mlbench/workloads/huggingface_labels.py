"""Labels of a dataset and the classes of a Hugging Face model: by name where both have names, else by place."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from mlbench.records import LabelKind
from mlbench.workloads import RawData
from mlbench.workloads.labels import read_labels

_NAMELESS = re.compile(r"LABEL_\d+")  # what transformers calls the classes of a model that has no names for them


def class_names(config: Any) -> tuple[str, ...]:
    """Names of the model's classes in the order of its outputs, from its configuration."""
    labels = config.id2label or {}
    return tuple(str(labels[index]) for index in sorted(labels))


def text_classes(config: Any, raw: RawData, task: str, kind: LabelKind) -> tuple[str, ...]:
    """Classes of a text model in the order of its outputs; empty where the data alone says what the classes are.

    Args:
        config: The model's configuration, of transformers.
        raw: The data, whose names stand in for those of a model that has none of its own: both count from 0.
        task: Name of the task.
        kind: What its labels are.
    """
    names = class_names(config)
    if kind == "number" or task == "embedding" or (task == "binary" and len(names) == 1):
        return ()
    return raw.classes if raw.classes and all(_NAMELESS.fullmatch(name) for name in names) else names


def placed(raw: RawData, kind: LabelKind, names: tuple[str, ...]) -> RawData:
    """The data with labels as places among those classes.

    Text goes by name, and so do whole numbers whose names the data knows. Whole numbers without names, and labels of
    tokens, are such places already.

    Raises:
        InputError: A label is not among the classes.
    """
    by_name = raw.labels.dtype.kind == "U" or bool(raw.classes)
    if kind == "token" or not by_name:
        return replace(raw, classes=names)
    return replace(raw, labels=read_labels(raw, kind, names)[0], classes=names)
