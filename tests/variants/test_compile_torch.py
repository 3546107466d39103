"""Compiled torch: it answers alike, and whatever cannot be compiled is an error, never an eager call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Recipe, RuntimeSettings, StepSpec
from mlbench.runtimes.loading import open_session
from mlbench.variants.build import build, check
from mlbench.variants.store import Store
from mlbench.workloads import Workload

COMPILE = {"name": "compile"}
EXPORT = {"name": "export_torch"}
AOT = {"name": "aot_inductor"}


def answer(session: Any, workload: Workload, rows: int) -> np.ndarray[Any, Any]:
    batch = {name: array[:rows] for name, array in workload.data.test.inputs.items()}
    result: np.ndarray[Any, Any] = session.outputs(session.run(session.prepare(batch)))[0]
    return result


def plain(workload: Workload, rows: int) -> np.ndarray[Any, Any]:
    return answer(open_session(workload.source, RuntimeSettings()), workload, rows)


@pytest.fixture(scope="module")
def narrow(tiny: Workload, tmp_path_factory: pytest.TempPathFactory) -> Workload:
    """Two linear layers: compiling takes seconds for every kernel."""
    import torch

    from mlbench.runtimes.torch_module import build_module, save_module

    def save(out: Any) -> Artifact:
        torch.manual_seed(0)
        meta = save_module(build_module("odd_nets:narrow", {}), out, "odd_nets:narrow", {})
        return replace(tiny.source, path=str(out), meta=meta)

    return replace(tiny, source=Store(tmp_path_factory.mktemp("narrow")).build({"factory": "narrow"}, save))


def test_a_module_is_compiled_in_the_worker(narrow: Workload, built: Callable[..., Artifact]) -> None:
    artifact = built({**COMPILE, "freezing": True}, on=narrow)
    changed = artifact.steps[0].changed
    assert artifact.format == "torch_tuned"
    assert changed["graphs"] >= 1
    assert changed["checked_batch_sizes"] == [1, 2, 7, 32]
    assert changed["compile_s"] > 0
    assert 0 <= changed["max_abs_diff"] < 1e-3
    session = open_session(artifact, RuntimeSettings())
    session.compile(session.prepare({"image": narrow.data.test.inputs["image"][:1]}))
    np.testing.assert_allclose(answer(session, narrow, 5), plain(narrow, 5), atol=1e-4)
    found = session.effective()
    assert (found["compiled"], found["freezing"], found["precision"]) == ("inductor", True, "float32")
    assert found["compiled_graphs"] >= 1
    assert found["packed_layers"] >= 2 <= changed["packed_layers"]  # frozen, and not only said to be


def test_a_program_is_compiled_ahead_of_time(
    narrow: Workload, built: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    artifact = built(EXPORT, AOT, on=narrow)
    capability = torch.backends.cpu.get_cpu_capability()
    assert artifact.format == "aoti"
    assert artifact.meta == {"precision": "float32", "cpu_capability": capability}
    assert artifact.steps[1].params["cpu"] == capability
    changed = artifact.steps[1].changed
    assert changed["checked_batch_sizes"] == [1, 2, 7, 32]
    assert changed["compile_s"] > 0
    assert 0 <= changed["max_abs_diff"] < 1e-3
    session = open_session(artifact, RuntimeSettings())
    np.testing.assert_allclose(answer(session, narrow, 5), plain(narrow, 5), atol=1e-4)
    assert session.effective()["compiled"] == "aot_inductor"
    assert session.effective()["precision"] == "float32"
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "NO AVX")
    with pytest.raises(WorkerError, match=f"compiled for a CPU with {capability}, but this one has NO AVX"):
        open_session(artifact, RuntimeSettings())


def test_compiling_is_timed_by_itself(tiny: Workload, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Comparing compiles for other shapes and asks the source too; none of that is the compile time."""
    from mlbench.variants import compile_torch

    clock, sizes = iter([100.0, 107.5]), []

    @contextmanager
    def served(*_rest: Any) -> Iterator[Any]:
        def answer(inputs: Any) -> Any:
            sizes.append(len(inputs["image"]))
            return (np.zeros((len(inputs["image"]), 10)),)

        yield answer

    monkeypatch.setattr(compile_torch, "served", served)
    monkeypatch.setattr(compile_torch, "time", SimpleNamespace(perf_counter=lambda: sizes.append(0) or next(clock)))
    artifact = build(Recipe("arm", (StepSpec("compile"),)), tiny, store, lambda text: None)
    assert artifact.steps[0].changed["compile_s"] == 7.5
    assert sizes[:3] == [0, 1, 0]  # the clock, one call of one item, the clock
    assert sizes[3:] == [1, 1, 2, 2, 7, 7, 32, 32]


def test_a_program_is_one_graph_for_any_batch(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    artifact = built(EXPORT)
    assert artifact.format == "pt2"
    assert artifact.steps[0].changed["nodes"] > 10
    np.testing.assert_allclose(scores(artifact), scores(tiny.source), atol=1e-4)
    found = open_session(artifact, RuntimeSettings()).effective()
    assert (found["format"], found["precision"]) == ("pt2", "float32")


def test_a_program_keeps_the_precision_of_its_module(built: Callable[..., Artifact], tiny: Workload) -> None:
    artifact = built({"name": "precision", "weights": "bfloat16"}, EXPORT)
    session = open_session(artifact, RuntimeSettings())
    assert session.effective()["precision"] == "bfloat16"
    assert answer(session, tiny, 3).dtype == np.float32


@pytest.mark.parametrize(
    ("step", "model", "words"),
    [
        (COMPILE, "branching", "data-dependent"),
        (EXPORT, "branching", "data-dependent"),
        (EXPORT, "noisy", "the exported model's outputs differ from the source's by up to"),
    ],
    ids=["compile", "export", "differs"],
)
def test_what_cannot_be_compiled_is_an_error(
    failure: Callable[..., str], own_model: Callable[[str], Workload], step: dict[str, Any], model: str, words: str
) -> None:
    assert words in failure(step, on=own_model(model)).lower().replace("data dependent", "data-dependent")


@pytest.mark.parametrize("steps", [(COMPILE,), (EXPORT, AOT)], ids=["compile", "aot"])
def test_without_a_compiler_it_says_so(
    failure: Callable[..., str], monkeypatch: pytest.MonkeyPatch, steps: tuple[dict[str, Any], ...]
) -> None:
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    said = failure(*steps)
    assert f"step '{steps[-1]['name']}': torch.compile needs a C++ compiler, and none works here (" in said
    assert said.endswith("; install g++, or name one in CXX")


def test_another_cpu_cannot_be_compiled_for(failure: Callable[..., str]) -> None:
    assert "cpu is AVX1024, but only this CPU's" in failure(EXPORT, {**AOT, "cpu": "AVX1024"})


def test_compiling_comes_last(tiny: Workload, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def recipe(*names: str) -> Recipe:
        return Recipe("arm", tuple(StepSpec(name) for name in names))

    assert check(recipe("compile", "fine_tune"), "torch_module") == [
        (
            "variant 'arm': step 2 'fine_tune' needs a torch_module artifact, but gets torch_tuned: "
            "it must come earlier in the recipe"
        )
    ]
    from mlbench.errors import BuildError
    from mlbench.variants import compile_torch

    @contextmanager
    def served(*_rest: Any) -> Iterator[Any]:
        yield lambda inputs: (np.zeros((len(inputs["image"]), 10)),)

    monkeypatch.setattr(compile_torch, "served", served)
    with pytest.raises(BuildError, match="a module that is compiled when it is loaded cannot be exported"):
        build(recipe("compile", "export_torch"), tiny, Store(tmp_path), lambda text: None)
