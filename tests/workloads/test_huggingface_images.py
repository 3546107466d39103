"""Image classifiers of Hugging Face with their own image processors: a tiny one made here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image

from mlbench.config import DataConfig, ModelConfig, WorkloadConfig
from mlbench.errors import InputError
from mlbench.records import Recipe, RuntimeSettings, StepSpec
from mlbench.runtimes.loading import answers
from mlbench.runtimes.processed import ProcessedSession
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads import RawData
from mlbench.workloads.huggingface_images import processed
from mlbench.workloads.prepare import prepare, read_data

COLOURS = {"blue": (20, 40, 250), "red": (240, 10, 30)}
SIDE = 16


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vit")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=SIDE,
        patch_size=8,
        id2label={0: "red", 1: "blue"},
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(12):
            noise = random.integers(-10, 10, (20, 24, 3))
            pixels = np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture
def config(model: Path, photos: Path) -> WorkloadConfig:
    return WorkloadConfig(
        "photos", ModelConfig("huggingface", path=str(model)), DataConfig("images", {"path": str(photos)})
    )


def silent(text: str) -> None:
    """Progress that nobody reads."""


def refusal(config: WorkloadConfig) -> str:
    with pytest.raises(InputError) as caught:
        read_data(config)
    (sentence,) = caught.value.problems
    return sentence


def test_the_processor_alone_prepares_the_files_and_the_model_answers_as_transformers_does(
    config: WorkloadConfig, model: Path, photos: Path, tmp_path: Path
) -> None:
    store = Store(tmp_path)
    workload = prepare(config, store, silent)
    assert workload.info.data.classes == ("red", "blue")  # the model's order, not that of the folders
    test = workload.data.test
    processor = transformers.ViTImageProcessor.from_pretrained(model)
    files = {name: [Image.open(path) for path in sorted((photos / name).iterdir())] for name in COLOURS}
    plain = {name: processor(images=images, return_tensors="np")["pixel_values"] for name, images in files.items()}
    for row, label in zip(test.inputs["pixel_values"], test.labels, strict=True):
        assert (plain[("red", "blue")[label]] == row).all(axis=(1, 2, 3)).any()
    reference = transformers.ViTForImageClassification.from_pretrained(model).eval()
    with torch.inference_mode():
        expected = reference(torch.from_numpy(test.inputs["pixel_values"])).logits.numpy()
    np.testing.assert_allclose(answers(workload.source, RuntimeSettings(), test.inputs), expected, rtol=1e-4, atol=1e-6)
    exported = build(Recipe("onnx", (StepSpec("export_onnx"),)), workload, store, silent)
    np.testing.assert_allclose(answers(exported, RuntimeSettings(), test.inputs), expected, rtol=1e-4, atol=1e-5)


def archive(folder: Path, pixels: np.ndarray, **more: Any) -> DataConfig:
    np.savez(folder / "photos.npz", image=pixels, labels=np.arange(len(pixels)) % 2)
    return DataConfig("npz", {"path": str(folder / "photos.npz")}, **more)


def test_arrays_of_pixels_are_taken_and_their_labels_are_places_among_the_classes(
    config: WorkloadConfig, tmp_path: Path
) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 3, SIDE, SIDE)).astype(np.uint8)
    whole = read_data(replace(config, data=archive(tmp_path, pixels)))
    shares = read_data(replace(config, data=archive(tmp_path, (pixels / 255).astype(np.float32))))
    np.testing.assert_array_equal(whole.test.inputs["pixel_values"], shares.test.inputs["pixel_values"])
    assert whole.info.classes == ("red", "blue")
    assert -1 <= whole.test.inputs["pixel_values"].min() < whole.test.inputs["pixel_values"].max() <= 1


def test_what_the_processor_cannot_take(config: WorkloadConfig, tmp_path: Path) -> None:
    normal = archive(tmp_path, np.random.default_rng(0).normal(size=(24, 3, SIDE, SIDE)).astype(np.float32))
    assert "leave scaling and normalization to it" in refusal(replace(config, data=normal))
    grey = archive(tmp_path, np.zeros((24, 1, SIDE, SIDE), dtype=np.uint8))
    assert "the data has image uint8 [1, 16, 16]" in refusal(replace(config, data=grey))


@pytest.mark.parametrize("kind", ["files", "arrays"])
def test_end_to_end_makes_the_same_pixels_in_every_call(
    config: WorkloadConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, photos: Path, kind: str
) -> None:
    monkeypatch.chdir(photos.parent)
    data = DataConfig("images", {"path": photos.name})  # workers are elsewhere
    if kind == "arrays":
        data = archive(tmp_path, np.random.default_rng(0).integers(0, 256, (24, 3, 20, 24)).astype(np.uint8))
    timed = replace(config, model=replace(config.model, options={"timing": "end-to-end"}), data=data)
    found, plain = read_data(timed), read_data(replace(config, data=data))
    assert found.info.digest == plain.info.digest
    assert found.collation.begins == "images"
    begin = {"files": "the content of image files", "arrays": "pixels"}[kind]
    assert f"every call begins with {begin}: images are scaled and normalized" in " ".join(found.info.notes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "processing.json").write_text(found.collation.processing)
    session = ProcessedSession(None, tmp_path / "processing.json", "pixel_values")  # type: ignore[arg-type]
    made = session.made(session.prepare(found.test.originals))
    np.testing.assert_array_equal(made["pixel_values"], found.test.inputs["pixel_values"])


def test_a_processor_that_does_more_cannot_be_timed(config: WorkloadConfig, model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    other = transformers.ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=0.5)  # a share of its own
    other.save_pretrained(tmp_path)
    plain = replace(config, model=ModelConfig("huggingface", path=str(tmp_path)))
    assert read_data(plain).test.inputs["pixel_values"].shape[1:] == (3, SIDE, SIDE)
    sentence = refusal(replace(plain, model=replace(plain.model, options={"timing": "end-to-end"})))
    assert "workload.model.options.timing: workers have no transformers" in sentence
    assert sentence.endswith("does something else, so only model-only can be timed")
    longest: Any = SimpleNamespace(do_resize=True, size={"longest_edge": SIDE})
    with pytest.raises(InputError, match="the image processor of other does something else"):
        processed(RawData({}, np.zeros(1), (), "data"), longest, "other", "end-to-end")


def test_what_is_for_texts_is_refused(config: WorkloadConfig) -> None:
    options = replace(config.model, options={"padding": "fixed"})
    assert "workload.model.options.padding is for texts" in refusal(replace(config, model=options))
    assert "the task 'embedding' does not ask for" in refusal(replace(config, task="embedding"))


def test_images_of_another_size_than_the_models(config: WorkloadConfig, model: Path, tmp_path: Path) -> None:
    for path in model.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    larger = replace(config, model=ModelConfig("huggingface", path=str(tmp_path)))
    with pytest.raises(InputError) as caught:
        prepare(larger, Store(tmp_path / "store"), silent)
    (sentence,) = caught.value.problems
    assert "workload.model: the model fails on the data (pixel_values float32 [3, 32, 32]): ValueError: " in sentence
