"""Datasets of the Hugging Face hub, or saved by its library: `datasets` reads them, mlbench takes their columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlbench.errors import InputError
from mlbench.workloads import RawData
from mlbench.workloads.columns import OPTIONS, SPLIT_NAMES, Mapped, raw_data
from mlbench.workloads.files import SPLIT, from_arrow, joined


@dataclass(frozen=True, slots=True)
class HubOptions:
    """Which dataset, and which of its columns are what; see :class:`mlbench.workloads.columns.Mapped`.

    Attributes:
        id: Hub id (``owner/name``), or a local folder: one that ``save_to_disk`` wrote, or one of data files.
        config: Configuration of the dataset, where it has several.
        revision: Commit, tag or branch on the hub; what is recorded if it is not given may change.
        splits: Its splits by their names here, such as ``{test: validation_matched}``; empty is those of the same name.
    """

    id: str
    config: str | None = None
    revision: str | None = None
    inputs: dict[str, str | tuple[str, ...]] | tuple[str, ...] = field(default_factory=dict)
    labels: str | tuple[str, ...] = "label"
    splits: dict[str, str] = field(default_factory=dict)


class Hub:
    """One table per split; names of classes come from the dataset's own features. A dataset's own code is never run."""

    options: type[Any] = HubOptions

    def load(self, options: HubOptions) -> RawData:
        """Read the dataset; one on the hub is downloaded, and kept where that library keeps it.

        Raises:
            InputError: It cannot be had, or a column or split is missing.
        """
        whole = _whole(options)
        chosen = _chosen(whole, options.splits, options.id)
        tables = {name: from_arrow(split.with_format("arrow")[:], options.id) for name, split in chosen.items()}
        features = next(iter(chosen.values())).features
        kinds = {name: getattr(kind, "feature", kind) for name, kind in features.items()}  # of a list: what it holds
        classes = {name: tuple(kind.names) for name, kind in kinds.items() if hasattr(kind, "names")}
        source = options.id if options.revision is None else f"{options.id}@{options.revision}"
        if list(tables) == ["train"]:
            return raw_data(tables["train"], Mapped(options.inputs, options.labels), source, classes)
        table = joined(tables, source)
        return raw_data(table, Mapped(options.inputs, options.labels, SPLIT), source, classes)


def _whole(options: HubOptions) -> Mapping[str, Any]:
    """All splits by the dataset's own names."""
    import datasets

    folder = Path(options.id).expanduser()
    try:
        if any((folder / name).is_file() for name in ("dataset_dict.json", "state.json")):
            found = datasets.load_from_disk(str(folder))
        else:
            name = str(folder) if folder.is_dir() else options.id
            # where the library still runs scripts of datasets, it also asks on the terminal unless told
            scripts = {"trust_remote_code": False} if datasets.__version__.startswith(("2.", "3.")) else {}
            found = datasets.load_dataset(name, options.config, revision=options.revision, **scripts)
    except Exception as error:  # the library and the hub raise what they like
        reason = str(error).strip().splitlines()[0] if str(error).strip() else ""
        raise InputError(
            f"{OPTIONS}.id: the dataset '{options.id}' cannot be had: {type(error).__name__}: {reason}"
        ) from error
    return found if isinstance(found, Mapping) else {"train": found}


def _chosen(whole: Mapping[str, Any], wanted: Mapping[str, str], name: str) -> dict[str, Any]:
    """The splits to be used, by their names here."""
    if not wanted:
        wanted = {SPLIT_NAMES[theirs]: theirs for theirs in whole if theirs in SPLIT_NAMES}
    found = {}
    for ours, theirs in wanted.items():
        if ours not in SPLIT_NAMES.values():
            raise InputError(f"{OPTIONS}.splits: '{ours}' is no split; a split is one of train, validation, test")
        if theirs not in whole:
            raise InputError(f"{OPTIONS}.splits: '{name}' has no split '{theirs}'; it has {', '.join(whole)}")
        found[ours] = whole[theirs]
    if "train" not in found:
        raise InputError(f"{OPTIONS}.splits: '{name}' has no train split; it has {', '.join(whole)}")
    return found
