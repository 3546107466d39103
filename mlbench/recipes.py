"""Recipes as the stages use them, from recipes as the configuration says them."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from mlbench.config import BaselineConfig, RecipeConfig, StudyConfig
from mlbench.errors import InputError
from mlbench.records import Recipe, RuntimeSettings, StepSpec

INCUMBENT = "incumbent"
"""Name of the arm that the champion is."""


def step_names(arm: str, config: RecipeConfig | BaselineConfig) -> list[str]:
    """A sentence for every step of a recipe without a name."""
    return [
        f"{arm}.steps[{index}]: has no name; write {{name: STEP, ...}}, `mlbench list steps` shows what there is"
        for index, step in enumerate(config.steps)
        if not isinstance(step.get("name"), str) or not step["name"]
    ]


def recipe(name: str, config: RecipeConfig | BaselineConfig, default_threads: int) -> Recipe:
    """The recipe of one arm; ``default_threads`` holds where the arm's own runtime says nothing.

    Raises:
        InputError: A step has no name.
    """
    problems = step_names(name, config)
    if problems:
        raise InputError(problems)
    runtime = config.runtime
    return Recipe(
        name=name,
        steps=tuple(
            StepSpec(step["name"], {key: value for key, value in step.items() if key != "name"})
            for step in config.steps
        ),
        runtime=RuntimeSettings(
            name=runtime.name,
            threads=runtime.threads if runtime.threads is not None else default_threads,
            inter_threads=runtime.inter_threads,
            device=runtime.device,
            options=deepcopy(runtime.options),
            # absolute but not resolved: an interpreter knows its packages by the link that it was started through
            python=None if runtime.python is None else str(Path(runtime.python).expanduser().absolute()),
        ),
        description=config.description,
    )


def recipes(config: StudyConfig) -> tuple[Recipe, ...]:
    """The recipes of all arms, the baseline's first."""
    return (
        recipe(config.baseline.name, config.baseline, config.threads),
        *(recipe(name, variant, config.threads) for name, variant in config.variants.items()),
    )
