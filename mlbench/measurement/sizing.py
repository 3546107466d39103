"""How large a plan must be for the percentiles that are asked for (docs/method.md), and how large it then is."""

from __future__ import annotations

import math
from dataclasses import replace

from mlbench import statistics
from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.metrics import PERCENTILES


def with_percentiles(protocol: ProtocolConfig) -> ProtocolConfig:
    """The protocol with as many rounds as the percentiles that are asked for need, or unchanged where it has them.

    Rounds are added rather than calls to a turn: a long turn would part the arms in time.
    """
    needed = max((statistics.min_samples(PERCENTILES[name]) for name in protocol.percentiles), default=0)
    rounds = math.ceil(needed / (protocol.trials * protocol.calls))
    rounds += rounds % 2  # rounds come in pairs
    return replace(protocol, rounds=max(protocol.rounds, rounds))


def turns(arms: int, scenario: ScenarioConfig, protocol: ProtocolConfig) -> int:
    """How many turns the plan has, with every look that it allows."""
    further = sum(max(0, len(axis) - 1) for axis in (scenario.batch_sizes, scenario.input_lengths, scenario.threads))
    rounds = with_percentiles(protocol).rounds + further * protocol.sweep_rounds
    return arms * protocol.trials * (protocol.extend + 1) * rounds
