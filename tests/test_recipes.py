"""Recipes of the configuration become recipes of the stages."""

from pathlib import Path

import pytest

from mlbench.config import BaselineConfig, RecipeConfig, RuntimeConfig
from mlbench.errors import InputError
from mlbench.recipes import recipe, step_names
from mlbench.records import Recipe, RuntimeSettings, StepSpec


def test_steps_keep_their_order_and_parameters() -> None:
    config = RecipeConfig(steps=({"name": "delay", "percent": 10}, {"name": "export_onnx"}), description="words")
    assert recipe("slow", config, default_threads=3) == Recipe(
        "slow",
        (StepSpec("delay", {"percent": 10}), StepSpec("export_onnx")),
        RuntimeSettings("auto", threads=3),
        "words",
    )


def test_the_arms_own_runtime_wins() -> None:
    runtime = RuntimeConfig("torch", threads=2, inter_threads=4, device="cuda", options={"channels_last": True})
    made = recipe("b", BaselineConfig(runtime=runtime), default_threads=8)
    assert made.runtime == RuntimeSettings("torch", 2, 4, "cuda", {"channels_last": True})
    assert made.runtime.options is not runtime.options


def test_an_interpreter_is_absolute_and_not_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "python").symlink_to("/usr/bin/env")
    monkeypatch.chdir(tmp_path)
    made = recipe("x", RecipeConfig(runtime=RuntimeConfig(python="python")), 1)
    assert made.runtime.python == str(tmp_path / "python")


@pytest.mark.parametrize("step", [{}, {"percent": 10}, {"name": ""}, {"name": 3}])
def test_a_step_without_a_name_is_refused(step: dict[str, object]) -> None:
    config = RecipeConfig(steps=({"name": "delay"}, step))
    sentences = step_names("variants.x", config)
    assert len(sentences) == 1
    assert sentences[0].startswith("variants.x.steps[1]: has no name; write {name: STEP")
    with pytest.raises(InputError):
        recipe("x", config, 1)
