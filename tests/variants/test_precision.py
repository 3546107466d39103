"""Precision: the weights and the arithmetic are what is said, the answers agree, contradictions are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.variants.precision import PrecisionParams, _slow
from mlbench.workloads import Workload

STEP = {"name": "precision"}


def effective(artifact: Artifact) -> dict[str, Any]:
    return open_session(artifact, RuntimeSettings()).effective()


def agrees(exact: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    flips = (exact.argmax(1) != other.argmax(1)).mean()
    return bool(flips <= 0.02 and 0 < np.abs(exact - other).max() < 0.05 * np.abs(exact).max())


def test_weights_in_bfloat16_with_channels_last(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built({**STEP, "weights": "bfloat16", "channels_last": True})
    changed, found = artifact.steps[0].changed, effective(artifact)
    assert (artifact.format, found["precision"], found["channels_last"]) == ("torch_tuned", "bfloat16", True)
    assert changed["weight_bytes"] * 2 == changed["weight_bytes_before"]
    assert changed["layers_computing_in"] == {"bfloat16": 6}
    assert changed["validation_flip_rate"] <= 0.02
    assert artifact.size_bytes < 0.7 * tiny.source.size_bytes
    answer = scores(artifact)
    assert answer.dtype == np.float32
    assert agrees(scores(tiny.source), answer)


def test_autocast_keeps_the_weights(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built({**STEP, "autocast": "bfloat16"})
    changed, found = artifact.steps[0].changed, effective(artifact)
    assert (found["precision"], found["autocast"], found["channels_last"]) == ("float32", "bfloat16", False)
    assert changed["weight_bytes"] == changed["weight_bytes_before"]
    assert changed["layers_computing_in"] == {"bfloat16": 6}
    assert agrees(scores(tiny.source), scores(artifact))


def test_layout_alone_changes_no_answer(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built({**STEP, "channels_last": True})
    assert artifact.steps[0].changed["layers_computing_in"] == {"float32": 6}
    assert effective(artifact)["channels_last"] is True
    np.testing.assert_allclose(scores(artifact), scores(tiny.source), atol=1e-4)


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "nothing changes; give weights, autocast or channels_last"),
        (
            {"weights": "float16", "autocast": "bfloat16"},
            "autocast is for weights in float32, but they are to be float16",
        ),
    ],
)
def test_contradictions(failure: Callable[..., str], params: dict[str, Any], sentence: str) -> None:
    assert failure({**STEP, **params}) == f"step 'precision': {sentence}"


@pytest.mark.parametrize(
    ("model", "params", "words"),
    [
        ("narrow", {"channels_last": True}, "channels_last is for convolutions over images, and the model has none"),
        ("bare", {"weights": "bfloat16"}, "the model has no weights"),
        ("loud", {"weights": "float16"}, "values that are not finite"),
    ],
)
def test_models_that_it_is_not_for(
    failure: Callable[..., str], own_model: Callable[[str], Workload], model: str, params: dict[str, Any], words: str
) -> None:
    assert words in failure({**STEP, **params}, on=own_model(model))


@pytest.mark.parametrize(
    ("params", "flags", "told"),
    [
        ({"weights": "float16"}, {"avx512_bf16"}, "no float16 arithmetic"),
        ({"weights": "float16"}, {"avx512_fp16"}, ""),
        ({"autocast": "bfloat16"}, {"avx2"}, "no bfloat16 arithmetic"),
        ({"weights": "bfloat16"}, {"amx_bf16"}, ""),
        ({"channels_last": True}, {"avx2"}, ""),
    ],
)
def test_what_the_cpu_cannot_compute_in_is_said(
    monkeypatch: pytest.MonkeyPatch, params: dict[str, Any], flags: set[str], told: str
) -> None:
    monkeypatch.setattr("mlbench.variants.cpu.cpu_flags", lambda: frozenset(flags))
    said = _slow(PrecisionParams(**params))
    assert (told in said) if told else said == ""


def test_channels_last_only_where_there_are_convolutions(
    built: Callable[..., Artifact], own_model: Callable[[str], Workload], failure: Callable[..., str]
) -> None:
    params = {"weights": "bfloat16", "channels_last": None}
    assert effective(built({**STEP, **params}))["channels_last"] is True
    narrow = built({**STEP, **params}, on=own_model("narrow"))
    assert (effective(narrow)["channels_last"], effective(narrow)["precision"]) == (False, "bfloat16")
    assert "no convolutions over images" in failure({**STEP, "channels_last": None}, on=own_model("narrow"))
