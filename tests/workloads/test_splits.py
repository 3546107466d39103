"""Splits: stratified, seeded, disjoint, recorded; and data that cannot be split says why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlbench.config import DataConfig
from mlbench.errors import InputError
from mlbench.workloads import Data
from mlbench.workloads.splits import check_data, make_data

Archive = Callable[..., DataConfig]


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """A configuration for 60 rows of 3 classes, each row its own number, unless told otherwise."""

    def make(
        x: np.ndarray[Any, Any] | None = None, labels: np.ndarray[Any, Any] | None = None, **config: Any
    ) -> DataConfig:
        labels = np.arange(60) % 3 if labels is None else labels
        x = np.arange(len(labels), dtype=np.float32)[:, None] if x is None else x
        path = tmp_path / "data.npz"
        np.savez(path, x=x, labels=labels)
        return DataConfig("npz", {"path": str(path)}, **config)

    return make


def refusal(config: DataConfig) -> str:
    with pytest.raises(InputError) as caught:
        make_data(config)
    (sentence,) = caught.value.problems
    return sentence


def rows(data: Data) -> dict[str, set[float]]:
    return {name: set(getattr(data, name).inputs["x"][:, 0]) for name in ("train", "validation", "test")}


def test_only_sequences_have_a_free_second_axis(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez(path, tokens=np.zeros((60, 7), np.int64), image=np.zeros((60, 4, 4), np.float32), labels=np.arange(60) % 3)
    info = make_data(DataConfig("npz", {"path": str(path), "sequences": ["tokens"]})).info
    assert {spec.name: spec.shape for spec in info.inputs} == {"tokens": (None, None), "image": (None, 4, 4)}


def test_the_digits_are_split_as_documented() -> None:
    data = make_data(DataConfig("digits"))
    assert data.info.rows == {"train": 862, "validation": 216, "test": 719}
    for name, counts in data.info.class_counts.items():
        assert max(counts.values()) - min(counts.values()) <= 5, name  # stratified: classes are nearly equal
    assert data.info.inputs[0].shape == (None, 1, 8, 8)
    assert data.info.notes == ()


def test_splits_are_disjoint_and_whole(archive: Archive) -> None:
    parts = rows(make_data(archive()))
    assert parts["train"] | parts["validation"] | parts["test"] == set(range(60))
    assert sum(map(len, parts.values())) == 60


def test_labels_stay_with_their_rows(archive: Archive) -> None:
    data = make_data(archive())
    for split in (data.train, data.validation, data.test):
        np.testing.assert_array_equal(split.inputs["x"][:, 0] % 3, split.labels)


def test_a_seed_fixes_the_split(archive: Archive) -> None:
    first, again, other = (make_data(archive(seed=seed)) for seed in (1, 1, 2))
    assert rows(first) == rows(again)
    assert first.info.digest == again.info.digest
    assert rows(first) != rows(other)
    assert first.info.digest != other.info.digest


def test_the_digest_sees_bytes_names_and_splits(archive: Archive) -> None:
    base = make_data(archive()).info.digest
    changed = np.arange(60, dtype=np.float32)[:, None]
    changed[17] += 1e-6
    assert make_data(archive(x=changed)).info.digest != base
    assert make_data(archive(x=np.arange(60)[:, None])).info.digest != base
    assert make_data(archive(test_fraction=0.3)).info.digest != base
    assert make_data(archive(labels=np.array(list("abc"))[np.arange(60) % 3])).info.digest != base


def test_a_subset_is_stratified(archive: Archive) -> None:
    labels = np.repeat([0, 1], [80, 20])
    info = make_data(archive(labels=labels, rows=50)).info
    assert sum(info.rows.values()) == 50
    assert sum(counts["1"] for counts in info.class_counts.values()) == 10
    assert make_data(archive(rows=60)).info.rows == {"train": 28, "validation": 8, "test": 24}


def test_float64_is_used_as_float32_and_noted(archive: Archive) -> None:
    data = make_data(archive(x=np.arange(60.0)[:, None]))
    assert data.train.inputs["x"].dtype == np.float32
    assert data.info.notes == ("input 'x' was float64 and is used as float32",)


def test_test_rows_seen_in_training_are_counted(archive: Archive) -> None:
    labels = np.arange(60) % 3
    x = np.arange(60, dtype=np.float32)[:, None]
    x[:] = np.where(np.arange(60)[:, None] < 30, labels[:, None], x)  # 30 rows are copies of three
    data = make_data(archive(x=x))
    twins = len([row for row in data.test.inputs["x"][:, 0] if row in set(data.train.inputs["x"][:, 0])])
    assert twins > 0
    assert data.info.notes[0] == f"{twins} of 24 test rows also occur in the training split"
    assert data.info.notes[1].endswith("of 8 validation rows also occur in the training split")


def test_one_class_only(archive: Archive) -> None:
    assert refusal(archive(labels=np.zeros(9, dtype=int))) == (
        "workload.data: all 9 rows have the same class (0); classification needs at least two"
    )


def test_more_rows_than_there_are() -> None:
    assert refusal(DataConfig("digits", rows=5000)) == (
        "workload.data.rows: 5000 rows are asked for, but sklearn.datasets.load_digits has 1797"
    )


def test_too_few_rows_for_the_classes(archive: Archive) -> None:
    assert "8 rows are too few for 3 classes in 3 splits; at least 9 are needed" in refusal(archive(rows=8))
    assert "the validation split would have 2 of 12 rows, fewer than the 3 classes" in refusal(archive(rows=12))


def test_a_class_too_small(archive: Archive) -> None:
    assert "class '1' has only 2 of 60 rows; each class needs at least 3" in refusal(
        archive(labels=np.repeat([0, 1], [58, 2]))
    )
    assert "class '1' is too small to be in every split" in refusal(archive(labels=np.repeat([0, 1], [57, 3])))
    sparse = archive(labels=np.repeat([0, 1], [95, 5]), rows=20)
    assert "class '1' has only 1 of 20 rows" in refusal(sparse)


def test_values_that_are_not_finite(archive: Archive) -> None:
    x = np.ones((60, 4), dtype=np.float32)
    x[7, 2], x[9, 0] = np.nan, np.inf
    sentence = refusal(archive(x=x))
    assert "input 'x' has values that are not finite (NaN or infinity) in 2 of 60 rows, the first in row 7" in sentence


def test_inputs_of_text(archive: Archive) -> None:
    assert "input 'x' has dtype <U1, but inputs must be numbers" in refusal(archive(x=np.array(["a"] * 60)))


def test_configuration_mistakes_are_told_without_reading() -> None:
    assert check_data(DataConfig("digit")) == ["workload.data.source: unknown dataset 'digit'; did you mean digits?"]
    assert check_data(DataConfig("npz", {"pth": "x"})) == [
        "workload.data.options: unknown key 'pth'; did you mean path?",
        "workload.data.options: 'path' is missing",
    ]
    assert check_data(DataConfig("digits", test_fraction=0.7, validation_fraction=0.3)) == [
        (
            "workload.data: test_fraction 0.7 and validation_fraction 0.3 leave nothing to train on; together they "
            "must be below 1"
        )
    ]
    assert check_data(DataConfig("digits")) == []


def test_a_source_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlbench.registry.importlib.util.find_spec", lambda name: None)
    (sentence,) = check_data(DataConfig("digits"))
    assert sentence.startswith("workload.data.source: dataset 'digits' needs sklearn, which is not installed")


def test_mistakes_stop_before_reading() -> None:
    with pytest.raises(InputError, match="unknown dataset"):
        make_data(DataConfig("nothing"))


def test_classes_of_very_different_size_are_told(archive: Archive) -> None:
    (note,) = make_data(archive(labels=np.repeat([0, 1], [100, 10]))).info.notes
    assert note == (
        "classes are unbalanced: the test split has 40 of '0' and 4 of '1'; read averages over classes beside the "
        "accuracy"
    )


def test_the_models_classes_may_be_more_than_occur(archive: Archive) -> None:
    info = make_data(archive(classes=("2", "1", "0", "3"))).info
    assert info.classes == ("2", "1", "0", "3")
    assert info.class_counts["test"]["3"] == 0
    assert "class '3' does not occur in the train split" in info.notes
    assert "label '2' (20 rows) is not among the 2 classes of the model (0, 1)" in refusal(archive(classes=("0", "1")))
