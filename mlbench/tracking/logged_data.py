"""A dataset that a run in MLflow has logged as its input, read from where its source says that it lies."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import mlflow
import mlflow.data
from mlflow.entities import Dataset
from mlflow.exceptions import MlflowException

from mlbench.errors import InputError
from mlbench.tracking.calls import first_line, quiet
from mlbench.workloads import RawData
from mlbench.workloads.columns import OPTIONS
from mlbench.workloads.files import Csv, CsvOptions, JsonLines, Parquet, TableOptions

_RUN = "runs:/"


@dataclass(frozen=True, slots=True)
class LoggedDataOptions:
    """Which dataset of which run, and which of its columns are what; see :class:`mlbench.workloads.columns.Mapped`.

    Attributes:
        run: Run id, or ``runs:/<id>``.
        name: Name of the dataset, where the run has several.
        digest: MLflow's digest of it, where it has several of one name.
    """

    run: str
    name: str | None = None
    digest: str | None = None
    inputs: dict[str, str | tuple[str, ...]] | tuple[str, ...] = field(default_factory=dict)
    labels: str | tuple[str, ...] = "label"
    split: str | None = None


class LoggedData:
    """A file in CSV, Parquet or JSON Lines, on this disk, in an artifact store, or behind an HTTP address."""

    options: type[Any] = LoggedDataOptions

    def load(self, options: LoggedDataOptions) -> RawData:
        """Find the dataset, fetch its file and read it.

        Raises:
            InputError: There is no such run or dataset, its source cannot be loaded, or the file cannot be read.
        """
        found = _found(options)
        with tempfile.TemporaryDirectory(prefix="mlbench-data-") as folder:
            path = _fetched(found, folder)
            read = _READERS.get(path.suffix.lower())
            if read is None:
                raise InputError(
                    f"{OPTIONS}.run: the dataset '{found.name}' is the file {path.name}; what is read are "
                    f"{', '.join(_READERS)}"
                )
            raw = read(path, options)
            notes = _changes(found, path)
        return replace(raw, source=f"{path.name} (dataset '{found.name}', {found.digest}, in MLflow)", notes=notes)


def _found(options: LoggedDataOptions) -> Dataset:
    run_id = options.run.removeprefix(_RUN).strip("/")
    try:
        with quiet():
            inputs = mlflow.get_run(run_id).inputs
            logged = [item.dataset for item in inputs.dataset_inputs] if inputs is not None else []
    except MlflowException as error:
        raise InputError(f"{OPTIONS}.run: the run '{run_id}' cannot be read: {first_line(error)}") from error
    fitting = [item for item in logged if options.name in (None, item.name) and options.digest in (None, item.digest)]
    if len(fitting) == 1:
        return fitting[0]
    has = ", ".join(f"'{item.name}' ({item.digest})" for item in logged) or "none"
    if fitting:
        raise InputError(f"{OPTIONS}.name: the run has several datasets, {has}; name and digest say which")
    key = "run" if not logged else "name" if options.digest is None else "digest"
    raise InputError(f"{OPTIONS}.{key}: the run '{run_id}' has no such dataset; it has {has}")


def _fetched(dataset: Dataset, folder: str) -> Path:
    """The dataset's file.

    Raises:
        InputError: Its source is none that can be loaded.
    """
    where = f"{OPTIONS}.run: the dataset '{dataset.name}'"
    try:
        with quiet():
            source: Any = mlflow.data.get_source(dataset)  # those of files take a place to load to
            place = source.load(dst_path=folder)
    except (NotImplementedError, TypeError):
        raise InputError(
            f"{where} has a source of the kind '{dataset.source_type}', which names no file to load; log it with "
            "source='path/or/URI/of/the/file'"
        ) from None
    except Exception as error:  # sources of every kind raise what they like
        raise InputError(f"{where} cannot be loaded from its source: {first_line(error)}") from error
    path = Path(str(place))
    if path.is_dir():
        files = [item for item in path.rglob("*") if item.is_file()]
        if len(files) != 1:
            raise InputError(f"{where} is a folder of {len(files)} files; a dataset is one file")
        (path,) = files
    return path


def _changes(dataset: Dataset, path: Path) -> tuple[str, ...]:
    """That the file may not be what was logged: MLflow's digest is of the table in memory, made again from the file."""
    import pandas as pd

    again: Mapping[str, Callable[[], Any]] = {
        ".csv": lambda: pd.read_csv(path),
        ".parquet": lambda: pd.read_parquet(path),
        ".jsonl": lambda: pd.read_json(path, lines=True),
    }
    try:
        with quiet():
            now = mlflow.data.from_pandas(again[path.suffix.lower()]()).digest  # type: ignore[attr-defined]  # made at import
    except (ValueError, TypeError, MlflowException) as error:
        now = f"unknown ({first_line(error)})"
    if now == dataset.digest:
        return ()
    note = (
        f"the file {path.name} gives MLflow's digest {now}, not {dataset.digest}, which was logged: it was changed "
        "since, or the table was changed before it was logged"
    )
    return (note,)


def _csv(path: Path, options: LoggedDataOptions) -> RawData:
    return Csv().load(CsvOptions(str(path), options.inputs, options.labels, options.split))


def _parquet(path: Path, options: LoggedDataOptions) -> RawData:
    return Parquet().load(TableOptions(str(path), options.inputs, options.labels, options.split))


def _jsonl(path: Path, options: LoggedDataOptions) -> RawData:
    return JsonLines().load(TableOptions(str(path), options.inputs, options.labels, options.split))


_READERS: Mapping[str, Callable[[Path, LoggedDataOptions], RawData]] = {
    ".csv": _csv,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}
