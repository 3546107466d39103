"""A user's working directory with a store of its own, and settings for studies that are over soon."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from caches import share_artifacts
from plugins import install

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


# a step of a third party that gives a tool what it cannot read, and lets it speak for itself
MISREAD = "+variants.broken={steps: [{name: export_onnx}, {name: misread}]}"
_STEP = """
from dataclasses import dataclass
from mlbench.variants import Step

@dataclass(frozen=True, slots=True)
class Nothing:
    pass

class Misread(Step):
    name, version, params = "misread", 1, Nothing
    accepts, produces, libraries, reads_data = ("onnx",), None, (), False

    def apply(self, artifact, params, context, out):
        import onnxruntime
        onnxruntime.InferenceSession(b"no model")
"""


@dataclass
class Desk:
    """A user's working directory with a store of its own; what any test has built is in its cache already."""

    folder: Path

    @property
    def uri(self) -> str:
        return f"sqlite:///{self.folder / 'mlflow.db'}"

    def bring_misread(self) -> None:
        """Install the step ``misread`` for programs that are started in this directory."""
        install(self.folder, "misread_step", _STEP, "[mlbench.steps]\nmisread = misread_step:Misread\n")

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
