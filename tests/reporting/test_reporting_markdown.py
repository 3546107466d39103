"""The report as Markdown."""

from __future__ import annotations

import dataclasses

import pytest
from markdown_it import MarkdownIt
from reporting_studies import EVIL, make_study, rename

from mlbench.records import Notice, Study
from mlbench.reporting import render_markdown, render_note
from mlbench.reporting.markdown import NOTE_LIMIT, escape

PARSER = MarkdownIt("commonmark", {"html": True}).enable("table")


def rendered(text: str) -> str:
    return PARSER.render(text)


@pytest.mark.parametrize(
    "raw",
    [
        "onnx_int8_static", "a|b", "`code`", "*x* **y**", "[a](javascript:alert(1))", "![i](x)", EVIL, "# head",
        "- item", "1. one", "2) two", "+ plus", "<b>&amp;", "a\\", "~~gone~~", "a -- b", "3.11.7", "-0.4", "#",
        "```", "a\nb",
    ],
)  # fmt: skip
def test_escaped_text_reads_as_itself(raw: str) -> None:
    import html

    shown = rendered(f"- {escape(raw)}\n")
    expected = html.escape(" ".join(raw.split()), quote=False)
    assert shown == f"<ul>\n<li>{expected}</li>\n</ul>\n"


def test_an_address_in_a_message_is_not_a_link() -> None:
    assert "http&#8203;://" in escape("see http://evil.example")


def test_decision_first_then_the_table(study: Study) -> None:
    text = render_markdown(study)
    assert text.startswith("# Ship pruned\\_onnx\\_int8\n\n**Ship pruned\\_onnx\\_int8: x5.87 faster")
    titles = [line for line in text.splitlines() if line.startswith("#")]
    assert titles == [
        "# Ship pruned\\_onnx\\_int8",
        "## All arms",
        "### Arms without a complete result",
        "### Warnings",
        "## What the policy made of each arm",
        "## Speed against quality",
        "## Latency",
        "## By batch size",
        "## Quality",
        "## Memory, size and loading",
        "## Recipes, and what each step changed",
        "## Method",
        "## Not available",
        "## Environment",
        "## Run it again",
        "### This study",
    ]
    assert "| **pruned\\_onnx\\_int8** (ship) | faster | x5.87 (5.80 to 5.94) | 0.150 | 0.186 | 12,308 |" in text


@pytest.mark.parametrize("render", [render_markdown, render_note])
def test_tables_parse_with_every_cell(hostile: Study, render: object) -> None:
    shown = rendered(render(hostile))  # type: ignore[operator]
    tables = [part.partition("</table>")[0].split("<tr>")[1:] for part in shown.split("<table>")[1:]]
    assert len(tables) == (1 if render is render_note else 10)
    for head, *rows in tables:
        assert rows
        assert {row.count("<td") for row in rows} == {head.count("<th")}
    assert len(tables[0][1:]) == len(hostile.arms)
    assert tables[0][0].count("<th") == 10


@pytest.mark.parametrize("render", [render_markdown, render_note])
def test_no_name_becomes_markup(hostile: Study, render: object) -> None:
    text = render(hostile)  # type: ignore[operator]
    outside_code = text.partition("```")[0]
    assert "<" not in outside_code
    shown = rendered(text)
    assert "<script" not in shown
    assert "<img" not in shown
    assert "<a " not in shown
    assert "secret" not in text


def test_a_command_with_backticks_stays_in_its_block(study: Study) -> None:
    odd = dataclasses.replace(study, overrides=("name=````",))
    assert rendered(render_note(odd)).count("<pre>") == 1
    assert "mlbench run 'name=````'" in rendered(render_note(odd))


def test_awkward_studies(few_trials: Study, single: Study, interrupted: Study) -> None:
    assert "### Not decided by the interval alone" in render_markdown(few_trials)
    assert "Next: run with protocol.trials=6 or more" in render_note(few_trials)
    assert "### Warnings" not in render_markdown(single)
    for text in (render_markdown(interrupted), render_note(interrupted)):
        assert "**This study was interrupted" in text


def test_a_champion_that_takes_part_is_marked(study: Study) -> None:
    arms = tuple(dataclasses.replace(arm, role="incumbent") if arm.name == "pruned" else arm for arm in study.arms)
    assert "| pruned (incumbent) |" in render_note(dataclasses.replace(study, arms=arms))


def test_a_step_that_was_not_done_is_listed(study: Study) -> None:
    assert "- openvino\\_int8: no description\n  - export\\_onnx: not done" in render_markdown(study)


def test_the_note_says_decision_table_warnings_and_how_to_repeat(study: Study) -> None:
    note = render_note(study)
    places = [
        note.index(part) for part in ("**Ship", "| arm |", "**Warnings**", "Run it again", "mlbench run protocol")
    ]
    assert places == sorted(places)
    assert "## Method" not in note


def test_the_note_never_outgrows_its_tag(study: Study) -> None:
    loud = dataclasses.replace(study, warnings=tuple(Notice("x", "word " * 40, "do " * 20) for _ in range(60)))
    note = render_note(loud)
    assert len(note) <= NOTE_LIMIT
    assert " more in report/report.md" in note
    assert "| openvino\\_int8 |" in note  # warnings go before arms do

    names = [f"a_rather_long_name_of_a_variant_number_{number}" for number in range(90)]
    arms = (study.arms[0], *(dataclasses.replace(study.arms[1], name=name) for name in names))
    held = dataclasses.replace(study.decision, winner=None, outcome="hold")
    many = dataclasses.replace(loud, arms=arms, decision=held)
    note = render_note(many)
    assert len(note) <= NOTE_LIMIT
    assert "more arms in report/report.md." in note


def test_a_note_of_one_endless_sentence_is_cut() -> None:
    study = rename(make_study(), "baseline", "baseline")
    endless = dataclasses.replace(study.decision, sentence="word " * 3000)
    note = render_note(dataclasses.replace(study, decision=endless))
    assert len(note) <= NOTE_LIMIT
    assert note.endswith(" ..")
