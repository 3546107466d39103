"""Programs and packages that cannot be served say so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_artifacts import IMAGE, LOGITS

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.torch_runtime import TorchRuntime


@pytest.mark.parametrize(
    ("kind", "words"),
    [("pt2", "cannot be loaded as an exported program: "), ("aoti", "cannot be loaded as an AOTInductor package: ")],
)
def test_damaged_files(tmp_path: Path, kind: str, words: str) -> None:
    (tmp_path / "model.pt2").write_bytes(b"PK damaged")
    artifact = Artifact("3" * 64, kind, str(tmp_path), "model.pt2", IMAGE, LOGITS, 0)
    with pytest.raises(WorkerError, match=words) as caught:
        TorchRuntime().load(artifact, RuntimeSettings())
    assert "\n" not in str(caught.value)


def test_they_are_for_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    artifact = Artifact("3" * 64, "aoti", str(tmp_path), "model.pt2", IMAGE, LOGITS, 0)
    with pytest.raises(WorkerError, match=r"aoti artifacts are built for the CPU, but runtime\.device is cuda"):
        TorchRuntime().load(artifact, RuntimeSettings(device="cuda"))
