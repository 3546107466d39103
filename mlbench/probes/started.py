"""The probes of one measurement: those that can be read here, started, and for the others the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from mlbench import registry
from mlbench.config import ProbesConfig
from mlbench.probes import Probe
from mlbench.probes.machine import MachineProbe
from mlbench.probes.watch import MachineWatch

ENERGY = "energy/joules_per_sample"


@dataclass(frozen=True, slots=True)
class Started:
    """What is read during a measurement.

    Attributes:
        probes: Started, in the order of the registry.
        absent: Metrics that no probe can give here, with the reason.
        energy_source: Which counters energy comes from, ``modelled`` where the user states a power for lack of
            one, or ``absent``.
        watch: Looks at the machine between trials, where the probe ``machine`` is on and available.
    """

    probes: tuple[Probe, ...]
    absent: dict[str, str]
    energy_source: str
    watch: MachineWatch


@contextmanager
def started(config: ProbesConfig) -> Iterator[Started]:
    """Start every probe that is asked for and available; stop them again whatever happens."""
    chosen: Mapping[str, Probe] = {name: registry.load("probe", name)() for name in registry.entries("probe")}
    probes: list[Probe] = []
    absent: dict[str, str] = {}
    energy_source, watch = "absent", MachineWatch(None)
    try:
        for name, probe in chosen.items():
            reason = probe.available() if name in config.names else f"the probe '{name}' is not among probes.names"
            if reason is not None:
                absent |= dict.fromkeys(probe.provides, reason)
                continue
            probe.start()
            probes.append(probe)
            absent |= probe.lacks()
            if ENERGY in probe.provides:
                energy_source = probe.source()
            if isinstance(probe, MachineProbe):
                watch = MachineWatch(probe)
        if energy_source == "absent" and config.energy_model is not None:
            energy_source = "modelled"
            absent.pop(ENERGY, None)
        yield Started(tuple(probes), absent, energy_source, watch)
    finally:
        for probe in probes:
            probe.stop()
