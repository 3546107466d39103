"""Tables in files: what is read back from each format, given split files, and files that are broken."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.workloads.files import Csv, CsvOptions, JsonLines, Parquet, TableOptions
from mlbench.workloads.splits import make_data

ROWS = [{"a": index, "b": index / 2, "label": "xy"[index % 2]} for index in range(40)]


def write(folder: Path, kind: str, rows: list[dict[str, Any]], name: str = "data") -> str:
    path = folder / f"{name}.{kind}"
    if kind == "csv":
        lines = [",".join(rows[0]), *(",".join(str(cell) for cell in row.values()) for row in rows)]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    elif kind == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


def refusal(source: Any, options: Any) -> str:
    with pytest.raises(InputError) as caught:
        source.load(options)
    (sentence,) = caught.value.problems
    return sentence


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_the_same_table_from_every_format(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind, ROWS)
    data = make_data(DataConfig(kind, {"path": path, "inputs": {"x": ["a", "b"]}}))
    assert data.info.classes == ("x", "y")
    assert data.info.rows == {"train": 19, "validation": 5, "test": 16}
    assert set(data.info.columns) == {"a", "b", "label"}
    for split in (data.train, data.validation, data.test):
        values = split.inputs["x"]
        np.testing.assert_array_equal(values[:, 0], values[:, 1] * 2)
        np.testing.assert_array_equal(values[:, 0] % 2, split.labels)


def test_the_formats_agree_on_the_digest(tmp_path: Path) -> None:
    options = {"inputs": {"x": ["a", "b"]}}
    digests = {
        make_data(DataConfig(kind, {"path": write(tmp_path, kind, ROWS), **options})).info.digest
        for kind in ("csv", "jsonl", "parquet")
    }
    assert len(digests) == 1


def test_given_split_files(tmp_path: Path) -> None:
    paths = {name: write(tmp_path, "csv", ROWS[begin:end], name) for name, begin, end in
             [("train", 0, 20), ("val", 20, 30), ("test", 30, 40)]}  # fmt: skip
    data = make_data(DataConfig("csv", {"path": paths}))
    assert data.test.inputs["features"][:, 0].tolist() == list(range(30, 40))
    assert data.info.rows == {"train": 20, "validation": 10, "test": 10}
    assert data.info.source == "train.csv, val.csv, test.csv"


def test_a_split_that_is_not_given_is_cut_from_the_training_split(tmp_path: Path) -> None:
    paths = {"train": write(tmp_path, "csv", ROWS[:30], "train"), "test": write(tmp_path, "csv", ROWS[30:], "test")}
    data = make_data(DataConfig("csv", {"path": paths}))
    assert data.info.rows == {"train": 25, "validation": 5, "test": 10}
    assert data.test.inputs["features"][:, 0].tolist() == list(range(30, 40))


def test_a_split_column_and_a_subset(tmp_path: Path) -> None:
    parts = ["train", "train", "dev", "dev", "test", "test"]
    rows = [{**row, "part": parts[index % 6]} for index, row in enumerate(ROWS)]
    path = write(tmp_path, "csv", rows)
    data = make_data(DataConfig("csv", {"path": path, "split": "part"}, rows=24))
    assert data.info.rows == {"train": 9, "validation": 8, "test": 7}  # of 14, 14 and 12
    assert set(data.test.inputs["features"][:, 0] % 6) <= {4, 5}
    assert all(abs(counts["x"] - counts["y"]) <= 1 for counts in data.info.class_counts.values())


def test_csv_with_quotes_another_delimiter_and_a_mark(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text('\ufefftext;label\n"one; ""two""";x\nNA;y\n\n', encoding="utf-8")
    raw = Csv().load(CsvOptions(str(path), {"text": "text"}, delimiter=";"))
    assert raw.inputs["text"].tolist() == ['one; "two"', "NA"]
    assert "must be one character" in refusal(Csv(), CsvOptions(str(path), delimiter=";;"))


def test_lists_in_cells_are_an_input_and_null_is_empty(tmp_path: Path) -> None:
    rows = [{"ids": [1, 2], "label": 0}, {"ids": [3, 4], "label": 1}]
    raw = Parquet().load(TableOptions(write(tmp_path, "parquet", rows), {"tokens": "ids"}))
    assert raw.inputs["tokens"].tolist() == [[1, 2], [3, 4]]
    gaps = write(tmp_path, "jsonl", [{"a": 1, "label": 0}, {"label": 1}])
    assert "column 'a' of data.jsonl is empty in row 1" in refusal(JsonLines(), TableOptions(gaps))


def test_files_that_are_missing_or_named_wrongly(tmp_path: Path) -> None:
    path = write(tmp_path, "csv", ROWS)
    assert "does not exist; a file is expected" in refusal(Csv(), CsvOptions(str(tmp_path / "none.csv")))
    assert "is a directory" in refusal(Parquet(), TableOptions(str(tmp_path)))
    assert "'later' is no split" in refusal(Csv(), CsvOptions({"later": path}))
    assert "the validation split is given twice" in refusal(Csv(), CsvOptions({"dev": path, "val": path}))
    assert "the files in 'path' are the splits already" in refusal(Csv(), CsvOptions({"train": path}, split="a"))
    other = write(tmp_path, "csv", [{"a": 1, "label": "x"}], "other")
    assert "have different columns (b)" in refusal(Csv(), CsvOptions({"train": path, "test": other}))


def test_files_that_are_broken(tmp_path: Path) -> None:
    path = tmp_path / "data"
    for text, sentence in [
        ("a,label\n1,x\n2\n", "line 3 of data has 1 cells, but the first line names 2 columns"),
        ("a,a\n1,x\n", "has 2 columns named 'a'"),
        ("a,label\n", "has no rows"),
        ("", "has no rows"),
        ('a,label\n"1,x\n', "cannot be read as CSV"),
    ]:
        path.write_text(text)
        assert sentence in refusal(Csv(), CsvOptions(str(path)))
    path.write_bytes(b"a,label\n\xff,x\n")
    assert "cannot be read as CSV in UTF-8" in refusal(Csv(), CsvOptions(str(path)))
    assert "cannot be read as Parquet" in refusal(Parquet(), TableOptions(str(path)))
    assert "cannot be read as JSON Lines" in refusal(JsonLines(), TableOptions(str(path)))
    for text, sentence in [('{"a": 1}\n{"a"\n', "line 2 of data is not JSON"), ("[1]\n", "line 1 of data is no JSON")]:
        path.write_text(text)
        assert sentence in refusal(JsonLines(), TableOptions(str(path)))
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), path)
    assert "has no rows" in refusal(Parquet(), TableOptions(str(path)))


def test_no_row_in_the_training_split(tmp_path: Path) -> None:
    rows = [{"a": index, "label": "xy"[index % 2], "part": "test"} for index in range(8)]
    with pytest.raises(InputError, match="names splits, but no row is in the train split"):
        make_data(DataConfig("csv", {"path": write(tmp_path, "csv", rows), "split": "part"}))
    rows[0]["part"] = "train"
    with pytest.raises(InputError, match=r"has no validation split, and .* of all 8 rows cannot be taken"):
        make_data(DataConfig("csv", {"path": write(tmp_path, "csv", rows), "split": "part"}))


def test_more_than_there_is_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pa.table({"a": pa.array([0] * (1 << 20), pa.int8()), "label": pa.array(["x"] * (1 << 20))})
    path = tmp_path / "data.parquet"
    pq.write_table(rows, path)  # equal values: a few bytes on disk
    assert path.stat().st_size < 1 << 15
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256}.__getitem__)  # 1 MiB
    assert "it unpacks to" in refusal(Parquet(), TableOptions(str(path)))
    large = tmp_path / "data.csv"
    with large.open("wb") as file:
        file.truncate(1 << 21)
    assert "data.csv is not read: it unpacks to" in refusal(Csv(), CsvOptions(str(large)))


def test_lines_that_nest_too_deep_and_texts_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_text('{"a": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    assert "line 1 of data is not JSON: it is nested more than 64 deep" in refusal(JsonLines(), TableOptions(str(path)))
    words = pa.StringArray.from_buffers(1, pa.py_buffer(np.array([0, 2], np.int32)), pa.py_buffer(b"\xff\xfe"))
    pq.write_table(pa.table({"a": words, "label": [0]}), path)
    assert "cannot be read as Parquet: 'utf-8' codec" in refusal(Parquet(), TableOptions(str(path)))


def test_not_a_number_in_a_line_is_a_number_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "data").write_text('{"a": NaN, "label": 0}\n{"a": 1, "label": 1}\n')
    (values,) = JsonLines().load(TableOptions(str(tmp_path / "data"))).inputs.values()
    assert np.isnan(values.ravel()).tolist() == [True, False]
