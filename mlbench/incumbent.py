"""The champion as an arm: what is registered now is measured beside its challengers, and not remembered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mlbench.config import StudyConfig
from mlbench.errors import InputError, WorkerError
from mlbench.measurement.interpreters import examine
from mlbench.recipes import INCUMBENT
from mlbench.records import Arm, Artifact, Notice
from mlbench.tracking import Champion, Registered, Tracker, fetch, find_registered
from mlbench.variants.store import Store
from mlbench.variants.weights import counted
from mlbench.workloads import Progress, Workload
from mlbench.workloads.skeletons import FACTORY as SKELETONS

_DATA = ("executorch", "onnx", "openvino", "torch_module", "torch_tuned")
"""Formats of which nothing runs when they are loaded, besides the workload's own factory."""
_PROGRAMS = {
    "pt2": "an exported program with pickled parts",
    "torchscript": "TorchScript, which is a program",
    "aoti": "a compiled library",
    "sklearn": "a pickle",
}


def fit_incumbent(
    config: StudyConfig, tracker: Tracker, champion: Champion | None, workload: Workload
) -> Registered | None:
    """What is known of the champion that is to take part; nothing of it is fetched. None as in :func:`incumbent`.

    Raises:
        InputError: It cannot take part; the sentence says why.
        TrackingError: MLflow refused.
    """
    if not config.incumbent or champion is None or champion.version is None:
        return None
    known = find_registered(tracker, champion)
    _require(_what(champion), _unfit(known.artifact, workload) or _untrusted(config, known.artifact))
    return known


def incumbent(
    config: StudyConfig,
    tracker: Tracker,
    champion: Champion | None,
    workload: Workload,
    store: Store,
    progress: Progress,
) -> tuple[Arm, ...]:
    """The champion that there was when the study began, as an arm; nothing where there was none, or none is wanted.

    It is served with the settings with which it was measured when it was promoted.

    Raises:
        InputError: It cannot take part; the sentence says why.
        TrackingError: MLflow refused.
    """
    known = fit_incumbent(config, tracker, champion, workload)
    if known is None:
        return ()
    what = _what(known.champion)
    progress(f"fetching {what}")
    key = {"kind": "registered", "model": known.model_id, "format": known.artifact.format}
    artifact = store.build(key, partial(fetch, tracker, known), progress)
    _require(what, _untrusted(config, artifact))
    about = f"{what} ('{known.champion.alias}'): {known.arm} of the study {known.study}"
    recipe = replace(known.recipe, name=INCUMBENT, description=about)
    arm = Arm(INCUMBENT, "incumbent", recipe, counted(artifact), recipe.runtime)
    try:
        examine(arm, workload.data.collation)
    except WorkerError as error:
        raise InputError(f"incumbent: {what} cannot take part: {error}; leave out incumbent=true") from error
    return (arm,)


def absence(config: StudyConfig, arms: Sequence[Arm]) -> tuple[Notice, ...]:
    """That there was no champion to beat, where one was asked for."""
    if not config.incumbent or any(arm.role == "incumbent" for arm in arms):
        return ()
    return (
        Notice(
            "no-incumbent",
            "incumbent: there is no champion yet, so there is none to beat, and goals against it do not apply",
            "the winner of this study becomes one",
        ),
    )


def _what(champion: Champion) -> str:
    return f"version {champion.version} of '{champion.model_name}'"


def _require(what: str, problem: str) -> None:
    if problem:
        raise InputError(f"incumbent: {what} cannot take part: {problem}; leave out incumbent=true")


def _untrusted(config: StudyConfig, artifact: Artifact) -> str:
    """Why the champion is not loaded without the user's word for the registry; of a program, once its file is there."""
    if config.registry.trust or artifact.format in _DATA or _is_plain_program(artifact):
        return ""
    what = _PROGRAMS.get(artifact.format, f"of the format {artifact.format}")
    return (
        f"it is {what}, and loading it runs whatever code is in it; if you trust everybody who can write to the "
        "registry, say registry.trust=true"
    )


def _is_plain_program(artifact: Artifact) -> bool:
    """Whether it is an exported program without pickles, or one that is not here yet."""
    if artifact.format != "pt2" or not artifact.path:
        return artifact.format == "pt2"
    from mlbench.tracking.logged_torch import free_of_pickles

    return free_of_pickles(Path(artifact.path) / artifact.entry)


def _unfit(artifact: Artifact, workload: Workload) -> str:
    """Why the champion does not belong to this workload."""
    wanted = {spec.name: spec.dtype for spec in artifact.inputs}
    offered = {spec.name: spec.dtype for spec in workload.info.data.inputs}
    if not wanted.items() <= offered.items():
        named = ", ".join(f"{name} ({dtype})" for name, dtype in wanted.items())
        return f"it takes {named}, and the workload gives {', '.join(f'{n} ({d})' for n, d in offered.items())}"
    factory = artifact.meta.get("factory")
    own = (workload.info.model.get("factory"), workload.source.meta.get("factory"))
    if factory is not None and artifact.format != "pt2" and factory not in own:
        return f"it is made by the code {factory}, which is not the workload's own"
    if factory == SKELETONS and artifact.meta.get("args") != workload.source.meta.get("args"):
        return "it is made by pickled code, which is not that of the workload's own model"
    return ""
