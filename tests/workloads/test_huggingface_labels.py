"""Labels of every task beside the classes that a Hugging Face model brings along: tiny BERTs made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import IGNORED, Recipe, RuntimeSettings, StepSpec
from mlbench.runtimes.loading import answers
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads import RawData
from mlbench.workloads.huggingface_model import HuggingFaceModel
from mlbench.workloads.prepare import prepare

WORDS = ("please", "send", "money", "to", "bob", "play", "some", "music")
TEXTS = ["please " * (row % 2) + ("send money to bob" if row % 3 else "play some music") for row in range(60)]
SETS = [["polite"] * (row % 2) + ["pay" if row % 3 else "play"] for row in range(60)]
NAMES = ("play", "polite", "pay")  # in no order that sorting would give

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """A tiny BERT with a head for texts (or tokens) and those classes, in a folder of its own."""

    def made(names: tuple[str, ...], kind: str = "Sequence") -> Path:
        folder = tmp_path_factory.mktemp("model")
        (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
        transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder)
        torch.manual_seed(0)
        config = transformers.BertConfig(
            vocab_size=20,
            max_position_embeddings=16,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=16,
            id2label=dict(enumerate(names)),
        )
        getattr(transformers, f"BertFor{kind}Classification")(config).save_pretrained(folder)
        return folder

    return made


def workload(model: Path, folder: Path, rows: list[dict[str, Any]], task: str, **options: Any) -> WorkloadConfig:
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    given = {"path": str(folder / "rows.jsonl"), "inputs": {"text": "text"}, "labels": "label", **options}
    return WorkloadConfig("own", ModelConfig("huggingface", path=str(model)), DataConfig("jsonl", given), task)


def silent(text: str) -> None:
    """Progress that nobody reads."""


def rows_of(labels: list[Any]) -> list[dict[str, Any]]:
    return [{"text": text, "label": label} for text, label in zip(TEXTS, labels, strict=True)]


def encoded(model: Path, raw: RawData, task: str) -> RawData:
    return HuggingFaceModel().encode(ModelConfig("huggingface", path=str(model)), raw, None, task)


def raw(labels: Any, classes: tuple[str, ...] = (), inputs: Any = ("send money", "play music")) -> RawData:
    return RawData({"text": np.asarray(inputs)}, np.asarray(labels), classes, "data")


def objects(*items: list[Any]) -> np.ndarray[Any, Any]:
    found = np.empty(len(items), dtype=object)
    for row, item in enumerate(items):  # lists of one length would become a table
        found[row] = item
    return found


def assert_as_transformers(model: Path, config: WorkloadConfig, folder: Path) -> Any:
    """The prepared workload, whose model answers as the library's own does, also once it is ONNX."""
    store = Store(folder / "store")
    found = prepare(config, store, silent)
    reference = transformers.AutoModelForSequenceClassification.from_pretrained(model).eval()
    inputs = found.data.test.inputs
    with torch.inference_mode():
        expected = reference(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    np.testing.assert_allclose(answers(found.source, RuntimeSettings(), inputs), expected, rtol=1e-4, atol=1e-6)
    exported = build(Recipe("onnx", (StepSpec("export_onnx"),)), found, store, silent)
    np.testing.assert_allclose(answers(exported, RuntimeSettings(), inputs), expected, rtol=1e-3, atol=1e-5)
    return found


def test_several_labels_take_the_models_own_names(make: Make, tmp_path: Path) -> None:
    model = make(NAMES)
    found = assert_as_transformers(model, workload(model, tmp_path, rows_of(SETS), "multilabel"), tmp_path)
    assert found.info.data.classes == NAMES
    test = found.data.test
    words = {name: transformers.AutoTokenizer.from_pretrained(model).convert_tokens_to_ids(name) for name in WORDS}
    ids = test.inputs["input_ids"]
    expected = [(ids == words[word]).any(axis=1) for word in ("play", "please", "send")]
    np.testing.assert_array_equal(test.labels, np.column_stack(expected))


def test_columns_of_zeros_and_ones_go_by_their_names(make: Make, tmp_path: Path) -> None:
    rows = [
        {"text": text, **{name: int(name in held) for name in sorted(NAMES)}}
        for text, held in zip(TEXTS, SETS, strict=True)
    ]
    config = workload(make(NAMES), tmp_path, rows, "multilabel", labels=sorted(NAMES))
    info = prepare(config, Store(tmp_path / "store"), silent).info.data
    assert info.classes == NAMES
    total = {name: sum(counts[name] for counts in info.class_counts.values()) for name in NAMES}
    assert total == {name: sum(name in held for held in SETS) for name in NAMES}


def test_lists_of_whole_numbers_are_places(make: Make, tmp_path: Path) -> None:
    labels = [[NAMES.index(name) for name in held] for held in SETS]
    config = workload(make(NAMES), tmp_path, rows_of(labels), "multilabel")
    info = prepare(config, Store(tmp_path / "store"), silent).info.data
    assert sum(counts["polite"] for counts in info.class_counts.values()) == 30


def test_a_label_that_the_model_does_not_have(make: Make, tmp_path: Path) -> None:
    config = workload(make(NAMES), tmp_path, rows_of([[*held, "rude"] for held in SETS]), "multilabel")
    with pytest.raises(InputError, match=r"label 'rude' \(60 rows\) is not among the 3 classes of the model"):
        prepare(config, Store(tmp_path / "store"), silent)


def test_a_number_per_text(make: Make, tmp_path: Path) -> None:
    model = make(("LABEL_0",))
    labels = [len(text) / 10 for text in TEXTS]
    found = assert_as_transformers(model, workload(model, tmp_path, rows_of(labels), "regression"), tmp_path)
    assert found.info.data.classes == ()
    assert found.source.outputs[0].name == "prediction"
    assert found.source.outputs[0].shape == (None, 1)
    several = workload(make(NAMES), tmp_path, rows_of(labels), "regression")
    with pytest.raises(InputError, match=r"one number per item needs \[2\] or \[2, 1\]"):
        prepare(several, Store(tmp_path / "store"), silent)


def test_one_score_for_two_classes(make: Make, tmp_path: Path) -> None:
    labels = ["pay" if row % 3 else "no" for row in range(60)]
    config = workload(make(("LABEL_0",)), tmp_path, rows_of(labels), "binary")
    found = prepare(config, Store(tmp_path / "store"), silent)
    assert found.info.data.classes == ("no", "pay")
    assert found.source.outputs[0].shape == (None, 1)


def test_whole_numbers_are_places_among_the_models_classes(make: Make) -> None:
    model = make(NAMES)
    found = encoded(model, raw([2, 1]), "classification")
    assert (found.labels.tolist(), found.classes) == ([2, 1], NAMES)
    named = encoded(model, raw([0, 1], ("pay", "play")), "classification")
    assert (named.labels.tolist(), named.classes) == ([2, 0], NAMES)
    with pytest.raises(InputError, match="label 'rude'"):
        encoded(model, raw([0, 1], ("pay", "rude")), "classification")


def test_names_of_the_data_stand_in_for_a_model_without_names(make: Make) -> None:
    found = encoded(make(("LABEL_0", "LABEL_1")), raw([0, 1], ("pay", "play")), "classification")
    assert (found.labels.tolist(), found.classes) == ([0, 1], ("pay", "play"))


def test_tags_of_words_go_by_the_names_that_the_data_knows(make: Make) -> None:
    model = make(("O", "B-PER"), "Token")
    words = objects(["send", "bob"], ["play", "music"])
    data = RawData({"words": words}, objects([1, 0], [1, IGNORED]), ("B-PER", "O"), "data")
    found = encoded(model, data, "token_classification")
    assert found.labels.tolist() == [[IGNORED, 0, 1, IGNORED], [IGNORED, 0, IGNORED, IGNORED]]
    with pytest.raises(InputError, match="label 2 in row 0 is not a place among 2 classes"):
        encoded(model, replace(data, labels=objects([2, 0], [0, 0])), "token_classification")
    with pytest.raises(InputError, match="need a label for each word"):
        encoded(model, replace(data, labels=np.array([0, 1])), "token_classification")
