from pathlib import Path

from mlbench.probes.thermal import ThermalProbe


def counters(sys_root: Path, **counts: tuple[int | str, int]) -> None:
    for cpu, (core, package) in counts.items():
        place = sys_root / "devices" / "system" / "cpu" / cpu / "thermal_throttle"
        place.mkdir(parents=True, exist_ok=True)
        (place / "core_throttle_count").write_text(f"{core}\n")
        (place / "package_throttle_count").write_text(f"{package}\n")


def probe(sys_root: Path) -> ThermalProbe:
    return ThermalProbe(sys_root, lambda _pid: (0, 1))


def test_one_event_is_counted_once_however_many_counters_saw_it(tmp_path: Path) -> None:
    counters(tmp_path, cpu0=(4, 9), cpu1=(4, 9), cpu2=(0, 0))
    watched = probe(tmp_path)
    assert watched.available() is None
    watched.start()
    watched.begin()
    assert watched.end(1) == {"thermal_throttles": 0.0}
    watched.begin()
    counters(tmp_path, cpu0=(6, 10), cpu1=(6, 10), cpu2=(50, 0))  # CPU 2 is not ours
    assert watched.end(1) == {"thermal_throttles": 2.0}
    watched.stop()
    assert watched.source() == "thermal_throttle"


def test_without_counters_it_says_so(tmp_path: Path) -> None:
    assert "no thermal_throttle counters" in str(probe(tmp_path).available())


def test_unreadable_counters_are_told(tmp_path: Path) -> None:
    counters(tmp_path, cpu0=("garbage", 1))
    assert "cannot be read" in str(probe(tmp_path).available())
