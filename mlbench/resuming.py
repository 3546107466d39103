"""A study begins, or goes on where it ended: with its configuration, its plan, its runs and its finished trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import Any

from mlbench import __version__, overrides
from mlbench.compose import Composition, compose
from mlbench.errors import InputError, MlbenchError
from mlbench.journal import Begun, Journal, JournaledArm, JournalError, Planned, journals
from mlbench.masking import redact, redacted
from mlbench.records import Arm, Measurement, Notice, Plan, from_dict, to_dict, trials_in
from mlbench.sittings import continued, epoch
from mlbench.sync import tracking_config
from mlbench.tracking import OpenStudy, Tracker, find_champion
from mlbench.variants.store import Store

_WHERE = ("tracking.uri=", "tracking.experiment=")  # where a study is recorded is where it was begun


def resume(
    reference: str,
    given: Sequence[str],
    config_dirs: Sequence[str | PathLike[str]],
    tracking_uri: str | None = None,
) -> tuple[Journal, Composition]:
    """Take the journal of a study that ended before its end, and compose its configuration again.

    Args:
        reference: Run id, the beginning of one, or name of the study.
        given: Overrides of this command line; each must be one of the study's own.
        config_dirs: The user's configuration directories, the same as when it was begun.
        tracking_uri: Where its runs are, if they have moved.

    Returns:
        The journal, whose lock is held, and the configuration.

    Raises:
        InputError: There is no such study, or its configuration is not what it was.
        JournalBusyError: Its process is alive.
        JournalError: Its journal is damaged.
    """
    local = [text for text in given if text.startswith("cache_dir=")]
    journal = Journal.open(_find(Store(compose(local, config_dirs).config.cache_dir).root, reference))
    try:
        return journal, _composition(journal, given, config_dirs, tracking_uri)
    except BaseException:
        journal.close()
        raise


def _composition(
    journal: Journal, given: Sequence[str], config_dirs: Sequence[str | PathLike[str]], tracking_uri: str | None
) -> Composition:
    begun, conclusion = journal.begun(), journal.conclusion()
    if conclusion is not None and conclusion.study.status == "finished":
        raise InputError(f"--resume: the study {begun.name} is over: mlbench sync {begun.run_id} delivers it")
    composition = _composed_again(begun.overrides, begun.config, given, config_dirs)
    where = tracking_config(begun, tracking_uri)
    tracking = replace(composition.config.tracking, uri=where.uri, experiment=where.experiment)
    return replace(composition, config=replace(composition.config, name=begun.name, tracking=tracking))


def _find(root: Path, reference: str) -> Path:
    known = {}
    for path in journals(root):
        try:
            known[path] = Journal.peek(path).name
        except JournalError:
            known[path] = ""
    found = [path for path, name in known.items() if reference in (name, path.name)]
    found = found or [path for path in known if len(reference) >= 4 and path.name.startswith(reference)]
    if len(found) == 1:
        return found[0]
    shown = ", ".join(f"{path.name} ({name or 'damaged'})" for path, name in known.items()) or "there is none"
    what = f"means {len(found)} studies, give the run id of one" if found else f"is no study to resume in {root}"
    raise InputError(f"--resume {reference}: {what}: {shown}")


def _composed_again(
    recorded: Sequence[str],
    record: Mapping[str, Any],
    given: Sequence[str],
    config_dirs: Sequence[str | PathLike[str]],
) -> Composition:
    """The study's configuration, from its own overrides and the configuration files that are here.

    The journal is read from a disk, so an override in it counts as somebody else's: one that names code to run, permits
    it, or reads this machine's environment has to be given again by whoever resumes the study, and so has one whose
    credentials were masked.
    """
    again = {redact(text): text for text in given}
    problems = [
        f"--resume: '{text}' is none of the study's overrides, and it goes on as it was begun: leave it out"
        for masked, text in again.items()
        if masked not in recorded and not text.startswith(_WHERE)
    ]
    wanted = []
    for text in recorded:
        if text.startswith(_WHERE):
            continue
        if text not in again:
            read = overrides.read(text, trusted=False)
            if isinstance(read, str):
                problems.append(f"{read}; to resume the study, give it again")
            elif "***" in text:
                problems.append(f"'{text}' holds credentials, which are not kept: to resume the study, give it again")
        wanted.append(again.get(text, text))
    if problems:
        raise InputError(problems)
    composition = compose(wanted, config_dirs)
    changed = [key for key in _differences(record, composition.record) if f"{key}=" not in _WHERE]
    if changed:
        raise InputError(
            f"--resume: the configuration is not what it was when the study was begun ({', '.join(changed[:5])}): "
            "resume it with the same --config-dir and version of mlbench, or start a new study"
        )
    return replace(composition, record=dict(record), overrides=tuple(recorded))


def _differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Dotted keys at which two composed configurations differ."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        keys = [*one, *(key for key in other if key not in one)]
        return [
            difference
            for key in keys
            for difference in _differences(one.get(key), other.get(key), f"{path}.{key}" if path else str(key))
        ]
    return [] if one == other else [path]


def open_runs(composition: Composition, tracker: Tracker, journal: Journal | None) -> tuple[OpenStudy, Begun]:
    """The runs of a study that begins now, or of the one whose journal is given, and what its journal begins with.

    Raises:
        InputError: The runs of the study that is resumed are not there.
        TrackingError: MLflow refused.
    """
    if journal is not None:
        begun = journal.begun()
        runs = tracker.resume_study(begun.run_id)
        runs.reopen(anew=journal.is_concluded)
        journal.reopen()
        return runs, begun
    created, config = datetime.now(UTC), composition.config
    name = config.name or f"{config.workload.name}-{created:%Y%m%d-%H%M%S}"
    champion = find_champion(tracker, config.registry, config.workload.name)
    runs = tracker.open_study(name, composition.record, composition.overrides, champion)
    return runs, Begun(
        run_id=runs.run_id,
        name=name,
        created=created.isoformat(timespec="seconds"),
        version=__version__,
        tracking_uri=redact(tracker.location.uri),
        experiment=tracker.experiment,
        config=composition.record,
        overrides=composition.overrides,
    )


def journaled_arm(arm: Arm) -> JournaledArm:
    """An arm as the journal keeps it: without credentials."""
    plain = to_dict(JournaledArm(arm.name, arm.role, arm.recipe, arm.settings, arm.artifact.digest))
    return from_dict(JournaledArm, redacted(plain))


def check_same_arms(planned: Planned, arms: Sequence[Arm]) -> None:
    """See that what is measured from now on is what was measured before.

    Raises:
        MlbenchError: An arm is missing, or its artifact is another one.
    """
    now = {arm.name: journaled_arm(arm) for arm in arms}
    for was in planned.arms:
        arm = now.get(was.name)
        if arm is None:
            raise MlbenchError(f"the study cannot be resumed: {was.name} cannot be built any more; start a new study")
        if (arm.digest, arm.settings) != (was.digest, was.settings):
            raise MlbenchError(
                f"the study cannot be resumed: {was.name} is built differently now than when its first trials were "
                "measured (as by a library of another version); start a new study"
            )


def measured_before(journal: Journal, planned: Planned, say: Callable[[str], None]) -> list[Measurement]:
    """The trials that need not be measured again; damaged ones are said, and are measured again."""
    parts, damaged = journal.finished(planned.plan)
    for problem in damaged:
        say(f"{problem}; that trial is measured again")
    kept = trials_in(planned.plan, parts)
    if kept:
        say(f"{kept} of {planned.plan.trials} trials were measured before, and are not measured again")
    return [continued(part, epoch()) for part in parts]


def notices(plan: Plan, before: Sequence[Measurement]) -> list[Notice]:
    """What the reader of a resumed study must know; of its plan as it was carried out, and what was measured before."""
    if not before:
        return []
    kept, message = trials_in(plan, before), "the study was resumed"
    if kept:
        message += f": {kept} of its trials are of an earlier sitting, whose time is not counted"
    return [Notice("resumed", message, "if the machine was changed in between, measure it anew")]


__all__ = ["check_same_arms", "journaled_arm", "measured_before", "notices", "open_runs", "resume"]
