"""A study in a notebook's output cell."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser

from mlbench.records import Study
from mlbench.reporting import render_summary


class Reader(HTMLParser):
    """The tags, the attributes and the words of a fragment."""

    def __init__(self, fragment: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.names: set[str] = set()
        self.words: list[str] = []
        self.feed(fragment)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.names |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def test_decision_table_and_warnings(study: Study) -> None:
    page = Reader(render_summary(study))
    said = " ".join(" ".join(page.words).split())
    assert said.startswith("Ship pruned_onnx_int8 mlbench study")
    assert study.decision.sentence in said
    assert page.tags.count("tr") == 1 + len(study.arms)
    assert page.tags.count("td") == 9 * len(study.arms)
    assert "pruned_onnx_int8 (ship)" in said
    assert all(notice.message in said for notice in study.warnings)


def test_no_name_becomes_markup(hostile: Study, study: Study) -> None:
    page, harmless = Reader(render_summary(hostile)), Reader(render_summary(study))
    assert set(page.tags) <= set(harmless.tags)
    assert page.names == harmless.names == {"style", "scope", "aria-hidden"}
    assert "\x1b" not in render_summary(hostile)


def test_interrupted_and_failed_arms_are_said(interrupted: Study, single: Study) -> None:
    said = " ".join(Reader(render_summary(interrupted)).words)
    assert "This study was interrupted" in said
    assert "the study was interrupted before its first complete trial" in said
    assert "Keep baseline" in " ".join(Reader(render_summary(single)).words)


def test_it_needs_no_plotting_library() -> None:
    code = "import sys, mlbench.reporting as r; r.render_summary; print('plotly' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
