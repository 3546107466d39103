"""What a worker shows of its calls, read from the file as the coordinator does."""

import mmap
import os
from collections.abc import Iterator

import numpy as np
import pytest

from mlbench.measurement.cells import Cells, calls_over
from mlbench.measurement.memory import memory_mib
from mlbench.measurement.process import _shared_file


@pytest.fixture
def file() -> Iterator[int]:
    with _shared_file() as opened:
        yield opened.fileno()


def test_a_file_that_no_worker_has_mapped_says_nothing(file: int) -> None:
    assert calls_over(file) is None
    Cells(file)
    assert calls_over(file) == 0


def test_times_say_that_their_calls_are_over_even_if_they_took_no_time(file: int) -> None:
    _, times = Cells(file).cleared(5)
    assert (times.dtype, times.shape, times.flags.c_contiguous) == (np.dtype(np.int64), (5,), True)
    assert type(times) is np.ndarray  # not a memmap, which is slower to write to
    assert calls_over(file) == 0
    times[0], times[1] = 250, 0
    assert calls_over(file) == 2


def test_calls_may_be_counted_instead(file: int) -> None:
    over, times = Cells(file).cleared(0)
    assert len(times) == 0
    over[0] = 70_000
    assert calls_over(file) == 70_000


def test_every_beginning_is_a_new_one(file: int) -> None:
    cells = Cells(file)
    over, _ = cells.cleared(0)
    over[0] = 30
    cells.cleared(12)[1][:] = 1
    cells.cleared(3)
    assert calls_over(file) == 0


def test_it_grows_with_the_calls_and_never_shrinks(file: int) -> None:
    cells = Cells(file)
    assert os.fstat(file).st_size == mmap.PAGESIZE
    cells.cleared(mmap.PAGESIZE // 8 - 1)
    assert os.fstat(file).st_size == mmap.PAGESIZE
    _, times = cells.cleared(mmap.PAGESIZE // 8)
    assert os.fstat(file).st_size == 2 * mmap.PAGESIZE
    times[:] = 9
    assert calls_over(file) == len(times) == mmap.PAGESIZE // 8
    assert (cells.cleared(2)[1] == -1).all()
    assert os.fstat(file).st_size == 2 * mmap.PAGESIZE


@pytest.mark.parametrize("shared", [True, False])
def test_all_of_it_is_there_before_a_call_is_timed(file: int, *, shared: bool) -> None:
    cells = Cells(file if shared else None)
    before = memory_mib("RssShmem")
    _, times = cells.cleared(1 << 20)
    assert memory_mib("RssShmem") - before > 0.9 * 8  # MiB; the kernel counts in batches
    assert (times == -1).all()


def test_where_the_kernel_makes_no_file_in_memory_it_is_one_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_name: str) -> int:
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("os.memfd_create", missing)
    with _shared_file() as file:
        Cells(file.fileno()).cleared(4)[1][0] = 7
        assert calls_over(file.fileno()) == 1
        assert os.fstat(file.fileno()).st_nlink == 0
