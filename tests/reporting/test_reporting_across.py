"""Several studies side by side."""

from __future__ import annotations

import dataclasses
import io
import json

import pytest
from reporting_studies import around, make_study
from rich.console import Console

from mlbench.records import Study
from mlbench.reporting.across import (
    CAUTION,
    as_record,
    compare_markdown,
    differences,
    entries,
    print_comparison,
)


@pytest.fixture(scope="module")
def studies() -> dict[str, Study]:
    first = make_study()
    slower = dataclasses.replace(
        first.arms[0], metrics={**first.arms[0].metrics, "latency/p50_ms": around(1.1, 0.01, unit="ms")}
    )
    second = dataclasses.replace(
        first,
        name="later|study",
        created="2026-02-01T10:00:00+00:00",
        arms=(slower, *first.arms[1:4]),
        environment={**first.environment, "cpu.model": "Another CPU"},
    )
    return {"run1": first, "run2": second}


def printed(studies: dict[str, Study], width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None, markup=False, highlight=False)
    print_comparison(studies, console)
    return console.file.getvalue()  # type: ignore[attr-defined,no-any-return]


def test_arms_of_the_same_name_stand_together_with_their_history(studies: dict[str, Study]) -> None:
    found = entries(studies)
    assert [(entry.row.name, entry.label, entry.history) for entry in found[:4]] == [
        ("baseline", "[1]", ""),
        ("baseline", "[2]", "x1.25"),
        ("torch_int8", "[1]", ""),
        ("torch_int8", "[2]", "x1.00"),
    ]
    assert len(found) == len(studies["run1"].arms) + 4


@pytest.mark.parametrize("width", [60, 80, 140])
def test_the_caution_is_always_there_and_no_number_is_broken(studies: dict[str, Study], width: int) -> None:
    text = printed(studies, width)
    assert CAUTION in " ".join(text.split())
    assert "history, not a verdict" in " ".join(text.split())
    assert max(map(len, text.splitlines())) <= width
    assert "0.880" in text


def test_what_has_no_room_is_named(studies: dict[str, Study]) -> None:
    assert "No room for: quality, size, memory, verdict." in printed(studies, 80)
    assert "No room for" not in printed(studies, 140)


def test_what_differs_is_told(studies: dict[str, Study]) -> None:
    assert differences(studies) == {"cpu.model": {"run1": "AMD EPYC 7B13", "run2": "Another CPU"}}
    assert "  - cpu.model: [1] AMD EPYC 7B13; [2] Another CPU\n" in printed(studies, 140)
    same = {"run1": studies["run1"], "run2": studies["run1"]}
    assert differences(same) == {}
    assert "Not the same" not in printed(same, 140)
    assert "Not the same" not in compare_markdown(same)


def test_markdown_says_the_same(studies: dict[str, Study]) -> None:
    text = compare_markdown(studies)
    assert f"**{CAUTION}**" in text
    assert "| torch\\_int8 | \\[2\\] | 0.260 | x1.00 |" in text
    assert "later\\|study" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in rows}) == 1


def test_the_record_is_plain_json(studies: dict[str, Study]) -> None:
    record = json.loads(json.dumps(as_record(studies), allow_nan=False))
    assert [study["run_id"] for study in record["studies"]] == ["run1", "run2"]
    assert record["studies"][0]["arms"][1]["verdicts"]["latency/p50_ms"]["call"] == "faster"
    assert record["caution"] == CAUTION
