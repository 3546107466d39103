"""Several studies side by side. Numbers of different studies were measured at different times, and that is said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from mlbench.records import Estimate, Study, to_dict
from mlbench.reporting import text, view
from mlbench.reporting.markdown import escape
from mlbench.reporting.terminal import GAP, Column, column_width, draw_table, print_safe, say
from mlbench.reporting.view import ArmRow

_ENVIRONMENT = ("cpu.model", "system", "python", "version.torch", "version.onnxruntime")
CAUTION = (
    "Arms of different studies were not measured side by side: ratios between studies are history, not a verdict. Each "
    "speed-up is against the baseline of its own study, measured at the same time."
)


def differences(studies: Mapping[str, Study]) -> dict[str, dict[str, str]]:
    """What is not the same in all studies, by what it is: a value for each study (by its key in ``studies``).

    Args:
        studies: By whatever tells them apart, such as the run id.
    """
    facts = {key: _facts(study) for key, study in studies.items()}
    names = dict.fromkeys(name for values in facts.values() for name in values)
    found = {name: {key: values.get(name, text.DASH) for key, values in facts.items()} for name in names}
    return {name: values for name, values in found.items() if len(set(values.values())) > 1}


def _facts(study: Study) -> dict[str, str]:
    plan = study.plan
    return {
        "workload": study.workload.name,
        "data": study.workload.data.digest[:12],
        "model": study.workload.model_digest[:12],
        "baseline": study.baseline.name,
        "trials": str(plan.trials),
        **view.conditions(plan),
        "machine noise": study.noise.level,
        "mlbench": study.version,
        **{name: study.environment[name] for name in _ENVIRONMENT if name in study.environment},
    }


def as_record(studies: Mapping[str, Study]) -> dict[str, Any]:
    """The comparison as JSON-ready values."""
    return {
        "studies": [
            {
                "run_id": run_id,
                "name": study.name,
                "created": study.created,
                "decision": to_dict(study.decision),
                "arms": [
                    {
                        "name": arm.name,
                        "role": arm.role,
                        "status": arm.status,
                        "metrics": {name: to_dict(value) for name, value in arm.metrics.items()},
                        "verdicts": {name: to_dict(value) for name, value in arm.verdicts.items()},
                    }
                    for arm in study.arms
                ],
            }
            for run_id, study in studies.items()
        ],
        "differences": differences(studies),
        "caution": CAUTION,
    }


@dataclass(frozen=True, slots=True)
class Entry:
    """One arm of one study.

    Attributes:
        label: The study's number, ``[1]`` for the first.
        row: The arm as in its own study's table.
        history: p50 against the arm of that name in the first study that has it, as a plain ratio without an
            interval; empty there.
    """

    label: str
    row: ArmRow
    history: str


def entries(studies: Mapping[str, Study]) -> tuple[Entry, ...]:
    """Every arm of every study, the arms of the same name together."""
    found: list[Entry] = []
    first: dict[str, float] = {}
    for number, study in enumerate(studies.values(), start=1):
        for arm, row in zip(study.arms, view.rows(study), strict=True):
            p50 = arm.metrics.get(view.HEADLINE)
            history = ""
            if p50 is not None and arm.name in first:
                history = text.times(Estimate(p50.value / first[arm.name]))
            elif p50 is not None:
                first[arm.name] = p50.value
            found.append(Entry(f"[{number}]", row, history))
    order = {name: place for place, name in enumerate(dict.fromkeys(entry.row.name for entry in found))}
    return tuple(sorted(found, key=lambda entry: order[entry.row.name]))


class ComparisonTable:
    """Arms of several studies side by side; columns that the width has no room for are left out, which is said."""

    def __init__(self, studies: Mapping[str, Study]) -> None:
        self.entries = entries(studies)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = list(_COLUMNS)
        while len(shown) > 3 and self._width(shown) > options.max_width:
            shown.remove(next(key for key in _EXPENDABLE if key in shown))
        yield draw_table([_COLUMNS[key] for key in shown], self.entries, options.max_width)
        left_out = [key for key in _COLUMNS if key not in shown]
        if left_out:
            yield Text(f"No room for: {', '.join(left_out)}. A wider terminal shows them, and so does --json.")

    def _width(self, keys: Sequence[str]) -> int:
        return sum(column_width(_COLUMNS[key], self.entries) for key in keys) + GAP * (len(keys) - 1)


_COLUMNS: dict[str, Column[Entry]] = {
    "arm": Column(("", "arm"), lambda entry: entry.row.name, right=False),
    "study": Column(("", "study"), lambda entry: entry.label, right=False),
    "p50": Column(("p50", "ms"), lambda entry: entry.row.p50),
    "history": Column(("p50 against the first", "(history, no verdict)"), lambda entry: entry.history),
    "quality": Column(("", "quality"), lambda entry: entry.row.quality),
    "size": Column(("size", "MiB"), lambda entry: entry.row.size),
    "memory": Column(("peak", "MiB"), lambda entry: entry.row.memory),
    "verdict": Column(("verdict in", "its own study"), lambda entry: entry.row.verdict, right=False),
    "speed-up": Column(("speed-up at p50", "in its own study"), lambda entry: entry.row.speedup, right=False),
}
_EXPENDABLE = ("memory", "size", "quality", "verdict", "history", "speed-up", "p50")


def compare_table(studies: Mapping[str, Study]) -> RenderableType:
    """Arms of several studies side by side, for the terminal. :data:`CAUTION` belongs below it."""
    return ComparisonTable(studies)


def compare_markdown(studies: Mapping[str, Study]) -> str:
    """Arms of several studies side by side as Markdown, with what differs between the studies and the caution."""
    names = [
        f"- {_label(number, study)}: {escape(key)}, {escape(study.created)}" for number, key, study in _all(studies)
    ]
    heads = [" ".join(part for part in column.head if part) for column in _COLUMNS.values()]
    lines = ["| " + " | ".join(map(escape, heads)) + " |", "|" + "---|" * len(heads)]
    for entry in entries(studies):
        cells = [column.cell(entry) for column in _COLUMNS.values()]
        lines.append("| " + " | ".join([*map(escape, cells[:2]), *cells[2:]]) + " |")
    blocks = ["\n".join(names), "\n".join(lines), f"**{CAUTION}**"]
    different = [f"- {escape(line)}" for line in _different(studies)]
    if different:
        blocks += ["Not the same in all of them:", "\n".join(different)]
    return "\n\n".join(blocks) + "\n"


def print_comparison(studies: Mapping[str, Study], console: Console) -> None:
    """Print every arm of every study, the arms of the same name together, then what differs between the studies."""
    for number, key, study in _all(studies):
        say(console, f"[{number}] {text.plain(study.name)}  {text.plain(key)}  {text.plain(study.created)}")
    say(console, "")
    print_safe(console, compare_table(studies))
    say(console, "")
    for number, _, study in _all(studies):
        say(console, f"[{number}] {text.plain(study.decision.sentence)}", indent="    ")
    different = _different(studies)
    if different:
        say(console, "")
        say(console, "Not the same in all of them")
        for line in different:
            say(console, line, first="  - ", indent="    ")
    say(console, "")
    say(console, CAUTION)


def _all(studies: Mapping[str, Study]) -> list[tuple[int, str, Study]]:
    return [(number, key, study) for number, (key, study) in enumerate(studies.items(), start=1)]


def _label(number: int, study: Study) -> str:
    return f"\\[{number}\\] {escape(study.name)}"


def _different(studies: Mapping[str, Study]) -> list[str]:
    labels = {key: f"[{number}]" for number, key, _ in _all(studies)}
    return [
        f"{name}: " + "; ".join(f"{labels[key]} {text.plain(value)}" for key, value in values.items())
        for name, values in differences(studies).items()
    ]


__all__ = [
    "CAUTION",
    "Entry",
    "as_record",
    "compare_markdown",
    "compare_table",
    "differences",
    "entries",
    "print_comparison",
]
