"""Programs and packages that cannot be served say so in one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_artifacts import IMAGE, LOGITS

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.torch_programs import Compiled, require_compiler
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


def test_nothing_is_compiled_where_others_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What lies in inductor's cache is loaded as code, and its usual place has a name that anybody can guess."""
    place = tmp_path / "inductor"
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(place))
    require_compiler()
    assert place.stat().st_mode & 0o777 == 0o700
    place.chmod(0o777)
    with pytest.raises(WorkerError, match=r"others can write: remove it, or name another .* TORCHINDUCTOR_CACHE_DIR"):
        require_compiler()
    place.rmdir()
    place.symlink_to(tmp_path)
    with pytest.raises(WorkerError, match="others can write"):
        require_compiler()
    place.unlink()
    place.write_text("in the way")
    with pytest.raises(WorkerError, match="cannot keep what it compiles"):
        require_compiler()


def test_without_a_setting_it_is_torchs_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    require_compiler()
    (place,) = tmp_path.glob("torchinductor_*")
    assert place.stat().st_mode & 0o777 == 0o700


@torch._dynamo.config.patch(recompile_limit=1)
def test_every_shape_of_every_module_is_compiled() -> None:
    """Dynamo counts modules of one class together: arms of one study, checked one after the other in one process."""
    for _ in range(2):
        module = torch.nn.Sequential(torch.nn.ReLU())
        compiled = Compiled(module, {"freezing": False, "dynamic": False})
        for rows in (1, 2):
            with torch.inference_mode():
                assert compiled(torch.full((rows, 2), -1.0)).tolist() == [[0.0, 0.0]] * rows
