"""Recipes: every mistake said before anything starts; shared beginnings built once; a tool's failure is its step's."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlbench.config import DataConfig, ModelConfig, TrainConfig, WorkloadConfig
from mlbench.errors import BuildError, InputError, WorkerError
from mlbench.records import Recipe, RuntimeSettings, StepSpec
from mlbench.variants import Built
from mlbench.variants.build import build, check
from mlbench.variants.delay import Delay
from mlbench.variants.export_onnx import ExportOnnx
from mlbench.variants.store import Store
from mlbench.workloads import Workload
from mlbench.workloads.prepare import prepare


def recipe(*steps: tuple[str, dict[str, Any]], **runtime: Any) -> Recipe:
    return Recipe("arm", tuple(StepSpec(name, params) for name, params in steps), RuntimeSettings(**runtime))


def problems(*steps: tuple[str, dict[str, Any]], **runtime: Any) -> list[str]:
    return check(recipe(*steps, **runtime), "torch_module")


EXPORT: tuple[str, dict[str, Any]] = ("export_onnx", {})


@pytest.fixture(scope="module")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """As small as can be: what the steps do to a model is not the matter here."""
    net = ModelConfig(
        factory="mlbench.workloads.nets:digits_cnn",
        args={"widths": [4, 4, 4], "hidden": 8},
        train=TrainConfig(epochs=1),
    )
    config = WorkloadConfig("digits", net, DataConfig("digits", rows=300))
    return prepare(config, Store(tmp_path_factory.mktemp("workload")), lambda text: None)


def test_sound_recipes_have_no_problems() -> None:
    assert problems() == []
    assert problems(("prune_structured", {"ratio": 0.5}), ("fine_tune", {}), EXPORT) == []
    assert problems(EXPORT, ("quantize_onnx_static", {}), ("delay", {"percent": 3}), name="onnxruntime") == []
    assert problems(("quantize_torch_int8", {}), name="torch") == []


def test_an_unknown_step() -> None:
    (said,) = problems(("export_onx", {}))
    assert said.startswith("variant 'arm': step 1: unknown step 'export_onx'; did you mean export_onnx")


def test_what_an_unknown_step_makes_is_not_held_against_the_next() -> None:
    assert len(problems(("export_onx", {}), ("quantize_onnx_static", {}))) == 1


def test_the_wrong_order_says_what_to_do() -> None:
    assert problems(("quantize_onnx_static", {})) == [
        (
            "variant 'arm': step 1 'quantize_onnx_static' needs an onnx artifact, but gets torch_module: "
            "put export_onnx before it"
        )
    ]
    assert problems(EXPORT, ("prune_structured", {"ratio": 0.5}), name="torch") == [
        (
            "variant 'arm': step 2 'prune_structured' needs a torch_module artifact, but gets onnx: "
            "it must come earlier in the recipe"
        )
    ]


@pytest.mark.parametrize(
    ("step", "params", "words"),
    [
        ("prune_structured", {"ratio": 1.5}, ("ratio", "below 1")),
        ("prune_structured", {}, ("ratio",)),
        ("prune_structured", {"ratio": 0.5, "scope": "all"}, ("scope", "local", "global")),
        ("delay", {"percent": 0}, ("percent", "above 0")),
        ("export_onnx", {"opzet": 20}, ("opzet", "opset")),
        ("quantize_torch_int8", {"calibration_rows": "many"}, ("calibration_rows", "many")),
    ],
)
def test_a_wrong_parameter_is_one_sentence_with_its_place(
    step: str, params: dict[str, Any], words: tuple[str, ...]
) -> None:
    (said,) = check(recipe((step, params)), "torch_module")
    assert said.startswith(f"variant 'arm': step 1 '{step}'")
    assert "\n" not in said
    assert all(word in said for word in words), said


def test_every_problem_is_told() -> None:
    found = problems(("nothing", {}), ("delay", {"percent": -1}), ("export_onnx", {"opset": 3}))
    assert [sentence.split(": ")[1] for sentence in found] == ["step 1", "step 2 'delay'", "step 3 'export_onnx'"]


def test_what_is_not_installed_is_named_with_its_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "torch_pruning" else find_spec(name, *rest)
    )
    assert problems(("prune_structured", {"ratio": 0.5})) == [
        (
            "variant 'arm': step 1 'prune_structured' needs torch_pruning, which is not installed: "
            "pip install torch_pruning"
        )
    ]


def test_advice_names_only_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxscript" else find_spec(name, *rest)
    )
    (said,) = problems(("quantize_onnx_dynamic", {}))
    assert said.endswith("but gets torch_module: it must come earlier in the recipe")


def test_a_runtime_that_does_not_serve_the_result() -> None:
    assert problems(EXPORT, name="torch") == [
        (
            "variant 'arm': runtime: 'torch' does not serve onnx artifacts; "
            "it serves torch_module, torch_tuned, pt2, aoti, torchscript"
        )
    ]
    assert problems(name="tensorrt")[0].startswith("variant 'arm': runtime: unknown runtime 'tensorrt'")


def test_runtime_options_are_checked_with_the_recipe() -> None:
    assert problems(EXPORT, options={"graph_levle": "all"}) == [
        "variant 'arm': runtime.options: unknown option 'graph_levle'; did you mean graph_level?"
    ]


def test_checking_imports_no_tool() -> None:
    code = (
        "import sys\nfrom mlbench.records import Recipe, StepSpec\nfrom mlbench.variants.build import check\n"
        "steps = [StepSpec('prune_structured', {'ratio': 0.5}), StepSpec('fine_tune'), StepSpec('export_onnx'),"
        " StepSpec('quantize_onnx_static')]\n"
        "assert check(Recipe('arm', tuple(steps)), 'torch_module') == []\n"
        "print(sorted({'torch', 'onnx', 'onnxruntime', 'transformers', 'torch_pruning'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_a_recipe_without_steps_is_the_workloads_own_model(workload: Workload, tmp_path: Path) -> None:
    said: list[str] = []
    assert build(recipe(), workload, Store(tmp_path), said.append) == workload.source
    assert said == []


def test_shared_beginnings_are_built_once(workload: Workload, tmp_path: Path) -> None:
    store, said = Store(tmp_path), []
    exported = build(recipe(EXPORT), workload, store, said.append)
    assert said == ["building arm, step 1 of 1: export_onnx"]
    quantized = build(recipe(EXPORT, ("quantize_onnx_dynamic", {})), workload, store, said.append)
    assert said[1:] == ["building arm, step 2 of 2: quantize_onnx_dynamic"]
    assert quantized.steps[0] == exported.steps[0]
    assert quantized.digest == quantized.steps[1].fingerprint != exported.digest
    assert build(recipe(EXPORT, ("quantize_onnx_dynamic", {})), workload, store, said.append) == quantized
    assert len(said) == 2


def test_every_ingredient_is_part_of_the_address(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def digest(percent: float = 3) -> str:
        return build(recipe(("delay", {"percent": percent})), workload, store, lambda text: None).digest

    digests = [digest(), digest(4)]
    monkeypatch.setattr(Delay, "version", 2)
    digests.append(digest())
    monkeypatch.setattr(Delay, "libraries", ("numpy",))
    digests.append(digest())
    monkeypatch.setattr(Delay, "libraries", ("no-such-distribution",))
    digests.append(digest())
    monkeypatch.setattr(Delay, "reads_data", True)
    digests.append(digest())
    assert len(set(digests)) == 6
    assert digest() == digests[-1]


def test_defaults_are_recorded_explicitly(workload: Workload, tmp_path: Path) -> None:
    record = build(recipe(EXPORT), workload, Store(tmp_path), lambda text: None).steps[0]
    assert record.params == {"exporter": "dynamo", "opset": 20, "tolerance": 1e-4}


@pytest.mark.parametrize(
    ("raised", "message"),
    [
        (ZeroDivisionError("division by zero"), "step 'export_onnx': ZeroDivisionError: division by zero"),
        (WorkerError("the factory is gone"), "step 'export_onnx': the factory is gone"),
        (BuildError("export_onnx", "the tool's words"), "step 'export_onnx': the tool's words"),
    ],
)
def test_a_tools_failure_names_the_step(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, raised: Exception, message: str
) -> None:
    def fail(self: ExportOnnx, *rest: Any) -> None:
        raise raised

    monkeypatch.setattr(ExportOnnx, "apply", fail)
    with pytest.raises(BuildError) as caught:
        build(recipe(EXPORT), workload, Store(tmp_path), lambda text: None)
    assert (caught.value.step, str(caught.value)) == ("export_onnx", message)
    assert list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize("value", [float("nan"), {"a": [1.0, float("-inf")]}], ids=["nan", "deep"])
def test_numbers_that_are_not_finite_fail_the_step(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, value: Any
) -> None:
    """As a model answers whose quantization went wrong, or a step of a plugin; the record could not be written."""

    def overflow(self: ExportOnnx, artifact: Any, params: Any, context: Any, out: Path) -> Built:
        (out / "model.onnx").touch()
        return Built("onnx", "model.onnx", {"nodes": 3, "max_abs_diff": value})

    monkeypatch.setattr(ExportOnnx, "apply", overflow)
    with pytest.raises(BuildError) as caught:
        build(recipe(EXPORT), workload, Store(tmp_path), lambda text: None)
    assert str(caught.value) == (
        "step 'export_onnx': the result answers with values that are not finite (NaN or infinity): max_abs_diff"
    )
    assert list((tmp_path / "artifacts").iterdir()) == []


@pytest.mark.parametrize(
    ("built", "words"),
    [
        (Built("onnx", "model.onnx"), "it was built without its file model.onnx"),
        (Built("onnx", "/etc/hostname"), "it was built without its file /etc/hostname"),
        (Built("onnx", "here", {"what": object()}), "PydanticSerializationError"),
    ],
    ids=["missing", "elsewhere", "unwritable"],
)
def test_what_the_store_cannot_keep_fails_the_step(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, built: Built, words: str
) -> None:
    def apply(self: ExportOnnx, artifact: Any, params: Any, context: Any, out: Path) -> Built:
        (out / "here").touch()
        return built

    monkeypatch.setattr(ExportOnnx, "apply", apply)
    with pytest.raises(BuildError, match=words):
        build(recipe(EXPORT), workload, Store(tmp_path), lambda text: None)
    assert list((tmp_path / "artifacts").iterdir()) == []


def test_an_interruption_is_not_a_build_error(
    workload: Workload, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(self: ExportOnnx, *rest: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ExportOnnx, "apply", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build(recipe(EXPORT), workload, Store(tmp_path), lambda text: None)


def test_a_recipe_with_problems_is_not_built(workload: Workload, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="put export_onnx before it"):
        build(recipe(("quantize_onnx_dynamic", {})), workload, Store(tmp_path), lambda text: None)
    assert list(tmp_path.iterdir()) == []
