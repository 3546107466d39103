"""The recipes that come with mlbench, on the workload that comes with it: they build, serve, and agree."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml
from pydantic import TypeAdapter

from mlbench.config import RecipeConfig
from mlbench.recipes import recipe
from mlbench.records import Artifact, Recipe
from mlbench.variants.build import build, check
from mlbench.variants.store import Store
from mlbench.workloads import Workload

pytestmark = [pytest.mark.repeats, pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")]

FILES = sorted((Path(__file__).resolve().parents[2] / "conf" / "variants").glob("*.yaml"))
# these take long; test_compile_torch.py, test_quantize_torchao.py and test_prune_iterative.py have their steps
SLOW = ("pruned_iterative", "torch_compiled", "torch_tuned", "torch_aot", "torchao_int8", "torch_pt2e_int8")
OTHERS = {
    "sklearn_onnx": "sklearn",
    "as_pyfunc": "onnx",
}  # recipes for another kind of model, which have tests of their own
EXTRA = ("executorch_fp32", "executorch_int8")  # test_export_executorch.py has their step
NAMES = [path.stem for path in FILES if path.stem not in (*SLOW, *EXTRA) and path.stem not in OTHERS]
FLIPS = 0.02  # share of the 719 test images whose class may change


def shipped(name: str) -> Recipe:
    (text,) = (path.read_text(encoding="utf-8") for path in FILES if path.stem == name)
    ((key, config),) = yaml.safe_load(text).items()
    return recipe(key, TypeAdapter(RecipeConfig).validate_python(config), 1)


def artifact(name: str, digits: Workload, store: Store) -> Artifact:
    wanted = shipped(name)
    return build(wanted, digits, store, lambda text: None)


def accuracy(scores: np.ndarray, digits: Workload) -> float:
    return float((scores.argmax(1) == digits.data.test.labels).mean())


def test_the_default_model_is_good_enough(digits: Workload, scores: Callable[..., np.ndarray]) -> None:
    assert accuracy(scores(digits.source, digits), digits) >= 0.98


@pytest.mark.parametrize("name", [path.stem for path in FILES])
def test_each_recipe_is_right(name: str) -> None:
    problems = check(shipped(name), OTHERS.get(name, "torch_module"))
    if name in EXTRA and problems:  # what it needs does not come with the tests
        assert all("pip install 'mlflow-mlbench[executorch]'" in problem for problem in problems)
    else:
        assert problems == []


@pytest.mark.parametrize("name", NAMES)
def test_each_recipe_keeps_the_answers(
    digits: Workload, shared_store: Store, scores: Callable[..., np.ndarray], name: str
) -> None:
    made = artifact(name, digits, shared_store)
    base, found = scores(digits.source, digits), scores(made, digits)
    assert accuracy(found, digits) >= 0.97
    assert (base.argmax(1) != found.argmax(1)).mean() <= (2 * FLIPS if "pruned" in name else FLIPS)
    assert all(step.changed for step in made.steps)
    assert [step.fingerprint for step in made.steps][-1] == made.digest


def test_int8_is_smaller_and_pruned_int8_is_smallest(digits: Workload, shared_store: Store) -> None:
    sizes = {name: artifact(name, digits, shared_store).size_bytes for name in NAMES}
    assert sizes["onnx_int8_static"] < sizes["onnx_fp32"] / 3
    assert sizes["torch_int8"] < digits.source.size_bytes / 3
    assert min(sizes, key=sizes.__getitem__) == "pruned_onnx_int8"


def test_recipes_share_what_they_share(digits: Workload, shared_store: Store) -> None:
    static, dynamic, plain = (
        artifact(name, digits, shared_store) for name in ("onnx_int8_static", "onnx_int8_dynamic", "onnx_fp32")
    )
    assert static.steps[0] == dynamic.steps[0] == plain.steps[0]
    pruned, both = (artifact(name, digits, shared_store) for name in ("pruned", "pruned_onnx_int8"))
    assert both.steps[:2] == pruned.steps
