"""ExecuTorch programs: what is delegated is counted, none delegated is a failure, and the answers stay."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fake_executorch
import numpy as np
import pytest
import torch
from fake_executorch import FakeBinding, needs_executorch

from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import open_session
from mlbench.runtimes.torch_module import load_module
from mlbench.variants import export_executorch
from mlbench.variants.export_executorch import Lowered, counted
from mlbench.workloads import Workload

EXPORT = {"name": "export_executorch"}
LAYERS = {"convolution": 4, "linear": 2}
LOWERED = Lowered(b"program", {"aten.convolution": 4}, {"aten.view_copy": 1}, LAYERS, {}, 32)


@pytest.fixture
def exporter(tiny: Workload, monkeypatch: pytest.MonkeyPatch) -> Callable[..., FakeBinding]:
    """ExecuTorch, that makes what it is told to make, and answers as the module, or by so much beside it."""
    module = load_module(tiny.source)

    def make(lowered: Lowered, beside: float = 0.0) -> FakeBinding:
        found = FakeBinding(lambda image: module(image).detach() + beside, (lowered.max_batch, 1, 8, 8))
        fake_executorch.install(monkeypatch, found)
        monkeypatch.setattr(export_executorch, "lower", lambda *_: lowered)
        return found

    return make


def graph(*calls: tuple[str, str]) -> torch.fx.Graph:
    """A graph of calls: operator, and the operator that its first input comes from."""
    made = torch.fx.Graph()
    known = {"": made.placeholder("x")}
    for name, source in calls:

        def target(*_: Any) -> None:
            """Stands for an operator."""

        target.__name__ = name
        first = (known[""],) if name == "aten.addmm.default" else ()  # the bias comes before the activation
        known[name] = made.call_function(target, (*first, known[source], known[""]))
    return made


def test_operators_and_layers_are_counted() -> None:
    quantize, dequantize = (f"quantized_decomposed.{way}_per_tensor.default" for way in ("quantize", "dequantize"))
    part = graph(
        (quantize, ""),
        (dequantize, quantize),
        ("aten.convolution.default", dequantize),
        ("getitem", "aten.convolution.default"),
        ("aten.addmm.default", dequantize),
        ("aten.linear.default", ""),
    )
    rest = graph(
        ("executorch_call_delegate", ""), (dequantize, ""), ("aten.bmm.default", dequantize), ("sym_size.int", "")
    )
    delegated, others, layers, quantized = counted(rest, [part])
    assert delegated == {"aten.addmm": 1, "aten.convolution": 1, "aten.linear": 1}
    assert others == {"aten.bmm": 1, "quantized_decomposed.dequantize_per_tensor": 1}
    assert layers == {"convolution": 1, "linear": 2, "matmul": 1}
    assert quantized == {"convolution": 1, "linear": 1}  # outside XNNPACK no layer computes in int8


def test_what_was_delegated_is_evidence(
    exporter: Callable[..., FakeBinding], build_here: Callable[..., Artifact]
) -> None:
    exporter(LOWERED, beside=1e-4)
    artifact = build_here(EXPORT)
    (step,) = artifact.steps
    assert (artifact.format, artifact.entry) == ("executorch", "model.pte")
    assert (Path(artifact.path) / "model.pte").read_bytes() == b"program"
    assert artifact.meta == {"precision": "float32", "operators": "4 XNNPACK, 1 ExecuTorch"}
    assert step.changed["delegated_share"] == pytest.approx(0.8)
    assert step.changed["checked_batch_sizes"] == [1, 2, 7, 32]
    assert step.changed["max_abs_diff"] == pytest.approx(1e-4, rel=0.1)
    assert "notice" not in step.changed


def test_what_stays_in_float32_is_a_notice(
    exporter: Callable[..., FakeBinding], build_here: Callable[..., Artifact]
) -> None:
    exporter(Lowered(b"program", {"aten.linear": 2}, {"aten.bmm": 3}, LAYERS, {"linear": 2}, 32), beside=0.01)
    changed = build_here({**EXPORT, "precision": "int8_dynamic"}).steps[0].changed
    assert changed["notice"] == "these layers stay in float32: 4 convolution"
    assert not {"calibration_rows", "calibration_set"} & set(changed)
    assert changed["validation_flip_rate"] == 0
    assert changed["validation_max_abs_diff"] == pytest.approx(0.01, rel=0.01)


def test_few_delegated_are_a_notice(exporter: Callable[..., FakeBinding], build_here: Callable[..., Artifact]) -> None:
    exporter(Lowered(b"program", {"aten.linear": 2}, {"aten.bmm": 3}, LAYERS, {}, 32))
    assert build_here(EXPORT).steps[0].changed["notice"].startswith("XNNPACK has 2 of 5 operators; the others run on")


@pytest.mark.parametrize(
    ("lowered", "params", "sentence"),
    [
        (Lowered(b"", {}, {"aten.bmm": 3}, {}, {}, 32), {}, "no operator was delegated to XNNPACK; all 3 would run on"),
        (LOWERED, {"precision": "int8"}, "no layer was quantized; the graph has none that the quantizer knows"),
        (LOWERED, {"max_batch": 64}, "max_batch is 64, but ExecuTorch laid the program out for 32 items"),
    ],
    ids=["delegated", "quantized", "bound"],
)
def test_what_is_no_variant_fails(
    exporter: Callable[..., FakeBinding],
    failure: Callable[..., str],
    lowered: Lowered,
    params: dict[str, Any],
    sentence: str,
) -> None:
    exporter(lowered)
    assert failure({**EXPORT, **params}).startswith(f"step 'export_executorch': {sentence}")


def test_other_answers_fail(exporter: Callable[..., FakeBinding], failure: Callable[..., str]) -> None:
    exporter(LOWERED, beside=1.0)
    assert "outputs differ from the source's by up to 1" in failure(EXPORT)


@pytest.fixture
def build_here(tiny: Workload, store: Any) -> Callable[..., Artifact]:
    """Build into a store of this test's own: what a fake has made is not for others."""
    from mlbench.config import RecipeConfig
    from mlbench.recipes import recipe
    from mlbench.variants.build import build

    return lambda *steps: build(recipe("arm", RecipeConfig(steps=steps), 1), tiny, store, lambda text: None)


@needs_executorch
@pytest.mark.parametrize("precision", ["float32", "int8", "int8_dynamic"])
def test_real_programs_agree(
    built: Callable[..., Artifact], tiny: Workload, capfd: pytest.CaptureFixture[str], precision: str
) -> None:
    artifact = built({**EXPORT, "precision": precision, "calibration_rows": 64})
    changed = artifact.steps[0].changed
    assert changed["delegated_share"] > 0.8
    assert changed["delegated_operators"]["aten.convolution"] == 4
    assert changed["delegated_operators"]["aten.linear"] == 2
    if precision == "int8":
        assert changed["quantized_nodes"] == changed["layers"] == LAYERS
        assert changed["calibration_rows"] == 64
        assert changed["calibration_set"] == "training split, stratified by class, seed 0"
    elif precision == "int8_dynamic":
        assert changed["quantized_nodes"] == {"linear": 2}
    session, exact = (open_session(item, RuntimeSettings(threads=1)) for item in (artifact, tiny.source))
    for size in (32, 1, 7):
        batch = {"image": tiny.data.test.inputs["image"][:size]}
        (ours,), (theirs,) = (one.outputs(one.run(one.prepare(batch))) for one in (session, exact))
        assert ours.shape == theirs.shape
        if precision == "float32":
            np.testing.assert_allclose(ours, theirs, atol=1e-4)
        else:
            assert (ours.argmax(1) != theirs.argmax(1)).mean() <= 0.04
            assert 0 < np.abs(ours - theirs).mean() < 0.02 * np.abs(theirs).max()
    assert session.effective()["threads"] == 1
    assert capfd.readouterr() == ("", "")  # neither the exporter nor the runtime writes to the terminal


@needs_executorch
def test_a_real_program_is_bounded_as_asked(built: Callable[..., Artifact], tiny: Workload) -> None:
    from mlbench.errors import WorkerError

    session = open_session(built({**EXPORT, "max_batch": 8}), RuntimeSettings(threads=1))
    images = tiny.data.test.inputs["image"]
    assert len(session.outputs(session.run(session.prepare({"image": images[:8]})))[0]) == 8
    with pytest.raises(WorkerError, match="memory for 8 items in a call, not 9"):
        session.prepare({"image": images[:9]})


@needs_executorch
def test_a_real_pool_has_the_threads_that_are_asked_for(built: Callable[..., Artifact]) -> None:
    artifact = built({**EXPORT, "calibration_rows": 64})
    for threads in range(1, len(os.sched_getaffinity(0)) + 1):
        assert open_session(artifact, RuntimeSettings(threads=threads)).effective()["threads"] == threads


@needs_executorch
def test_a_real_transformer_takes_every_batch_size(
    built: Callable[..., Artifact], own_model: Callable[[str], Workload]
) -> None:
    changed = built({**EXPORT, "precision": "int8_dynamic"}, on=own_model("attentive")).steps[0].changed
    assert changed["quantized_nodes"]["linear"] >= 12
