"""How a study comes to its arms, and what it says of how they were made beside its verdicts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlbench import study
from mlbench.errors import InputError
from mlbench.records import Arm, Artifact, Notice, Recipe, RuntimeSettings, StepRecord, StepSpec
from mlbench.study import _build_arms, _step_notices
from mlbench.variants.store import Store

UNFIT = Recipe("unfit", (StepSpec("quantize_onnx_static"),))


def arm(name: str, *steps: StepRecord) -> Arm:
    artifact = Artifact("d", "onnx", "", "model.onnx", (), (), 0, steps)
    return Arm(name, "variant", Recipe(name), artifact, RuntimeSettings())


def test_what_a_step_expects_is_said_once_for_all_arms_that_share_it() -> None:
    export = StepRecord("export_onnx", {}, "1", {"nodes": 3})
    shared = StepRecord("convert_onnx_fp16", {}, "2", {"notice": "no faster"})
    other = StepRecord("convert_onnx_fp16", {}, "3", {"notice": "no faster"})
    found = _step_notices([arm("plain", export), arm("a", export, shared), arm("b", export, shared), arm("c", other)])
    assert found == [
        Notice("step", "a, b: convert_onnx_fp16: no faster"),
        Notice("step", "c: convert_onnx_fp16: no faster"),
    ]


def build_arms(monkeypatch: pytest.MonkeyPatch, store: Path, *recipes: Recipe) -> tuple[Any, list[str]]:
    """The arms of these recipes on a scikit-learn model, of which only its format matters; and what was told."""
    told: list[str] = []
    monkeypatch.setattr(study, "recipes", lambda config: recipes)
    source = Artifact("d", "sklearn", "", "model.joblib", (), (), 0)
    progress: Any = SimpleNamespace(phase=lambda text: None, step=lambda text: None, notice=told.append)
    runs: Any = SimpleNamespace(announce_arm=lambda name, role: "", champion=None)
    workload: Any = SimpleNamespace(source=source)
    config: Any = SimpleNamespace(incumbent=False)
    return _build_arms(config, workload, Store(store), progress, runs), told


def test_a_recipe_that_does_not_fit_the_model_fails_its_arm_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A source such as ``mlflow`` has a format that nobody knows before the model is there."""
    (arms, failed), told = build_arms(monkeypatch, tmp_path, Recipe("baseline"), UNFIT, Recipe("twin"))
    assert [arm.name for arm in arms] == ["baseline", "twin"]
    assert [(item.name, item.status) for item in failed] == [("unfit", "failed")]
    assert "quantize_onnx_static' needs an onnx artifact, but gets sklearn" in failed[0].failure
    assert "\n" not in failed[0].failure
    assert told == [f"unfit failed: {failed[0].failure}"]


def test_a_baseline_that_does_not_fit_the_model_is_the_users_mistake(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="needs an onnx artifact, but gets sklearn"):
        build_arms(monkeypatch, tmp_path, UNFIT, Recipe("twin"))
