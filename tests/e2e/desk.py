"""A user's working directory with a store of its own, and settings for studies that are over soon."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from caches import share_artifacts

from mlbench.config import TrackingConfig
from mlbench.tracking import Tracker, connect

# light workers and short trials, for tests that are about something else than the figures
LIGHT = ("protocol=quick", "baseline.steps=[{name: export_onnx}]", "variants=[onnx_int8_static]")
SHORT = (
    *LIGHT,
    "protocol.rounds=2",
    "protocol.sweep_rounds=2",
    "protocol.warmup_seconds=0",
    "tracking.log_models=false",
)


@dataclass
class Desk:
    """A user's working directory with a store of its own; what any test has built is in its cache already."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def environment(self) -> dict[str, str]:
        return {**os.environ, "MLFLOW_TRACKING_URI": self.uri, "MLBENCH_CACHE_DIR": str(self.folder / "cache")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        share_artifacts(self.folder / "cache")
        return subprocess.Popen(
            [sys.executable, "-m", "mlbench", *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=280)
        return subprocess.CompletedProcess(arguments, process.returncode, out, err)

    def tracker(self) -> Tracker:
        return connect(TrackingConfig(uri=self.uri), create=False)
