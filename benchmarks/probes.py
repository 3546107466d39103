"""What reading the hardware costs: one begin and end of every probe, as around each turn, and one look at others.

Run it on a quiet machine from the checkout: ``python benchmarks/probes.py [--write]``. All of this happens between
turns, when no worker runs; nothing of it is inside a time that is reported.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from shared import finish, machine, table

from mlbench import registry
from mlbench.probes import Probe
from mlbench.probes.neighbours import Neighbours


def costs_us(read: Callable[[], object], repeats: int) -> npt.NDArray[np.float64]:
    """Microseconds of single readings, shape (repeats,)."""
    found = np.zeros(repeats)
    for index in range(repeats):
        start = time.perf_counter_ns()
        read()
        found[index] = (time.perf_counter_ns() - start) / 1e3
    return found


def around_a_turn(probe: Probe) -> None:
    """What the coordinator does with a probe before and after one turn."""
    probe.begin()
    probe.end(os.getpid())


def row(name: str, costs: npt.NDArray[np.float64], when: str) -> tuple[str, str, str, str]:
    return name, f"{np.median(costs):.0f} µs", f"{np.quantile(costs, 0.99):.0f} µs", when


def rows(repeats: int) -> list[tuple[str, str, str, str]]:
    """One row per probe, and one for the process table."""
    found = []
    for name in registry.entries("probe"):
        probe: Probe = registry.load("probe", name)()
        reason = probe.available()
        if reason is not None:
            found.append((f"probe `{name}`", "-", "-", f"not here: {reason}"))
            continue
        probe.start()
        try:
            costs = costs_us(lambda probe=probe: around_a_turn(probe), repeats)
        finally:
            probe.stop()
        found.append(row(f"probe `{name}`", costs, "before and after every turn, together"))
    others = Neighbours()
    others.begin()
    costs = costs_us(lambda: others.busiest(1.0), max(10, repeats // 20))
    return [*found, row("process table, for other programs", costs, "once a trial")]


def main(given: Sequence[str] | None = None) -> None:
    """Measure and print the report."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=2000)
    parser.add_argument("--write", action="store_true", help="keep the report in benchmarks/README.md")
    chosen = parser.parse_args(given)
    where = machine()
    report = table(("reading", "median", "99 % below", "when"), rows(chosen.repeats))
    finish("probes", where + report, write=chosen.write)


if __name__ == "__main__":
    main()
