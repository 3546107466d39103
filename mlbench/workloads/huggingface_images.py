"""From images to what a Hugging Face model takes, by the model's own processor, once; or also in every timed call."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.records import Collation
from mlbench.runtimes.processed import Processing, pixels
from mlbench.workloads import RawData
from mlbench.workloads.images import opened
from mlbench.workloads.texts import Timing

INPUT = "pixel_values"
_DATA = "workload.data.options"
_CHUNK = 64
_BILINEAR = 2  # Pillow's number; what transformers takes where a processor names no filter


def processed(raw: RawData, processor: Any, source: str, timing: Timing = "model-only") -> RawData:
    """The data with ``pixel_values``, float32, (items, channels, height, width).

    Files are read anew at their own size, so that the processor alone scales, cuts and normalizes. Arrays, (items, 3,
    height, width), must hold pixels of 0 to 1, or of 0 to 255 as whole numbers.

    Args:
        raw: Data whose one input is images.
        processor: The model's own, of transformers.
        source: What messages call it.
        timing: ``model-only``: this is done before anything is timed; ``end-to-end``: in every call too.

    Raises:
        InputError: There are no images, or they are normalized already; or what the processor does cannot be done
            without it, which ``end-to-end`` needs.
    """
    how = _processing(processor, source) if timing == "end-to-end" else None
    parts: list[npt.NDArray[np.float32]] = []
    for chunk in _chunks(raw):
        found = np.asarray(processor(images=chunk, return_tensors="np")[INPUT], dtype=np.float32)
        if found.ndim != 4:
            raise InputError(
                f"workload.model.path: the image processor of {source} gives shape {list(found.shape)} for a list of "
                "images, not (items, channels, height, width)"
            )
        if how is not None and not parts:
            _require_same(chunk, found, how, source)
        parts.append(found)
    inputs = {INPUT: np.concatenate(parts)}
    size = "x".join(str(length) for length in inputs[INPUT].shape[1:])
    made = f"scaled and normalized as the model's own image processor does it ({size})"
    if how is None:
        note = f"images were {made}, before anything was timed"
        return replace(raw, inputs=inputs, originals={}, notes=(*raw.notes, note))
    files = raw.originals.get("image")
    kept = _bytes(raw) if files is None else np.array([str(Path(name).resolve()) for name in files], dtype=np.str_)
    begin = "pixels" if files is None else "the content of image files"
    note = f"every call begins with {begin}: images are {made}, timed with the model, on one thread"
    collation = Collation(processing=json.dumps(asdict(how)))
    return replace(raw, inputs=inputs, originals={"image": kept}, collation=collation, notes=(*raw.notes, note))


def _processing(processor: Any, source: str) -> Processing:
    """What the processor says that it does, in numbers.

    Raises:
        InputError: It scales in a way that is not known here.
    """
    size: dict[str, Any] = dict(getattr(processor, "size", None) or {}) if _does(processor, "resize") else {}
    size = {name: length for name, length in size.items() if length is not None}
    crop = dict(processor.crop_size) if _does(processor, "center_crop") else {}
    whole: set[str] = {"height", "width"}
    if set(size) not in (whole, {"shortest_edge"}, set()) or set(crop) not in (whole, set()):
        raise _unlike(source)
    normal, resample = _does(processor, "normalize"), getattr(processor, "resample", None)
    return Processing(
        size=(int(size["height"]), int(size["width"])) if "height" in size else None,
        shortest_edge=int(size["shortest_edge"]) if "shortest_edge" in size else None,
        resample=_BILINEAR if resample is None else int(resample),
        crop=(int(crop["height"]), int(crop["width"])) if crop else None,
        factor=float(processor.rescale_factor) if _does(processor, "rescale") else None,
        mean=tuple(map(float, np.ravel(processor.image_mean))) if normal else None,
        std=tuple(map(float, np.ravel(processor.image_std))) if normal else None,
    )


def _does(processor: Any, what: str) -> bool:
    return bool(getattr(processor, f"do_{what}", False))


def _require_same(images: list[Any], wanted: npt.NDArray[np.float32], how: Processing, source: str) -> None:
    """The same pixels without the processor, on real items: whatever else it does would show here.

    Raises:
        InputError: They are not the same.
    """
    try:
        found = np.stack([pixels(image.convert("RGB"), how) for image in images])
    except ValueError as error:  # of different sizes, or too small to be cut
        raise _unlike(source) from error
    if found.shape != wanted.shape or not np.allclose(found, wanted, rtol=1e-5, atol=1e-6):
        raise _unlike(source)


def _unlike(source: str) -> InputError:
    return InputError(
        "workload.model.options.timing: workers have no transformers, whose memory would be the model's, and "
        f"prepare images by scaling, cutting and normalizing; the image processor of {source} does something else, so "
        "only model-only can be timed"
    )


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
        yield [Image.fromarray(image) for image in images[start : start + _CHUNK]]


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
