"""How a study comes to its arms, and what it says of how they were made beside its verdicts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mlbench import study, workshop
from mlbench.errors import InputError, MlbenchError
from mlbench.records import Arm, Artifact, Collation, Notice, Recipe, RuntimeSettings, StepRecord, StepSpec
from mlbench.study import _build_arms, _step_notices

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


def build_arms(
    monkeypatch: pytest.MonkeyPatch, store: Path, *recipes: Recipe, made_as: str = "sklearn"
) -> tuple[Any, list[str]]:
    """The arms of these recipes on a model of which only its format matters; and what was told."""
    told: list[str] = []
    monkeypatch.setattr(study, "recipes", lambda config: recipes)
    monkeypatch.setattr(workshop, "counted", lambda artifact: artifact)
    source = Artifact("d", made_as, "", "model", (), (), 0)
    progress: Any = SimpleNamespace(phase=lambda text: None, step=lambda text: None, notice=told.append)
    runs: Any = SimpleNamespace(announce_arm=lambda name, role: "", champion=None)
    workload: Any = SimpleNamespace(source=source, data=SimpleNamespace(collation=Collation()))
    config: Any = SimpleNamespace(incumbent=False, cache_dir=str(store))
    craft = workshop._Craft(config, "me", progress.step)
    craft._workload = workload
    here: Any = SimpleNamespace(
        build=lambda recipe, role: craft.finish(recipe, role, craft.build(recipe)),
        fit_incumbent=lambda _: None,
        incumbent=lambda _: (),
    )
    return _build_arms(config, here, progress, runs), told


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


def test_what_an_arm_asks_for_and_is_not_here_is_found_when_it_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = RuntimeSettings(options={"providers": ["CUDAExecutionProvider", "CPUExecutionProvider"]})
    lacks = "this onnxruntime has no execution provider 'CUDAExecutionProvider'"
    gpu, twin = (
        Recipe("gpu", (), asked),
        Recipe("twin", (), RuntimeSettings(options={"providers": ["CPUExecutionProvider"]})),
    )
    (arms, failed), _ = build_arms(monkeypatch, tmp_path, Recipe("baseline"), gpu, twin, made_as="onnx")
    assert [arm.name for arm in arms] == ["baseline", "twin"]
    assert [item.name for item in failed] == ["gpu"]
    assert lacks in failed[0].failure
    with pytest.raises(MlbenchError, match=f"the baseline cannot be built: {lacks}"):
        build_arms(monkeypatch, tmp_path, gpu, twin, made_as="onnx")
