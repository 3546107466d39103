from dataclasses import replace

import numpy as np
import pytest
from measured import ARMS, measure

from mlbench.analysis import analyse
from mlbench.config import ProtocolConfig
from mlbench.figures import Figures
from mlbench.records import ArmResult, ConditionKey, Measurement, Noise, Turn
from mlbench.speeds import TAG, two_speeds

AT = ConditionKey(1)
NAMES = [arm.name for arm in ARMS]


def jumping(arm: str) -> tuple[Measurement, ProtocolConfig]:
    """An arm that turns 1.7 times slower in the middle of the third and of the fifth trial."""
    measurement, protocol = measure(trials=6, rounds=10)

    def slowed(turn: Turn) -> Turn:
        hit = (turn.arm, turn.batch_size) == (arm, 1) and turn.trial in (2, 4) and turn.round >= 6
        return replace(turn, timed_ns=(turn.timed_ns * 1.7).astype(np.int64)) if hit else turn

    return replace(measurement, turns=tuple(slowed(turn) for turn in measurement.turns)), protocol


def results(measurement: Measurement, protocol: ProtocolConfig) -> dict[str, ArmResult]:
    return {arm.name: arm for arm in analyse(measurement, ARMS, {}, protocol, Noise("quiet"))}


def test_the_notice_says_how_fast_how_often_and_where() -> None:
    measurement, _ = jumping("same")
    notice = two_speeds(Figures(measurement), "same", NAMES, AT)
    assert notice is not None
    assert notice.code == "two_speeds"
    assert notice.message == (
        "same jumps between two speeds at batch size 1: 2 ms and 3.41 ms (x1.70), the slower one in 8 of 60 turns: "
        "trial 3 (4 of 10, first in round 7), trial 5 (4 of 10, first in round 7)"
    )
    assert "threads=1" in notice.action


def test_many_trials_are_not_all_named() -> None:
    measurement, _ = measure(trials=8, rounds=10, batch_sizes=(1,))
    turns = tuple(
        replace(turn, timed_ns=turn.timed_ns * 2) if turn.arm == "same" and turn.round > 5 else turn
        for turn in measurement.turns
    )
    notice = two_speeds(Figures(replace(measurement, turns=turns)), "same", NAMES, AT)
    assert notice is not None
    assert notice.message.endswith("trial 5 (4 of 10, first in round 7) and 3 more trials")


def test_the_arm_is_tagged_and_its_verdicts_on_latency_are_marked() -> None:
    found = results(*jumping("same"))
    assert [notice.code for notice in found["same"].warnings] == ["two_speeds"]
    assert found["same"].tags[TAG] == "true"
    marked = {metric for metric, verdict in found["same"].verdicts.items() if "two speeds" in verdict.reason}
    assert marked == {"latency/p50_ms", "latency/p95_ms"} & set(found["same"].verdicts)
    for name in ("baseline", "twice", "slow"):
        assert found[name].warnings == ()
        assert TAG not in found[name].tags
        assert not any("two speeds" in verdict.reason for verdict in found[name].verdicts.values())


def test_a_jump_of_the_baseline_marks_every_variant_and_keeps_their_calls() -> None:
    measurement, protocol = jumping("baseline")
    found, before = results(measurement, protocol), results(*measure(trials=6, rounds=10))
    assert [notice.code for notice in found["baseline"].warnings] == ["two_speeds"]
    for name in ("twice", "same", "slow"):
        assert found[name].warnings == ()
        verdict = found[name].verdicts["latency/p50_ms"]
        assert "the turns of baseline jump between two speeds" in verdict.reason
        assert verdict.call == before[name].verdicts["latency/p50_ms"].call  # medians over rounds bear it


def test_a_jump_at_the_largest_batch_size_marks_the_throughput() -> None:
    measurement, protocol = measure(trials=6, rounds=10, sweep_rounds=8)
    turns = tuple(
        replace(turn, timed_ns=turn.timed_ns * 2)
        if (turn.arm, turn.batch_size) == ("slow", 8) and turn.trial < 3 and turn.round > 2
        else turn
        for turn in measurement.turns
    )
    verdicts = results(replace(measurement, turns=turns), protocol)["slow"].verdicts
    assert "two speeds" in verdicts["throughput/samples_per_s"].reason
    assert "two speeds" not in verdicts["latency/p50_ms"].reason


@pytest.mark.parametrize("trials", [1, 6])
def test_steady_arms_have_one_speed(trials: int) -> None:
    measurement, _ = measure(trials=trials)
    assert [two_speeds(Figures(measurement), name, NAMES, AT) for name in NAMES] == [None] * 4


def test_an_arm_that_lost_trials_is_no_measure_for_the_others() -> None:
    measurement, _ = jumping("same")
    lost = replace(measurement, workers=tuple(w for w in measurement.workers if (w.arm, w.trial) != ("slow", 0)))
    assert two_speeds(Figures(lost), "same", NAMES, AT) == two_speeds(Figures(measurement), "same", NAMES, AT)
