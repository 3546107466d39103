"""Built-in sources of data: the sets that come with scikit-learn, and NumPy archives."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mlbench.errors import InputError
from mlbench.outside import check_memory
from mlbench.registry import suggest
from mlbench.workloads import RawData

_PATH_KEY = "workload.data.options.path"
_INPUTS_KEY = "workload.data.options.inputs"
_LABELS_KEY = "workload.data.options.labels"
_SEQUENCES_KEY = "workload.data.options.sequences"


@dataclass(frozen=True, slots=True)
class DigitsOptions:
    """The digits have no options."""


class Digits:
    """scikit-learn's handwritten digits: 1,797 images in 10 classes.

    Input ``image``: float32, shape (items, 1, 8, 8), scaled from 0..16 to 0..1.
    """

    options: type[Any] = DigitsOptions

    def load(self, options: DigitsOptions) -> RawData:  # noqa: ARG002 - the protocol's signature
        """Read the images that come with scikit-learn; no network."""
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        image = (np.asarray(images) / 16).astype(np.float32).reshape(-1, 1, 8, 8)
        return RawData(
            inputs={"image": image},
            labels=np.asarray(labels, dtype=np.int64),
            classes=tuple(str(digit) for digit in range(10)),
            source="sklearn.datasets.load_digits",
        )


@dataclass(frozen=True, slots=True)
class SklearnOptions:
    """Which of the sets that come with scikit-learn."""

    name: Literal["breast_cancer", "diabetes", "digits", "iris", "wine"]


class SklearnSets:
    """A table that comes with scikit-learn: input ``features``, float32, shape (items, columns); no network.

    ``diabetes`` has numbers as labels (regression), ``breast_cancer`` two classes, the others several.
    """

    options: type[Any] = SklearnOptions

    def load(self, options: SklearnOptions) -> RawData:
        """Read the set."""
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, f"load_{options.name}")()
        features = np.asarray(bunch.data, dtype=np.float32)
        classes = tuple(str(name) for name in getattr(bunch, "target_names", ()))
        return RawData(
            inputs={"features": features},
            labels=np.asarray(bunch.target),
            classes=classes,
            source=f"sklearn.datasets.load_{options.name}",
            columns=dict.fromkeys((str(name) for name in bunch.feature_names), "float32"),
        )


@dataclass(frozen=True, slots=True)
class NpzOptions:
    """Where the arrays are.

    Attributes:
        path: A NumPy archive (``.npz``).
        inputs: Model input name -> array name, or a list of array names that are input names too; in call order.
            Empty: every array of the archive but the labels.
        labels: Name of the array of labels, as the task needs them: whole numbers or text, shape (items,), for classes.
        sequences: Names of the model inputs whose second axis is the length of a sequence.
    """

    path: str
    inputs: dict[str, str] | tuple[str, ...] = field(default_factory=dict)
    labels: str = "labels"
    sequences: tuple[str, ...] = ()


class Npz:
    """A NumPy archive: one array per model input (first axis: items) and one of labels."""

    options: type[Any] = NpzOptions

    def load(self, options: NpzOptions) -> RawData:
        """Read the archive; pickled objects in it are refused.

        Raises:
            InputError: The file or an array is missing or cannot be used; the message names it.
        """
        path = Path(options.path).expanduser()
        arrays = _read(path)
        if options.labels not in arrays:
            raise InputError(
                f"{_LABELS_KEY}: {path} has no array '{options.labels}'; {suggest(options.labels, arrays)}"
            )
        names = options.inputs
        if not names:
            names = tuple(name for name in arrays if name != options.labels)
        wanted = dict(names) if isinstance(names, Mapping) else {name: name for name in names}
        if not wanted:
            raise InputError(f"{_INPUTS_KEY}: {path} holds no array besides '{options.labels}', so there is no input")
        absent = [name for name in wanted.values() if name not in arrays]
        if absent:
            raise InputError(
                [f"{_INPUTS_KEY}: {path} has no array '{name}'; {suggest(name, arrays)}" for name in absent]
            )
        labels = arrays[options.labels]
        if labels.ndim == 0:
            raise InputError(f"{_LABELS_KEY}: array '{options.labels}' of {path} is a single value")
        inputs = {name: arrays[array] for name, array in wanted.items()}
        for name, array in inputs.items():
            if array.ndim == 0 or len(array) != len(labels):
                rows = "a single value" if array.ndim == 0 else f"{len(array)} rows"
                raise InputError(f"{_INPUTS_KEY}: input '{name}' has {rows}, but there are {len(labels)} labels")
        for name in options.sequences:
            if name not in inputs or inputs[name].ndim < 2:
                what = "has a single axis" if name in inputs else f"is no input; {suggest(name, inputs)}"
                raise InputError(
                    f"{_SEQUENCES_KEY}: '{name}' {what}; a sequence's length is the second axis of an input"
                )
        columns = {name: f"{array.dtype} {list(array.shape[1:])}" for name, array in arrays.items()}
        return RawData(inputs, labels, (), source=path.name, columns=columns, sequences=options.sequences)


def _read(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "does not exist"
        raise InputError(f"{_PATH_KEY}: {path} {what}; a NumPy archive (.npz) is expected")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as packed:
                check_memory(sum(member.file_size for member in packed.infolist()))
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise InputError(f"{_PATH_KEY}: {path} holds a single array; a NumPy archive (np.savez) is expected")
        with archive:
            return {name: archive[name] for name in archive.files}
    except (zipfile.BadZipFile, zlib.error, ValueError, EOFError, OSError, MemoryError, NotImplementedError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{_PATH_KEY}: {path} cannot be read as a NumPy archive without pickled objects: {reason}"
        ) from None
