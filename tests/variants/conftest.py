"""Workloads that are trained once for all tests here, and recipes in one line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from pydantic import TypeAdapter

from mlbench.config import DataConfig, ModelConfig, RecipeConfig, TrainConfig, WorkloadConfig
from mlbench.errors import BuildError
from mlbench.recipes import recipe as make_recipe
from mlbench.records import Artifact, Recipe, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.runtimes.torch_module import build_module, save_module
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
        train=TrainConfig(epochs=8, learning_rate=0.01, batch_size=16),
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
def built(tiny: Workload, shared_store: Store) -> Callable[..., Artifact]:
    """Build steps on the tiny workload, or on another one."""
    return lambda *steps, on=tiny: build(recipe("arm", *steps), on, shared_store, silent)


@pytest.fixture
def failure(tiny: Workload, store: Store) -> Callable[..., str]:
    """What a build says that must fail; nothing of it may stay."""

    def told(*steps: dict[str, Any], on: Workload = tiny) -> str:
        with pytest.raises(BuildError) as caught:
            build(recipe("arm", *steps), on, store, silent)
        assert caught.value.step == steps[-1]["name"]
        assert len(store.entries()) == len(steps) - 1
        return str(caught.value)

    return told


@pytest.fixture
def own_model(tiny: Workload, store: Store) -> Callable[[str], Workload]:
    """The tiny workload with another, untrained model: a factory of ``odd_nets``."""

    def make(name: str) -> Workload:
        factory = f"odd_nets:{name}"

        def save(out: Path) -> Artifact:
            torch.manual_seed(0)
            meta = save_module(build_module(factory, {}), out, factory, {})
            return replace(tiny.source, path=str(out), meta=meta)

        source = Store(store.root.with_name("sources")).build({"factory": factory}, save)
        return replace(tiny, source=source)

    return make


@pytest.fixture
def scores(tiny: Workload) -> Callable[..., np.ndarray[Any, Any]]:
    """First output of an artifact for the test split, through the runtime that serves it."""

    def answer(artifact: Artifact, on: Workload = tiny) -> np.ndarray[Any, Any]:
        session = open_session(artifact, RuntimeSettings())
        return session.outputs(session.run(session.prepare(on.data.test.inputs)))[0]

    return answer
