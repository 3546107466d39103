"""Modules as files: what is saved reads back exactly, pruned or not, without pickle, in a process that knows little."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sharing_nets
import torch
import torch_pruning
from small_artifacts import ARGS, DIGITS, artifact_of
from torch import nn

from mlbench.errors import WorkerError
from mlbench.records import Artifact
from mlbench.runtimes.torch_module import STRUCTURE, WEIGHTS, import_factory, load_module, save_module
from mlbench.workloads.nets import digits_cnn

EXAMPLE = torch.rand(3, 1, 8, 8, generator=torch.Generator().manual_seed(0))
REPO = Path(__file__).resolve().parents[2]


def pruned(module: nn.Module, keep: nn.Module) -> nn.Module:
    torch_pruning.pruner.BasePruner(
        module,
        EXAMPLE,
        importance=torch_pruning.importance.GroupMagnitudeImportance(p=2),
        pruning_ratio=0.5,
        ignored_layers=[keep],
        round_to=4,
    ).step()
    return module.eval()


def answers_the_same(module: nn.Module, artifact: Artifact) -> bool:
    with torch.inference_mode():
        return torch.equal(module(EXAMPLE), load_module(artifact)(EXAMPLE))


def refusal(module: nn.Module, tmp_path: Path, name: str, args: dict[str, Any] | None = None) -> str:
    with pytest.raises(WorkerError) as caught:
        save_module(module, tmp_path, f"sharing_nets:{name}", args or {})
    return str(caught.value)


def test_an_unchanged_module_reads_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = digits_cnn(**ARGS).eval()
    artifact = artifact_of(module, tmp_path, DIGITS, ARGS)
    assert answers_the_same(module, artifact)
    assert json.loads((tmp_path / STRUCTURE).read_text())["attributes"] == {}
    assert not load_module(artifact).training


def test_a_pruned_module_reads_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = digits_cnn([16, 16, 16], 16)
    module = pruned(module, module.classifier[-1])
    artifact = artifact_of(module, tmp_path, DIGITS, {"widths": [16, 16, 16], "hidden": 16})
    assert answers_the_same(module, artifact)
    loaded = load_module(artifact)
    assert loaded.features[0].out_channels == loaded.features[0].weight.shape[0] == 8
    assert loaded.features[1].num_features == 8
    assert loaded.classifier[1].in_features == loaded.classifier[1].weight.shape[1]


def test_a_pruned_depthwise_convolution_keeps_its_groups(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = sharing_nets.depthwise()
    module = pruned(module, module.out)
    artifact = artifact_of(module, tmp_path, "sharing_nets:depthwise", {})
    assert load_module(artifact).depthwise[0].groups == 8
    assert answers_the_same(module, artifact)


def test_shared_weights_stay_shared_and_are_kept_once(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = sharing_nets.sharing().eval()
    artifact = artifact_of(module, tmp_path, "sharing_nets:sharing", {})
    loaded = load_module(artifact)
    assert answers_the_same(module, artifact)
    assert loaded.first.weight is loaded.second.weight is loaded.again.weight
    once = sum(tensor.numel() * tensor.element_size() for tensor in [*module.parameters(), *module.buffers()])
    assert (tmp_path / WEIGHTS).stat().st_size < once + 4096


def test_shared_weights_of_another_shape(tmp_path: Path) -> None:
    """As a step may leave them: half the width everywhere, still shared, without a bias, with a buffer of its own."""
    torch.manual_seed(0)
    module = sharing_nets.sharing(8, bias=False).eval()
    module.scale.mul_(3)
    module.register_buffer("extra", torch.ones(2))
    module.stem.bias = None
    artifact = artifact_of(module, tmp_path, "sharing_nets:sharing", {"width": 16})
    loaded = load_module(artifact)
    assert answers_the_same(module, artifact)
    assert loaded.first.weight is loaded.second.weight
    assert loaded.stem.bias is None
    assert loaded.scale.tolist() == [6.0] * 16
    assert loaded.extra.tolist() == [1, 1]
    assert loaded.depthwise.groups == 8


def test_another_dtype_reads_back(tmp_path: Path) -> None:
    module = digits_cnn(**ARGS).eval().to(torch.bfloat16)
    loaded = load_module(artifact_of(module, tmp_path, DIGITS, ARGS))
    assert {weight.dtype for weight in loaded.parameters()} == {torch.bfloat16}


def test_a_recurrent_layer_keeps_working(tmp_path: Path) -> None:
    module = sharing_nets.recurrent().eval()
    loaded = load_module(artifact_of(module, tmp_path, "sharing_nets:recurrent", {}))
    example = torch.rand(2, 3, 4)
    with torch.inference_mode():
        assert torch.equal(module(example)[0], loaded(example)[0])


def test_weights_have_memory_of_their_own(tmp_path: Path) -> None:
    """Not a mapping of the file, whose pages would be read during the first timed calls."""
    artifact = artifact_of(digits_cnn(**ARGS), tmp_path, DIGITS, ARGS)
    module = load_module(artifact)
    before = [weight.clone() for weight in module.parameters()]
    (tmp_path / WEIGHTS).write_bytes(b"\0" * (tmp_path / WEIGHTS).stat().st_size)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(before, module.parameters(), strict=True))


def test_trainable_stays_trainable(module_artifact: Artifact) -> None:
    assert all(weight.requires_grad for weight in load_module(module_artifact).parameters())


def test_other_layers_cannot_be_saved(tmp_path: Path) -> None:
    module = sharing_nets.sharing()
    module.extra = nn.Linear(1, 1)
    assert "the module has other layers than its factory makes (extra)" in refusal(module, tmp_path, "sharing")
    module = sharing_nets.sharing()
    module.norm = nn.Identity()
    assert "the module has other layers than its factory makes (norm)" in refusal(module, tmp_path, "sharing")


def test_extra_state_cannot_be_saved(tmp_path: Path) -> None:
    assert "keeps extra state" in refusal(sharing_nets.stateful(), tmp_path, "stateful")


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("nowhere:net", "factory 'nowhere:net' cannot be imported: ModuleNotFoundError"),
        ("sharing_nets:nothing", "factory 'sharing_nets:nothing' cannot be imported: AttributeError"),
        ("sharing_nets:constant", "factory 'sharing_nets:constant' is not a function"),
        ("sharing_nets:failing", "factory 'sharing_nets:failing' failed: ValueError: no luck"),
        ("sharing_nets:not_a_module", "returned int, not a torch.nn.Module"),
        ("sharing_nets:other", "does not fit what factory 'sharing_nets:other' makes now"),
    ],
)
def test_a_factory_that_has_changed(module_artifact: Artifact, factory: str, sentence: str) -> None:
    with pytest.raises(WorkerError) as caught:
        load_module(replace(module_artifact, meta={"factory": factory, "args": {}}))
    assert sentence in str(caught.value)


def test_an_artifact_without_factory(module_artifact: Artifact) -> None:
    with pytest.raises(WorkerError, match="does not say which factory makes its module"):
        load_module(replace(module_artifact, meta={}))


def test_damaged_files(module_artifact: Artifact) -> None:
    folder = Path(module_artifact.path)
    structure = (folder / STRUCTURE).read_text()
    (folder / STRUCTURE).write_text(structure.replace('"schema": 1', '"schema": 9'))
    with pytest.raises(WorkerError, match="has schema 9, but this mlbench reads 1"):
        load_module(module_artifact)
    (folder / STRUCTURE).write_text("{")
    with pytest.raises(WorkerError, match=r"structure\.json cannot be read"):
        load_module(module_artifact)
    (folder / WEIGHTS).write_bytes(b"nonsense")
    with pytest.raises(WorkerError, match="cannot be read as safetensors"):
        load_module(module_artifact)
    (folder / WEIGHTS).unlink()
    with pytest.raises(WorkerError, match="cannot be read as safetensors"):
        load_module(module_artifact)


def test_what_does_not_read_back_is_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forget(module: nn.Module, *rest: Any, **more: Any) -> None:
        """Loses a tensor on reading."""

    monkeypatch.setattr("mlbench.runtimes.torch_module._assign", forget)
    with pytest.raises(WorkerError, match="does not read back as it was saved"):
        save_module(digits_cnn(**ARGS), tmp_path, DIGITS, ARGS)


def test_attributes_that_do_not_read_back_are_not_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = digits_cnn(**ARGS)
    module.features[9].kernel_size = 3
    monkeypatch.setattr("mlbench.runtimes.torch_module._from_json", lambda value: value + 1)
    with pytest.raises(WorkerError, match="attributes do not read back"):
        save_module(module, tmp_path, DIGITS, ARGS)


def test_lists_and_tuples_keep_their_kind(tmp_path: Path) -> None:
    module = digits_cnn(**ARGS)
    module.features[0].stride = (2, 2)
    module.features[0].note = ["a", (1, 2.5), None]
    module.features[0].opaque = object()  # not plain: not part of the record
    loaded = load_module(artifact_of(module, tmp_path, DIGITS, ARGS))
    assert loaded.features[0].stride == (2, 2)
    assert loaded.features[0].note == ["a", (1, 2.5), None]
    assert not hasattr(loaded.features[0], "opaque")


def test_the_factory_is_imported_by_name() -> None:
    assert import_factory(DIGITS) is digits_cnn


def test_a_fresh_process_reloads_a_pruned_net_with_torch_and_safetensors_alone(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = digits_cnn([16, 16, 16], 16)
    module = pruned(module, module.classifier[-1])
    args = {"widths": [16, 16, 16], "hidden": 16}
    artifact = artifact_of(module, tmp_path, DIGITS, args)
    with torch.inference_mode():
        expected = module(torch.ones(1, 1, 8, 8)).sum().item()
    code = f"""
import sys
from mlbench.measurement.wire import artifact_from_dict
from mlbench.records import Artifact, RuntimeSettings, TensorSpec
from mlbench.runtimes.loading import open_session, runtime_for
import numpy as np
spec = (TensorSpec("image", "float32", (None, 1, 8, 8)),)
artifact = Artifact("0" * 64, "torch_module", {artifact.path!r}, "weights.safetensors", spec, spec, 0,
                    meta={{"factory": {DIGITS!r}, "args": {args!r}}})
runtime_for(artifact.format, RuntimeSettings()).import_library()
session = open_session(artifact, RuntimeSettings())
result = session.run(session.prepare({{"image": np.ones((1, 1, 8, 8), np.float32)}}))
print(float(session.outputs(result)[0].sum()))
heavy = {{"mlflow", "hydra", "omegaconf", "pandas", "plotly", "pyarrow", "sklearn", "scipy", "onnx", "onnxruntime",
         "pydantic", "transformers", "torch_pruning"}}
print(sorted(heavy & {{name.partition(".")[0] for name in sys.modules}}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=REPO)
    assert done.returncode == 0, done.stderr
    total, heavy = done.stdout.splitlines()
    assert float(total) == pytest.approx(expected, rel=1e-4)
    assert heavy == "[]"
