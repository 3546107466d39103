"""The lock between real processes: who comes second waits or is refused, and a dead holder holds nothing."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlbench.errors import InputError
from mlbench.measurement.machine_lock import MachineBusyError, MachineLock

TAKE = """
import sys
from mlbench.measurement.machine_lock import MachineLock
say = lambda text: print(text, flush=True)
with MachineLock(wait=True, say=say):
    say("mine")
    sys.stdin.read()
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "machine.lock"
    monkeypatch.setenv("MLBENCH_LOCK", str(path))
    return path


@contextmanager
def another() -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", TAKE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process
        process.kill()


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def test_the_second_waits_says_so_and_goes_on_when_the_first_is_killed(place: Path) -> None:
    with another() as first, another() as second:
        said = {line(process): process for process in (first, second)}
        holder = said.pop("mine")
        ((sentence, waiting),) = said.items()
        assert sentence == f"another study is being measured on this machine: waiting for its end ({place})"
        holder.kill()
        assert line(waiting) == "mine"


def test_without_waiting_it_is_refused_until_the_machine_is_free(place: Path) -> None:
    with MachineLock(wait=False, say=pytest.fail) as mine:
        with pytest.raises(MachineBusyError, match="measuring two would falsify both"):
            MachineLock(wait=False, say=pytest.fail)
        mine.release()
        MachineLock(wait=False, say=pytest.fail).release()


def test_a_lock_file_that_is_removed_meanwhile_does_not_let_two_in(place: Path) -> None:
    with another() as first:
        assert line(first) == "mine"

        def say(_text: str) -> None:
            place.unlink()
            first.kill()

        with MachineLock(wait=True, say=say):
            assert place.is_file()
            with pytest.raises(MachineBusyError):
                MachineLock(wait=False, say=pytest.fail)


def test_it_is_open_to_other_users_and_written_by_nobody(place: Path) -> None:
    before = os.umask(0o077)
    try:
        MachineLock(wait=False, say=pytest.fail).release()
    finally:
        os.umask(before)
    assert place.stat().st_mode & 0o777 == 0o644
    assert place.read_bytes() == b""


def test_what_stands_in_its_place_is_refused_and_left_alone(place: Path, tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_text("precious")
    place.symlink_to(victim)
    with pytest.raises(InputError, match=r"MLBENCH_LOCK: the lock file .* cannot be used"):
        MachineLock(wait=False, say=pytest.fail)
    assert victim.read_text() == "precious"
    place.unlink()
    os.mkfifo(place)
    with pytest.raises(InputError, match="no plain file"):
        MachineLock(wait=False, say=pytest.fail)


def test_it_lies_where_temporary_files_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("MLBENCH_LOCK", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    MachineLock(wait=False, say=pytest.fail).release()
    assert (tmp_path / "mlbench.lock").is_file()
