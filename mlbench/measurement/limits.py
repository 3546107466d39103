"""How long a worker may take, so that one that hangs is found (docs/faults.md, "A worker that hangs")."""

from __future__ import annotations

from dataclasses import dataclass

FACTOR = 20.0
"""A call may take so many times as long as the slowest call of the warm-up: beyond that it is not slow, it hangs."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds that a worker may take for what it is asked.

    Attributes:
        floor_s: What holds calls is never ended sooner, however fast the warm-up was: machines stall.
        unknown_s: For what is not made of calls whose duration is known: loading, the first call, the report.
    """

    floor_s: float = 30.0
    unknown_s: float = 300.0

    def calls(self, count: int, slowest_s: float) -> float:
        """For so many calls, each of which may take :data:`FACTOR` times ``slowest_s``."""
        return max(self.floor_s, FACTOR * count * slowest_s)

    def unsure(self, count: int, call_s: float) -> float:
        """For so many calls, and whatever goes with them, where little is known of how long one takes."""
        return max(self.unknown_s, self.calls(count, call_s))
