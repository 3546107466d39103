"""What an arm asks for and this machine has not: told before anything is measured, or with the first trial at most."""

from __future__ import annotations

from pathlib import Path

import pytest
from caches import share_artifacts
from here import Here
from tiny import TINY

from mlbench import cli
from mlbench.config import TrackingConfig
from mlbench.records import Study
from mlbench.tracking import connect, load_study

pytestmark = pytest.mark.e2e

CUDA = "{providers: [CUDAExecutionProvider]}"
LACKS = "this onnxruntime has no execution provider 'CUDAExecutionProvider'"


def run(folder: Path, monkeypatch: pytest.MonkeyPatch, *overrides: str) -> int:
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(folder / "cache"))
    monkeypatch.chdir(folder)
    share_artifacts(folder / "cache")
    return cli.main(["run", "name=lacking", f"tracking.uri=sqlite:///{folder}/mlflow.db", *TINY, *overrides])


def stored(folder: Path) -> Study:
    return load_study(connect(TrackingConfig(uri=f"sqlite:///{folder}/mlflow.db"), create=False), "lacking").study


def test_an_arm_that_asks_for_a_provider_that_is_not_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = f"+variants.gpu={{steps: [{{name: export_onnx}}], runtime: {{options: {CUDA}}}}}"
    assert run(tmp_path, monkeypatch, variant) == 0
    study = stored(tmp_path)
    assert study.arm("gpu").status == "failed"
    assert LACKS in study.arm("gpu").failure
    assert study.plan.arms == ("baseline", "twin")  # it was not even planned
    assert study.baseline.effective["nodes"].startswith("CPUExecutionProvider: ")


def test_a_baseline_that_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, f"baseline.runtime.options={CUDA}") == 1
    assert f"the baseline cannot be built: {LACKS}" in " ".join("".join(capsys.readouterr()).split())


def test_a_baseline_that_cannot_be_loaded_after_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when a device goes away, or its driver does not start: one trial is lost over it and no more."""
    monkeypatch.setattr("mlbench.workshop.Apart", Here)
    monkeypatch.setattr("mlbench.workshop.examine", lambda *_: None)
    assert run(tmp_path, monkeypatch, f"baseline.runtime.options={CUDA}") == 1
    study = stored(tmp_path)
    assert study.baseline.status == "failed"
    assert LACKS in study.baseline.failure
    twin = study.arm("twin")
    assert (twin.status, twin.metrics["latency/p50_ms"].n) == ("incomplete", 1)
    assert "2 of 3 trials were lost: not measured, because baseline never got through a trial" in twin.failure
    assert study.decision.outcome != "promote"
