"""Two busy loops beside a study of identical arms: they are called equivalent or inconclusive, and nobody is left."""

import sys
from pathlib import Path

import psutil
import pytest
from desk import SHORT

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import loaded

pytestmark = [pytest.mark.e2e, pytest.mark.quiet]

LIGHT = (
    *(given for given in SHORT if not given.startswith("variants=")),
    "scenario.batch_sizes=[1]",
    "workload.model.train.epochs=1",
)


def test_identical_arms_beside_two_busy_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    loops: list[psutil.Process] = []
    real = loaded.subprocess.Popen

    class Watched(real):  # type: ignore[misc,valid-type]
        def __init__(self, command: list[str], **options: object) -> None:
            super().__init__(command, **options)
            if loaded.LOOP in command:
                loops.append(psutil.Process(self.pid))

    monkeypatch.setattr(loaded.subprocess, "Popen", Watched)
    code = loaded.main(["--studies", "1", *LIGHT])
    said = capsys.readouterr().out
    assert code == 0, said
    assert "1 studies of two identical arms with 2 busy loops" in said
    assert "0 of 1 called different" in said
    assert len(loops) == 2
    assert not any(process.is_running() for process in loops)
