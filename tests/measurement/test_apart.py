"""Real processes with an object in them: they answer, they break, and nothing of them is left."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from living_apart import Guest
from processes import gone

from mlbench.errors import BuildError, InputError, WorkerGoneError
from mlbench.measurement.apart import Apart
from mlbench.measurement.own_process import OwnProcess

HAS_ENDED = OwnProcess.has_ended


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def guest(told: list[str]) -> Iterator[Apart]:
    with Apart(Guest, "anna", tell=told.append) as apart:
        yield apart


def test_it_answers_from_a_process_of_its_own_and_remembers(guest: Apart, told: list[str]) -> None:
    assert not guest.begun
    answer, asked, process = guest.ask("greet", "bob")
    assert (answer, asked) == ("anna greets bob", 1)
    assert process != os.getpid()
    assert told == ["anna is asked", "and thinks"]
    assert guest.ask("greet", "eve")[1:] == (2, process)
    guest.close()
    assert not guest.begun
    assert gone(process)


def test_it_may_be_started_before_it_is_asked(guest: Apart) -> None:
    guest.begin()
    assert guest.begun
    guest.begin()
    assert guest.ask("greet", "bob")[1] == 1


def test_large_arrays_come_and_go(guest: Apart) -> None:
    values = np.random.default_rng(0).normal(size=(1 << 20, 2))
    np.testing.assert_array_equal(guest.ask("double", values), 2 * values)


def test_errors_arrive_as_what_they_are(guest: Apart) -> None:
    with pytest.raises(BuildError, match="it broke") as built:
        guest.ask("fail", "build")
    assert (built.value.step, str(built.value)) == ("prune", "step 'prune': it broke")
    assert "living_apart.py" in "".join(built.value.__notes__)  # where it comes from over there
    with pytest.raises(InputError) as wrong:
        guest.ask("fail", "input")
    assert wrong.value.problems == ("one", "two")
    with pytest.raises(ZeroDivisionError, match="by somebody else") as foreign:
        guest.ask("fail", "foreign")
    assert "living_apart.py" in "".join(foreign.value.__notes__)
    with pytest.raises(RuntimeError, match="LocalError") as local:
        guest.ask("fail", "local")
    assert str(local.value) == "LocalError: cannot travel"
    assert "living_apart.py" in "".join(local.value.__notes__)
    with pytest.raises(Exception, match="lambda"):
        guest.ask("unportable")
    assert guest.ask("many") == 45  # and it goes on


def test_an_object_that_cannot_be_made_says_so_whenever_it_is_asked() -> None:
    with Apart(Guest, "impossible") as apart:
        for _ in range(2):
            with pytest.raises(InputError) as wrong:
                apart.ask("many")
            assert wrong.value.problems == ("one", "two")


def test_what_is_printed_over_there_is_shown_and_disturbs_nothing(
    guest: Apart, capsys: pytest.CaptureFixture[str]
) -> None:
    guest.ask("speak")
    assert guest.ask("many") == 45
    out, err = capsys.readouterr()
    assert out == ""
    assert set(err.splitlines()) >= {"warned", "written past Python"}


def test_a_crash_names_the_signal_and_the_next_question_finds_a_new_process(guest: Apart) -> None:
    process = guest.ask("greet", "bob")[2]
    with pytest.raises(
        WorkerGoneError, match=r"^its process was ended by signal SIGSEGV; it last said: the tool was here$"
    ) as ended:
        guest.ask("crash")
    assert ended.value.signal == "SIGSEGV"
    assert not guest.begun
    assert gone(process)
    assert guest.ask("greet", "bob")[1] == 1


def test_a_process_that_leaves_says_with_which_code(guest: Apart) -> None:
    with pytest.raises(WorkerGoneError, match="ended by itself with exit code 7"):
        guest.ask("leave", 7)


def test_the_end_is_seen_though_a_helper_keeps_the_pipe_and_the_helper_ends_too(guest: Apart) -> None:
    helper = guest.ask("leave_a_helper")
    with pytest.raises(WorkerGoneError, match="exit code 7"):
        guest.ask("leave", 7)
    assert gone(helper)


def test_what_cannot_be_sent_any_more_is_not_waited_for(guest: Apart) -> None:
    """The helper has the other end of the pipe, and reads nothing."""
    helper = guest.ask("leave_a_helper")
    process = guest.ask("greet", "bob")[2]
    os.kill(process, signal.SIGKILL)
    assert gone(process)
    with pytest.raises(WorkerGoneError, match="SIGKILL"):
        guest.ask("double", np.zeros(1 << 20))
    assert gone(helper)


@pytest.mark.parametrize("how", ["close", "crash"])
def test_an_interruption_while_it_ends_does_not_leave_it_behind(how: str, guest: Apart) -> None:
    helper, process = guest.ask("leave_a_helper"), guest.ask("greet", "bob")[2]

    def interrupted(own: OwnProcess, within_s: float = 0.0) -> bool:
        if within_s:
            raise KeyboardInterrupt
        return HAS_ENDED(own)

    if how == "crash":
        os.kill(process, signal.SIGKILL)
        assert gone(process)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(OwnProcess, "has_ended", interrupted)
        ending = partial(guest.ask, "many") if how == "crash" else guest.close
        with pytest.raises(KeyboardInterrupt):
            ending()
    assert gone(process)
    assert gone(helper)
    assert not guest.begun


def test_helpers_end_with_it(guest: Apart) -> None:
    helper = guest.ask("leave_a_helper")
    guest.close()
    assert gone(helper)


@pytest.mark.parametrize("method", ["work", "work_on"])
def test_an_interruption_reaches_it_and_it_may_tidy_up(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = tmp_path / "mark"
    seen: list[bool] = []

    def interrupt(_text: str) -> None:
        seen.append(mark.exists())
        raise KeyboardInterrupt

    with Apart(Guest, "anna", tell=interrupt) as apart, pytest.raises(KeyboardInterrupt):
        apart.ask(method, *([str(mark)] if method == "work" else []))
    assert not apart.begun
    assert seen == [method == "work"]
    assert not mark.exists()
    assert capsys.readouterr() == ("", "")


def test_an_error_here_ends_an_idle_process_without_a_word(guest: Apart, capsys: pytest.CaptureFixture[str]) -> None:
    process = guest.ask("greet", "bob")[2]
    with pytest.raises(InputError), guest:
        raise InputError("a mistake")
    assert gone(process)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("own", [None, "/somewhere"])
def test_what_it_starts_has_the_import_path_that_the_user_has_set(
    own: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its own is this process's, which is not that of another interpreter."""
    if own is None:
        monkeypatch.delenv("PYTHONPATH", raising=False)
    else:
        monkeypatch.setenv("PYTHONPATH", own)
    with Apart(Guest, "anna") as apart:
        assert apart.ask("environment", "PYTHONPATH") == own
