"""Structures of pickled modules: small, without values, and with the code that workers do not have."""

import importlib
import sys
import threading

import pytest
import torch
from torch import nn

from mlbench.errors import WorkerError
from mlbench.runtimes.torch_module import build_module, save_module
from mlbench.workloads.skeletons import FACTORY, rebuild, skeleton


def test_it_holds_the_structure_and_no_values() -> None:
    module = nn.Sequential(nn.Linear(300, 300), nn.BatchNorm1d(300))
    text = skeleton(module)
    assert len(text) < 20_000  # the weights alone are 360 kB
    again = build_module(FACTORY, {"pickled": text})
    assert not again.training
    assert {name: tensor.shape for name, tensor in again.state_dict().items()} == {
        name: tensor.shape for name, tensor in module.state_dict().items()
    }
    assert next(module.parameters()).device.type == "cpu"  # the user's own module is as it was


def test_shared_weights_and_the_rest_read_back(tmp_path) -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).eval()
    module[2].weight = module[0].weight
    save_module(module, tmp_path, FACTORY, {"pickled": skeleton(module)})  # proves by itself that it reads back


def test_code_that_came_with_the_model_comes_along(tmp_path, monkeypatch) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "only_here.py").write_text(
        "from torch import nn\nclass Net(nn.Module):\n    def forward(self, x):\n        return x + 1\n"
    )
    monkeypatch.syspath_prepend(str(code))
    text = skeleton(importlib.import_module("only_here").Net(), code)
    monkeypatch.delitem(sys.modules, "only_here")
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry != str(code)])
    assert rebuild(text)(torch.ones(1)).item() == 2
    assert "only_here" not in sys.modules


def test_what_cannot_be_kept() -> None:
    module = nn.Linear(2, 2)
    module.lock = threading.Lock()  # which cannot be pickled
    with pytest.raises(WorkerError, match="the structure of Linear cannot be kept"):
        skeleton(module)
    del module.lock
    module.table = list(map(str, range(1_500_000)))
    with pytest.raises(WorkerError, match="register its tensors as buffers"):
        skeleton(module)
