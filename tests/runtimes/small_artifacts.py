"""What tests of runtimes share: a small network, and artifacts made of modules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from mlbench.records import Artifact, TensorSpec
from mlbench.runtimes.torch_module import WEIGHTS, save_module

IMAGE = (TensorSpec("image", "float32", (None, 1, 8, 8)),)
LOGITS = (TensorSpec("logits", "float32", (None, 10)),)
DIGITS = "mlbench.workloads.nets:digits_cnn"
ARGS = {"widths": [8, 8, 8], "hidden": 16}


def artifact_of(
    module: nn.Module, out: Path, factory: str, args: dict[str, Any], inputs: tuple[TensorSpec, ...] = IMAGE
) -> Artifact:
    out.mkdir(parents=True, exist_ok=True)
    meta = save_module(module, out, factory, args)
    return Artifact("0" * 64, "torch_module", str(out), WEIGHTS, inputs, LOGITS, 0, meta=meta)
