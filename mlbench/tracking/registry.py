"""The model registry: promote a study's winner, roll back to what was there before.

The alias (``champion``) points at what serves now, ``previous`` at what it replaced, and every version keeps the number
of the one that it replaced, so that a rollback can be repeated. MLflow has no compare-and-swap for aliases: the alias
is read again right before it is written, and a move by somebody else in between is reported instead of overwritten.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import mlflow
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from mlbench.config import RegistryConfig
from mlbench.errors import ExitCode, InputError, MlbenchError, TrackingError
from mlbench.records import ArmResult, Study
from mlbench.tracking import describe, names
from mlbench.tracking.calls import doing, is_absent
from mlbench.tracking.content import verdict
from mlbench.tracking.load import LoadedStudy, load_study
from mlbench.variants.quiet import quiet as captured

if TYPE_CHECKING:
    from mlbench.tracking.client import Tracker

_EVIDENCE = {
    "latency/p50_ms": "mlbench.p50_ms",
    "vs_baseline/speedup_p50": "mlbench.speedup_p50",
    "vs_baseline/accuracy_delta": "mlbench.accuracy_delta",
    "quality/accuracy": "mlbench.accuracy",
    "throughput/samples_per_s": "mlbench.samples_per_s",
    "memory/disk_mib": "mlbench.disk_mib",
    "memory/peak_rss_mib": "mlbench.peak_rss_mib",
}
_MACHINE = ("cpu.model", "system", "python", "version.torch", "version.onnxruntime")


class PromotionRefusedError(MlbenchError):
    """The study's decision is not to promote.

    Args:
        message: Why, in one sentence.
        exit_code: 3 where the policy was not met, 4 where the study is inconclusive.
    """

    def __init__(self, message: str, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        super().__init__(message)


@dataclass(frozen=True, slots=True)
class Promotion:
    """What happened to an alias, or with ``dry_run`` what would happen.

    Attributes:
        version: Version that the alias points at now; None in a dry run that would register a new one.
        previous: Version that it pointed at before; None where there was none.
        changed: Whether the alias moved.
        registered: Whether a new version was registered.
        study, run_id, arm, model_id: The evidence; empty for a rollback.
        sentence: All that in one sentence.
    """

    model_name: str
    alias: str
    version: int | None
    previous: int | None
    changed: bool
    registered: bool
    dry_run: bool
    sentence: str
    study: str = ""
    run_id: str = ""
    arm: str = ""
    model_id: str = ""


def promote(tracker: Tracker, reference: str, config: RegistryConfig, *, dry_run: bool = False) -> Promotion:
    """Register a study's winner and point the alias at it; doing so again changes nothing.

    Args:
        tracker: The store.
        reference: The study; see :func:`mlbench.tracking.load_study`.
        config: Name of the registered model and the alias.
        dry_run: Only say what would be done.

    Raises:
        InputError: A name that MLflow refuses, no such study, or a winner without a logged model.
        PromotionRefusedError: The study decided otherwise.
        TrackingError: MLflow refused, or the alias was moved by somebody else meanwhile.
    """
    loaded = load_study(tracker, reference)
    study = loaded.study
    name = config.model_name or names.default_model_name(study.workload.name)
    _check_names(name, config.alias)
    winner = _winner(loaded)
    with doing(f"find the model of '{winner.name}'"):
        model_id = _model_id(tracker, loaded, winner)
        version = _registered(tracker, name, model_id)
        before = alias_version(tracker, name, config.alias)
    evidence = {"study": study.name, "run_id": loaded.run_id, "arm": winner.name, "model_id": model_id}
    if dry_run:
        return _result(name, config.alias, version, before, registered=version is None, dry_run=True, **evidence)
    registered = version is None
    with doing(f"register the model '{name}'"):
        tags = _tags(loaded, winner)
        if version is None:
            version = _register(tracker, name, model_id, tags)
        for key, value in tags.items():
            tracker.client.set_model_version_tag(name, str(version), key, value)
        note = describe.version_note(study, winner, loaded.run_id)
        tracker.client.update_model_version(name, str(version), note)
        _move(tracker, name, config.alias, before, version)
    return _result(name, config.alias, version, before, registered=registered, dry_run=False, **evidence)


def rollback(tracker: Tracker, model_name: str, alias: str = "champion", *, dry_run: bool = False) -> Promotion:
    """Point the alias back at the version that the current one replaced. Can be repeated, one version at a time.

    Args:
        tracker: The store.
        model_name: Registered model.
        alias: The alias to move.
        dry_run: Only say what would be done.

    Raises:
        InputError: A name that MLflow refuses, no such model or alias, or nothing to go back to.
        TrackingError: MLflow refused, or the alias was moved by somebody else meanwhile.
    """
    _check_names(model_name, alias)
    kept = names.previous_alias(alias)
    with doing(f"roll back '{model_name}'"):
        current = alias_version(tracker, model_name, alias)
        if current is None:
            raise InputError(
                f"no registered model '{model_name}' with the alias '{alias}' in the MLflow store "
                f"{tracker.location.shown()}"
            )
        target = alias_version(tracker, model_name, kept)
        if target is None or target == current:
            raise InputError(
                f"'{model_name}' version {current} replaced no other version: there is nothing to go back to"
            )
        verb = "would go" if dry_run else "went"
        sentence = f"'{model_name}': '{alias}' {verb} back from version {current} to version {target}"
        if not dry_run:
            _require_still(tracker, model_name, alias, current)
            tracker.client.set_registered_model_alias(model_name, alias, str(target))
            moment = datetime.now(UTC).isoformat(timespec="seconds")
            tracker.client.set_model_version_tag(model_name, str(current), names.ROLLED_BACK, moment)
            _keep_before(tracker, model_name, kept, target)
    return Promotion(
        model_name, alias, target, current, not dry_run, registered=False, dry_run=dry_run, sentence=sentence
    )


def alias_version(tracker: Tracker, name: str, alias: str) -> int | None:
    """The version that an alias points at; None where there is no such model or alias."""
    try:
        return int(tracker.client.get_model_version_by_alias(name, alias).version)
    except MlflowException as error:
        if is_absent(error):
            return None
        raise


def promoted_since(tracker: Tracker, run_id: str, study: Study, config: RegistryConfig, moment: str) -> int | None:
    """The version that another study has made champion since a moment; None where there is none.

    Args:
        tracker: The store.
        run_id: The study's run, whose own version does not count.
        study: Its workload names the registered model where the configuration does not.
        config: Name of the registered model and the alias.
        moment: ISO 8601 with time zone.

    Raises:
        TrackingError: MLflow refused.
    """
    name = config.model_name or names.default_model_name(study.workload.name)
    since = datetime.fromisoformat(moment).timestamp()
    with doing(f"look for the champion of '{name}'"):
        current = alias_version(tracker, name, config.alias)
        if current is None:
            return None
        version = tracker.client.get_model_version(name, str(current))
    is_own = version.tags.get(names.RUN) == run_id
    return current if not is_own and version.creation_timestamp / 1000 > since else None


# ---------------------------------------------------------------------------------------------------------------------
# promotion, step by step


def _check_names(name: str, alias: str) -> None:
    problems = [problem for problem in (names.check_model_name(name), names.check_alias(alias)) if problem]
    if problems:
        raise InputError(problems)


def _winner(loaded: LoadedStudy) -> ArmResult:
    decision = loaded.study.decision
    if decision.outcome == "promote" and decision.winner is not None:
        return loaded.study.arm(decision.winner)
    code = ExitCode.INCONCLUSIVE if decision.outcome == "inconclusive" else ExitCode.POLICY_NOT_MET
    raise PromotionRefusedError(f"the study '{loaded.study.name}' promotes nothing: {decision.sentence}", code)


def _model_id(tracker: Tracker, loaded: LoadedStudy, winner: ArmResult) -> str:
    tags = tracker.client.get_run(loaded.arms[winner.name]).data.tags
    model_id: str | None = tags.get(names.MODEL)
    if model_id is None:
        reason = tags.get(names.MODEL_ABSENT, "models were not logged (tracking.log_models=false)")
        raise InputError(f"the arm '{winner.name}' of the study '{loaded.study.name}' has no logged model: {reason}")
    tracker.client.get_logged_model(model_id)  # raises where it was deleted since
    return model_id


def _registered(tracker: Tracker, name: str, model_id: str) -> int | None:
    """The version under which this very model is registered already."""
    found: list[ModelVersion] = tracker.client.search_model_versions(f"source_path = 'models:/{model_id}'")
    return max((int(version.version) for version in found if version.name == name), default=None)


def _register(tracker: Tracker, name: str, model_id: str, tags: dict[str, str]) -> int:
    mlflow.set_tracking_uri(tracker.location.uri)
    with captured():  # MLflow prints what it did
        return int(mlflow.register_model(f"models:/{model_id}", name, tags=tags).version)


def _move(tracker: Tracker, name: str, alias: str, before: int | None, version: int) -> None:
    if before == version:
        return
    kept = names.previous_alias(alias)
    if before is not None:
        tracker.client.set_model_version_tag(name, str(version), names.REPLACED, str(before))
    _require_still(tracker, name, alias, before)
    if before is not None:
        tracker.client.set_registered_model_alias(name, kept, str(before))
    tracker.client.set_registered_model_alias(name, alias, str(version))


def _keep_before(tracker: Tracker, name: str, kept: str, version: int) -> None:
    """Point ``previous`` at what this version replaced, so that another rollback goes one further back."""
    replaced = tracker.client.get_model_version(name, str(version)).tags.get(names.REPLACED)
    existing = {int(found.version) for found in tracker.client.search_model_versions(f"name = '{name}'")}
    if replaced is not None and int(replaced) in existing:
        tracker.client.set_registered_model_alias(name, kept, replaced)
    else:
        tracker.client.delete_registered_model_alias(name, kept)


def _require_still(tracker: Tracker, name: str, alias: str, expected: int | None) -> None:
    now = alias_version(tracker, name, alias)
    if now != expected:
        was = f"version {expected}" if expected is not None else "nothing"
        raise TrackingError(
            f"'{name}': somebody moved '{alias}' from {was} to version {now} meanwhile; nothing was overwritten, "
            "look at it and do this again"
        )


def _tags(loaded: LoadedStudy, winner: ArmResult) -> dict[str, str]:
    study = loaded.study
    tags = {
        names.STUDY: study.name,
        names.RUN: loaded.run_id,
        names.ARM: winner.name,
        names.VERDICT: verdict(winner),
        names.DECISION: study.decision.outcome,
        names.NOISE: study.noise.level,
        names.DATA: study.workload.data.digest,
        "mlbench.environment": "; ".join(
            f"{key} {study.environment[key]}" for key in _MACHINE if key in study.environment
        ),
    }
    return tags | {
        tag: describe.shown(winner.metrics[metric]) for metric, tag in _EVIDENCE.items() if metric in winner.metrics
    }


def _result(
    name: str, alias: str, version: int | None, before: int | None, *, registered: bool, dry_run: bool, **evidence: str
) -> Promotion:
    changed = version is None or version != before
    what = f"version {version}" if version is not None else "a new version"
    if not changed:
        sentence = f"'{name}' {what} ({evidence['arm']}) is '{alias}' already"
    else:
        instead = f" instead of version {before}, kept as '{names.previous_alias(alias)}'" if before is not None else ""
        verb = "would be" if dry_run else "is now"
        sentence = f"'{name}' {what} ({evidence['arm']}) {verb} '{alias}'{instead}"
    return Promotion(
        name,
        alias,
        version,
        before,
        changed=changed and not dry_run,
        registered=registered and not dry_run,
        dry_run=dry_run,
        sentence=sentence,
        **evidence,
    )
