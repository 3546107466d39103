"""The figure of the measurement as it went."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from reporting_studies import EVIL

from mlbench.records import NoiseMoment, Study, Turn
from mlbench.reporting import course

QUIET = dict.fromkeys(range(10), NoiseMoment("during", "quiet", ("other processes used 0.01 CPUs",)))
LOUD = NoiseMoment("during", "noisy", ("other processes used 0.41 CPUs during the turns", "steal 1.8 %"))
WORST = NoiseMoment("during", "unusable", ("other processes used 1.93 CPUs during the turns", EVIL))


def test_every_turn_in_the_order_in_which_it_was_taken(study: Study, turns: Sequence[Turn]) -> None:
    figure = course.timeline(study, turns)
    assert sum(len(trace.x) for trace in figure.data) == 10 * 10 * 7
    assert len(figure.layout.shapes) == 10  # one line per trial
    trace = next(trace for trace in figure.data if trace.name == "baseline")
    assert list(trace.x) == sorted(trace.x)
    assert tuple(trace.customdata[0][:2]) == (1, 1)  # trial and round
    first = next(turn for turn in turns if turn.arm == "baseline")
    assert trace.customdata[0][2] == first.position + 1


def test_trials_in_which_the_machine_was_not_quiet_are_marked(study: Study, turns: Sequence[Turn]) -> None:
    noise = {**QUIET, 2: LOUD, 3: LOUD, 9: WORST}
    figure = course.timeline(study, turns, noise)
    starts = [shape.x0 for shape in figure.layout.shapes if shape.type == "line"]
    bands = [shape for shape in figure.layout.shapes if shape.type == "rect"]
    assert [(band.x0, band.x1) for band in bands] == [
        (starts[2], starts[4]),  # two in a row are one band
        (starts[9], pytest.approx(max(turn.end_ns for turn in turns if turn.batch_size == 1) / 1e9 - 5, abs=1)),
    ]
    assert [note.text for note in figure.layout.annotations] == ["noisy", "unusable"]  # not by colour alone
    assert bands[0].fillcolor != bands[1].fillcolor
    assert "where the machine was not quiet: 3 of 10 trials" in figure.layout.title.subtitle.text


def test_a_trial_that_took_the_place_of_another_is_where_it_was_measured(study: Study, turns: Sequence[Turn]) -> None:
    numbered = [replace(turn, trial=10) if turn.trial == 2 else turn for turn in turns]
    noise = {trial: moment for trial, moment in {**QUIET, 10: LOUD}.items() if trial != 2}
    figure, plain = course.timeline(study, numbered, noise), course.timeline(study, turns, {**QUIET, 2: LOUD})
    assert figure.layout.shapes == plain.layout.shapes  # the lines and the band
    trace = next(trace for trace in figure.data if trace.name == "baseline")
    assert list(trace.x) == sorted(trace.x)
    assert list(dict.fromkeys(where[0] for where in trace.customdata)) == [1, 2, 11, 4, 5, 6, 7, 8, 9, 10]
    assert course.loud_trials(noise)[0].startswith("trial 11: noisy")


def test_a_quiet_machine_and_one_that_was_not_watched_are_not_the_same(study: Study, turns: Sequence[Turn]) -> None:
    quiet, unwatched = course.timeline(study, turns, QUIET), course.timeline(study, turns)
    assert "The machine was quiet in every trial" in quiet.layout.title.subtitle.text
    assert "The machine was not watched." in unwatched.layout.title.subtitle.text
    assert not quiet.layout.annotations


def test_the_evidence_in_words(study: Study) -> None:
    assert course.loud_trials({**QUIET, 2: LOUD}) == (
        "trial 3: noisy, other processes used 0.41 CPUs during the turns, steal 1.8 %",
    )


def test_of_too_many_turns_some_of_every_arm_are_drawn(
    study: Study, turns: Sequence[Turn], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(course, "MOST_TURNS", 300)
    figure = course.timeline(study, turns)
    assert {trace.name: len(trace.x) for trace in figure.data} == dict.fromkeys(study.plan.arms, 34)
    assert "Of each arm, one turn in 3 is drawn." in figure.layout.title.subtitle.text


def test_some_arms_or_none(study: Study, turns: Sequence[Turn]) -> None:
    some = [turn for turn in turns if turn.arm == "pruned"]
    assert [trace.name for trace in course.timeline(study, some).data] == ["pruned"]
    figure = course.timeline(study, ())
    assert not figure.data
    assert figure.layout.annotations[0].text == "The turns are not stored with this study."
