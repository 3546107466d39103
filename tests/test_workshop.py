"""Where arms come from: a real process that prepares and builds, and what is made of its end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fakes import make_arm

from mlbench.compose import compose
from mlbench.config import StudyConfig
from mlbench.errors import BuildError, InputError, MlbenchError, WorkerGoneError
from mlbench.recipes import recipes
from mlbench.records import Recipe, StepSpec
from mlbench.registry import load
from mlbench.workshop import Prepared, Workshop

SMALL = ("workload.data.rows=200", "workload.model.train.epochs=1", "variants=[]", "baseline.steps=[]")
EXPORT = StepSpec("export_onnx")


def config(cache: Path, *overrides: str) -> StudyConfig:
    return compose([*SMALL, f"cache_dir={cache}", *overrides]).config


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that nobody else builds in."""
    return tmp_path_factory.mktemp("cache")


def test_it_reads_prepares_and_builds_and_this_process_loads_nothing_for_it(built: Path) -> None:
    before, told = set(sys.modules), []
    study = config(built)
    with Workshop(study, told.append) as workshop:
        workshop.read()
        prepared = workshop.prepare()
        baseline = workshop.build(recipes(study)[0], "baseline")
        exported = workshop.build(Recipe("onnx", (EXPORT,)), "variant")
        assert type(workshop.task(baseline)) is load("task", "classification")
        assert workshop.incumbent(None) == ()
    assert isinstance(prepared, Prepared)
    assert (prepared.info.name, len(prepared.test)) == (study.workload.name, prepared.info.data.rows["test"])
    assert (baseline.role, baseline.artifact.format, exported.artifact.format) == ("baseline", "torch_module", "onnx")
    assert exported.artifact.parameters is not None  # weights are counted; what batch norm was is folded
    assert any("building onnx, step 1 of 1: export_onnx" in text for text in told)
    assert {"torch", "onnx"}.isdisjoint(set(sys.modules) - before)
    assert [path.name for path in (built / "artifacts").glob(".*")] == []


def test_what_fails_over_there_fails_here(built: Path) -> None:
    with (
        Workshop(config(built, "scenario.input_lengths=[4]"), lambda _: None) as workshop,
        pytest.raises(InputError, match="no input of the data is a sequence"),
    ):
        workshop.read()
    with Workshop(config(built), lambda _: None) as workshop:
        workshop.read()
        workshop.prepare()
        with pytest.raises(InputError, match="needs an onnx artifact"):
            workshop.build(Recipe("unfit", (StepSpec("quantize_onnx_dynamic"),)), "variant")


def prepared(digest: str) -> Any:
    info = SimpleNamespace(data=SimpleNamespace(digest=digest), model_digest="model")
    return SimpleNamespace(info=info)


class Breaking:
    """A process that ends whenever it is asked for one thing, and answers everything else."""

    def __init__(self, method: str, told: Sequence[str] = ()) -> None:
        self.method, self.told, self.asked, self.begun = method, told, [], False
        self.prepared = prepared("same")

    def __call__(self, _make: Callable[..., Any], *_: Any, tell: Callable[[str], None]) -> Breaking:
        self.tell = tell
        return self

    def ask(self, method: str, *_: Any) -> Any:
        self.asked.append(method)
        self.begun = method != self.method
        if method == self.method:
            for text in self.told:
                self.tell(text)
            raise WorkerGoneError("its process was ended by signal SIGSEGV", "SIGSEGV")
        return {"notices": ("the cache was damaged",), "prepare": self.prepared}.get(method)

    def close(self, *, hurry: bool = False) -> None:
        self.begun = False


@pytest.mark.parametrize(
    ("told", "says"),
    [
        (
            ["building broken, step 2 of 2: prune", "building broken, step 2 of 2: epoch 1"],
            "step 'prune': its process was",
        ),
        ([], "its process was"),
    ],
)
def test_the_step_that_has_ended_the_process_is_named(
    told: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Breaking("build", told)
    monkeypatch.setattr("mlbench.workshop.Apart", process)
    with pytest.raises((BuildError, WorkerGoneError)) as ended:
        Workshop(config(tmp_path), lambda _: None).build(Recipe("broken", (EXPORT, StepSpec("prune"))), "variant")
    assert str(ended.value).startswith(says)


def after_a_crash(cache: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Breaking, Workshop]:
    """A workshop in which an arm has ended the process."""
    process = Breaking("build")
    monkeypatch.setattr("mlbench.workshop.Apart", process)
    workshop = Workshop(config(cache), lambda _: None)
    workshop.read()
    workshop.prepare()
    with pytest.raises(WorkerGoneError, match="SIGSEGV"):
        workshop.build(Recipe("broken"), "variant")
    return process, workshop


def test_after_an_arm_that_has_ended_the_process_the_next_has_a_new_one_that_is_prepared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, workshop = after_a_crash(tmp_path, monkeypatch)
    process.asked.clear()
    process.method = ""
    workshop.build(Recipe("next"), "variant")
    assert process.asked == ["read", "prepare", "build", "notices", "finish", "notices"]
    assert workshop.notices == ("the cache was damaged",)


@pytest.mark.parametrize("how", ["other data", "a crash"])
def test_a_workload_that_is_not_what_it_was_ends_the_study(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process, workshop = after_a_crash(tmp_path, monkeypatch)
    process.prepared, process.method = prepared("other"), "" if how == "other data" else "prepare"
    with pytest.raises(MlbenchError, match=r"is not what it was|cannot be prepared once more: its process") as ended:
        workshop.build(Recipe("next"), "variant")
    assert not isinstance(ended.value, WorkerGoneError)  # which would be the arm's failure


@pytest.mark.parametrize(
    ("method", "says"),
    [("read", "the data cannot be read: its process was"), ("prepare", "the workload cannot be prepared: its process")],
)
def test_without_data_or_model_there_is_no_study(
    method: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mlbench.workshop.Apart", Breaking(method))
    workshop = Workshop(config(tmp_path), lambda _: None)
    if method == "prepare":
        workshop.read()
    with pytest.raises(MlbenchError, match=says) as ended:
        getattr(workshop, method)()
    assert not isinstance(ended.value, WorkerGoneError)


def test_an_interruption_leaves_nothing_half_built(built: Path) -> None:
    def interrupt(text: str) -> None:
        if "export_onnx" in text:
            raise KeyboardInterrupt

    with Workshop(config(built), interrupt) as workshop:
        workshop.read()
        workshop.prepare()
        with pytest.raises(KeyboardInterrupt):
            workshop.build(Recipe("onnx", (replace(EXPORT, params={"opset": 19}),)), "variant")
    assert [path.name for path in (built / "artifacts").glob(".*")] == []


def test_a_task_that_learns_from_the_baseline_does_so_over_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = Breaking("")
    monkeypatch.setattr("mlbench.workshop.Apart", process)
    study, arm = config(tmp_path), make_arm("baseline", "baseline")
    assert type(Workshop(study, lambda _: None).task(arm)) is load("task", "classification")
    assert process.asked == []
    Workshop(replace(study, workload=replace(study.workload, task="embedding")), lambda _: None).task(arm)
    assert process.asked == ["task", "notices"]
