from pathlib import Path

import pytest

from mlbench.probes.frequency import FrequencyProbe


def cpufreq(sys_root: Path, **khz: int) -> None:
    for cpu, value in khz.items():
        place = sys_root / "devices" / "system" / "cpu" / cpu / "cpufreq"
        place.mkdir(parents=True, exist_ok=True)
        (place / "scaling_cur_freq").write_text(f"{value}\n")


def cpuinfo(proc: Path, flags: str, *mhz: float) -> None:
    lines = [f"processor\t: {cpu}\ncpu MHz\t\t: {value:.3f}\nflags\t\t: {flags}\n" for cpu, value in enumerate(mhz)]
    (proc / "cpuinfo").write_text("\n".join(lines))


def probe(base: Path, worker: tuple[int, ...] = (0, 1)) -> FrequencyProbe:
    return FrequencyProbe(base, base, lambda pid: worker if pid else (0, 1))


def test_mean_over_the_cpus_of_the_worker(tmp_path: Path) -> None:
    cpufreq(tmp_path, cpu0=1_000_000, cpu1=3_000_000, cpu2=9_000_000)
    both, one = probe(tmp_path), probe(tmp_path, worker=(1,))
    assert both.available() is None
    both.start()
    both.begin()
    assert both.end(7) == {"cpu_mhz": 2000.0}
    assert one.end(7) == {"cpu_mhz": 3000.0}
    both.stop()
    assert both.source() == "cpufreq"


def test_cpuinfo_counts_where_the_processor_measures_its_clock(tmp_path: Path) -> None:
    cpuinfo(tmp_path, "fpu aperfmperf avx2", 2500.5, 2600.5, 9000)
    assert probe(tmp_path).available() is None
    assert probe(tmp_path).end(7) == {"cpu_mhz": 2550.5}
    assert probe(tmp_path).source() == "cpuinfo"


def test_a_nominal_frequency_is_no_measurement(tmp_path: Path) -> None:
    cpuinfo(tmp_path, "fpu hypervisor", 2596.138, 2596.138)
    assert "nominal frequency only" in str(probe(tmp_path).available())


@pytest.mark.parametrize("text", [None, "processor\t: 0\nFeatures\t: fp asimd\n"])
def test_without_any_source_it_says_so(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "cpuinfo").write_text(text)
    assert "no cpufreq" in str(probe(tmp_path).available())
    assert probe(tmp_path).end(7) == {}


def test_a_cpu_without_a_frequency_is_told(tmp_path: Path) -> None:
    cpufreq(tmp_path, cpu0=1_000_000)
    assert "some of the CPUs" in str(probe(tmp_path).available())
