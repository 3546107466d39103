"""Where the time of a call goes."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class OperatorTime:
    """One type of operator in a profiled call of the model.

    Attributes:
        operator: Its type, as the runtime calls it.
        calls: How often it runs in one call of the model.
        ms: Time of its own in one call of the model, milliseconds.
        where: What ran it: the execution provider, or the kernel; empty where the profiler does not say.
    """

    operator: str
    calls: float
    ms: float
    where: str = ""


@dataclass(frozen=True, slots=True)
class Profile:
    """Where the time of a call goes, by the runtime's own profiler. Taken apart from the measurement, never part of it.

    Attributes:
        source: The profiler.
        batch_size, input_length: What the calls were given.
        calls: Calls that were profiled; all times are medians over them.
        call_ms: Wall time of one of these calls; the profiler slows it down.
        operators: By type, the longest first.
    """

    source: str
    batch_size: int
    calls: int
    call_ms: float
    operators: tuple[OperatorTime, ...]
    input_length: int | None = None

    @property
    def total_ms(self) -> float:
        """Time of all operators in one call."""
        return sum(item.ms for item in self.operators)
