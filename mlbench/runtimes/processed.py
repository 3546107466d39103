"""Calls that begin with images: decoding, scaling and normalizing inside the clock, the same way for every arm.

This is what image processors of transformers do, in Pillow and numpy alone: the worker must not import that library.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from mlbench.records import Scalar
from mlbench.runtimes import Batch, Session
from mlbench.runtimes.originals import OriginalsSession

_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
"""What a file may really be, whatever its name says: Pillow would hand an EPS to Ghostscript, which runs programs."""
_MOST_PIXELS = 1 << 27
_MODES = {1: "L", 3: "RGB"}


@dataclass(frozen=True, slots=True)
class Processing:
    """What becomes of an image, in this order; None leaves that out.

    Attributes:
        size: Height and width to scale to.
        shortest_edge: Length of the shorter side to scale to, in proportion.
        resample: Pillow's number of the filter.
        crop: Height and width to cut out of the middle.
        factor: What pixels of 0 to 255 are multiplied by.
        mean, std: Of each channel: what is subtracted, and then divided by.
    """

    size: tuple[int, int] | None = None
    shortest_edge: int | None = None
    resample: int = 2
    crop: tuple[int, int] | None = None
    factor: float | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def decoded(file: Path | IO[bytes], channels: int = 3) -> Any:
    """One image of PIL, turned as its EXIF data says.

    Raises:
        ValueError: It is too large. Pillow's decoders raise what they like where it is no image.
    """
    from PIL import Image, ImageOps

    with Image.open(file, formats=_FORMATS) as image:
        if image.width * image.height > _MOST_PIXELS:
            raise ValueError(f"it has {image.width} x {image.height} pixels, and at most {_MOST_PIXELS:,} are read")
        return ImageOps.exif_transpose(image).convert(_MODES[channels])


def pixels(image: Any, how: Processing) -> npt.NDArray[np.float32]:
    """What the model takes of one RGB image of PIL: float32, (3, height, width).

    The arithmetic is transformers', step by step, so that the result is the same to the last bit.

    Raises:
        ValueError: The image is smaller than what is to be cut out of it.
    """
    if how.size is not None or how.shortest_edge is not None:
        image = image.resize(_target(image.width, image.height, how), resample=how.resample)
    array: npt.NDArray[Any] = np.asarray(image)
    if how.crop is not None:
        height, width = how.crop
        top, left = (array.shape[0] - height) // 2, (array.shape[1] - width) // 2
        if top < 0 or left < 0:
            found = f"{array.shape[1]} x {array.shape[0]}"
            raise ValueError(f"an image of {found} pixels is too small to cut {width} x {height} out of it")
        array = array[top : top + height, left : left + width]
    if how.factor is not None:
        array = (array.astype(np.float64) * how.factor).astype(np.float32)
    array = array.astype(np.float32, copy=False)
    if how.mean is not None and how.std is not None:
        array = (array - np.array(how.mean, dtype=np.float32)) / np.array(how.std, dtype=np.float32)
    return np.ascontiguousarray(array.transpose(2, 0, 1))


def _target(width: int, height: int, how: Processing) -> tuple[int, int]:
    """Width and height to scale to."""
    if how.size is not None:
        return how.size[1], how.size[0]
    assert how.shortest_edge is not None
    short, other = how.shortest_edge, int(how.shortest_edge * max(width, height) / min(width, height))
    return (short, other) if width <= height else (other, short)


class ProcessedSession(OriginalsSession):
    """A session whose calls are given images: the bytes of their files, or pixels. They are prepared on one thread.

    Args:
        session: The session that answers pixels.
        processing: File of a :class:`Processing` as JSON.
        name: The model's input.
    """

    def __init__(self, session: Session, processing: Path, name: str) -> None:
        super().__init__(session)
        self._how = Processing(**json.loads(processing.read_text(encoding="utf-8")))
        self._name = name

    def prepare(self, batch: Batch) -> list[Any]:
        """The content of the files that are named, or pixels as they are: uint8, (height, width, 3) each."""
        (items,) = batch.values()
        return [Path(name).read_bytes() for name in items.tolist()] if items.dtype.kind == "U" else list(items)

    def made(self, items: list[Any]) -> dict[str, npt.NDArray[np.float32]]:
        """The model's input, float32, (items, 3, height, width)."""
        from PIL import Image

        images = (decoded(io.BytesIO(item)) if isinstance(item, bytes) else Image.fromarray(item) for item in items)
        return {self._name: np.stack([pixels(image, self._how) for image in images])}

    def maker(self) -> dict[str, Scalar]:
        """The version of Pillow."""
        import PIL

        return {"pillow": PIL.__version__}
