"""Profiles: a bounded number of calls, operators summed up by type, and real ones that hold the graph's operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlbench.errors import WorkerError
from mlbench.records import Artifact, Profile, RuntimeSettings
from mlbench.runtimes.onnx_runtime import OnnxRuntime, _last
from mlbench.runtimes.profiling import DISCARDED, MOST_CALLS, Ran, profile_of, timed, warmed
from mlbench.runtimes.torch_runtime import TorchRuntime

Batch = dict[str, np.ndarray[Any, Any]]


class Slow:
    """A call of so many seconds, on a clock of its own."""

    def __init__(self, seconds: float) -> None:
        self.seconds, self.time, self.calls = seconds, 0.0, 0

    def __call__(self) -> None:
        self.time += self.seconds
        self.calls += 1

    def now(self) -> float:
        return self.time


@pytest.mark.parametrize(("seconds", "calls"), [(0.0, MOST_CALLS), (0.001, MOST_CALLS), (0.5, 4), (30.0, 1)])
def test_a_handful_of_calls_and_no_more_than_there_is_time_for(seconds: float, calls: int) -> None:
    call = Slow(seconds)
    assert warmed(call, call.now) == calls
    assert call.calls == DISCARDED


def test_the_time_of_a_call() -> None:
    call = Slow(0.25)
    assert timed(call, call.now) == pytest.approx(250.0)


def test_medians_over_calls_and_sums_of_the_same_operator_on_the_same_place() -> None:
    quiet = [Ran("Add", 1, 1.0, "a"), Ran("Conv", 2, 6.0, "a"), Ran("Add", 1, 3.0, "a")]
    disturbed = [Ran("Add", 2, 90.0, "a"), Ran("Conv", 2, 300.0, "a"), Ran("Add", 1, 0.5, "b")]
    found = profile_of("a profiler", 8, [9.0, 400.0, 11.0], [quiet, disturbed, quiet])
    assert (found.source, found.batch_size, found.calls, found.call_ms) == ("a profiler", 8, 3, 11.0)
    assert [(item.operator, item.calls, item.ms, item.where) for item in found.operators] == [
        ("Conv", 2.0, 6.0, "a"),
        ("Add", 2.0, 4.0, "a"),
        ("Add", pytest.approx(1 / 3), 0.0, "b"),
    ]
    assert found.total_ms == pytest.approx(10.0)


def test_of_a_session_only_the_last_calls_count_and_control_flow_not_twice() -> None:
    def node(ts: int, operator: str, name: str = "n_kernel_time") -> dict[str, Any]:
        return {"cat": "Node", "name": name, "ts": ts, "dur": 2000, "args": {"op_name": operator, "provider": "P"}}

    def run(ts: int) -> dict[str, Any]:
        return {"cat": "Session", "name": "model_run", "ts": ts, "dur": 5}

    events = [
        {"cat": "Session", "name": "session_initialization", "ts": 0, "dur": 9},
        node(11, "Conv"), run(10), node(21, "Conv"), node(22, "Loop"), node(23, "Add"), run(20), node(31, "Add"),
        run(30), node(24, "Conv", "n_fence_before"),
    ]  # fmt: skip
    assert _last(events, 2) == [[Ran("Conv", 1, 2.0, "P"), Ran("Add", 1, 2.0, "P")], [Ran("Add", 1, 2.0, "P")]]


def operators(profile: Profile) -> dict[str, float]:
    assert profile.calls >= 1
    assert profile.total_ms > 0
    assert profile.call_ms > 0
    return {item.operator: item.calls for item in profile.operators}


def both(batch: Batch) -> list[Batch]:
    return [{"image": batch["image"][:1]}, batch]


def test_onnx_runtime_tells_operators_and_their_provider(tmp_path: Path, batch: Batch) -> None:
    """Wide enough that every node takes a microsecond, which is what its profiler counts in."""
    weights = [np.ones((64, 2000), np.float32), np.ones((2000, 2000), np.float32)]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["image"], ["flat"]),
            helper.make_node("MatMul", ["flat", "a"], ["hidden"]),
            helper.make_node("Sigmoid", ["hidden"], ["bent"]),
            helper.make_node("MatMul", ["bent", "b"], ["logits"]),
        ],
        "two",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", 1, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2000])],
        [numpy_helper.from_array(array, name) for name, array in zip("ab", weights, strict=True)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    onnx.save(model, tmp_path / "model.onnx")
    artifact = Artifact("2" * 64, "onnx", str(tmp_path), "model.onnx", (), (), 0)
    one, five = OnnxRuntime().profile(artifact, RuntimeSettings(), both(batch))
    assert (one.batch_size, five.batch_size) == (1, 5)
    for profile in (one, five):
        found = operators(profile)
        assert (found["MatMul"], found["Sigmoid"]) == (2.0, 1.0)
        assert {item.where for item in profile.operators} == {"CPUExecutionProvider"}
        assert profile.operators[0].operator == "MatMul"
    assert not list(Path.cwd().glob("onnxruntime_profile*"))


def test_torch_tells_operators(module_artifact: Artifact, batch: Batch) -> None:
    one, five = TorchRuntime().profile(module_artifact, RuntimeSettings(), both(batch))
    assert (one.batch_size, five.batch_size) == (1, 5)
    for profile in (one, five):
        assert operators(profile)["aten::addmm"] == 2.0  # the two linear layers


def test_torch_on_another_device_says_so(module_artifact: Artifact, batch: Batch) -> None:
    with pytest.raises(WorkerError, match="on the CPU only, and these run on cuda"):
        TorchRuntime().profile(module_artifact, RuntimeSettings(device="cuda"), [batch])
