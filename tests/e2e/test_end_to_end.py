"""Calls that begin with image files, or with lists of words, through the real program and its workers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from desk import Desk
from PIL import Image

from mlbench.tracking import load_study

pytestmark = pytest.mark.e2e

FAST = (
    "protocol.trials=1", "protocol.rounds=2", "protocol.sweep_rounds=2", "protocol.warmup_seconds=0",
    "scenario.batch_sizes=[1]", "variants=[onnx_fp32]", "tracking.log_models=false", "profile=false",
)  # fmt: skip
SMALL = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
PHOTOS = """
name: photos
model: {source: huggingface, path: ./model, options: {timing: end-to-end}}
data: {source: images, options: {path: photos}}
"""
TAGS = """
name: tags
model: {source: huggingface, path: ./model, options: {timing: end-to-end}}
data: {source: jsonl, options: {path: words.jsonl, inputs: {words: words}, labels: tags}}
task: token_classification
"""


def photos(folder: Path) -> None:
    config = transformers.ViTConfig(**SMALL, image_size=16, patch_size=8, id2label={0: "red", 1: "blue"})
    transformers.ViTForImageClassification(config).save_pretrained(folder / "model")
    transformers.ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder / "model")
    random = np.random.default_rng(0)
    for name in ("red", "blue"):
        (folder / "photos" / name).mkdir(parents=True)
        for number in range(12):
            pixels = random.integers(0, 256, (20, 24, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / "photos" / name / f"{number}.png")


def tags(folder: Path) -> None:
    words = ("send", "money", "to", "bob")
    (folder / "vocab.txt").write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]))
    transformers.BertTokenizerFast(str(folder / "vocab.txt")).save_pretrained(folder / "model")
    config = transformers.BertConfig(vocab_size=9, max_position_embeddings=16, id2label={0: "O", 1: "NAME"}, **SMALL)
    transformers.BertForTokenClassification(config).save_pretrained(folder / "model")
    rows = [[*words[: index % 3], "bob"] for index in range(30)]
    lines = [{"words": row, "tags": ["NAME" if word == "bob" else "O" for word in row]} for row in rows]
    (folder / "words.jsonl").write_text("\n".join(map(json.dumps, lines)))


@pytest.mark.parametrize(
    ("make", "workload", "maker", "shown"),
    [(photos, PHOTOS, "pillow", "the content of image files"), (tags, TAGS, "tokenizers", "lists of words")],
    ids=["images", "words"],
)
def test_calls_begin_with_what_a_caller_has(
    tmp_path: Path, make: Callable[[Path], None], workload: str, maker: str, shown: str
) -> None:
    torch.manual_seed(0)
    make(tmp_path)
    (tmp_path / "conf" / "workload").mkdir(parents=True)
    (tmp_path / "conf" / "workload" / "own.yaml").write_text(workload, encoding="utf-8")
    desk = Desk(tmp_path)
    told = {}
    for timing in ("end-to-end", "model-only"):
        given = (f"name={timing}", "--config-dir", "conf", "workload=own", f"workload.model.options.timing={timing}")
        policy = "policy=keep_f1" if maker == "tokenizers" else "policy=keep_accuracy"
        ran = desk.run("run", *given, policy, *FAST)
        assert ran.returncode == 0, ran.stderr
        told[timing] = load_study(desk.tracker(), timing).study
    timed, plain = told["end-to-end"], told["model-only"]
    assert f"every call begins with {shown}" in " ".join(timed.workload.data.notes)
    for arm, other in zip(timed.arms, plain.arms, strict=True):
        assert (arm.status, arm.effective["timing"]) == ("ok", "end-to-end")
        assert arm.effective[maker]
        assert "timing" not in other.effective
        assert arm.quality is not None
        assert other.quality is not None
        assert arm.quality.metrics == other.quality.metrics  # the same inputs, made in the workers
