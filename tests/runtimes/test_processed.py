"""Calls that begin with images, against transformers' own processors."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from mlbench.runtimes.processed import ProcessedSession, Processing, decoded, pixels

MEAN, STD = (0.48, 0.45, 0.4), (0.26, 0.25, 0.27)


class Given:
    """Remembers what it was given."""

    def prepare(self, batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return batch

    def run(self, prepared: dict[str, np.ndarray]) -> np.ndarray:
        return prepared["pixel_values"].sum(axis=(2, 3))

    def outputs(self, result: np.ndarray) -> tuple[np.ndarray, ...]:
        return (result,)

    def effective(self) -> dict[str, Any]:
        return {"runtime": "given"}


def image(width: int, height: int) -> Image.Image:
    random = np.random.default_rng(width * height)
    return Image.fromarray(random.integers(0, 256, (height, width, 3)).astype(np.uint8))


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("how", "processor"),
    [
        (
            Processing(size=(12, 16), factor=1 / 255, mean=MEAN, std=STD),
            transformers.ViTImageProcessor(size={"height": 12, "width": 16}, image_mean=MEAN, image_std=STD),
        ),
        (
            Processing(shortest_edge=18, resample=3, crop=(16, 16), factor=1 / 255, mean=MEAN, std=STD),
            transformers.CLIPImageProcessor(
                size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}, image_mean=MEAN, image_std=STD
            ),
        ),
        (Processing(factor=1 / 127), transformers.ViTImageProcessor(
            do_resize=False, do_normalize=False, rescale_factor=1 / 127)),
        (Processing(), transformers.ViTImageProcessor(do_resize=False, do_normalize=False, do_rescale=False)),
    ],
    ids=["stretched", "cut", "as large", "as it is"],
)  # fmt: skip
@pytest.mark.parametrize("size", [(20, 31), (40, 25), (24, 24)])
def test_pixels_are_those_of_transformers(how: Processing, processor: Any, size: tuple[int, int]) -> None:
    expected = processor(images=[image(*size)], return_tensors="np")["pixel_values"][0]
    np.testing.assert_array_equal(pixels(image(*size), how), expected)
    assert pixels(image(*size), how).dtype == np.float32


def test_an_image_that_is_too_small_to_be_cut() -> None:
    with pytest.raises(ValueError, match="an image of 10 x 30 pixels is too small to cut 16 x 16 out of it"):
        pixels(image(10, 30), Processing(crop=(16, 16)))


def test_files_are_turned_as_they_say_and_what_is_no_image_is_refused() -> None:
    buffer, turn = io.BytesIO(), Image.Exif()
    turn[0x0112] = 6
    image(4, 2).save(buffer, "PNG", exif=turn)
    assert decoded(io.BytesIO(buffer.getvalue())).size == (2, 4)
    with pytest.raises(Image.UnidentifiedImageError):
        decoded(io.BytesIO(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n"))


def test_calls_begin_with_files_or_with_pixels(tmp_path: Path) -> None:
    how = Processing(size=(3, 5), factor=1 / 255)
    (tmp_path / "processing.json").write_text(json.dumps(asdict(how)))
    pictures = [image(8, 8), image(8, 8).transpose(Image.Transpose.ROTATE_90)]
    names = [tmp_path / f"{number}.png" for number in range(2)]
    for name, picture in zip(names, pictures, strict=True):
        name.write_bytes(png(picture))
    expected = np.stack([pixels(picture, how) for picture in pictures])
    session = ProcessedSession(Given(), tmp_path / "processing.json", "pixel_values")
    prepared = session.prepare({"original 0": np.array([str(name) for name in names])})
    assert prepared == [name.read_bytes() for name in names]  # reading the disk is not timed
    np.testing.assert_array_equal(session.made(prepared)["pixel_values"], expected)
    arrays = session.prepare({"original 0": np.stack([np.asarray(picture) for picture in pictures])})
    np.testing.assert_array_equal(session.made(arrays)["pixel_values"], expected)
    (sums,) = session.outputs(session.run(prepared))
    np.testing.assert_allclose(sums, expected.sum(axis=(2, 3)))
    effective = session.effective()
    assert (effective["runtime"], effective["timing"]) == ("given", "end-to-end")
    assert effective["pillow"]
