"""A sweep over input lengths through the real program: sequences of tokens, in PyTorch and in ONNX Runtime."""

from pathlib import Path

import numpy as np
import pytest
from desk import Desk

from mlbench.tracking import load_measurement, load_study

pytestmark = pytest.mark.e2e

NET = """
import torch


class Tokens(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.embedding = torch.nn.Embedding(50, 16)
        self.head = torch.nn.Linear(16, 3)

    def forward(self, tokens):
        return self.head(self.embedding(tokens).mean(dim=1))


def net():
    return Tokens()
"""
WORKLOAD = """
name: tokens
model: {source: torch_factory, factory: "token_net:net", train: {epochs: 1}}
data: {source: npz, options: {path: tokens.npz, sequences: [tokens]}}
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    random = np.random.default_rng(0)
    np.savez(tmp_path / "tokens.npz", tokens=random.integers(0, 50, (90, 12)), labels=np.arange(90) % 3)
    (tmp_path / "token_net.py").write_text(NET, encoding="utf-8")
    (tmp_path / "conf" / "workload").mkdir(parents=True)
    (tmp_path / "conf" / "workload" / "tokens.yaml").write_text(WORKLOAD, encoding="utf-8")
    return Desk(tmp_path)


def test_every_length_is_measured_side_by_side(desk: Desk) -> None:
    lengths = ("scenario.batch_sizes=[1]", "scenario.input_lengths=[8,32]")
    fast = ("protocol.trials=1", "protocol.rounds=2", "protocol.sweep_rounds=2", "protocol.warmup_seconds=0")
    arms = ("variants=[onnx_fp32]", "tracking.log_models=false")
    ran = desk.run("run", "name=lengths", "--config-dir", "conf", "workload=tokens", *lengths, *fast, *arms)
    assert ran.returncode == 0, ran.stderr
    loaded = load_study(desk.tracker(), "lengths")
    client, run_id = desk.tracker().client, loaded.arms["onnx_fp32"]
    assert [point.step for point in client.get_metric_history(run_id, "by_length/p50_ms")] == [8, 32]
    assert [point.step for point in client.get_metric_history(run_id, "by_length/speedup_p50")] == [8, 32]
    turns = load_measurement(desk.tracker(), loaded).turns
    assert {(turn.arm, turn.input_length) for turn in turns} == {
        (arm, length) for arm in ("baseline", "onnx_fp32") for length in (8, 32)
    }
