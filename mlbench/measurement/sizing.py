"""How large a plan must be: enough calls for the percentiles that are asked for (docs/method.md, "Percentiles")."""

from __future__ import annotations

import math
from dataclasses import replace

from mlbench import statistics
from mlbench.config import ProtocolConfig
from mlbench.metrics import PERCENTILES


def with_percentiles(protocol: ProtocolConfig) -> ProtocolConfig:
    """The protocol with as many rounds as the percentiles that are asked for need, or unchanged where it has them.

    Rounds are added rather than calls to a turn: a long turn would part the arms in time.
    """
    needed = max((statistics.min_samples(PERCENTILES[name]) for name in protocol.percentiles), default=0)
    rounds = math.ceil(needed / (protocol.trials * protocol.calls))
    rounds += rounds % 2  # rounds come in pairs
    return replace(protocol, rounds=max(protocol.rounds, rounds))
