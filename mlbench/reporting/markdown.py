"""The report as Markdown, and the shorter note that MLflow shows on the study's run.

Names and messages of users and tools are escaped for Markdown and for the HTML that Markdown lets through.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlbench.records import Study
from mlbench.reporting import in_force, page, text, view, why
from mlbench.reporting.plane import plane_sentences
from mlbench.reporting.view import ArmRow

NOTE_LIMIT = 7_500  # characters; MLflow keeps the note in a tag, and refuses tags over 8,000
_SPECIAL = re.compile(r"([\\`*_\[\]|~$])")
_FIRST = re.compile(r"^(\d{0,9})([-+.)]+|#+)(?=\s|$)")  # would begin a list or a heading


def escape(raw: object) -> str:
    """Text that reads as itself in Markdown, also inside a table: punctuation and HTML mean nothing."""
    escaped = text.plain(raw).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = _FIRST.sub(r"\1\\\2", _SPECIAL.sub(r"\\\1", escaped))
    return re.sub(r"(?i)\b(https?|ftp|www)(?=[:.])", r"\1&#8203;", escaped)  # no link that nobody wrote as one


def render_markdown(study: Study) -> str:
    """The report of a study as Markdown: all of the page's tables, and in words what its figures show."""
    blocks = [
        f"# {escape(view.headline(study))}",
        f"**{escape(study.decision.sentence)}**",
        *_state(study),
        _subject(study),
        "## All arms",
        _table(study, view.rows(study)),
        *_inflated(study),
        *_bullets("### Not decided by the interval alone", map(escape, view.verdict_notes(study))),
        *_bullets("### Arms without a complete result", _failures(study)),
        *_bullets("### Warnings", _warnings(study)),
        *_bullets("## What the policy made of each arm", _reasons(study)),
        *_why(study),
        *_bullets("## Speed against quality", map(escape, plane_sentences(study))),
        *_tables([page.plane_table(study)]),
        *_section("## Latency", [page.verdicts(study), page.evidence(study), page.latencies(study)]),
        *(block for sweep, table in page.sweeps(study) for block in _section(f"## By {sweep.label}", [table])),
        *_section("## Quality", [page.quality(study), page.agreement(study)]),
        *_section("## Memory, size and loading", [page.resources(study)]),
        *_bullets("## Recipes, and what each step changed", _recipes(study)),
        *_bullets("## Method", map(escape, (*view.method(study), view.noise_sentence(study)))),
        *_bullets("## Not available", map(escape, view.missing(study))),
        *_environment(study),
        "## Run it again",
        _code(view.reproduce(study)),
        *_bullets("### This study", (escape(f"{name}: {value}") for name, value in view.facts(study))),
    ]
    return "\n\n".join(blocks) + "\n"


def render_note(study: Study) -> str:
    """The description of the study's run: decision, table, warnings, how to run it again; at most 7,500 characters.

    Where there are too many arms or warnings, the last ones are left out, which is said.
    """
    rows, warned = view.rows(study), [*_failures(study), *_warnings(study)]
    arms, kept = len(rows), len(warned)
    while True:
        note = _note(study, rows[:arms], len(rows) - arms, warned[:kept], len(warned) - kept)
        if len(note) <= NOTE_LIMIT:
            return note
        if kept:
            kept -= 1
        elif arms > 1:
            arms -= 1
        else:
            return note[: NOTE_LIMIT - 3].rstrip("\\ \n") + " .."


def _note(study: Study, rows: Sequence[ArmRow], more_arms: int, warned: Sequence[str], more_warnings: int) -> str:
    blocks = [f"**{escape(study.decision.sentence)}**", *_state(study), _subject(study), _table(study, rows)]
    blocks += _inflated(study)
    if more_arms:
        blocks.append(f"{text.count(more_arms, 'more arm')} in report/report.md.")
    left_out = [f"{more_warnings} more in report/report.md"] if more_warnings else []
    blocks += _bullets("**Warnings**", [*warned, *left_out])
    blocks.append(f"Run it again:\n\n{_code(view.reproduce(study))}")
    return "\n\n".join(blocks) + "\n"


def _state(study: Study) -> list[str]:
    return [f"**{escape(view.state(study))}**"] if view.state(study) else []


def _subject(study: Study) -> str:
    return (
        f"Workload {escape(study.workload.name)}, {view.trials(study.plan)}, "
        f"{', '.join(f'{label} {values}' for label, values in view.conditions(study.plan).items())}, "
        f"{escape(study.created)}."
    )


def _inflated(study: Study) -> list[str]:
    return [escape(view.inflated(study))] if view.inflated(study) else []


def _table(study: Study, rows: Iterable[ArmRow]) -> str:
    quality = view.quality_metric(study).replace("_", " ")
    heads = (
        "arm",
        "verdict",
        f"speed-up at p50 ({100 * view.level(study):.3g} % interval)",
        "p50 ms",
        "p95 ms",
        f"samples/s at batch {study.plan.largest}",
        quality,
        "points against the baseline",
        "size MiB",
        "peak MiB",
    )
    lines = ["| " + " | ".join(map(escape, heads)) + " |", "|---|---|---|--:|--:|--:|--:|--:|--:|--:|"]
    for row in rows:
        name = escape(row.name)
        cells = (
            f"**{name}** (ship)" if row.mark == "ship" else f"{name} ({row.mark})" if row.mark == "incumbent" else name,
            row.verdict,
            row.speedup,
            row.p50,
            row.p95,
            row.throughput,
            row.quality,
            row.quality_delta,
            row.size,
            row.memory,
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _section(title: str, tables: Iterable[page.Table | None]) -> list[str]:
    """A title and those tables that there are; nothing where there is none."""
    found = _tables(tables)
    return [title, *found] if found else []


def _tables(tables: Iterable[page.Table | None]) -> list[str]:
    return [_page_table(table) for table in tables if table is not None]


def _page_table(table: page.Table) -> str:
    """A table of the report page; what stands there in a second line stands in brackets here."""
    lines = ["| " + " | ".join(map(escape, ("arm", *table.heads))) + " |", "|" + "---|" * (len(table.heads) + 1)]
    for name, cells in table.rows:
        lines.append("| " + " | ".join([escape(name), *(escape(_cell(cell)) for cell in cells)]) + " |")
    return "\n".join(lines)


def _cell(cell: page.Cell | page.Chip) -> str:
    if isinstance(cell, page.Chip):
        return f"{cell.word} {cell.figure}" if cell.figure and cell.figure != text.DASH else cell.word
    return f"{cell.value} ({cell.detail})" if cell.detail else cell.value


def _environment(study: Study) -> list[str]:
    """Settings that differ between arms and those that do not, what the policy asks of the machine, and what it was."""
    wanted = [
        f"the policy asks for {fact} {pattern}: {'yes' if fits else 'no'}"
        for fact, pattern, _, fits in in_force.asked(study)
    ]
    facts = [*wanted, *(f"{name}: {text.redact(value)}" for name, value in study.environment.items())]
    same = in_force.same(study)
    blocks = [*_tables([in_force.differences(study)]), *([escape(same)] if same else [])]
    return ["## Environment", *blocks, *(["\n".join(f"- {escape(fact)}" for fact in facts)] if facts else [])]


def _bullets(title: str, items: Iterable[str]) -> list[str]:
    lines = [f"- {item}" for item in items]
    return [title, "\n".join(lines)] if lines else []


def _failures(study: Study) -> list[str]:
    return [f"{escape(name)} {status}: {escape(reason)}" for name, status, reason in view.failures(study)]


def _warnings(study: Study) -> list[str]:
    return [
        f"{escape(message)}  \n  Next: {escape(action)}" if action else escape(message)
        for _, message, action in view.warnings(study)
    ]


def _reasons(study: Study) -> list[str]:
    return [f"{escape(judgement.arm)}: {escape(judgement.reason)}" for judgement in study.decision.judgements]


def _why(study: Study) -> list[str]:
    """Why arms are not faster than what they extend, with the time by operator."""
    blocks = []
    for item in why.whys(study):
        unseen = [f"not seen: {reason}" for reason in item.unseen]
        blocks += _bullets(f"### {escape(item.arm)}: {escape(item.title)}", map(escape, [*item.reasons, *unseen]))
        if item.operators:
            lines = ["| arm | batch | ms per call, profiled | ms by operator (how often) |", "|---|--:|--:|---|"]
            lines += [f"| {escape(r.arm)} | {r.batch} | {r.call} | {escape(r.operators)} |" for r in item.operators]
            blocks.append("\n".join(lines))
    return ["## Why", why.INTRODUCTION, *blocks] if blocks else []


def _recipes(study: Study) -> list[str]:
    found = []
    for recipe in view.recipes(study):
        steps = [f"  - {escape(name)}: {escape(changed)}" for name, _, changed, _ in recipe.steps]
        found.append("\n".join([f"{escape(recipe.arm)}: {escape(recipe.description or 'no description')}", *steps]))
    return found


def _code(command: str) -> str:
    """A code block whose fence is longer than any run of backticks inside."""
    longest = max((len(run) for run in re.findall("`+", command)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}sh\n{command}\n{fence}"


__all__ = ["NOTE_LIMIT", "escape", "render_markdown", "render_note"]
