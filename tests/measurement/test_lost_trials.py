from dataclasses import replace

import pytest
from measured import measure

from mlbench.measurement.lost_trials import notices, sentence
from mlbench.records import LostTrial, Plan

CRASH = LostTrial("twice", 3, "the worker was ended by signal SIGSEGV", "SIGSEGV", 80.0)


@pytest.fixture(scope="module")
def plan() -> Plan:
    return measure(trials=8)[0].plan


def test_a_trial_in_whose_place_another_was_measured_is_said_and_one_that_was_not_stands_with_its_arm() -> None:
    measurement, _ = measure(trials=8)
    measurement = replace(measurement, lost=(CRASH, replace(CRASH, arm="slow", repeated_as=8)))
    assert sentence(CRASH, measurement.plan) == "twice, trial 4 of 8 lost: the worker was ended by signal SIGSEGV"
    (notice,) = notices(measurement)
    assert notice.code == "repeated_trial"
    assert notice.message == (
        "slow, trial 4 of 8 lost: the worker was ended by signal SIGSEGV; measured once more as trial 9, with fresh "
        "workers for all arms"
    )
    assert notice.action == "no time, memory or energy figure is from the lost trial; find out why before you ship it"


def test_no_trial_is_the_ninth_of_eight(plan: Plan) -> None:
    said = sentence(replace(CRASH, trial=8, repeated_as=9), plan)
    assert said.startswith("twice, trial 9, measured in the place of another, lost: the worker was ended by")
    assert said.endswith("; measured once more as trial 10, with fresh workers for all arms")


def test_a_look_that_ended_the_study_changes_no_number(plan: Plan) -> None:
    ended = replace(plan, trials=8, looks=(8, 16, 24), look=1)
    assert sentence(replace(CRASH, repeated_as=24), ended).startswith("twice, trial 4 of 8 lost: ")
    assert "as trial 25, with" in sentence(replace(CRASH, repeated_as=24), ended)
    assert "trial 25, measured in the place of another, lost" in sentence(replace(CRASH, trial=24), ended)


def test_a_second_attempt_that_once_kept_its_number_is_said_without_one(plan: Plan) -> None:
    said = sentence(replace(CRASH, repeated_as=3), plan)
    assert said.endswith("SIGSEGV; measured once more, with fresh workers for all arms")
