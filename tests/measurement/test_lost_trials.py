from dataclasses import replace

from measured import measure

from mlbench.measurement.lost_trials import notices, sentence
from mlbench.records import LostTrial


def test_a_trial_that_was_measured_once_more_is_said_and_one_that_was_not_stands_with_its_arm() -> None:
    measurement, _ = measure(trials=8)
    crash = LostTrial("twice", 3, "the worker was ended by signal SIGSEGV", "SIGSEGV", 80.0)
    measurement = replace(measurement, lost=(crash, replace(crash, arm="slow", repeated=True)))
    assert sentence(crash, measurement.plan) == ("twice, trial 4 of 8 lost: the worker was ended by signal SIGSEGV")
    (notice,) = notices(measurement)
    assert notice.code == "repeated_trial"
    assert notice.message == (
        "slow, trial 4 of 8 lost: the worker was ended by signal SIGSEGV; the trial is measured once more, with fresh "
        "workers for all arms"
    )
