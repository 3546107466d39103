import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlbench.errors import WorkerError
from mlbench.measurement.cpus import allowed, cpu_vendor, pin, trial_cpus, usable_cpus


def topology(directory: Path, siblings: dict[int, str]) -> Path:
    for cpu, text in siblings.items():
        place = directory / f"cpu{cpu}" / "topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(text + "\n")
    return directory


@pytest.mark.parametrize(
    ("siblings", "expected"),
    [
        ({0: "0-1", 1: "0-1", 2: "2-3", 3: "2-3"}, (0, 2, 1, 3)),  # neighbours share a core
        ({0: "0,2", 1: "1,3", 2: "0,2", 3: "1,3"}, (0, 1, 2, 3)),  # the usual numbering
        ({}, (0, 1, 2, 3)),  # the kernel says nothing
    ],
)
def test_one_cpu_of_every_core_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, siblings: dict[int, str], expected: tuple[int, ...]
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3, 0, 1, 2})
    assert usable_cpus(topology(tmp_path, siblings)) == expected


def test_only_cpus_that_this_process_may_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {5, 3})
    assert usable_cpus(tmp_path) == (3, 5)


def test_on_this_machine_they_are_the_usable_ones() -> None:
    assert sorted(usable_cpus()) == sorted(os.sched_getaffinity(0))


def test_trials_take_the_cpus_in_turn() -> None:
    assert [trial_cpus((4, 6, 8), trial, 1) for trial in range(4)] == [(4,), (6,), (8,), (4,)]
    assert [trial_cpus((4, 6, 8), trial, 2) for trial in range(4)] == [(4, 6), (8, 4), (6, 8), (4, 6)]


def test_more_threads_than_cpus_get_all_of_them() -> None:
    assert sorted(trial_cpus((4, 6), 3, 8)) == [4, 6]


def test_without_cpus_nothing_is_pinned() -> None:
    assert trial_cpus((), 1, 2) == ()


PROGRAM = """
import os, sys, threading
from mlbench.measurement.cpus import pin
go, end = threading.Event(), threading.Event()
threads = [threading.Thread(target=end.wait) for _ in range(3)]
for thread in threads: thread.start()
pin([int(sys.argv[1])])
later = threading.Thread(target=end.wait)
later.start()
print([sorted(os.sched_getaffinity(thread.native_id)) for thread in (threading.main_thread(), *threads, later)])
end.set()
"""


def test_every_thread_stays_and_so_do_later_ones() -> None:
    cpu = max(os.sched_getaffinity(0))
    done = subprocess.run([sys.executable, "-c", PROGRAM, str(cpu)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([[cpu]] * 5)


def test_a_refusal_names_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_task: int, _cpus: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    with pytest.raises(WorkerError, match=r"kept on CPU 1, 3 \(Operation not permitted\); protocol.pin_cpus=false"):
        pin([3, 1])


def test_every_thread_counts_for_where_a_process_may_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for thread in (11, 12, 13):
        (tmp_path / str(thread)).mkdir()

    def affinity(thread: int) -> set[int]:
        if thread == 13:
            raise ProcessLookupError
        return {11: {4}, 12: {2, 4}}[thread]

    monkeypatch.setattr(os, "sched_getaffinity", affinity)
    assert allowed(tmp_path) == (2, 4)


def test_the_maker_of_the_processor_where_the_kernel_says(tmp_path: Path) -> None:
    (tmp_path / "amd").write_text("processor\t: 0\nvendor_id\t: AuthenticAMD\n\nprocessor\t: 1\nvendor_id\t: Other\n")
    (tmp_path / "arm").write_text("processor\t: 0\nCPU implementer\t: 0x41\n")
    assert cpu_vendor(tmp_path / "amd") == "AuthenticAMD"
    assert cpu_vendor(tmp_path / "arm") == cpu_vendor(tmp_path / "nothing") == ""
