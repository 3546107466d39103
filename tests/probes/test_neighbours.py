import os
from pathlib import Path

from mlbench.probes.neighbours import Neighbours
from mlbench.records import Neighbour

OWN = 100


def process(proc: Path, pid: int, name: str, ticks: int, parent: int = 1, start: int = 5) -> None:
    (proc / str(pid)).mkdir(parents=True, exist_ok=True)
    user, system = ticks - ticks // 4, ticks // 4
    rest = f"S {parent} 0 0 0 0 0 0 0 0 0 {user} {system} 7 7 20 0 1 0 {start} 0 0"
    (proc / str(pid) / "stat").write_text(f"{pid} ({name}) {rest}\n")


def neighbours(proc: Path) -> Neighbours:
    found = Neighbours(proc, ticks_per_second=100, own=OWN)
    found.begin()
    return found


def test_cpus_by_program_the_busiest_first(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()  # not a process of its own
    process(tmp_path, 1, "init", 50)
    process(tmp_path, 7, "browser", 1000)
    process(tmp_path, 8, "odd) (name", 0)
    look = neighbours(tmp_path)
    process(tmp_path, 7, "browser", 1180)
    process(tmp_path, 8, "odd) (name", 100)
    process(tmp_path, 9, "browser", 20, start=6)  # started since
    assert look.busiest(seconds=2.0) == (Neighbour("browser", 1.0), Neighbour("odd) (name", 0.5))


def test_what_we_started_is_no_neighbour(tmp_path: Path) -> None:
    process(tmp_path, OWN, "mlbench", 0)
    process(tmp_path, 101, "worker", 0, parent=OWN)
    process(tmp_path, 102, "helper", 0, parent=101)
    process(tmp_path, 103, "stranger", 0, parent=1)
    look = neighbours(tmp_path)
    for pid, name, parent in ((OWN, "mlbench", 1), (101, "worker", OWN), (102, "helper", 101), (103, "stranger", 1)):
        process(tmp_path, pid, name, 90, parent)
    assert [other.name for other in look.busiest(1.0)] == ["stranger"]


def test_a_number_that_was_given_again_is_another_process(tmp_path: Path) -> None:
    process(tmp_path, 7, "old", 5000, start=5)
    look = neighbours(tmp_path)
    process(tmp_path, 7, "new", 30, start=90)
    assert look.busiest(1.0) == (Neighbour("new", 0.3),)


def test_each_look_starts_where_the_last_one_ended_and_names_three_at_most(tmp_path: Path) -> None:
    look = neighbours(tmp_path)
    for pid in range(2, 8):
        process(tmp_path, pid, f"p{pid}", 10 * pid)
    assert [other.name for other in look.busiest(1.0)] == ["p7", "p6", "p5"]
    assert look.busiest(1.0) == ()


def test_reads_this_machine() -> None:
    look = Neighbours()
    look.begin()
    names = {other.name for other in look.busiest(1e-9)}  # in no time at all, any tick is a busy CPU
    own = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    assert own not in names or len(names) <= 3
