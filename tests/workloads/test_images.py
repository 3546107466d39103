"""Folders of images as arrays, and folders that are none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.workloads.images import Images, ImagesOptions
from mlbench.workloads.splits import make_data

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


def paint(root: Path, count: int = 3, size: tuple[int, int] = (8, 4)) -> Path:
    for name, colour in COLOURS.items():
        (root / name).mkdir(parents=True)
        for number in range(count):
            Image.new("RGB", size, colour).save(root / name / f"{number}.png")
    return root


def refusal(**options: Any) -> str:
    with pytest.raises(InputError) as caught:
        Images().load(ImagesOptions(**options))
    (sentence,) = caught.value.problems
    return sentence


def test_folders_are_classes(tmp_path: Path) -> None:
    raw = Images().load(ImagesOptions(str(paint(tmp_path / "pets")), height=4, width=6))
    assert raw.classes == ("blue", "red")
    assert raw.labels.tolist() == [0, 0, 0, 1, 1, 1]
    image = raw.inputs["image"]
    assert (image.shape, image.dtype) == ((6, 3, 4, 6), np.float32)
    np.testing.assert_array_equal(image[0, :, 1, 1], [0, 0, 1])
    np.testing.assert_array_equal(image[5, :, 1, 1], [1, 0, 0])
    assert raw.splits is None


def test_normalization_by_channel_and_grey(tmp_path: Path) -> None:
    root = str(paint(tmp_path))
    image = Images().load(ImagesOptions(root, 2, 2, mean=(0.5, 0.0, 1.0), std=(0.5, 1.0, 2.0))).inputs["image"]
    np.testing.assert_allclose(image[5, :, 0, 0], [1, 0, -0.5])
    grey = Images().load(ImagesOptions(root, 2, 2, channels=1)).inputs["image"]
    assert grey.shape == (6, 1, 2, 2)
    np.testing.assert_allclose(grey[5, 0, 0, 0], 76 / 255)  # ITU-R 601: 0.299 of red


def test_crop_keeps_proportions_and_stretch_does_not(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    wide = Image.new("L", (30, 10), 0)
    wide.paste(255, (0, 0, 10, 10))  # the left third is white
    wide.save(tmp_path / "a" / "wide.png")
    crop, stretch = (
        Images().load(ImagesOptions(str(tmp_path), 9, 9, channels=1, fit=fit)).inputs["image"][0, 0]
        for fit in ("crop", "stretch")
    )
    assert crop.max() < 0.6
    assert stretch[:, 0].min() == 1


def test_folders_of_splits(tmp_path: Path) -> None:
    for name in ("train", "val", "test"):
        paint(tmp_path / name)
    data = make_data(DataConfig("images", {"path": str(tmp_path), "height": 2, "width": 2}))
    assert data.info.rows == {"train": 6, "validation": 6, "test": 6}
    assert "6 of 6 test rows also occur in the training split" in data.info.notes


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert "is not a folder" in refusal(path=str(tmp_path / "none"))
    assert "holds no folder" in refusal(path=str(tmp_path))
    root = paint(tmp_path / "pets")
    assert "'workload" not in refusal(path=str(root), mean=(1.0, 2.0))
    assert "2 numbers do not fit 3 channels" in refusal(path=str(root), mean=(1.0, 2.0))
    assert "0 is not possible" in refusal(path=str(root), std=(0.0,))
    (root / "red" / "0.png").write_bytes(b"no image")
    assert "0.png cannot be read as an image" in refusal(path=str(root))
    (root / "green").mkdir()
    assert "green holds no image" in refusal(path=str(root))


def test_a_file_is_what_its_name_says_or_nothing(tmp_path: Path) -> None:
    """Pillow goes by content: it would hand this one to Ghostscript, which runs programs."""
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n")
    assert Image.open(tmp_path / "a" / "0.png").format == "EPS"
    assert "0.png cannot be read as an image: cannot identify" in refusal(path=str(tmp_path))


def test_an_image_of_more_pixels_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = paint(tmp_path, size=(30, 20))
    monkeypatch.setattr("mlbench.runtimes.processed._MOST_PIXELS", 599)
    assert "it has 30 x 20 pixels, and at most 599 are read" in refusal(path=str(root))
    monkeypatch.setattr("mlbench.runtimes.processed._MOST_PIXELS", 600)
    assert Images().load(ImagesOptions(str(root), 2, 2)).inputs["image"].shape == (6, 3, 2, 2)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow's own limit is an error that is no OSError
    assert "decompression bomb" in refusal(path=str(root))
