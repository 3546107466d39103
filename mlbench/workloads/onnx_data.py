"""ONNX models with their weights in one file with the graph, or beside it where they are too large for that.

A protobuf message ends at 2 GiB. What is beyond lies in ``<file>.data`` (ONNX's external data), which the graph names
relative to itself, so that a directory with both can be moved.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path
from typing import Any

from mlbench.disk import inside, sha256
from mlbench.outside import check_file, check_memory

SINGLE_FILE_LIMIT = 1 << 30
"""Bytes of weights; half of what protobuf can hold, since tools add to a graph before they write it."""


def data_file(path: Path) -> str:
    """The name of the file beside a graph."""
    return f"{path.name}.data"


def is_split(path: Path) -> bool:
    """Whether weights of this file lie beside it."""
    return bool(_locations(path))


def digest(path: Path) -> str:
    """SHA-256 of a model: of its file, and of every file beside it that it reads."""
    found = hashlib.sha256(sha256(path).encode())
    for location in _locations(path):
        found.update(sha256(path.parent / location).encode())
    return found.hexdigest()


def check_model(path: Path) -> None:
    """See that a model from outside fits into this machine's memory, with the weights beside it.

    Tensors may read the same bytes of a file, and each then has a copy of its own.

    Raises:
        OSError: Its file, or one that it reads, is not there.
        LimitError: It does not fit.
        OutsideError: It names a file that is not beside it, or a link.
    """
    check_file(path)
    check_memory(path.stat().st_size + sum(_length(path.parent, external) for external in _externals(path)))


def _length(folder: Path, external: Any) -> int:
    """Bytes that a tensor reads from its file; one that claims more than there is gets no more."""
    there = max(0, inside(folder, external.location).stat().st_size - (external.offset or 0))
    return there if external.length is None else min(external.length, there)


def _locations(path: Path) -> list[str]:
    return sorted({external.location for external in _externals(path)})


def _externals(path: Path) -> list[Any]:
    """Where each tensor that lies in another file has its bytes, as onnx's ``ExternalDataInfo``."""
    import onnx
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    model = onnx.load(path, load_external_data=False)
    tensors = (tensor for part in (model.graph, *model.functions) for tensor in _tensors(part))
    return [ExternalDataInfo(tensor) for tensor in tensors if uses_external_data(tensor)]


def _tensors(part: Any) -> Iterator[Any]:
    """Every tensor of a graph or function: weights, constants, and those of the graphs inside, as of a loop."""
    yield from getattr(part, "initializer", ())  # a function has none
    for node in part.node:
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from _tensors(inner)


def save(model: Any, path: Path, *, split: bool = False) -> None:
    """Write a model; with its weights beside it where it is asked for, or where they would not fit.

    Args:
        model: An ``onnx.ModelProto`` with its weights; what is written beside the graph is taken out of it.
        path: The file of the graph, which is not there yet.
        split: As of the model that this one was made from, so that what was too large once is not tried again.
    """
    import onnx

    if split or sum(len(item.raw_data) for item in model.graph.initializer) > SINGLE_FILE_LIMIT:
        with chdir(path.parent):  # a file of that name in the working directory is in the tool's way
            onnx.save(
                model, path.name, save_as_external_data=True, all_tensors_to_one_file=True, location=data_file(path)
            )
    else:
        onnx.save(model, path)
