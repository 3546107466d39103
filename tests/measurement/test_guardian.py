"""The guardian: what it hears, what it takes for left behind, and real processes that are killed."""

import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from processes import gone, guardians

from mlbench.errors import MlbenchError
from mlbench.measurement import guarding
from mlbench.measurement.guardian import end_all, leftovers, watch
from mlbench.measurement.guarding import MARK, guarded, let_go, watch_over

SLEEP = shutil.which("sleep") or "sleep"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for descriptor in (reading, writing):
        try:
            os.close(descriptor)
        except OSError:
            continue  # the test has closed it


def later(*said: tuple[int, bytes]) -> None:
    """Write it while the test waits."""
    threading.Timer(0.1, lambda: [os.write(descriptor, text) for descriptor, text in said]).start()


def test_groups_that_were_not_let_go_are_left_where_the_pipe_ends(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"+12\n+345\n-12\n+6\n-7\n")
    os.close(writing)
    assert watch(reading, -1) == {345, 6}


def test_a_coordinator_that_is_done_leaves_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.write(writing, b"+12\ne")
    later((writing, b"nd\n"))
    assert watch(reading, -1) is None


def test_a_pipe_that_a_living_coordinator_has_closed_says_nothing(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    alive, dying = os.pipe()
    os.write(writing, b"+12\n")
    os.close(writing)
    later((dying, b"x"))
    assert watch(reading, alive) == {12}
    os.close(alive)
    os.close(dying)


def test_what_it_said_before_it_was_gone_counts(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    alive, dying = os.pipe()
    os.close(dying)  # it is gone, though something that it has forked still holds the pipe
    os.write(writing, b"+12\n")
    assert watch(reading, alive) == {12}
    os.close(alive)


def process(proc: Path, number: int, state: str = "S", group: int = 1, environ: bytes = b"", link: str = "") -> None:
    place = proc / str(number)
    (place / "fd").mkdir(parents=True)
    (place / "stat").write_text(f"{number} (a) b (c) {state} 1 {group} {group} 0 -1")
    (place / "environ").write_bytes(environ)
    if link:
        (place / "fd" / "0").symlink_to("/dev/null")
        (place / "fd" / "7").symlink_to(link)
    else:
        (place / "fd" / "0").write_text("no link")


def test_left_is_what_is_in_a_group_has_the_mark_or_holds_the_pipe(tmp_path: Path) -> None:
    process(tmp_path, 10, group=44)
    process(tmp_path, 11, environ=b"PATH=/\0MARK=1\0")
    process(tmp_path, 12, link="pipe:[5]")
    process(tmp_path, 20, environ=b"PATH=/\0MARK=12\0XMARK=1\0", link="pipe:[55]")
    process(tmp_path, 21, "Z", group=44)
    process(tmp_path, os.getpid(), group=44)
    (tmp_path / "13").mkdir()  # gone since the directory was read
    (tmp_path / "version").touch()
    assert sorted(leftovers({44}, b"MARK=1", "pipe:[5]", tmp_path)) == [10, 11, 12]


def test_all_are_ended_until_nothing_is_found() -> None:
    with subprocess.Popen([SLEEP, "100"]) as first, subprocess.Popen([SLEEP, "100"]) as second:
        found = [[first.pid], [], [second.pid, first.pid]]
        end_all(lambda: found.pop(0) if found else [])
        assert (first.wait(), second.wait()) == (-signal.SIGKILL, -signal.SIGKILL)


def test_what_cannot_be_ended_is_not_waited_for_forever() -> None:
    with subprocess.Popen([SLEEP, "0"]) as over:
        over.wait()
    end_all(lambda: [over.pid], patience_s=0.1)


# ---------------------------------------------------------------------------------------------------------------------
# real ones

COORDINATOR = f"""
import os, subprocess, time
from mlbench.measurement.guarding import guarded, let_go, watch_over

def start(**options):
    return subprocess.Popen([{SLEEP!r}, "100"], start_new_session=True, stdout=subprocess.DEVNULL, **options).pid

with guarded():
    marked, grouped, released = start(), start(env={{}}), start(env={{}})
    for group in (grouped, released):
        watch_over(group)
    let_go(released)
    forked = os.fork()
    if not forked:
        os.close(1)
        time.sleep(100)
        os._exit(0)
    print(marked, grouped, forked, released, flush=True)
    input()
"""


@pytest.fixture
def coordinator() -> Iterator[tuple[subprocess.Popen[str], list[int]]]:
    """A process that has started some others under a guardian, and waits."""
    command = [sys.executable, "-c", COORDINATOR]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as started:
        assert started.stdout is not None
        numbers = [int(word) for word in started.stdout.readline().split()]
        try:
            yield started, numbers
        finally:
            started.kill()
            for number in numbers:
                if psutil.pid_exists(number):
                    os.kill(number, signal.SIGKILL)


def test_what_a_killed_coordinator_has_started_is_ended(
    coordinator: tuple[subprocess.Popen[str], list[int]],
) -> None:
    started, (marked, grouped, forked, released) = coordinator
    (guardian,) = guardians(str(started.pid))
    started.kill()
    started.wait()
    assert all(map(gone, (marked, grouped, forked, guardian)))
    assert psutil.pid_exists(released)  # it cuts every tie, and was let go


def test_a_coordinator_that_ends_by_itself_takes_nothing_along(
    coordinator: tuple[subprocess.Popen[str], list[int]],
) -> None:
    started, numbers = coordinator
    (guardian,) = guardians(str(started.pid))
    started.communicate("\n", timeout=30)
    assert started.returncode == 0
    assert gone(guardian)
    assert all(map(psutil.pid_exists, numbers))


def test_it_is_nobodys_child_out_of_a_terminals_reach_and_ends_with_its_study(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(MARK, raising=False)
    with guarded():
        (guardian,) = guardians(f"{MARK}={os.environ[MARK]}")
        outer = os.environ[MARK]
        assert guardian not in [child.pid for child in psutil.Process().children(recursive=True)]
        assert os.getsid(guardian) != os.getsid(0)
        with guarded():
            assert os.environ[MARK] != outer
        assert os.environ[MARK] == outer
    assert gone(guardian)
    assert MARK not in os.environ


def test_a_guardian_that_is_gone_is_no_harm() -> None:
    with guarded():
        (guardian,) = guardians(f"{MARK}={os.environ[MARK]}")
        os.kill(guardian, signal.SIGKILL)
        assert gone(guardian)
        watch_over(1)
        let_go(1)
    watch_over(1)  # nobody is there to be told
    let_go(1)


def test_one_that_cannot_be_started_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere")
    with pytest.raises(MlbenchError, match="the guardian, a process of mlbench's own, cannot be started"), guarded():
        pass
    assert guarding._pipes == []
