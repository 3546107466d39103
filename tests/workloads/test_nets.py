"""The built-in network: its size as documented, its shapes, and that it brings nothing heavy of mlbench along."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from mlbench.workloads.nets import digits_cnn


def test_the_size_is_as_documented() -> None:
    assert digits_cnn.__doc__ is not None
    count = sum(weight.numel() for weight in digits_cnn().parameters())
    assert f"{count:,} parameters" in digits_cnn.__doc__


@pytest.mark.parametrize("rows", [1, 5])
def test_scores_for_every_class(rows: int) -> None:
    with torch.inference_mode():
        assert digits_cnn([8, 16, 24], 12, classes=7).eval()(torch.zeros(rows, 1, 8, 8)).shape == (rows, 7)


def test_a_worker_can_import_it_cheaply() -> None:
    code = "import sys, mlbench.workloads.nets; print(sorted({'pydantic', 'sklearn', 'mlflow'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
