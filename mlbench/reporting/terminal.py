"""The result on the terminal: a table that a person can decide from, then the decision and what to know about it.

Plain ASCII throughout, so that it reads the same in any terminal, in a log file and without colour; colour only
repeats what a word already says.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TextIO, TypeVar

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.records import Plan, Study
from mlbench.reporting import text, view, why
from mlbench.reporting.view import ArmRow

_PLAIN_WIDTH = 120  # of output that goes to a file or a pipe, unless COLUMNS says otherwise
GAP = 2
_NAME_WIDTH = 32
_ALL = ("p50", "p95", "throughput", "quality", "delta", "size", "memory", "verdict", "speedup")
_SPEED = ("p50", "p95", "verdict", "speedup")
_REST = ("throughput", "quality", "delta", "size", "memory")
_STYLES = {"faster": "green", "slower": "red", "failed": "red", "inconclusive": "yellow", "baseline": "dim"}


Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column of a table: two lines of heading, and how a row fills it."""

    head: tuple[str, str]
    cell: Callable[[Row], str]
    right: bool = True


def result_console(stream: TextIO | None = None) -> Console:
    """A console for results, on standard output unless told otherwise; width 120 where there is no terminal."""
    stream = sys.stdout if stream is None else stream
    console = Console(file=stream, highlight=False, emoji=False, markup=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:  # noqa: SLF001  rich offers no other reading
        console.width = _PLAIN_WIDTH
    return console


class StudyTable:
    """The decision table of a study, as one table where the width allows it, else as several."""

    def __init__(self, study: Study) -> None:
        self.rows = view.rows(study)
        self.columns = _columns(study)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for place, keys in enumerate(self.layout(options.max_width)):
            if place:
                yield Text("")
            columns = [self.columns[key] for key in keys]
            yield draw_table(columns, self.rows, options.max_width, bold=lambda row: row.mark == "ship")

    def layout(self, width: int) -> tuple[tuple[str, ...], ...]:
        """Column keys of each table to draw at this width: all in one, else speed and the rest apart."""
        for keys in (_ALL, tuple(key for key in _ALL if key != "delta")):
            if self.width(("arm", *keys)) <= width:
                return (("arm", *keys),)
        return tuple(("arm", *keys) for group in (_SPEED, _REST) for keys in self._packed(group, width))

    def _packed(self, group: Sequence[str], width: int) -> list[tuple[str, ...]]:
        """The group's columns in as few tables as the width allows."""
        tables: list[tuple[str, ...]] = [()]
        for key in group:
            if tables[-1] and self.width(("arm", *tables[-1], key)) > width:
                tables.append(())
            tables[-1] = (*tables[-1], key)
        return tables

    def width(self, keys: Sequence[str]) -> int:
        """Characters that a table of these columns needs."""
        return sum(column_width(self.columns[key], self.rows) for key in keys) + GAP * (len(keys) - 1)


def study_table(study: Study) -> RenderableType:
    """The decision table: each arm's figures and its verdict against the baseline. Reads well from 80 columns on."""
    return StudyTable(study)


def _columns(study: Study) -> dict[str, Column[ArmRow]]:
    batches = study.plan.batch_sizes
    quality = view.quality_metric(study).replace("_", " ")
    return {
        "arm": Column(("", "arm"), _name, right=False),
        "p50": Column(("p50", "ms"), lambda row: row.p50),
        "p95": Column(("p95", "ms"), lambda row: row.p95),
        "throughput": Column(("samples/s", f"batch {max(batches)}"), lambda row: row.throughput),
        "quality": Column(("", quality), lambda row: row.quality),
        "delta": Column(("points against", "the baseline"), lambda row: row.quality_delta),
        "size": Column(("size", "MiB"), lambda row: row.size),
        "memory": Column(("peak", "MiB"), lambda row: row.memory),
        "verdict": Column(("", "verdict"), lambda row: row.verdict, right=False),
        "speedup": Column(
            ("speed-up at p50", f"({100 * view.level(study):.3g} % interval)"), lambda row: row.speedup, right=False
        ),
    }


def _name(row: ArmRow) -> str:
    name = row.name if len(row.name) <= _NAME_WIDTH else row.name[: _NAME_WIDTH - 13] + ".." + row.name[-11:]
    return {"ship": "> ", "incumbent": "+ "}.get(row.mark, "  ") + name


def column_width(column: Column[Row], rows: Iterable[Row]) -> int:
    """Characters that a column takes."""
    return max(Text(cell).cell_len for cell in (*column.head, *(column.cell(row) for row in rows)))


def draw_table(
    columns: Sequence[Column[Row]], rows: Sequence[Row], width: int, bold: Callable[[Row], bool] = lambda _: False
) -> Text:
    """A table of plain text: no cell is ever broken, and lines end where their text ends."""
    widths = [column_width(column, rows) for column in columns]
    right = [column.right for column in columns]
    lines = [_line([column.head[part] for column in columns], right, widths, "bold") for part in (0, 1)]
    lines.append(Text("  ".join("-" * size for size in widths), style="dim"))
    lines += [
        _line([column.cell(row) for column in columns], right, widths, "bold" if bold(row) else "") for row in rows
    ]
    for line in lines:
        line.rstrip()
        line.truncate(width)  # below about 50 columns; a cut line is better than a broken table
    result = Text("\n", no_wrap=True, overflow="ignore").join(lines)
    result.no_wrap, result.overflow = True, "ignore"
    return result


def _line(cells: Sequence[str], right: Sequence[bool], widths: Sequence[int], style: str) -> Text:
    line = Text(style=style)
    for place, (cell, flush, size) in enumerate(zip(cells, right, widths, strict=True)):
        padding = " " * (size - Text(cell).cell_len)
        line.append(" " * GAP if place else "")
        line.append(padding + cell if flush else cell + padding, _STYLES.get(cell))
    return line


def print_study(study: Study, console: Console, next_lines: Sequence[str] = ()) -> None:
    """Print the table, and below it the decision, what went wrong, warnings and where to look next.

    Args:
        study: The finished study.
        console: Where to print; see :func:`result_console`.
        next_lines: Lines on where to look next, printed as they are and never broken, so that they can be copied.
    """
    workload, trials = text.plain(study.workload.name), view.trials(study.plan)
    title = f"{text.plain(study.name)}  workload {workload}, {trials}, {text.duration(study.wall_seconds)}"
    say(console, title, style="bold")
    if view.state(study):
        say(console, view.state(study), style="bold yellow")
    print_safe(console, Text(""))
    print_safe(console, study_table(study))
    print_safe(console, Text(""))
    legend = _legend(study)
    if legend:
        say(console, legend, style="dim")
        print_safe(console, Text(""))
    say(console, f"Decision: {text.plain(study.decision.sentence)}", style="bold", indent="          ")
    _section(console, "Not decided by the interval alone", view.verdict_notes(study))
    failed = [f"{name} {status}: {reason}" for name, status, reason in view.failures(study)]
    _section(console, "Arms without a complete result", failed)
    _section(console, "Why", why.lines(study))
    _section(console, "Not available (-)", view.shown_missing(study))
    _section(console, "Warnings", [(message, action) for _, message, action in view.warnings(study)], style="yellow")
    if next_lines:
        print_safe(console, Text(""))
        say(console, "Where to look next", style="bold")
        for line in next_lines:
            print_safe(console, Text(f"  {text.plain(line)}"), soft_wrap=True)


def print_plan(
    plan: Plan, console: Console, *, workload: str = "", seconds: float | None = None, notes: Sequence[str] = ()
) -> None:
    """Say what is about to happen: the arms, the size of the plan and, where the caller can tell, how long it takes.

    Args:
        plan: The plan, fixed before the first call.
        console: Where to print.
        workload: Name of the workload.
        seconds: Estimated seconds of the measurement.
        notes: Things to know beforehand, one sentence each.
    """
    variants = [text.plain(name) for name in plan.arms if name != plan.baseline]
    against = f": {text.listing(variants)} against {text.plain(plan.baseline)}" if variants else ""
    subject = f"workload {text.plain(workload)}, " if workload else ""
    say(console, f"Plan: {subject}{text.count(len(plan.arms), 'arm')}{against}", style="bold", indent="      ")
    conditions = [f"{label} {values}" for label, values in view.conditions(plan).items()]
    what = ", ".join([view.trials(plan), *conditions])
    about = f", about {text.duration(seconds)}" if seconds is not None else ""
    turns = sum(len(entry.order) for entry in plan.schedule)
    say(console, f"{what}, {text.count(turns, 'turn')}{about}", first="      ", indent="      ")
    if plan.trials < view.MINIMUM_TRIALS:
        trials = f"{text.count(plan.trials, 'trial')} can give no verdict"
        notes = (f"{trials}: it takes {view.MINIMUM_TRIALS} or more (protocol.trials={view.MINIMUM_TRIALS})", *notes)
    for note in notes:
        say(console, f"note: {text.plain(note)}", style="yellow")


def _legend(study: Study) -> str:
    marks = {row.mark for row in view.rows(study)}
    parts = []
    if "ship" in marks:
        parts.append("> the arm to ship")
    if "incumbent" in marks:
        parts.append("+ the current champion")
    if any(arm.verdicts for arm in study.arms):
        parts.append(f"speed-up: times faster than {text.plain(study.baseline.name)}, below 1 is slower")
    if view.inflated(study):
        parts.append(view.inflated(study))
    return "; ".join(parts)


def _section(console: Console, title: str, items: Sequence[str | tuple[str, str]], style: str = "") -> None:
    """A heading and its items; an item is one sentence, or a sentence and what to do next."""
    if not items:
        return
    print_safe(console, Text(""))
    say(console, title, style=f"bold {style}".strip())
    for item in items:
        sentence, action = (item, "") if isinstance(item, str) else item
        say(console, sentence, first="  - ", indent="    ")
        if action:
            say(console, f"next: {action}", first="    ", indent="          ")


def say(console: Console, line: str, style: str = "", first: str = "", indent: str = "") -> None:
    """One paragraph, wrapped at words, further lines indented, without padding at line ends."""
    wrapped = Text(line, style=style).wrap(console, max(20, console.width - max(len(first), len(indent))))
    for place, part in enumerate(wrapped):
        part.rstrip()
        print_safe(console, Text(indent if place else first) + part, soft_wrap=True)


def print_safe(console: Console, renderable: RenderableType, *, soft_wrap: bool = False) -> None:
    """Print; where the stream's encoding lacks a character of a user's name, its escape is printed instead."""
    encoding = console.encoding
    if encoding.startswith("utf"):
        console.print(renderable, soft_wrap=soft_wrap)
        return
    with console.capture() as capture:
        console.print(renderable, soft_wrap=soft_wrap)
    console.file.write(capture.get().encode(encoding, "backslashreplace").decode(encoding))


__all__ = [
    "GAP",
    "Column",
    "StudyTable",
    "column_width",
    "draw_table",
    "print_plan",
    "print_safe",
    "print_study",
    "result_console",
    "say",
    "study_table",
]
