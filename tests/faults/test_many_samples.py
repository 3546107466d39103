"""50 arms with a fifth of 100,000 samples each: kept, concluded, delivered and read back within bounded memory."""

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from caches import share_artifacts
from tiny import TINY

from mlbench.config import TrackingConfig
from mlbench.errors import WorkerError
from mlbench.measurement.memory import memory_mib
from mlbench.tracking import connect, load_study

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.e2e
def test_the_coordinator_stays_small_beside_a_million_samples() -> None:
    """The whole of it is ``benchmarks/many_samples.py`` without arguments; a million samples alone are 8 MiB."""
    less = ["--trials", "2", "--rounds", "10", "--calls", "1000"]
    command = [sys.executable, str(ROOT / "benchmarks" / "many_samples.py"), *less]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=280)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["samples"], found["kept"], found["stored"]) == (50 * 20_000,) * 3
    assert found["whole_arms"] == 50
    assert found["parts"] == 50 * 2  # they leave trial by trial
    assert found["peak"] - found["before"] < 150
    assert found["peak"] < 500


@pytest.mark.e2e
def test_a_whole_study_loads_nothing_that_builds_or_serves_models_beside_itself(tmp_path: Path) -> None:
    """PyTorch alone would be 200 MiB; its workers, and what trains, exports and logs, are other processes."""
    share_artifacts(tmp_path / "cache")
    variant = "+variants.torch_twin={steps: []}"
    command = [
        sys.executable,
        "-m",
        "mlbench",
        "run",
        "name=heavy",
        *TINY,
        variant,
        "baseline.steps=[]",
        "protocol.trials=1",
        "tracking.log_models=true",
    ]
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "MLBENCH_CACHE_DIR": str(tmp_path / "cache"),
    }
    peak, mapped = 0.0, ""
    with (
        (tmp_path / "said").open("w") as said,
        subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=said, stderr=said) as process,
    ):
        while process.poll() is None:
            with suppress(OSError, WorkerError, ProcessLookupError):  # it ends between two looks
                peak = memory_mib("VmHWM", Path(f"/proc/{process.pid}/status"))
                mapped = Path(f"/proc/{process.pid}/maps").read_text() or mapped
            time.sleep(0.05)
    assert process.returncode in (0, 4), (tmp_path / "said").read_text()
    assert "libarrow" in mapped  # so it was looked at
    assert [name for name in ("libtorch", "onnxruntime", "onnx_cpp2py") if name in mapped] == []
    assert 100 < peak < 450
    tracker = connect(TrackingConfig(uri=f"sqlite:///{tmp_path}/mlflow.db"), create=False)
    arms = load_study(tracker, "heavy").arms.values()
    forms = {tracker.client.get_run(run_id).data.tags["mlbench.model.form"] for run_id in arms}
    assert forms == {"pytorch", "onnx"}
