"""Delivery to MLflow: it may fail, and be repeated, without anything lost or there twice."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mlbench.config import StudyConfig
from mlbench.errors import InputError, TrackingError
from mlbench.journal import Conclusion
from mlbench.noise import by_trial
from mlbench.records import Arm, Measurement, RecordError, Study
from mlbench.reporting.html import render_html
from mlbench.reporting.markdown import render_markdown, render_note
from mlbench.tracking import Promotion, PromotionRefusedError, Tracker, once, promote, publish
from mlbench.tracking.content import public
from mlbench.tracking.saving import saving_apart

_EXAMPLE_ROWS = 3
_FIRST_WAIT_S = 2.0
_LONGER = 4.0  # each wait is so many times the one before: 2 s, 8 s, 32 s

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a delivered study in the registry: ``promotion``, or else why there is none, or nothing at all."""

    promotion: Promotion | None = None
    refusal: str = ""

    @property
    def sentences(self) -> tuple[str, ...]:
        """That in words, where there is something to say."""
        if self.promotion is not None:
            return (f"registered: {self.promotion.sentence}",)
        return (f"not registered: {self.refusal}",) if self.refusal else ()


def conclusion_of(study: Study, config: StudyConfig, inputs: Mapping[str, npt.NDArray[Any]]) -> Conclusion:
    """What was concluded just now, ready to be kept and delivered; a few of the inputs become the models' example."""
    return Conclusion(
        study=public(study),
        log_models=config.tracking.log_models,
        registry=config.registry if config.registry.promote else None,
        example={name: values[:_EXAMPLE_ROWS] for name, values in inputs.items()},
    )


def deliver(
    tracker: Tracker, run_id: str, conclusion: Conclusion, measurement: Measurement, arms: Mapping[str, Arm]
) -> Delivered:
    """Publish a study into its runs, and promote its winner where it says so. Doing so again changes nothing.

    Args:
        tracker: The store in which the study was begun.
        run_id: The study's run.
        conclusion: What was concluded.
        measurement: What was measured.
        arms: The arms with their artifacts, by name; an arm that is missing gets no model.

    Raises:
        InputError: The run is not there.
        TrackingError: MLflow refused; doing it again completes it.
    """
    study = conclusion.study
    with once(), saving_apart(soon=conclusion.log_models and bool(arms)) as save:
        publish(
            study,
            measurement,
            tracker.resume_study(run_id),
            arms=arms,
            example=conclusion.example,
            report_html=report_page(study, measurement),
            report_markdown=render_markdown(study),
            note=render_note(study),
            log_models=conclusion.log_models,
            save=save,
        )
        return _promote(tracker, run_id, conclusion)


def _promote(tracker: Tracker, run_id: str, conclusion: Conclusion) -> Delivered:
    if conclusion.registry is None or conclusion.study.decision.outcome != "promote" or not conclusion.log_models:
        return Delivered()
    try:
        return Delivered(promote(tracker, run_id, conclusion.registry))
    except (InputError, PromotionRefusedError) as error:  # such as a late delivery: what was decided after it stands
        return Delivered(refusal=str(error))
    except RecordError as error:  # what was written a moment ago cannot be read: that is the store, not the study
        raise TrackingError(str(error)) from error


def persist(
    attempt: Callable[[], Delivered], attempts: int, say: Say, sleep: Callable[[float], None] = time.sleep
) -> Delivered:
    """Deliver, and where MLflow refuses wait and try again.

    Args:
        attempt: Delivers.
        attempts: How often at most.
        say: Told why it is tried again.
        sleep: Waits.

    Raises:
        TrackingError: MLflow refused every time.
    """
    wait = _FIRST_WAIT_S
    for left in range(attempts - 1, 0, -1):
        try:
            return attempt()
        except TrackingError as error:
            say(f"{error}; trying again in {wait:g} s ({left} more)")
            sleep(wait)
            wait *= _LONGER
    return attempt()


def report_page(study: Study, measurement: Measurement) -> str:
    """The report as one HTML page, with every call and turn, and how noisy the machine was in each trial."""
    usable = study.environment.get("cpu.usable", "")
    cpus = int(usable) if usable.isdecimal() else 1  # a study that does not say: the stricter reading of its noise
    noise = by_trial(measurement.turns, cpus, measurement.machine_looks)
    return render_html(study, headline_samples(measurement), measurement.turns, noise)


def headline_samples(measurement: Measurement) -> Mapping[str, npt.NDArray[np.int64]]:
    """Every timed call of the headline condition by arm, nanoseconds, shape (calls,)."""
    found: dict[str, list[npt.NDArray[np.int64]]] = {}
    for turn in measurement.turns:
        if turn.key == measurement.plan.latency_at:
            found.setdefault(turn.arm, []).append(turn.timed_ns)
    return _Calls(found)


class _Calls(Mapping[str, npt.NDArray[np.int64]]):
    """Calls by arm, joined when they are asked for: those of all arms at once would be in memory twice."""

    def __init__(self, parts: Mapping[str, list[npt.NDArray[np.int64]]]) -> None:
        self._parts = parts

    def __getitem__(self, arm: str) -> npt.NDArray[np.int64]:
        return np.concatenate(self._parts[arm])

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
