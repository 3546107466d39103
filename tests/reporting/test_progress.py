"""Progress on standard error."""

from __future__ import annotations

import io
import threading

import pytest
from rich.console import Console

from mlbench.progress import REDRAW_NS, Progress


class Clock:
    def __init__(self) -> None:
        self.now = 0

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def screen() -> Console:
    return Console(
        file=io.StringIO(), width=100, force_terminal=True, color_system=None, legacy_windows=False, _environ={}
    )


def log() -> Console:
    return Console(file=io.StringIO(), width=60, force_terminal=False, color_system=None)


def text(console: Console) -> str:
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def end_badly(progress: Progress, error: BaseException) -> None:
    with progress:
        progress.phase("measuring")
        raise error


def test_without_a_terminal_one_line_per_event(clock: Clock) -> None:
    console = log()
    with Progress(console, now_ns=clock) as progress:
        progress.phase("preparing workload")
        progress.step("training")
        progress.step("training")
        progress.phase("measuring")
        for trial in (1, 2):
            for turn in range(50):
                progress.trial(trial, 2, turn / 100, 70.2 if trial == 2 else None)
        progress.notice("nvml is not available")
    assert text(console).splitlines() == [
        "preparing workload",
        "  training",
        "measuring",
        "  trial 1 of 2",
        "  trial 2 of 2, about 1 min 10 s left",
        "note: nvml is not available",
    ]


def test_without_a_terminal_an_error_names_the_phase(clock: Clock) -> None:
    console = log()
    with pytest.raises(KeyboardInterrupt):
        end_badly(Progress(console, now_ns=clock), KeyboardInterrupt())
    assert text(console).splitlines() == ["measuring", "stopped: measuring"]


def test_lines_are_not_wrapped_and_carry_no_control_characters(clock: Clock) -> None:
    console = log()
    with Progress(console, now_ns=clock) as progress:
        progress.notice("x" * 90 + "\x1b[2J\n[bold]y")
    assert text(console) == "note: " + "x" * 90 + " [2J [bold]y\n"


def test_on_a_terminal_at_most_two_drawings_a_second(clock: Clock, screen: Console) -> None:
    with Progress(screen, now_ns=clock) as progress:
        progress.phase("measuring")
        for turn in range(1000):  # 10 s, one round every 10 ms
            clock.now = turn * 10_000_000
            progress.trial(1 + turn // 100, 10, turn / 1000, 10 - turn / 100)
    assert text(screen).count("measuring  [") == 19  # every half second after the phase began, up to 9.99 s


def test_nothing_is_drawn_between_calls(clock: Clock, screen: Console) -> None:
    before = set(threading.enumerate())
    with Progress(screen, now_ns=clock) as progress:
        progress.phase("measuring")
        clock.now += REDRAW_NS
        progress.trial(1, 2, 0.5, 3)
        assert set(threading.enumerate()) == before  # no thread of rich's beside the timed calls


def test_the_bar_and_the_time_left(clock: Clock, screen: Console) -> None:
    with Progress(screen, now_ns=clock) as progress:
        progress.phase("measuring")
        clock.now += REDRAW_NS
        progress.trial(5, 10, 0.5, 83)
        assert "measuring  [============            ]  50 %  trial 5 of 10, about 1 min 23 s left" in text(screen)
        clock.now += REDRAW_NS
        progress.trial(10, 10, 1.7, 0.01)
        assert "[========================] 100 %  trial 10 of 10, about 1.0 s left" in text(screen)


def test_steps_are_drawn_at_once_and_phases_leave_a_line(clock: Clock, screen: Console) -> None:
    with Progress(screen, now_ns=clock) as progress:
        progress.phase("building arm 1 of 2: onnx_fp32")
        progress.step("export_onnx")
        assert "building arm 1 of 2: onnx_fp32  export_onnx" in text(screen)
        clock.now += 3_240_000_000
        progress.notice("slow disk")
        progress.phase("publishing")
    assert "done    building arm 1 of 2: onnx_fp32, 3.2 s" in text(screen)
    assert "done    publishing, 0.0 s" in text(screen)
    assert "note: slow disk" in text(screen)


def test_the_terminal_is_given_back_after_an_error(clock: Clock, screen: Console) -> None:
    with pytest.raises(ValueError, match="boom"):
        end_badly(Progress(screen, now_ns=clock), ValueError("boom"))
    shown = text(screen)
    assert "stopped measuring, 0.0 s" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")  # the cursor is visible again


def test_closing_twice_is_fine(clock: Clock, screen: Console) -> None:
    progress = Progress(screen, now_ns=clock)
    with progress:
        progress.phase("deciding")
        progress.close()
    assert text(screen).count("done    deciding") == 1


def test_a_name_that_the_terminal_cannot_write_is_escaped(clock: Clock) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    console = Console(file=stream, width=100, force_terminal=True, color_system=None, _environ={})
    with Progress(console, now_ns=clock) as progress:
        progress.phase("building prun\u00e9")
    stream.seek(0)
    assert "building prun\\xe9" in stream.read()


def test_progress_goes_to_standard_error(clock: Clock, capsys: pytest.CaptureFixture[str]) -> None:
    with Progress(now_ns=clock) as progress:
        progress.phase("measuring")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "measuring\n")
