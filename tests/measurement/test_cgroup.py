from pathlib import Path

import pytest

from mlbench.measurement.cgroup import Cgroup, cpu_budget


class Tree:
    """A fake /proc and /sys/fs/cgroup."""

    def __init__(self, base: Path) -> None:
        self.proc, self.root = base / "proc", base / "cgroup"
        (self.proc / "self").mkdir(parents=True)
        self.root.mkdir()

    def member(self, *lines: str) -> None:
        (self.proc / "self" / "cgroup").write_text("\n".join(lines) + "\n")

    def write(self, path: str, text: str) -> None:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")

    def group(self) -> Cgroup:
        return Cgroup(self.proc, self.root)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_version_2_takes_the_smallest_limit_on_the_way_to_the_root(tree: Tree) -> None:
    tree.member("0::/pod/box")
    tree.write("pod/box/cpu.max", "max 100000")
    tree.write("pod/cpu.max", "150000 100000")
    tree.write("pod/box/memory.max", str(3 << 30))
    tree.write("pod/memory.max", "max")
    tree.write("other/cpu.max", "1000 100000")  # a group beside ours
    assert tree.group().cpus() == 1.5
    assert tree.group().memory_mib() == 3072.0


def test_version_1_reads_the_directory_of_the_controller(tree: Tree) -> None:
    tree.member("4:memory:/docker/abc", "1:cpu,cpuacct:/docker/abc")
    tree.write("cpu,cpuacct/docker/abc/cpu.cfs_quota_us", "50000")
    tree.write("cpu,cpuacct/docker/abc/cpu.cfs_period_us", "100000")
    tree.write("memory/docker/abc/memory.limit_in_bytes", str(512 << 20))
    assert tree.group().cpus() == 0.5
    assert tree.group().memory_mib() == 512.0


def test_inside_a_container_the_mounted_root_is_the_group(tree: Tree) -> None:
    tree.member("1:cpu:/docker/abc")  # the host's path, which does not exist in here
    tree.write("cpu/cpu.cfs_quota_us", "200000")
    tree.write("cpu/cpu.cfs_period_us", "100000")
    assert tree.group().cpus() == 2.0


@pytest.mark.parametrize(
    ("files", "lines"),
    [
        ({}, ()),
        ({"cpu.max": "max 100000", "memory.max": "max"}, ("0::/",)),
        (
            {"cpu/cpu.cfs_quota_us": "-1", "memory/memory.limit_in_bytes": "9223372036854771712"},
            ("1:cpu:/", "2:memory:/"),
        ),
        ({"cpu.max": "garbage"}, ("0::/../..",)),
    ],
)
def test_without_a_limit_there_is_none(tree: Tree, files: dict[str, str], lines: tuple[str, ...]) -> None:
    if lines:
        tree.member(*lines)
    for path, text in files.items():
        tree.write(path, text)
    assert tree.group().cpus() is None
    assert tree.group().memory_mib() is None


@pytest.mark.parametrize(
    ("statistics", "seconds"),
    [
        ("nr_periods 90\nnr_throttled 7\nthrottled_usec 2500000", 2.5),
        ("nr_periods 90\nnr_throttled 7\nthrottled_time 1500000000", 1.5),
    ],
)
def test_throttling_is_read_in_the_units_of_either_version(tree: Tree, statistics: str, seconds: float) -> None:
    tree.member("0::/")
    tree.write("cpu.max", "100000 100000")
    tree.write("cpu.stat", statistics)
    found = tree.group().throttled()
    assert (found.periods, found.seconds) == (7, seconds)


@pytest.mark.parametrize(
    ("quota", "budget"), [(None, 4), ("400000", 4), ("900000", 4), ("250000", 2), ("100000", 1), ("30000", 1)]
)
def test_the_budget_is_whole_cpus_within_the_limit_and_the_affinity(tree: Tree, quota: str | None, budget: int) -> None:
    tree.member("0::/")
    tree.write("cpu.max", f"{quota or 'max'} 100000")
    assert cpu_budget(tree.group(), lambda _pid: {0, 1, 2, 3}) == budget


def test_this_machine_answers() -> None:
    assert cpu_budget() >= 1
