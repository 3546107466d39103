"""transformers pipelines in MLflow: taken apart, with their own tokenizer, or refused."""

import json

import mlflow
import numpy as np
import pytest
import torch
import transformers
import yaml

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import RuntimeSettings
from mlbench.runtimes.loading import answers
from mlbench.tracking import logged_model
from mlbench.variants.store import Store
from mlbench.workloads.prepare import check, prepare

WORDS = ("send", "money", "to", "bob", "play", "some", "music")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """A directory as mlflow.transformers writes it, with a tiny BERT in it."""
    place = tmp_path_factory.mktemp("pipeline")
    (place / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]))
    tokenizer = transformers.BertTokenizerFast(str(place / "vocab.txt"))
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=20,
        max_position_embeddings=16,
        hidden_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=8,
        id2label={0: "play", 1: "pay"},
    )
    model = transformers.BertForSequenceClassification(config).eval()
    made = transformers.pipeline("text-classification", model=model, tokenizer=tokenizer)
    mlflow.transformers.save_model(made, place / "model", pip_requirements=[])
    return place / "model", model


@pytest.fixture
def texts(tmp_path):
    lines = [{"text": "send money to bob", "label": "pay"}, {"text": "play some music", "label": "play"}] * 20
    (tmp_path / "texts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    return DataConfig("jsonl", {"path": str(tmp_path / "texts.jsonl"), "inputs": {"text": "text"}})


def ready(folder, texts, tmp_path, **options):
    config = WorkloadConfig("own", ModelConfig("mlflow", path=folder.as_uri(), options=options), texts)
    return prepare(config, Store(tmp_path / "built"), lambda text: None)


def refusal(*arguments, **options):
    with pytest.raises(InputError) as caught:
        ready(*arguments, **options)
    (sentence,) = caught.value.problems
    return sentence


def test_a_pipeline_is_the_hugging_face_model_in_it(pipeline, texts, tmp_path):
    folder, model = pipeline
    found = ready(folder, texts, tmp_path, huggingface={"max_length": 8})
    assert found.source.format == "torch_module"
    assert found.data.info.classes == ("play", "pay")
    inputs = found.data.test.inputs
    with torch.inference_mode():
        expected = model(**{name: torch.from_numpy(array) for name, array in inputs.items()}).logits.numpy()
    np.testing.assert_allclose(answers(found.source, RuntimeSettings(), inputs), expected, atol=1e-5)
    assert logged_model._DOWNLOADS == {}
    said = refusal(folder, texts, tmp_path, huggingface={"max_length": 99})
    assert f"more than the 16 tokens that {folder.as_uri()} takes" in said
    assert "has no named outputs" in refusal(folder, texts, tmp_path, output="logits")


def changed(folder, target, **values):
    """A model with another description of its pipeline."""
    target.mkdir()
    described = yaml.safe_load((folder / "MLmodel").read_text())
    flavor = described["flavors"]["transformers"]
    described["flavors"]["transformers"] = {**flavor, **values}
    for name in [name for name, value in values.items() if value is None]:
        del described["flavors"]["transformers"][name]
    (target / "MLmodel").write_text(yaml.safe_dump(described))
    return target


def test_pipelines_that_cannot_be_taken_apart(pipeline, texts, tmp_path):
    folder = pipeline[0]
    adapted = changed(folder, tmp_path / "peft", peft_adaptor="peft")
    assert "with an adapter beside its weights (PEFT)" in refusal(adapted, texts, tmp_path)
    parts = {"model_binary": None, "source_model_name": "a/b", "source_model_revision": "1", "tokenizer_name": "c/d"}
    elsewhere = changed(folder, tmp_path / "parts", **parts)
    assert "log it with its weights (save_pretrained=True)" in refusal(elsewhere, texts, tmp_path)


def test_parts_outside_of_the_model_are_not_taken(pipeline, texts, tmp_path):
    outside = changed(pipeline[0], tmp_path / "outside", model_binary="../model")
    assert "is no MLflow model: its parts" in refusal(outside, texts, tmp_path)


def test_options_are_those_of_a_hugging_face_model():
    model = ModelConfig("mlflow", path="models:/a/1", options={"huggingface": {"padding": "never"}})
    (sentence,) = check(WorkloadConfig("own", model, DataConfig("digits")))
    assert sentence.startswith("workload.model.options.huggingface: 'padding' is 'never'")
