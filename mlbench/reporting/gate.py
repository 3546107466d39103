"""The gate's answer for a terminal, for a pull request (Markdown) and for a CI server (JUnit XML)."""

from __future__ import annotations

import re
from collections import Counter
from xml.etree import ElementTree as ET

from rich.console import Console
from rich.text import Text

from mlbench.gate import Gate
from mlbench.records import Study
from mlbench.reporting import text
from mlbench.reporting.markdown import escape, render_note
from mlbench.reporting.terminal import print_safe, say

_STYLES = {"ok": "green", "broken": "bold red", "failed": "bold red", "unknown": "yellow"}
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def print_gate(gate: Gate, console: Console) -> None:
    """One line per candidate and constraint, its answer in a word first, then the answer in one sentence."""
    print_safe(console, Text(""))
    say(console, f"Gate: {text.plain(gate.policy)} against {text.plain(gate.reference)}", style="bold")
    for arm in gate.arms:
        for check in arm.checks:
            line = f"{text.plain(arm.name)}, {text.plain(check.constraint)} - {text.plain(check.reason)}"
            say(console, line, style=_STYLES[check.answer], first=f"  {check.answer:<9}", indent=" " * 11)
    say(console, text.plain(gate.sentence), style=_STYLES[gate.answer])


def render_gate_markdown(study: Study, gate: Gate) -> str:
    """The gate's answer, a table of every candidate and constraint, then the note of the study."""
    lines = ["| candidate | constraint | answer | found |", "|---|---|---|---|"]
    for arm in gate.arms:
        for check in arm.checks:
            answer = check.answer if check.answer == "ok" else f"**{check.answer}**"
            lines.append(f"| {escape(arm.name)} | {escape(check.constraint)} | {answer} | {escape(check.reason)} |")
    blocks = [
        f"## Gate {escape(gate.policy)}: {gate.answer}",
        f"**{escape(gate.sentence)}**",
        "\n".join(lines),
        f"### Study {escape(study.name)}",
        render_note(study),
    ]
    return "\n\n".join(blocks)


def render_junit(study: Study, gate: Gate) -> str:
    """JUnit XML: one test case per candidate and constraint.

    ``failure`` is a broken constraint, ``skipped`` one that cannot be told, ``error`` an arm that could not be built
    or served.
    """
    checks = [(arm, check) for arm in gate.arms for check in arm.checks]
    counted = Counter(check.answer for _, check in checks)
    numbers = {
        "tests": len(checks),
        "failures": counted["broken"],
        "errors": counted["failed"],
        "skipped": counted["unknown"],
    }
    about = {"name": f"mlbench gate {gate.policy}", **{key: str(value) for key, value in numbers.items()}}
    top = _element(None, "testsuites", about | {"time": f"{study.wall_seconds:.3f}"})
    suite = _element(
        top, "testsuite", about | {"time": f"{study.wall_seconds:.3f}", "timestamp": study.created.partition("+")[0]}
    )
    properties = _element(suite, "properties", {})
    for name, value in {"study": study.name, "reference": gate.reference, "answer": gate.sentence}.items():
        _element(properties, "property", {"name": name, "value": value})
    words = {"broken": "failure", "unknown": "skipped", "failed": "error"}
    for arm, check in checks:
        case = _element(suite, "testcase", {"classname": arm.name, "name": check.constraint, "time": "0"})
        if check.answer in words:
            about_it = {"message": check.reason}
            _element(case, words[check.answer], about_it if check.answer == "unknown" else about_it | {"type": "gate"})
    ET.indent(top)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"


def _element(parent: ET.Element | None, tag: str, attributes: dict[str, str]) -> ET.Element:
    """An element whose attributes hold only what XML can hold: no control characters, no halves of surrogate pairs."""
    safe = {key: _NOT_XML.sub(" ", text.plain(value)) for key, value in attributes.items()}
    return ET.Element(tag, safe) if parent is None else ET.SubElement(parent, tag, safe)


__all__ = ["print_gate", "render_gate_markdown", "render_junit"]
