"""Models written in a process of their own are what they are when they are written here."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny_study
from crashing import crash

from mlbench.errors import WorkerGoneError
from mlbench.records import Arm, Recipe, RuntimeSettings
from mlbench.tracking.forms import Content, Form, UnfitError, forms
from mlbench.tracking.models import log_model
from mlbench.tracking.saving import save_here, saving_apart

CLEAN = """
import sys
from mlbench.tracking import models, saving
print([name for name in ("torch", "onnx", "onnxruntime", "sklearn") if name in sys.modules])
"""


def content(artifacts: Any, name: str) -> Content:
    return Content(getattr(artifacts, name), RuntimeSettings(), tiny_study.EXAMPLE)


@pytest.mark.parametrize("name", ["onnx", "torch"])
def test_what_is_written_apart_is_what_is_written_here(artifacts: Any, name: str, tmp_path: Path) -> None:
    given = content(artifacts, name)
    form = forms(given.artifact, given.settings)[0]
    here = save_here(form, given, tmp_path / "here")
    with saving_apart() as save:
        apart = save(form, given, tmp_path / "apart")
    odd = {"model_uuid", "utc_time_created", "saved_input_example_info", "model_size_bytes"}
    assert {k: v for k, v in apart.to_dict().items() if k not in odd} == {
        k: v for k, v in here.to_dict().items() if k not in odd
    }
    assert apart.signature == here.signature
    mine, theirs = ({path.name for path in (tmp_path / place).rglob("*")} for place in ("here", "apart"))
    assert mine == theirs
    assert "__pycache__" not in mine


def test_an_artifact_that_does_not_fit_says_so_and_the_next_is_written(artifacts: Any, tmp_path: Path) -> None:
    given = content(artifacts, "onnx")
    form = forms(given.artifact, given.settings)[0]
    broken = replace(given, artifact=replace(given.artifact, entry="nothing.onnx"))
    with saving_apart() as save:
        with pytest.raises(UnfitError, match=r"nothing\.onnx"):
            save(form, broken, tmp_path / "broken")
        assert save(form, given, tmp_path / "whole").flavors.keys() == {"onnx", "python_function"}


def test_a_process_that_ends_over_a_model_makes_this_form_unfit(
    artifacts: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: Any) -> None:
        raise WorkerGoneError("its process was ended by signal SIGSEGV", "SIGSEGV")

    monkeypatch.setattr("mlbench.measurement.apart.Apart.ask", gone)
    given = content(artifacts, "onnx")
    with saving_apart() as save, pytest.raises(UnfitError, match="ended by signal SIGSEGV"):
        save(forms(given.artifact, given.settings)[0], given, tmp_path / "model")


def test_a_form_that_crashes_is_followed_by_the_next(
    tracker: Any, artifacts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = forms(artifacts.script, RuntimeSettings())[-1]
    monkeypatch.setattr("mlbench.tracking.models.forms", lambda *_: (Form("crashing", crash, ()), full))
    run_id = tracker.client.create_run(tracker.experiment_id).info.run_id
    arm = Arm("arm", "variant", Recipe("arm"), artifacts.onnx, RuntimeSettings())
    with saving_apart() as save:
        record = log_model(tracker, run_id, arm, "tiny-arm", {}, tiny_study.EXAMPLE, save)
    assert record.form == "mlbench"
    assert record.reason == "not as crashing: its process was ended by signal SIGSEGV"


def test_what_delivers_models_loads_nothing_that_serves_them() -> None:
    done = subprocess.run([sys.executable, "-c", CLEAN], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
