"""Datasets of the Hugging Face library, through a stand-in for it: what it is asked, and what becomes of the answer."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.workloads.huggingface_data import Hub, HubOptions
from mlbench.workloads.splits import check_data


class Split:
    """As much of ``datasets.Dataset`` as is used."""

    def __init__(self, rows: int, start: int = 0) -> None:
        self._table = pa.table(
            {
                "text": [f"sentence {index}" for index in range(start, start + rows)],
                "label": [index % 2 for index in range(rows)],
            }
        )
        self.features = {"text": SimpleNamespace(dtype="string"), "label": SimpleNamespace(names=["no", "yes"])}

    def with_format(self, kind: str) -> Split:
        assert kind == "arrow"
        return self

    def __getitem__(self, rows: slice) -> pa.Table:
        assert rows == slice(None)
        return self._table


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A stand-in whose answer is set by the test, and which keeps what it was asked."""
    fake: Any = ModuleType("datasets")
    fake.__version__ = "4.1.0"
    fake.asked, fake.answer = [], {"train": Split(8), "test": Split(4, 8), "unsupervised": Split(2)}

    def answer(*args: Any, **kwargs: Any) -> Any:
        fake.asked.append((args, kwargs))
        if isinstance(fake.answer, Exception):
            raise fake.answer
        return fake.answer

    fake.load_dataset = fake.load_from_disk = answer
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return fake


def refusal(options: HubOptions) -> str:
    with pytest.raises(InputError) as caught:
        Hub().load(options)
    return "\n".join(caught.value.problems)


def test_splits_of_the_same_name_are_taken(library: Any) -> None:
    raw = Hub().load(HubOptions("someone/reviews", "en", "abc", {"text": "text"}))
    assert library.asked == [(("someone/reviews", "en"), {"revision": "abc"})]
    assert raw.splits is not None
    assert raw.splits.tolist() == ["train"] * 8 + ["test"] * 4
    assert raw.inputs["text"][8] == "sentence 8"
    assert raw.classes == ("no", "yes")
    assert raw.source == "someone/reviews@abc"


def test_names_of_classes_in_lists_are_known(library: Any) -> None:
    split = Split(8)
    split.features["label"] = SimpleNamespace(feature=SimpleNamespace(names=["no", "yes"]))
    library.answer = {"train": split}
    assert Hub().load(HubOptions("x", inputs={"text": "text"})).classes == ("no", "yes")


def test_splits_by_name(library: Any) -> None:
    raw = Hub().load(HubOptions("x", inputs={"text": "text"}, splits={"train": "train", "test": "unsupervised"}))
    assert raw.splits is not None
    assert (raw.splits == "test").sum() == 2
    options = HubOptions("x", inputs={"text": "text"}, splits={"test": "tst"})
    assert refusal(options).endswith("'x' has no split 'tst'; it has train, test, unsupervised")
    assert "'later' is no split" in refusal(HubOptions("x", splits={"later": "test"}))
    assert "has no train split" in refusal(HubOptions("x", splits={"test": "test"}))


def test_one_table_is_split_here(library: Any, tmp_path: Path) -> None:
    library.answer = Split(8)
    (tmp_path / "state.json").write_text("{}")
    raw = Hub().load(HubOptions(str(tmp_path), inputs={"text": "text"}))
    assert library.asked == [((str(tmp_path),), {})]
    assert raw.splits is None


def test_what_the_library_says_is_told(library: Any) -> None:
    library.answer = FileNotFoundError("there is no such dataset\nmore")
    assert refusal(HubOptions("a/b")) == (
        "workload.data.options.id: the dataset 'a/b' cannot be had: FileNotFoundError: there is no such dataset"
    )
    library.answer = {"train": Split(8)}
    assert "a/b has no column 'sentence'" in refusal(HubOptions("a/b", inputs={"text": "sentence"}))


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.registry.importlib.util.find_spec", lambda name: None)
    (sentence,) = check_data(DataConfig("huggingface", {"id": "a/b"}))
    assert "needs datasets, which is not installed: pip install 'mlflow-mlbench[huggingface]'" in sentence


@pytest.mark.parametrize(("version", "more"), [("3.6.0", {"trust_remote_code": False}), ("4.0.0", {})])
def test_no_script_of_a_dataset_is_run(library: Any, version: str, more: dict[str, bool]) -> None:
    library.__version__ = version  # from 4 on there are no scripts, and nothing to say so
    Hub().load(HubOptions("someone/reviews"))
    assert library.asked == [(("someone/reviews", None), {"revision": None, **more})]
