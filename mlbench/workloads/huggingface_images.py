"""From images to what a Hugging Face model takes, by the model's own processor, once, before anything is timed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.workloads import RawData
from mlbench.workloads.images import opened

INPUT = "pixel_values"
_DATA = "workload.data.options"
_CHUNK = 64


def processed(raw: RawData, processor: Any, source: str) -> RawData:
    """The data with ``pixel_values``, float32, (items, channels, height, width).

    Files are read anew at their own size, so that the processor alone scales, cuts and normalizes. Arrays, (items, 3,
    height, width), must hold pixels of 0 to 1, or of 0 to 255 as whole numbers.

    Args:
        raw: Data whose one input is images.
        processor: The model's own, of transformers.
        source: What messages call it.

    Raises:
        InputError: There are no images, or they are normalized already.
    """
    parts = []
    for chunk in _chunks(raw):
        pixels = np.asarray(processor(images=chunk, return_tensors="np")[INPUT], dtype=np.float32)
        if pixels.ndim != 4:
            raise InputError(
                f"workload.model.path: the image processor of {source} gives shape {list(pixels.shape)} for a list of "
                "images, not (items, channels, height, width)"
            )
        parts.append(pixels)
    found = np.concatenate(parts)
    how = "x".join(str(size) for size in found.shape[1:])
    note = f"images were scaled and normalized by the model's own image processor ({how}), before anything was timed"
    return replace(raw, inputs={INPUT: found}, originals={}, notes=(*raw.notes, note))


def _chunks(raw: RawData) -> Iterator[list[Any]]:
    """Images of PIL, some at a time."""
    files = raw.originals.get("image")
    if files is not None:
        for start in range(0, len(files), _CHUNK):
            yield [opened(Path(name)) for name in files[start : start + _CHUNK]]
        return
    from PIL import Image

    images = _bytes(raw)
    for start in range(0, len(images), _CHUNK):
        yield [Image.fromarray(pixels) for pixels in images[start : start + _CHUNK]]


def _bytes(raw: RawData) -> npt.NDArray[np.uint8]:
    """Arrays of pixels as (items, height, width, 3)."""
    held = ", ".join(f"{name} {array.dtype} {list(array.shape[1:])}" for name, array in raw.inputs.items())
    arrays = list(raw.inputs.values())
    if len(arrays) != 1 or arrays[0].ndim != 4 or arrays[0].shape[1] != 3:
        raise InputError(f"{_DATA}: the model takes images, (3, height, width), but the data has {held}")
    (images,) = arrays
    if images.dtype.kind == "f":
        if not (images.min() >= 0 and images.max() <= 1):
            raise InputError(
                f"{_DATA}: the model has an image processor of its own, which takes pixels of 0 to 1, but these run "
                f"from {images.min():.3g} to {images.max():.3g}; leave scaling and normalization to it"
            )
        images = np.rint(images * 255)
    return np.ascontiguousarray(images.astype(np.uint8).transpose(0, 2, 3, 1))
