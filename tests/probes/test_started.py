from collections.abc import Mapping
from typing import Any

import pytest

from mlbench import registry
from mlbench.config import EnergyModelConfig, ProbesConfig
from mlbench.probes.started import ENERGY, started


class Fake:
    """A probe from a script; ``log`` has what happened to it."""

    def __init__(self, name: str, provides: tuple[str, ...], reason: str | None, lacks: Mapping[str, str]) -> None:
        self.name, self.provides, self.reason, self.lacking = name, provides, reason, lacks
        self.log: list[str] = []

    def available(self) -> str | None:
        return self.reason

    def source(self) -> str:
        return f"source of {self.name}"

    def lacks(self) -> Mapping[str, str]:
        return self.lacking

    def start(self) -> None:
        self.log.append("start")

    def stop(self) -> None:
        self.log.append("stop")


@pytest.fixture
def probes(monkeypatch: pytest.MonkeyPatch) -> dict[str, Fake]:
    made = {
        "gpu": Fake("gpu", ("gpu/power_w", "gpu/utilization_pct"), None, {"gpu/power_w": "NVML: Not Supported"}),
        "heat": Fake("heat", ("cpu/thermal_throttles",), "no counters", {}),
        "energy": Fake("energy", (ENERGY,), None, {}),
    }
    monkeypatch.setattr(registry, "entries", lambda _kind: made)
    load: Any = lambda _kind, name: lambda: made[name]  # noqa: E731
    monkeypatch.setattr(registry, "load", load)
    return made


def test_what_can_be_read_is_started_and_stopped_and_the_rest_has_its_reason(
    probes: dict[str, Fake],
) -> None:
    with started(ProbesConfig(("gpu", "heat", "energy"))) as found:
        assert [probe.name for probe in found.probes] == ["gpu", "energy"]
        assert found.absent == {"gpu/power_w": "NVML: Not Supported", "cpu/thermal_throttles": "no counters"}
        assert found.energy_source == "source of energy"
        assert found.watch.looks == ()
    assert [probe.log for probe in probes.values()] == [["start", "stop"], [], ["start", "stop"]]


def test_a_probe_that_does_not_start_leaves_none_running(
    probes: dict[str, Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise OSError("no more")

    monkeypatch.setattr(probes["energy"], "start", refuse)
    with pytest.raises(OSError, match="no more"), started(ProbesConfig(("gpu", "energy"))):
        pass
    assert probes["gpu"].log == ["start", "stop"]


def test_what_is_not_asked_for_says_so(probes: dict[str, Fake]) -> None:
    with started(ProbesConfig(())) as found:
        assert found.probes == ()
        assert found.absent[ENERGY] == "the probe 'energy' is not among probes.names"
        assert found.energy_source == "absent"


@pytest.mark.parametrize(
    ("counter", "model", "source"),
    [
        (True, None, "source of energy"),
        (True, 9.0, "source of energy"),
        (False, None, "absent"),
        (False, 9.0, "modelled"),
    ],
)
def test_a_model_is_taken_only_where_asked_for_and_no_counter_can_be_read(
    probes: dict[str, Fake], counter: bool, model: float | None, source: str
) -> None:
    probes["energy"].reason = None if counter else "no counter"
    asked = None if model is None else EnergyModelConfig(model)
    with started(ProbesConfig(("energy",), asked)) as found:
        assert found.energy_source == source
        assert (ENERGY in found.absent) == (source == "absent")
