"""Columns as inputs, labels and splits, and the sentence for every way to get that wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlbench.errors import InputError
from mlbench.workloads.columns import Mapped, raw_data
from mlbench.workloads.files import objects


def table(**columns: list[Any]) -> dict[str, Any]:
    return {
        name: np.array(cells) if all(isinstance(cell, str) for cell in cells) else objects(cells)
        for name, cells in columns.items()
    }


def refusal(columns: dict[str, Any], mapped: Mapped) -> str:
    with pytest.raises(InputError) as caught:
        raw_data(columns, mapped, "data.csv")
    return "\n".join(caught.value.problems)


def test_all_other_columns_are_features() -> None:
    raw = raw_data(table(a=["1", "2"], b=["0.5", "1e3"], label=["x", "y"]), Mapped(), "data.csv")
    assert raw.inputs["features"].tolist() == [[1, 0.5], [2, 1000]]
    assert raw.inputs["features"].dtype == np.float32
    assert raw.labels.tolist() == ["x", "y"]
    assert raw.columns == {"a": "int64", "b": "float64", "label": "text"}


def test_inputs_by_name_keep_their_types() -> None:
    columns = table(age=["3", "4"], text=["a b", "c"], ids=[[1, 2], [3, 4]], label=["0", "10"])
    raw = raw_data(columns, Mapped({"age": "age", "words": "text", "tokens": "ids", "both": ("age", "ids")}), "d")
    assert raw.inputs["age"].tolist() == [[3], [4]]
    assert raw.inputs["age"].dtype == np.int64
    assert raw.inputs["words"].tolist() == ["a b", "c"]
    assert raw.inputs["tokens"].shape == (2, 2)
    assert raw.inputs["both"].tolist() == [[3, 1, 2], [4, 3, 4]]
    assert raw.labels.tolist() == [0, 10]
    assert list(raw_data(columns, Mapped(("ids", "age")), "d").inputs) == ["ids", "age"]


def test_a_column_names_the_split() -> None:
    raw = raw_data(
        table(a=["1", "2", "3"], part=["Train", "dev", "test"], label=list("xyx")), Mapped(split="part"), "d"
    )
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train", "validation", "test"]
    assert raw.inputs["features"].shape == (3, 1)


def test_several_label_columns() -> None:
    raw = raw_data(table(a=["1", "2"], big=["0", "1"], red=["1", "1"]), Mapped(labels=("big", "red")), "d")
    assert raw.labels.tolist() == [[0, 1], [1, 1]]
    assert raw.classes == ("big", "red")


def test_missing_columns_are_named() -> None:
    columns = table(age=["1"], label=["x"])
    assert refusal(columns, Mapped(labels="lable")) == (
        "workload.data.options.labels: data.csv has no column 'lable'; did you mean label or age?"
    )
    assert refusal(columns, Mapped({"x": ("agee", "height")})).startswith(
        "workload.data.options.inputs: data.csv has no column 'agee'; did you mean age?\n"
    )
    assert "workload.data.options.split: data.csv has no column 'part'" in refusal(columns, Mapped(split="part"))
    assert "has no column besides label" in refusal(table(label=["x"]), Mapped())
    assert "name at least one column" in refusal(columns, Mapped(labels=()))
    assert "names no column" in refusal(columns, Mapped({"x": ()}))


def test_cells_that_are_no_numbers() -> None:
    assert "column 'city' of data.csv holds text ('Oslo' in row 1), but numbers are needed" in refusal(
        table(a=["1", "2"], city=["3", "Oslo"], label=["x", "y"]), Mapped()
    )
    assert "column 'age' of data.csv is empty in row 1" in refusal(
        table(a=["1", "2"], age=["3", ""], label=["x", "y"]), Mapped()
    )
    assert "is empty in row 0; fill or drop" in refusal(table(age=[None, 3], label=["x", "y"]), Mapped())
    assert "holds text ('b' in row 1)" in refusal(table(a=[1, 2], b=[3, "b"], label=["x", "y"]), Mapped())
    assert "lists of different length" in refusal(table(ids=[[1], [1, 2]], label=["x", "y"]), Mapped({"ids": "ids"}))
    assert "holds dict, but numbers" in refusal(table(a=[{}, {}], label=["x", "y"]), Mapped())
    assert "has no text in row 1" in refusal(table(text=["a", " "], label=["x", "y"]), Mapped({"t": "text"}))


def test_labels_and_splits_that_are_missing() -> None:
    assert "is empty in 1 rows, the first is row 1" in refusal(table(a=["1", "2"], label=["x", " "]), Mapped())
    assert "is empty in 1 rows, the first is row 0" in refusal(table(a=["1", "2"], label=[None, 3]), Mapped())
    assert "holds text in some rows and int in others" in refusal(table(a=["1", "2"], label=["x", 3]), Mapped())
    assert "says 'later' in row 1" in refusal(
        table(a=["1", "2"], label=["x", "y"], part=["train", "later"]), Mapped(split="part")
    )
