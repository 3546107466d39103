"""What the program is doing, on standard error: a live line on a terminal, plain lines anywhere else.

Drawing must not disturb what is measured: nothing is drawn by a thread of its own, only when the caller says that
something happened, and at most twice a second.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.text import Text

from mlbench.reporting.text import duration, plain, redact

REDRAW_NS = 500_000_000
_BAR = 24


class Progress:
    """Progress of one study; a context manager.

    Args:
        console: Where to draw; standard error by default.
        now_ns: Monotonic clock.
    """

    def __init__(self, console: Console | None = None, *, now_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._console = console or Console(stderr=True, highlight=False, emoji=False, markup=False)
        self._now_ns = now_ns
        self._live: Live | None = None
        self._phase = ""
        self._detail = ""
        self._phase_start_ns = 0
        self._drawn_ns: int | None = None
        self._trial = 0

    def __enter__(self) -> Self:
        if self._console.is_terminal and not self._console.is_dumb_terminal:
            self._live = Live(
                console=self._console,
                auto_refresh=False,  # no thread: it would run beside the calls that are being timed
                transient=True,
                redirect_stdout=sys.stdout.isatty(),  # a redirected standard output is the caller's, not ours
                redirect_stderr=True,
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._phase:
            self._leave("stopped")
        self.close()

    def phase(self, text: str) -> None:
        """A new phase begins, such as ``preparing workload`` or ``building arm 2 of 7: onnx_fp32``."""
        self._leave("done")
        self._phase, self._detail, self._trial = plain(redact(text)), "", 0
        self._phase_start_ns = self._now_ns()
        if self._live is None:
            self._line(self._phase)
        else:
            self._draw()

    def step(self, text: str) -> None:
        """What the current phase is busy with."""
        detail = plain(redact(text))
        if detail == self._detail:
            return
        self._detail = detail
        if self._live is None:
            self._line(f"  {detail}")
        else:
            self._draw()

    def trial(self, trial: int, trials: int, done_fraction: float, eta_seconds: float | None = None) -> None:
        """A round of this trial is over.

        Args:
            trial: The trial under way, from 1.
            trials: Trials in all.
            done_fraction: Share of the whole measurement that is done, 0 to 1.
            eta_seconds: Seconds left, where that can be told.
        """
        left = f", about {duration(max(1.0, round(eta_seconds)))} left" if eta_seconds is not None else ""
        where = f"trial {trial} of {trials}"
        if self._live is None:
            if trial != self._trial:
                self._trial = trial
                self._line(f"  {where}{left}")
            return
        done = min(max(done_fraction, 0.0), 1.0)
        filled = int(done * _BAR)
        self._detail = f"[{'=' * filled}{' ' * (_BAR - filled)}] {100 * done:3.0f} %  {where}{left}"
        if self._drawn_ns is None or self._now_ns() - self._drawn_ns >= REDRAW_NS:
            self._draw()

    def notice(self, text: str) -> None:
        """Something the reader should know; stays on the screen."""
        self._line(f"note: {plain(redact(text))}", style="yellow")

    def close(self) -> None:
        """End the last phase and leave the terminal as it was; may be called again."""
        self._leave("done")
        if self._live is not None:
            self._live.stop()
            self._live = None

    def _leave(self, word: str) -> None:
        """Keep one line for the phase that ends."""
        if not self._phase:
            return
        if self._live is not None:
            took = duration((self._now_ns() - self._phase_start_ns) / 1e9)
            self._live.update(Text(""), refresh=True)
            self._line(f"{word:<7} {self._phase}, {took}", style="dim" if word == "done" else "red")
        elif word != "done":
            self._line(f"{word}: {self._phase}", style="red")
        self._phase = ""

    def _line(self, line: str, style: str = "") -> None:
        encoding = self._console.encoding
        safe = line.encode(encoding, "backslashreplace").decode(encoding)
        self._console.print(Text(safe, style=style), soft_wrap=True)

    def _draw(self) -> None:
        assert self._live is not None
        self._drawn_ns = self._now_ns()
        encoding = self._console.encoding
        line = f"{self._phase}  {self._detail}".encode(encoding, "backslashreplace").decode(encoding)
        self._live.update(Text(line, style="bold", no_wrap=True, overflow="crop"), refresh=True)


__all__ = ["REDRAW_NS", "Progress"]
