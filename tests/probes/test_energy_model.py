import numpy as np
import pytest

from mlbench.probes.energy_model import modelled
from mlbench.records import Turn


def test_cpu_seconds_of_the_whole_turn_times_the_stated_power() -> None:
    calls = np.full(4, 100_000_000)
    # 0.4 s of timed calls used 0.2 s of CPU; with its discarded calls the turn lasted 1 s
    turn = Turn(
        0, 0, 0, "a", 1, 0, 1_000_000_000, 200_000_000, 400_000_000, calls[:2], calls, hardware={"rss_mib": 5.0}
    )
    (found,) = modelled([turn], watts_per_cpu=12.0)
    assert found.hardware == pytest.approx({"rss_mib": 5.0, "energy_modelled_j": 6.0})
    assert turn.hardware == {"rss_mib": 5.0}
