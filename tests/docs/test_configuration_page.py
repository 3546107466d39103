"""docs/configuration.md is what mlbench/config.py says, key by key."""

from __future__ import annotations

import re
import runpy

from documents import ROOT

from mlbench.schema import keys


def test_page_is_made_from_the_schema() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_configuration.py"))
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == script["render"](), "run: python docs/make_configuration.py"


def test_every_key_and_no_other_is_documented() -> None:
    page = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert re.findall(r"^\| `([\w.<>\[\]]+)` \|.*\|.*\|.*\|$", page, re.MULTILINE) == [key.path for key in keys()]


def test_no_meaning_is_left_over() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_configuration.py"))
    used = {key.path.removeprefix("baseline.").removeprefix("variants.<name>.") for key in keys()}
    assert set(script["MEANINGS"]) <= used
