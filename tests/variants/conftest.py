"""Workloads that are trained once for all tests here, and recipes in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter

from mlbench.config import DataConfig, ModelConfig, RecipeConfig, TrainConfig, WorkloadConfig
from mlbench.recipes import recipe as make_recipe
from mlbench.records import Artifact, Recipe
from mlbench.variants.build import build
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.prepare import prepare

CONF = Path(__file__).resolve().parents[2] / "conf"


def silent(text: str) -> None:
    """Progress that nobody reads."""


def recipe(name: str, *steps: dict[str, Any], **runtime: Any) -> Recipe:
    config = TypeAdapter(RecipeConfig).validate_python({"steps": steps, "runtime": runtime})
    return make_recipe(name, config, 1)


@pytest.fixture(scope="session")
def shared_store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """The store of the whole test session, the same that programs under test use."""
    return Store(os.environ.get("MLBENCH_TEST_CACHE") or tmp_path_factory.getbasetemp() / "cache")


@pytest.fixture(scope="session")
def digits(shared_store: Store) -> Workload:
    """The default workload, as shipped."""
    text = (CONF / "workload" / "digits.yaml").read_text(encoding="utf-8")
    config = TypeAdapter(WorkloadConfig).validate_python(yaml.safe_load(text))
    return prepare(config, shared_store, silent)


@pytest.fixture(scope="session")
def tiny(shared_store: Store) -> Workload:
    """A small network, trained for a moment on a part of the digits."""
    model = ModelConfig(
        factory="mlbench.workloads.nets:digits_cnn",
        args={"widths": [16, 16, 16], "hidden": 32},
        train=TrainConfig(epochs=4, learning_rate=0.01),
    )
    return prepare(WorkloadConfig("tiny", model, DataConfig("digits", rows=600)), shared_store, silent)


@pytest.fixture(scope="session")
def workload(tiny: Workload) -> Workload:
    """The workload where any will do."""
    return tiny


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def built(tiny: Workload, store: Store) -> Callable[..., Artifact]:
    """Build steps on the tiny workload, in a store of this test alone."""
    return lambda *steps: build(recipe("arm", *steps), tiny, store, silent)


@pytest.fixture
def own_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Put the source of a module ``own_models`` on the path."""

    def write(source: str) -> None:
        (tmp_path / "own_models.py").write_text(source)
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(__import__("sys").modules, "own_models", raising=False)

    return write
