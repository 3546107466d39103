"""The workload, ready for recipes: data read and split, model built or taken from the store."""

from __future__ import annotations

from dataclasses import asdict

from mlbench.config import WorkloadConfig
from mlbench.errors import InputError
from mlbench.parts import Kind
from mlbench.records import WorkloadInfo
from mlbench.registry import find, load
from mlbench.workloads import Data, EncodingSource, Progress, Workload
from mlbench.workloads.splits import check_data, make_data
from mlbench.workloads.torch_factory import ArtifactStore


def check(config: WorkloadConfig) -> list[str]:
    """Problems of the workload that can be said without reading data or importing torch, as sentences; cheap."""
    found = check_data(config.data)
    parts: list[tuple[Kind, str, str]] = [
        ("model", config.model.source, "workload.model.source"),
        ("task", config.task, "workload.task"),
    ]
    for kind, name, key in parts:
        try:
            reason = find(kind, name).missing()
        except InputError as error:
            found += [f"{key}: {sentence}" for sentence in error.problems]
            continue
        if reason is not None:
            found.append(f"{key}: {kind} '{name}' {reason}")
        elif kind == "model":
            found += load("model", name)().check(config.model)
    return found


def read_data(config: WorkloadConfig) -> Data:
    """The workload's data, split, and encoded as its model takes it.

    Raises:
        InputError: The data cannot be read or is not fit; the sentence names the key or file.
    """
    source = load("model", config.model.source)()
    if not isinstance(source, EncodingSource):
        return make_data(config.data, config.task)
    return make_data(
        config.data, config.task, lambda raw: source.encode(config.model, raw, config.data.classes, config.task)
    )


def prepare(config: WorkloadConfig, store: ArtifactStore, progress: Progress, data: Data | None = None) -> Workload:
    """Read and split the data, and build the workload's own model.

    Args:
        config: The workload as configured.
        store: Where the model is kept, and taken from when it is there already.
        progress: Told in a few words what is being done.
        data: The data, where :func:`read_data` was called before to see that it is fit.

    Raises:
        InputError: The configuration or the data is not fit; one sentence per problem.
    """
    found = check(config)
    if found:
        raise InputError(found)
    if data is None:
        progress(f"reading the data of {config.name}")
        data = read_data(config)
    source = load("model", config.model.source)().build(config.model, data, store, progress)
    model = {key: value for key, value in asdict(config.model).items() if value not in (None, {})}
    for key in ("parameters", "training"):
        if source.meta.get(key):
            model[key] = source.meta[key]
    info = WorkloadInfo(config.name, config.task, data.info, model, source.digest)
    return Workload(info, data, source)
