"""Tools are kept off the terminal, their words are kept, and nobody else is silenced."""

from __future__ import annotations

import io
import logging
import sys
import threading
import warnings

import pytest

from mlbench.variants.quiet import quiet


def test_prints_logs_and_warnings_are_kept(capfd: pytest.CaptureFixture[str]) -> None:
    stream = logging.StreamHandler(sys.stderr)
    child = logging.getLogger("noisy_tool.inner")
    child.addHandler(stream)
    with quiet("noisy_tool") as captured:
        sys.stdout.write("printed\n\n  and more  \n")
        sys.stderr.write("to stderr\n")
        logging.getLogger("noisy_tool").warning("logged %d", 1)
        child.warning("with a handler of its own")
        logging.getLogger("noisy_tool.other").warning("propagated")
        warnings.warn("careful", UserWarning, stacklevel=1)
        sys.stdout.flush()
    child.removeHandler(stream)
    assert capfd.readouterr() == ("", "")
    assert captured.lines == [
        "printed",
        "and more",
        "to stderr",
        "logged 1",
        "with a handler of its own",
        "propagated",
        "UserWarning: careful",
    ]
    assert captured.last(2) == "propagated; UserWarning: careful"


def test_everything_is_as_before_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    logger = logging.getLogger("noisy_tool")
    before = (sys.stdout, sys.stderr, logger.handlers, logger.propagate)
    with pytest.raises(ValueError, match="no"), quiet("noisy_tool"):
        raise ValueError("no")
    assert (sys.stdout, sys.stderr, logger.handlers, logger.propagate) == before
    sys.stdout.write("heard\n")
    assert capfd.readouterr().out == "heard\n"


def test_warnings_are_kept_also_when_the_tool_fails() -> None:
    def fails() -> None:
        warnings.warn("careful", UserWarning, stacklevel=1)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"), quiet() as captured:
        fails()
    assert captured.lines == ["UserWarning: careful"]


def test_other_threads_are_heard(capfd: pytest.CaptureFixture[str]) -> None:
    def progress() -> None:
        sys.stdout.write("step 1 of 2\n")
        sys.stdout.flush()

    with quiet() as captured:
        thread = threading.Thread(target=progress)
        thread.start()
        thread.join()
    assert capfd.readouterr().out == "step 1 of 2\n"
    assert captured.lines == []


def test_a_progress_display_finds_the_real_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    """rich asks the stream for the file behind it, and others for its encoding."""

    class Proxy(io.StringIO):
        rich_proxied_file = "the terminal"

    monkeypatch.setattr(sys, "stdout", Proxy())
    with quiet():
        assert sys.stdout.rich_proxied_file == "the terminal"
