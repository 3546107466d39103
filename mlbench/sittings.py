"""Which clock the turns of a study are on: the monotonic one, which starts anew with the machine.

Durations come from the monotonic clock alone. The wall clock says only when it stood at zero, so that a study that was
resumed after a restart has one time line.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlbench.records import Measurement, Turn

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Epoch:
    """Where the monotonic clock comes from.

    Attributes:
        unix_ns: Unix time at its zero.
        boot: Which start of the machine it counts from; empty where the kernel does not say.
    """

    unix_ns: int
    boot: str


def epoch(
    wall_ns: Callable[[], int] = time.time_ns,
    monotonic_ns: Callable[[], int] = time.perf_counter_ns,
    boot_id: Path = _BOOT_ID,
) -> Epoch:
    """Where the clock comes from now."""
    try:
        boot = boot_id.read_text(encoding="ascii").strip()
    except OSError:
        boot = ""
    return Epoch(wall_ns() - monotonic_ns(), boot)


def dated(measurement: Measurement, now: Epoch) -> Measurement:
    """With where its clock comes from."""
    return replace(measurement, epoch_ns=now.unix_ns, boot=now.boot)


def continued(part: Measurement, now: Epoch) -> Measurement:
    """What was measured in an earlier sitting, on today's clock.

    Since the same start of the machine that is the same clock, however the wall clock was set in between. After another
    one its turns are moved to when they were by the wall clock, which may be before the zero of today's.
    """
    if not part.boot or part.boot == now.boot:
        return part
    offset = part.epoch_ns - now.unix_ns

    def moved(turns: Sequence[Turn]) -> tuple[Turn, ...]:
        return tuple(replace(turn, start_ns=turn.start_ns + offset, end_ns=turn.end_ns + offset) for turn in turns)

    return replace(part, turns=moved(part.turns), void=moved(part.void), epoch_ns=now.unix_ns, boot=now.boot)
