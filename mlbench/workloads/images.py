"""Images in folders, one folder for each class."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from annotated_types import Ge

from mlbench.errors import InputError
from mlbench.runtimes.processed import decoded
from mlbench.workloads import RawData
from mlbench.workloads.columns import OPTIONS, SPLIT_NAMES

_SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".ppm", ".tif", ".tiff", ".webp")

Pixels = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class ImagesOptions:
    """Where the images are and how they become arrays.

    Attributes:
        path: Folder with a folder for each class, or with folders ``train``, ``validation`` and ``test`` of those.
        height, width: Size of what the model takes, in pixels.
        channels: 1 is grey, 3 is red, green, blue.
        fit: ``crop`` scales the image to cover the size and cuts the middle out, ``stretch`` ignores its proportions.
        mean, std: Pixels of 0 to 1, minus ``mean``, over ``std``: one number, or one for each channel.
    """

    path: str
    height: Annotated[int, Ge(1)] = 224
    width: Annotated[int, Ge(1)] = 224
    channels: Literal[1, 3] = 3
    fit: Literal["crop", "stretch"] = "crop"
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)


class Images:
    """Input ``image``: float32, shape (items, channels, height, width)."""

    options: type[Any] = ImagesOptions

    def load(self, options: ImagesOptions) -> RawData:
        """Read every image below the folder, in the order of their names.

        Raises:
            InputError: There is no such folder, a class without images, or a file that is no image.
        """
        mean, std = (_per_channel(name, getattr(options, name), options.channels) for name in ("mean", "std"))
        if (std == 0).any():
            raise InputError(f"{OPTIONS}.std: it is divided by, so 0 is not possible")
        root = Path(options.path).expanduser()
        if not root.is_dir():
            raise InputError(f"{OPTIONS}.path: {root} is not a folder; it should hold one folder for each class")
        found = _files(root)
        classes = sorted({name for _, name, _ in found})
        place = {name: index for index, name in enumerate(classes)}
        image = np.empty((len(found), options.channels, options.height, options.width), dtype=np.float32)
        for row, (_, _, path) in enumerate(found):
            image[row] = (_read(path, options) - mean) / std
        splits = [split for split, _, _ in found]
        return RawData(
            inputs={"image": image},
            labels=np.array([place[name] for _, name, _ in found], dtype=np.int64),
            classes=tuple(classes),
            source=root.name,
            splits=np.array(splits, dtype=np.str_) if splits[0] else None,
            columns={"image": f"files, read as {options.channels} x {options.height} x {options.width}"},
            originals={"image": np.array([str(path) for _, _, path in found], dtype=np.str_)},
        )


def _files(root: Path) -> list[tuple[str, str, Path]]:
    """Split (empty where the folders name none), class and file of every image."""
    folders = _folders(root)
    if not folders:
        raise InputError(f"{OPTIONS}.path: {root} holds no folder; there should be one for each class")
    if all(folder.name.lower() in SPLIT_NAMES for folder in folders) and all(_folders(folder) for folder in folders):
        return [
            (SPLIT_NAMES[folder.name.lower()], name, path)
            for folder in folders
            for name, path in _classes(_folders(folder))
        ]
    return [("", name, path) for name, path in _classes(folders)]


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _classes(folders: list[Path]) -> list[tuple[str, Path]]:
    found = []
    for folder in folders:
        images = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
        if not images:
            raise InputError(f"{OPTIONS}.path: the folder {folder} holds no image ({', '.join(_SUFFIXES)})")
        found += [(folder.name, path) for path in images]
    return found


def _per_channel(name: str, values: tuple[float, ...], channels: int) -> Pixels:
    if len(values) not in (1, channels):
        raise InputError(
            f"{OPTIONS}.{name}: {len(values)} numbers do not fit {channels} channels; give 1 or {channels}"
        )
    return np.array(values, dtype=np.float32).reshape(-1, 1, 1)


def opened(path: Path, channels: int = 3) -> Any:
    """One image of PIL, turned as its EXIF data says.

    Raises:
        InputError: The file is no image, or too large.
    """
    try:
        return decoded(path, channels)
    except Exception as error:  # Pillow's decoders raise what they like
        raise InputError(f"{OPTIONS}.path: {path} cannot be read as an image: {error}") from error


def _read(path: Path, options: ImagesOptions) -> Pixels:
    """One image, pixels of 0 to 1, shape (channels, height, width)."""
    from PIL import Image, ImageOps

    size = (options.width, options.height)
    image = opened(path, options.channels)
    if options.fit == "crop":
        image = ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    else:
        image = image.resize(size, Image.Resampling.BILINEAR)
    pixels: Pixels = np.asarray(image, dtype=np.float32) / np.float32(255)
    return pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1)
