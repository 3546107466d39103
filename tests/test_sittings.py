"""A study that goes on after the machine was started again has one time line, and no duration of it changes."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from measured import measure

from mlbench.measurement.alone import overlap
from mlbench.sittings import Epoch, continued, dated, epoch

HOUR = 3600 * 10**9
FIRST = Epoch(unix_ns=1_700_000_000 * 10**9, boot="first")


def test_where_the_clock_comes_from_is_what_both_clocks_and_the_kernel_say(tmp_path: Path) -> None:
    (tmp_path / "boot_id").write_text("0b7e\n")
    assert epoch(lambda: 5 * HOUR, lambda: HOUR, tmp_path / "boot_id") == Epoch(4 * HOUR, "0b7e")
    assert epoch(lambda: 0, lambda: 0, tmp_path / "nothing").boot == ""


def test_after_a_restart_turns_are_when_they_were_by_the_wall_clock() -> None:
    """Measured 10 days after the first start; the second start was an hour after that, two hours ago."""
    measured, _ = measure(trials=2)
    uptime = 240 * HOUR
    turns = tuple(
        replace(turn, start_ns=turn.start_ns + uptime, end_ns=turn.end_ns + uptime) for turn in measured.turns
    )
    before = dated(replace(measured, turns=turns, void=turns[:3]), FIRST)
    now = Epoch(FIRST.unix_ns + uptime + HOUR, "second")
    after = continued(before, now)
    assert (after.epoch_ns, after.boot) == (now.unix_ns, "second")
    assert [turn.start_ns + now.unix_ns for turn in after.turns] == [
        turn.start_ns + FIRST.unix_ns for turn in before.turns
    ]
    assert after.void == after.turns[:3]
    assert all(turn.end_ns < 2 * HOUR for turn in after.turns)  # before anything that is measured from now on
    assert [turn.end_ns - turn.start_ns for turn in after.turns] == [t.end_ns - t.start_ns for t in before.turns]
    for one, other in zip(after.turns, before.turns, strict=True):
        np.testing.assert_array_equal(one.timed_ns, other.timed_ns)
    assert overlap(after.turns) == ""


def test_a_wall_clock_that_was_set_meanwhile_moves_nothing() -> None:
    measured = dated(measure(trials=2)[0], FIRST)
    assert continued(measured, Epoch(FIRST.unix_ns + 24 * HOUR, "first")) is measured


def test_what_was_kept_without_its_clock_stays_as_it_is() -> None:
    measured, _ = measure(trials=2)
    assert continued(measured, Epoch(FIRST.unix_ns, "second")) is measured
