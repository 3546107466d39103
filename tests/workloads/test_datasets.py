"""Sources of data: the digits, and archives that are right or wrong in every way a user can get them wrong."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sklearn.datasets
from sklearn.datasets import load_digits

from mlbench.errors import InputError
from mlbench.workloads.datasets import Digits, DigitsOptions, Npz, NpzOptions, SklearnOptions, SklearnSets

LABELS = np.array([0, 1, 2, 0, 1, 2])


def archive(folder: Path, **arrays: Any) -> str:
    path = folder / "data.npz"
    np.savez(path, **{"labels": LABELS, **arrays})
    return str(path)


def refusal(options: NpzOptions) -> str:
    with pytest.raises(InputError) as caught:
        Npz().load(options)
    (sentence,) = caught.value.problems
    return sentence


def test_digits_are_scikit_learns_scaled_to_one() -> None:
    raw = Digits().load(DigitsOptions())
    bunch = load_digits()
    assert raw.inputs["image"].shape == (1797, 1, 8, 8)
    assert raw.inputs["image"].dtype == np.float32
    np.testing.assert_allclose(raw.inputs["image"][:, 0] * 16, bunch.images)
    np.testing.assert_array_equal(raw.labels, bunch.target)
    assert raw.classes == tuple("0123456789")


def test_every_array_but_the_labels_is_an_input_by_default(tmp_path: Path) -> None:
    raw = Npz().load(NpzOptions(archive(tmp_path, a=np.zeros((6, 2)), b=np.ones((6, 3)))))
    assert list(raw.inputs) == ["a", "b"]
    assert raw.labels.tolist() == LABELS.tolist()
    assert raw.source == "data.npz"
    assert raw.columns == {"labels": "int64 []", "a": "float64 [2]", "b": "float64 [3]"}


def test_inputs_can_be_named_and_ordered(tmp_path: Path) -> None:
    path = archive(tmp_path, a=np.zeros((6, 2)), b=np.ones((6, 3)))
    assert list(Npz().load(NpzOptions(path, ("b",))).inputs) == ["b"]
    mapped = Npz().load(NpzOptions(path, {"tokens": "b", "mask": "a"})).inputs
    assert {name: array.shape for name, array in mapped.items()} == {"tokens": (6, 3), "mask": (6, 2)}


@pytest.mark.parametrize(
    ("name", "wrong"), [("token", "is no input; did you mean tokens?"), ("y", "has a single axis")]
)
def test_a_sequence_must_be_an_input_with_a_second_axis(tmp_path: Path, name: str, wrong: str) -> None:
    path = archive(tmp_path, tokens=np.zeros((6, 7)), y=np.zeros(6))
    assert refusal(NpzOptions(path, sequences=(name,))) == (
        f"workload.data.options.sequences: '{name}' {wrong}; a sequence's length is the second axis of an input"
    )


def test_labels_come_as_they_are(tmp_path: Path) -> None:
    path = archive(tmp_path, x=np.zeros((4, 1)), kind=np.array(["dog", "cat", "dog", "ant"]), labels=np.zeros(4))
    raw = Npz().load(NpzOptions(path, ("x",), "kind"))
    assert raw.classes == ()
    assert raw.labels.tolist() == ["dog", "cat", "dog", "ant"]


@pytest.mark.parametrize(
    ("name", "shape", "classes"),
    [
        ("breast_cancer", (569, 30), ("malignant", "benign")),
        ("diabetes", (442, 10), ()),
        ("digits", (1797, 64), tuple("0123456789")),
        ("iris", (150, 4), ("setosa", "versicolor", "virginica")),
        ("wine", (178, 13), ("class_0", "class_1", "class_2")),
    ],
)
def test_sets_of_scikit_learn(name: Any, shape: tuple[int, int], classes: tuple[str, ...]) -> None:
    raw = SklearnSets().load(SklearnOptions(name))
    values, target = getattr(sklearn.datasets, f"load_{name}")(return_X_y=True)
    assert raw.inputs["features"].shape == shape
    np.testing.assert_allclose(raw.inputs["features"], values, rtol=1e-6)
    np.testing.assert_array_equal(raw.labels, target)
    assert raw.classes == classes
    assert len(raw.columns) == shape[1]


def test_a_missing_file(tmp_path: Path) -> None:
    assert refusal(NpzOptions(str(tmp_path / "none.npz"))) == (
        f"workload.data.options.path: {tmp_path}/none.npz does not exist; a NumPy archive (.npz) is expected"
    )
    assert "is a directory" in refusal(NpzOptions(str(tmp_path)))


def test_a_file_that_is_no_archive(tmp_path: Path) -> None:
    text, single, broken = tmp_path / "a.npz", tmp_path / "b.npy", tmp_path / "c.npz"
    text.write_text("hello")
    np.save(single, np.zeros(3))
    broken.write_bytes(Path(archive(tmp_path, x=np.zeros((6, 50)))).read_bytes()[:200])
    assert "cannot be read as a NumPy archive" in refusal(NpzOptions(str(text)))
    assert "holds a single array" in refusal(NpzOptions(str(single)))
    assert "cannot be read as a NumPy archive" in refusal(NpzOptions(str(broken)))


def test_pickled_objects_are_not_loaded(tmp_path: Path) -> None:
    path = archive(tmp_path, x=np.array([{}, {}, {}, {}, {}, {}], dtype=object))
    assert "without pickled objects" in refusal(NpzOptions(path))


def test_a_missing_array(tmp_path: Path) -> None:
    path = archive(tmp_path, image=np.zeros((6, 2)))
    assert refusal(NpzOptions(path, labels="label")) == (
        f"workload.data.options.labels: {path} has no array 'label'; did you mean labels?"
    )
    assert refusal(NpzOptions(path, ("imge",))) == (
        f"workload.data.options.inputs: {path} has no array 'imge'; did you mean image?"
    )


def test_no_input_at_all(tmp_path: Path) -> None:
    assert "holds no array besides 'labels'" in refusal(NpzOptions(archive(tmp_path)))


def test_a_single_label(tmp_path: Path) -> None:
    assert "is a single value" in refusal(NpzOptions(archive(tmp_path, x=np.zeros((3, 1)), labels=np.array(1))))


def test_inputs_and_labels_of_different_length(tmp_path: Path) -> None:
    assert "input 'x' has 5 rows, but there are 6 labels" in refusal(NpzOptions(archive(tmp_path, x=np.zeros((5, 2)))))
    assert "input 'x' has a single value" in refusal(NpzOptions(archive(tmp_path, x=np.float32(1))))


@pytest.fixture
def small_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sysconf", {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 256}.__getitem__)  # 1 MiB


@pytest.mark.usefixtures("small_memory")
def test_an_archive_that_unpacks_to_more_than_there_is_memory(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    np.savez_compressed(path, labels=LABELS, x=np.zeros((6, 1 << 16)))
    assert path.stat().st_size < 1 << 15
    assert "it unpacks to" in refusal(NpzOptions(str(path)))


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "data.npz"
    with zipfile.ZipFile(path, "w") as packed, packed.open("labels.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": (1 << 45,)})
    assert "cannot be read as a NumPy archive" in refusal(NpzOptions(str(path)))
