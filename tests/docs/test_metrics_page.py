"""docs/metrics.md is what mlbench/metrics.py says, and documents name only metrics that exist."""

from __future__ import annotations

import re
import runpy

import pytest
from documents import DOCUMENTS, ROOT

from mlbench.metrics import EVALUATION, METRICS, SERIES, SYSTEM


def test_page_is_made_from_the_table() -> None:
    script = runpy.run_path(str(ROOT / "docs" / "make_metrics.py"))
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    assert page == script["render"](), "run: python docs/make_metrics.py"


def test_names_are_unique_and_grouped() -> None:
    names = [row.name for row in (*METRICS, *SERIES, *SYSTEM, *EVALUATION)]
    assert len(set(names)) == len(names)
    page = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (\w+)/$", page, re.MULTILINE)
    assert len(set(headings)) == len(headings) == len({name.partition("/")[0] for name in names})


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_name_existing_metrics(document: str) -> None:
    known = {row.name for row in (*METRICS, *SERIES, *SYSTEM, *EVALUATION)}
    bounds = {name + end for name in known for end in ("_low", "_high")}
    prefixes = "|".join(sorted({name.partition("/")[0] for name in known}))
    text = (ROOT / document).read_text(encoding="utf-8")
    named = set(re.findall(rf"`((?:{prefixes})/\w+)`", text)) | set(re.findall(rf"metric: ((?:{prefixes})/\w+)", text))
    assert named - known - bounds == set()
