"""Limits of what is read from outside: just below them all is well, just above them it is refused."""

import json
import os
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mlbench import outside
from mlbench.outside import MOST_DEPTH, LimitError, check_memory, check_table, check_yaml, parse_json, read_yaml

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(PLAIN)
def test_json_of_usual_size_reads_as_ever(value: object) -> None:
    assert parse_json(json.dumps(value)) == value


@pytest.mark.parametrize(("depth", "fine"), [(MOST_DEPTH, True), (MOST_DEPTH + 1, False), (100_000, False)])
def test_json_and_yaml_nest_so_deep_and_no_deeper(depth: int, fine: bool) -> None:
    text = "[" * depth + "]" * depth
    for read in (parse_json, check_yaml):
        if fine:
            read(text)
        else:
            with pytest.raises(LimitError, match="nested more than 64 deep"):
                read(text)


@pytest.mark.parametrize("text", ["NaN", '{"a": [Infinity]}', "-Infinity"])
def test_json_knows_no_numbers_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is no number"):
        parse_json(text)
    parse_json(text, finite=False)


def test_json_of_more_characters_than_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "MOST_JSON_CHARACTERS", 10)
    assert parse_json("[1, 2, 3]") == [1, 2, 3]
    with pytest.raises(LimitError, match="it has 12 characters, and at most 10 are read"):
        parse_json("[1, 2, 3, 4]")


@settings(max_examples=50)
@given(PLAIN)
def test_yaml_of_usual_size_passes(value: object) -> None:
    check_yaml(yaml.safe_dump(value))


def test_aliases_count_as_what_they_stand_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outside, "MOST_YAML_VALUES", 12)
    check_yaml("a: &a [1, 2, 3]\nb: *a\n")  # 1 mapping of keys a and b, each with a list of 3: 11
    with pytest.raises(LimitError, match="more than 12 values"):
        check_yaml("a: &a [1, 2, 3]\nb: [*a, 1]\n")
    check_yaml("a: &a 1\nb: *a\nc: *a\n")


def test_aliases_are_as_deep_as_what_they_stand_for() -> None:
    half = MOST_DEPTH // 2
    deep = f"a: &a {'[' * half}{']' * half}\nb: {{}}*a{{}}\n"
    check_yaml(deep.format("[" * (half - 1), "]" * (half - 1)))
    with pytest.raises(LimitError, match="nested more than 64 deep"):
        check_yaml(deep.format("[" * half, "]" * half))


def test_a_yaml_file_of_more_bytes_than_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.yaml").write_text("a: 1\n")
    assert read_yaml(tmp_path / "a.yaml") == "a: 1\n"
    monkeypatch.setattr(outside, "MOST_YAML_BYTES", 4)
    with pytest.raises(LimitError, match="it has 5 bytes, and at most 4 are read"):
        read_yaml(tmp_path / "a.yaml")


def test_what_unpacks_to_more_than_there_is_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 1 << 20}.__getitem__)
    check_memory(4 << 30)
    with pytest.raises(LimitError, match=r"it unpacks to 8\.0 GiB, and this machine has 4\.0 GiB of memory"):
        check_memory(8 << 30)
    check_table(1 << 28, 2, 0)
    for table in ((1 << 30, 2, 0), (1, 1, 5 << 30)):
        with pytest.raises(LimitError):
            check_table(*table)
