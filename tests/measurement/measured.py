"""A whole measurement with figures of which the truth is known."""

from __future__ import annotations

import numpy as np
from fakes import make_arm

from mlbench.config import ProtocolConfig, ScenarioConfig
from mlbench.measurement.plan import make_plan
from mlbench.records import Measurement, Turn, WorkerReport

ARMS = [make_arm("baseline", "baseline"), make_arm("twice"), make_arm("same"), make_arm("slow")]
FACTOR = {"baseline": 1.0, "twice": 0.5, "same": 1.0, "slow": 1.1}
PEAK = {"baseline": 100.0, "twice": 50.0, "same": 100.0, "slow": 100.0}


def measure(
    trials: int = 8,
    batch_sizes: tuple[int, ...] = (1, 8),
    rounds: int = 10,
    hardware: dict[str, float] | None = None,
    cpu: float = 1.0,
    noise: float = 0.02,
    scenario: ScenarioConfig | None = None,
    **settings: object,
) -> tuple[Measurement, ProtocolConfig]:
    """Calls of 2 ms an item on the baseline, noise on each; the variants' factors are exact."""
    protocol = ProtocolConfig(trials=trials, rounds=rounds, **settings)  # type: ignore[arg-type]
    scenario = scenario or ScenarioConfig(batch_sizes=batch_sizes)
    plan = make_plan([arm.name for arm in ARMS], "baseline", scenario, protocol, 0)
    random = np.random.default_rng(1)
    turns, clock = [], 0
    for planned in plan.schedule:
        condition = next(c for c in plan.conditions if c.key == planned.key)
        for position, arm in enumerate(planned.order):
            typical = 2e6 * planned.batch_size * FACTOR[arm] / (planned.threads or 1)
            timed = (typical * np.exp(random.normal(0, noise, condition.calls))).astype(np.int64)
            discarded = np.full(condition.discard, int(2 * typical))
            wall = int(timed.sum())
            start, clock = clock, clock + wall + int(discarded.sum())
            turns.append(
                Turn(
                    planned.trial,
                    planned.round,
                    position,
                    arm,
                    planned.batch_size,
                    start,
                    clock,
                    int(cpu * wall) if arm == "twice" else wall,
                    wall,
                    discarded,
                    timed,
                    hardware=hardware or {},
                    input_length=planned.input_length,
                    threads=planned.threads,
                )
            )
    workers = tuple(
        WorkerReport(
            arm.name,
            trial,
            1,
            load_ms=10.0,
            first_call_ms=5.0,
            import_rss_mib=20.0,
            load_peak_mib=30.0,
            peak_mib={c.key.short: PEAK[arm.name] + c.batch_size for c in plan.conditions if c.threads == threads},
            warmup_ns=np.full(30, 10**9),
            effective={"runtime": "fake"},
            threads=threads,
        )
        for trial in range(plan.trials)
        for threads in plan.thread_counts
        for arm in ARMS
    )
    return Measurement(plan, tuple(turns), workers, ()), protocol
