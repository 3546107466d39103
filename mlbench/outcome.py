"""What a study left behind, and where to look next."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from shlex import quote

from mlbench.config import StudyConfig, TrackingConfig
from mlbench.delivery import Delivered
from mlbench.errors import ExitCode, MlbenchError, TrackingError
from mlbench.journal import Journal
from mlbench.masking import redact
from mlbench.progress import Progress
from mlbench.records import Study
from mlbench.tracking import OpenStudy, Promotion, Tracker, study_url


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a study left behind.

    Attributes:
        run_id: The study's run in MLflow.
        study: The record, as it is stored there.
        exit_code: What the command should exit with.
        links: Where to look next, one line each.
        promotion: What happened in the registry, if anything was to happen.
        undelivered: MLflow did not take it; the study's journal has it.
    """

    run_id: str
    study: Study
    exit_code: ExitCode
    links: tuple[str, ...]
    promotion: Promotion | None = None
    undelivered: bool = False


_CODES: Mapping[str, ExitCode] = {
    "promote": ExitCode.DONE,
    "hold": ExitCode.POLICY_NOT_MET,
    "inconclusive": ExitCode.INCONCLUSIVE,
}


def exit_code(study: Study, config: StudyConfig) -> ExitCode:
    """What the command should exit with, where everything was delivered."""
    if study.status == "interrupted":
        return ExitCode.INTERRUPTED
    if study.baseline.status == "failed":
        return ExitCode.FAILURE
    return _CODES[study.decision.outcome] if config.policy.enforce else ExitCode.DONE


def unenforced(study: Study, config: StudyConfig) -> str:
    """That the exit code says nothing of the policy, where it would be another one; otherwise nothing."""
    code = _CODES[study.decision.outcome]
    if config.policy.enforce or exit_code(study, config) is not ExitCode.DONE or code is ExitCode.DONE:
        return ""
    why = "the policy is not met" if code is ExitCode.POLICY_NOT_MET else "inconclusive"
    return f"exit code 0, because policy.enforce=false; with policy.enforce=true it would be {int(code)} ({why})"


def links(tracker: Tracker, runs: OpenStudy, study: Study, delivered: Delivered) -> tuple[str, ...]:
    """Where to look next: commands that work as they are printed, and the page."""
    elsewhere = (
        "" if tracker.experiment == TrackingConfig().experiment else f" --experiment {quote(tracker.experiment)}"
    )
    if tracker.location.origin == "tracking.uri" and redact(tracker.location.uri) == tracker.location.uri:
        elsewhere += f" --tracking-uri {quote(tracker.location.uri)}"
    lines = [f"mlbench show {quote(study.name)}{elsewhere}", f"mlbench ui {quote(study.name)}{elsewhere}"]
    with suppress(TrackingError):  # it was there a moment ago, and the commands above say the same
        lines.append(study_url(tracker, runs.run_id))
    if study.status == "interrupted":
        lines.append(f"mlbench run --resume {runs.run_id}")
    return (*lines, *delivered.sentences)


def undelivered(
    runs: OpenStudy, journal: Journal, study: Study, config: StudyConfig, error: MlbenchError, progress: Progress
) -> Outcome:
    """MLflow did not take it: the result is shown all the same, and said to be still here."""
    with suppress(TrackingError):
        runs.fail(error)
    elsewhere = f" --cache-dir {quote(str(config.cache_dir))}" if config.cache_dir is not None else ""
    later = f"mlbench sync {runs.run_id}{elsewhere}"
    if journal.is_concluded:
        progress.notice(f"{error}; nothing is lost: {later} delivers it later")
    elif kept := journal.counted(study.plan):
        progress.notice(
            f"{error}; and its journal could not be completed, but {kept} of {study.plan.trials} trials are in "
            f"it: mlbench run --resume {runs.run_id} goes on from there"
        )
    else:
        progress.notice(f"{error}; and its journal is not complete: what is printed here is kept nowhere else")
    code = ExitCode.INTERRUPTED if study.status == "interrupted" else ExitCode.FAILURE
    return Outcome(runs.run_id, study, code, (later,) if journal.is_concluded else (), undelivered=True)
