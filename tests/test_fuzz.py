"""Whatever a file from outside holds, its reader gives a value or an error of ours, and never anything else.

The same targets run for as long as one likes, guided by coverage, in ``benchmarks/fuzz.py``.
"""

from __future__ import annotations

import gzip
import json
import runpy
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlbench import overrides
from mlbench.compose import compose
from mlbench.errors import InputError
from mlbench.journal import Begun, Journal, JournalError
from mlbench.journal._sealed import seal
from mlbench.records import Plan, RecordError, Study, from_json

ROOT = Path(__file__).parents[1]
FAST = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
FEW = settings(FAST, max_examples=12)
FEWEST = settings(FAST, max_examples=3)  # composing takes a while
WORDS = st.sampled_from(
    ["", "name", "steps", "schema", "trials", "arms", "plan", "variants", "x", "protocol", "hydra", "_target_", "a.b",
     "defaults", "quick", "${name}", "${oc.env:HOME}", "${", "???", "~", "null", "\ud800"]
)  # fmt: skip
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS | st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
STUDY = json.loads(gzip.decompress((ROOT / "docs" / "default-study" / "study.json.gz").read_bytes()))


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in plain values, a few of each list."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else ()
    return [path, *(found for key, item in items for found in places(item, (*path, key)))]


@st.composite
def spoiled(draw: st.DrawFn, whole: Any) -> Any:
    """Plain values with one to three of them replaced, taken away or put in."""
    value = json.loads(json.dumps(whole))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([path for path in places(value) if path] or [("x",)]))
        here = value
        for key in way:
            here = here[key]
        what = draw(st.sampled_from(["replace", "remove", "add"]))
        if what == "remove" and isinstance(here, dict):
            here.pop(last, None)
        elif what == "add" and isinstance(here, dict):
            here[draw(WORDS)] = draw(PLAIN)
        else:
            here[last] = draw(PLAIN)
    return value


def read(kind: type[Any], text: str | bytes) -> None:
    try:
        record = from_json(kind, text)
    except RecordError:
        return
    assert isinstance(record, kind)


@FAST
@given(st.data())
def test_records_from_spoiled_studies(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from([Study, Plan]))
    whole = STUDY if kind is Study else STUDY["plan"]
    read(kind, json.dumps(data.draw(spoiled(whole))))


@FAST
@given(st.sampled_from([Study, Plan]), st.binary(max_size=40) | st.text(max_size=40) | PLAIN.map(json.dumps))
def test_records_from_anything(kind: type[Any], text: Any) -> None:
    read(kind, text)


# ---------------------------------------------------------------------------------------------------------------------
# a journal, its checksums right, so that only what reads it stands between it and the program

COLUMNS = [
    *("trial", "round", "position", "batch_size", "input_length", "threads", "phase", "call", "group", "ns"),
    *("start_ns", "end_ns", "cpu_ns", "wall_ns", "rss_mib", "row", "label", "predicted", "output_0", "output_1"),
]
NUMBERS = st.lists(st.none() | st.integers(-(2**31), 2**31 - 1), min_size=2, max_size=2)
CELLS = st.one_of(
    NUMBERS.map(lambda values: pa.array(values, pa.int64())),
    NUMBERS.map(lambda values: pa.array(values, pa.int32())),
    NUMBERS.map(lambda values: pa.array(values, pa.float64())),
    st.sampled_from(["timed", "discarded", "warmup", "\0"]).map(lambda word: pa.array([word, word])),
    st.just(pa.array(["timed", "timed"]).dictionary_encode()),
    st.just(pa.array([[1], None])),
    st.just(pa.array([b"\xff", None])),
)
TABLES = {"samples.parquet": "samples", "hardware.parquet": "hardware", "predictions.parquet": "predictions"}


@st.composite
def tables_of_an_arm(draw: st.DrawFn) -> dict[str, Any]:
    """Files of an arm: tables with columns of any kind, JSON of any kind."""
    made: dict[str, Any] = {}
    for name, table in TABLES.items():
        columns = draw(st.lists(st.sampled_from(COLUMNS), min_size=8, max_size=len(COLUMNS), unique=True))
        said = {"mlbench.table": table, "mlbench.schema": draw(st.sampled_from(["1", "1", "1", "2", "", "\u00b2"]))}
        said |= {"mlbench.output_shape": draw(st.sampled_from(["", "2", "-1", "x", "1,2"])), "mlbench.arm": "a"}
        # mostly what should be there, so that what lies behind it is reached
        right = {"phase": pa.array(["timed", "warmup"]), **{n: pa.array([0.5, 1.0]) for n in ("rss_mib", "output_0")}}
        cells = {n: draw(CELLS | st.just(right.get(n, pa.array([0, 1])))) for n in columns}
        made[name] = pa.table(cells).replace_schema_metadata(said)
    workers = draw(st.just([]) | PLAIN)
    return {**made, "workers.json": workers, "measurement.json": draw(st.just({"lost": []}) | PLAIN)}


@FEW
@given(tables_of_an_arm())
def test_a_journal_of_anything(made: dict[str, Any]) -> None:
    plan = Plan(1, ("a",), "a", (), 1, 1, 0.0, 0, ())

    def fill(folder: Path) -> None:
        (folder / "a").mkdir()
        for name, content in made.items():
            path = folder / name if name == "measurement.json" else folder / "a" / name
            if isinstance(content, pa.Table):
                pq.write_table(content, path)
            else:
                path.write_text(json.dumps(content), encoding="utf-8")

    with tempfile.TemporaryDirectory() as folder:
        begun = Begun("0" * 32, "x", "", "", "", "", {})
        with Journal.begin(Path(folder), begun) as journal:
            seal(journal.path / "trial-0000", fill)
            parts, damaged = journal.finished(plan)
            assert len(parts) + len(damaged) == 1


@FEW
@given(st.binary(max_size=200), st.sampled_from(["0.npy", "record.json", "study.json"]))
def test_a_conclusion_of_anything(content: bytes, name: str) -> None:
    record = {"log_models": True, "registry": None, "inputs": ["x"]}

    def fill(folder: Path) -> None:
        (folder / "record.json").write_text(json.dumps(record))
        (folder / "study.json").write_text(json.dumps(STUDY))
        np.save(folder / "0.npy", np.eye(2))
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(whole[: len(content)] + content if content[:1] > b"\x7f" else content)

    with (
        tempfile.TemporaryDirectory() as folder,
        Journal.begin(Path(folder), Begun("0" * 32, *["x"] * 5, {})) as journal,
    ):
        seal(journal.path / "concluded", fill)
        try:
            journal.conclusion()
        except JournalError:
            return


# ---------------------------------------------------------------------------------------------------------------------
# configuration

SIGNS, CLOSING = st.sampled_from(["", "+", "++", "~"]), st.sampled_from(["]", "}", "'", ")", " ", ","])
OVERRIDES = st.one_of(
    st.text(max_size=30),
    st.tuples(SIGNS, WORDS, st.sampled_from([".", "/", "@", "=", ""]), st.text(max_size=12)).map("".join),
    st.tuples(WORDS, st.sampled_from(["=[", "={", "='", "=${", "=choice(", "=x:"]), WORDS, CLOSING).map("".join),
)


@FAST
@given(OVERRIDES)
def test_an_override_of_anything(text: str) -> None:
    for trusted in (True, False):
        found = overrides.read(text, trusted=trusted)
        assert isinstance(found, str | overrides.Request)


def composes(requested: list[str], folder: Path) -> None:
    try:
        compose(requested, [folder])
    except InputError:
        return


@FEWEST
@given(st.lists(OVERRIDES, min_size=1, max_size=3))
def test_overrides_of_anything_compose_or_are_explained(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        composes(texts, Path(folder))


@FEWEST
@given(st.one_of(st.binary(max_size=60), PLAIN.map(lambda value: f"theirs: {json.dumps(value)}".encode())))
def test_a_file_of_anything_composes_or_is_explained(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for group in ("protocol", "variants"):
            (Path(folder) / group).mkdir()
            (Path(folder) / group / "theirs.yaml").write_bytes(content)
        composes(["variants=[theirs]", "protocol=theirs"], Path(folder))


# ---------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["records", "tables", "overrides", "files"])
def test_the_long_running_targets_take_any_bytes(name: str) -> None:
    target = runpy.run_path(str(ROOT / "benchmarks" / "fuzz.py"))["TARGETS"][name]
    for content in (b"{}", b"\xff\x00"):
        target(content)
