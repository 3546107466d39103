from pathlib import Path

import pytest

from mlbench.errors import WorkerError
from mlbench.measurement.memory import memory_kills, memory_mib, unique_mib


def test_missing_high_water_mark_is_an_error_not_a_zero(tmp_path: Path) -> None:
    status = tmp_path / "status"
    status.write_text("VmRSS:\t 2048 kB\n")
    assert memory_mib("VmRSS", status) == 2.0
    with pytest.raises(WorkerError, match="VmHWM"):
        memory_mib("VmHWM", status)


def test_unique_memory_is_what_is_private(tmp_path: Path) -> None:
    rollup = tmp_path / "smaps_rollup"
    rollup.write_text(
        "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 9000 kB\nPss: 7000 kB\nShared_Clean: 900 kB\n"
        "Private_Clean: 1024 kB\nPrivate_Dirty: 2048 kB\nPrivate_Hugetlb: 512 kB\nSwap: 77 kB\n"
    )
    assert unique_mib(rollup) == 3.5


@pytest.mark.parametrize("text", [None, "Rss: 9000 kB\n"])
def test_unique_memory_that_is_not_offered_is_none_and_not_zero(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "rollup").write_text(text)
    assert unique_mib(tmp_path / "rollup") is None


def test_what_the_kernel_ended_for_memory_is_counted(tmp_path: Path) -> None:
    counters = tmp_path / "vmstat"
    counters.write_text("nr_free_pages 12\noom_kill 7\noom_kill_other 9\n")
    assert memory_kills(counters) == 7
    counters.write_text("nr_free_pages 12\n")
    assert (memory_kills(counters), memory_kills(tmp_path / "nothing")) == (0, 0)
