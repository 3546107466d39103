"""The model registry: promote a study's winner, roll back to what was there before.

The alias (``champion``) points at what serves now, ``previous`` at what it replaced, and every version keeps the number
of the one that it replaced, so that a rollback can be repeated. MLflow has no compare-and-swap for aliases: promotions
take turns (:mod:`mlbench.tracking.claims`), a study promotes only over the version that was there when it began, and
the alias is read again right before it is written, for moves that are not by mlbench.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_MODEL_VERSIONS

from mlbench.config import RegistryConfig
from mlbench.errors import ExitCode, InputError, TrackingError
from mlbench.records import ArmResult, Study
from mlbench.tracking import describe, names
from mlbench.tracking.calls import doing, is_forbidden
from mlbench.tracking.champion import Champion, alias_version, is_missing, moved, moved_since
from mlbench.tracking.claims import claimed
from mlbench.tracking.content import verdict
from mlbench.tracking.load import LoadedStudy, load_study
from mlbench.tracking.refusals import PromotionRefusedError, fit_winner
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
_CLAIM = "put a tag on '{name}' that makes other promotions wait, and take it away at the end"
_EVIDENCE_OF = "write the evidence into tags and description of {what}"
_MACHINE = ("cpu.model", "system", "python", "version.torch", "version.onnxruntime")


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
        writes: Everything that is written, or would be, in order; empty where nothing is.
        tags: Tags of the version.
        description: Description of the version, Markdown.
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
    writes: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)
    description: str = ""


def promote(tracker: Tracker, reference: str, config: RegistryConfig, *, dry_run: bool = False) -> Promotion:
    """Register a study's winner and point the alias at it; doing so again changes nothing.

    Args:
        tracker: The store.
        reference: The study; see :func:`mlbench.tracking.load_study`.
        config: Name of the registered model and the alias.
        dry_run: Only say what would be done.

    Raises:
        InputError: A name that MLflow refuses, no such study, or a winner without a logged model.
        PromotionRefusedError: The study does not promote (:func:`mlbench.tracking.refusals.fit_winner`), or the alias
            was moved since it began.
        TrackingError: MLflow refused, or the alias was moved by hand at this very moment.
    """
    loaded = load_study(tracker, reference)
    name = config.model_name or names.default_model_name(loaded.study.workload.name)
    _check_names(name, config.alias)
    winner = fit_winner(loaded)
    with doing(f"find the model of '{winner.name}'"):
        model_id = _model_id(tracker, loaded, winner)
    target = Champion(name, config.alias, None)
    with doing(f"look at the model '{name}'"):
        new = is_missing(tracker, name)
        if dry_run:
            return _planned(tracker, loaded, winner, model_id, target, new=new, dry_run=True)
    with doing(f"register the model '{name}'"), claimed(tracker, name, _claimant(loaded.run_id)):
        done = _planned(tracker, loaded, winner, model_id, target, new=new, dry_run=False)
        return _carried_out(tracker, done)


def registry_of(study: Study, model_name: str | None = None, alias: str | None = None) -> RegistryConfig:
    """Where a study is promoted to: as it was configured, except for what is given here.

    Raises:
        InputError: The configuration names something that is resolved by a run only.
    """
    recorded = study.config.get("registry", {})
    given = {"model_name": model_name, "alias": alias}
    for key, option in (("model_name", "--model-name"), ("alias", "--alias")):
        if given[key] is None and "${" in str(recorded.get(key)):
            raise InputError(
                f"the study's registry.{key} is {recorded[key]}, which is resolved by a run only: name it with "
                f"mlbench promote {option}"
            )
    chosen: dict[str, Any] = {key: recorded.get(key) if value is None else value for key, value in given.items()}
    return RegistryConfig(**{key: value for key, value in chosen.items() if value is not None})


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
        replaced = _replaced(tracker, model_name, target)
        writes = (
            _CLAIM.format(name=model_name),
            f"set the alias '{alias}' to version {target} (now: version {current})",
            f"tag version {current} as rolled back",
            f"set the alias '{kept}' to version {replaced}" if replaced else f"take the alias '{kept}' away",
        )
        if not dry_run:
            with claimed(tracker, model_name, _claimant("rollback")):
                _require_still(tracker, model_name, alias, current)
                tracker.client.set_registered_model_alias(model_name, alias, str(target))
                tracker.client.set_model_version_tag(model_name, str(current), names.ROLLED_BACK, _moment())
                _keep_before(tracker, model_name, kept, target)
    return Promotion(
        model_name,
        alias,
        target,
        current,
        changed=not dry_run,
        registered=False,
        dry_run=dry_run,
        sentence=sentence,
        writes=writes,
    )


# ---------------------------------------------------------------------------------------------------------------------
# promotion, step by step


def _claimant(who: str) -> str:
    """The same study may be promoted twice at once, from a page and from CI."""
    return f"{who}.{uuid4().hex}"


def _check_names(name: str, alias: str) -> None:
    problems = [problem for problem in (names.check_model_name(name), names.check_alias(alias)) if problem]
    if problems:
        raise InputError(problems)


def _model_id(tracker: Tracker, loaded: LoadedStudy, winner: ArmResult) -> str:
    tags = tracker.client.get_run(loaded.arms[winner.name]).data.tags
    model_id: str | None = tags.get(names.MODEL)
    if model_id is None:
        reason = tags.get(names.MODEL_ABSENT, "models were not logged (tracking.log_models=false)")
        raise InputError(f"the arm '{winner.name}' of the study '{loaded.study.name}' has no logged model: {reason}")
    tracker.client.get_logged_model(model_id)  # raises where it was deleted since
    return model_id


def _planned(
    tracker: Tracker,
    loaded: LoadedStudy,
    winner: ArmResult,
    model_id: str,
    target: Champion,
    *,
    new: bool,
    dry_run: bool,
) -> Promotion:
    """What there is to do, after a look at the registry.

    Raises:
        PromotionRefusedError: The alias was moved since the study began.
    """
    name, alias = target.model_name, target.alias
    registered = _registered(tracker, name, model_id)
    version = None if registered is None else int(registered.version)
    before = alias_version(tracker, name, alias)
    changed = version is None or version != before
    if changed:
        began = tracker.client.get_run(loaded.run_id).data.tags
        by_others = moved_since(tracker, began, replace(target, version=before))
        if by_others:
            raise PromotionRefusedError(
                f"'{name}': '{alias}' was moved since the study '{loaded.study.name}' began, {by_others}; nothing was "
                "changed: measure again, side by side with what is there now",
                ExitCode.FAILURE,
            )
    what = f"version {version}" if version is not None else "a new version"
    tags, description = _tags(loaded, winner), describe.version_note(loaded.study, winner, loaded.run_id)
    written = (
        registered is not None and tags.items() <= registered.tags.items() and registered.description == description
    )
    if changed:
        writes = _writes(target, model_id, version, before, new=new)
    else:
        writes = () if written else (_CLAIM.format(name=name), _EVIDENCE_OF.format(what=what))
    return Promotion(
        model_name=name,
        alias=alias,
        version=version,
        previous=before,
        changed=changed and not dry_run,
        registered=version is None and not dry_run,
        dry_run=dry_run,
        sentence=_sentence(name, alias, f"{what} ({winner.name})", before, changed=changed, dry_run=dry_run),
        study=loaded.study.name,
        run_id=loaded.run_id,
        arm=winner.name,
        model_id=model_id,
        writes=writes,
        tags=tags,
        description=description,
    )


def _sentence(name: str, alias: str, what: str, before: int | None, *, changed: bool, dry_run: bool) -> str:
    if not changed:
        return f"'{name}' {what} is '{alias}' already"
    instead = f" instead of version {before}, kept as '{names.previous_alias(alias)}'" if before is not None else ""
    return f"'{name}' {what} {'would be' if dry_run else 'is now'} '{alias}'{instead}"


def _writes(target: Champion, model_id: str, version: int | None, before: int | None, *, new: bool) -> tuple[str, ...]:
    name, alias = target.model_name, target.alias
    what = f"version {version}" if version is not None else "the new version"
    make = [f"make the registered model '{name}'"] if new else []
    register = [
        f"register 'models:/{model_id}' as a new version of '{name}'",
        "note that version in the tags of the logged model",
    ]
    keep = [f"set the alias '{names.previous_alias(alias)}' to version {before}"] if before is not None else []
    was = "unset" if before is None else f"version {before}"
    return (
        *make,
        _CLAIM.format(name=name),
        *(register if version is None else []),
        _EVIDENCE_OF.format(what=what),
        *keep,
        f"set the alias '{alias}' to {what} (now: {was})",
    )


def _carried_out(tracker: Tracker, plan: Promotion) -> Promotion:
    """Write what was planned; the version's number is known only now where it is new."""
    name, alias, client = plan.model_name, plan.alias, tracker.client
    if not plan.writes:
        return plan
    version = plan.version if plan.version is not None else _register(tracker, name, plan.model_id, plan.tags)
    for key, value in plan.tags.items():
        client.set_model_version_tag(name, str(version), key, value)
    client.update_model_version(name, str(version), plan.description)
    if plan.changed:
        if plan.previous is not None:
            client.set_model_version_tag(name, str(version), names.REPLACED, str(plan.previous))
        client.set_model_version_tag(name, str(version), names.PROMOTED, _moment())
        _require_still(tracker, name, alias, plan.previous)
        if plan.previous is not None:
            client.set_registered_model_alias(name, names.previous_alias(alias), str(plan.previous))
        client.set_registered_model_alias(name, alias, str(version))
    what = f"version {version} ({plan.arm})"
    sentence = _sentence(name, alias, what, plan.previous, changed=plan.changed, dry_run=False)
    return replace(plan, version=version, sentence=sentence)


def _moment() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")  # two moves within one second have an order, too


def _registered(tracker: Tracker, name: str, model_id: str) -> ModelVersion | None:
    """The version under which this very model is registered already."""
    found: list[ModelVersion] = tracker.client.search_model_versions(f"source_path = 'models:/{model_id}'")
    return max((each for each in found if each.name == name), key=lambda each: int(each.version), default=None)


def _register(tracker: Tracker, name: str, model_id: str, tags: dict[str, str]) -> int:
    client = tracker.client
    with captured():  # MLflow prints what it did
        made = client.create_model_version(name, f"models:/{model_id}", tags=tags, model_id=model_id)
        _note_at_model(tracker, model_id, made)
    return int(made.version)


def _note_at_model(tracker: Tracker, model_id: str, made: ModelVersion) -> None:
    """Tell the logged model that it is registered, as MLflow's own ``register_model`` does, for MLflow's page of it.

    Who may write to the registered model may not write to the experiment: then the note is left out, since everything
    else says the same.
    """
    try:
        known = json.loads(tracker.client.get_logged_model(model_id).tags.get(MLFLOW_MODEL_VERSIONS, "[]"))
        noted = json.dumps([*known, {"name": made.name, "version": made.version}])
        tracker.client.set_logged_model_tags(model_id, {MLFLOW_MODEL_VERSIONS: noted})
    except MlflowException as error:
        if not is_forbidden(error):
            raise


def _keep_before(tracker: Tracker, name: str, kept: str, version: int) -> None:
    """Point ``previous`` at what this version replaced, so that another rollback goes one further back."""
    replaced = _replaced(tracker, name, version)
    if replaced is not None:
        tracker.client.set_registered_model_alias(name, kept, replaced)
        return
    try:
        tracker.client.delete_registered_model_alias(name, kept)
    except MlflowException as error:  # taking away needs more rights than moving; left at the champion it says the same
        if not is_forbidden(error):
            raise


def _replaced(tracker: Tracker, name: str, version: int) -> str | None:
    """The version that this one replaced; None where there was none, or there is none any more."""
    replaced: str | None = tracker.client.get_model_version(name, str(version)).tags.get(names.REPLACED)
    existing = {str(found.version) for found in tracker.client.search_model_versions(f"name = '{name}'")}
    return replaced if replaced in existing else None


def _require_still(tracker: Tracker, name: str, alias: str, expected: int | None) -> None:
    now = alias_version(tracker, name, alias)
    if now != expected:
        how = moved(tracker, Champion(name, alias, now), expected)
        raise TrackingError(
            f"'{name}': '{alias}' was moved meanwhile, {how}; nothing was overwritten, look at it and do this again"
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
        "mlbench.policy": str(study.decision.policy.get("name", "")),
        "mlbench.environment": "; ".join(
            f"{key} {study.environment[key]}" for key in _MACHINE if key in study.environment
        ),
    }
    return tags | {
        tag: describe.shown(winner.metrics[metric]) for metric, tag in _EVIDENCE.items() if metric in winner.metrics
    }
