"""ONNX models whose weights lie beside the graph go through every step, as models beyond 2 GiB do."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import answers
from mlbench.variants.store import MANIFEST, Store
from mlbench.variants.weights import counted
from mlbench.workloads import Workload
from mlbench.workloads.onnx_data import digest, is_split, save

EXPORT = {"name": "export_onnx"}


@pytest.fixture
def split(built: Callable[..., Artifact], shared_store: Store) -> Artifact:
    """The tiny model as ONNX, as if it were too large for one file."""
    whole = built(EXPORT)

    def make(out: Path) -> Artifact:
        save(onnx.load(Path(whole.path) / whole.entry), out / whole.entry, split=True)
        return whole

    return shared_store.build({"made": "of the tiny model, in two files"}, make)


def first_output(artifact: Artifact, on: Workload) -> np.ndarray[Any, Any]:
    return answers(artifact, RuntimeSettings(), on.data.validation.inputs)


def test_the_weights_lie_beside_the_graph(split: Artifact, tiny: Workload) -> None:
    folder = Path(split.path)
    assert {path.name for path in folder.iterdir()} >= {"model.onnx", "model.onnx.data"}
    assert is_split(folder / "model.onnx")
    assert (folder / "model.onnx").stat().st_size < (folder / "model.onnx.data").stat().st_size
    assert split.size_bytes == sum((folder / name).stat().st_size for name in ("model.onnx", "model.onnx.data"))
    np.testing.assert_allclose(first_output(split, tiny), first_output(tiny.source, tiny), atol=1e-4)


@pytest.mark.parametrize(
    ("step", "close"),
    [
        ({"name": "optimize_onnx"}, 1e-3),
        ({"name": "slim_onnx"}, 1e-3),
        ({"name": "convert_onnx_fp16"}, 0.1),
        ({"name": "quantize_onnx_weights"}, 1.0),
        ({"name": "quantize_onnx_dynamic"}, 2.0),
        ({"name": "quantize_onnx_static", "calibration_rows": 32}, 4.0),
    ],
    ids=lambda value: value["name"] if isinstance(value, dict) else "",
)
def test_every_step_reads_and_writes_them(
    split: Artifact,
    built: Callable[..., Artifact],
    tiny: Workload,
    shared_store: Store,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: Any,
    close: float,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx.data").write_text("the user's own")
    artifact = built(step, on=replace(tiny, source=split))
    folder = Path(artifact.path)
    assert is_split(folder / "model.onnx")
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model.onnx.data", MANIFEST}
    assert np.abs(first_output(artifact, tiny) - first_output(split, tiny)).max() < close
    assert shared_store.find(split.digest) == split  # nothing was left in the source's directory
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("model.onnx.data", "the user's own")]


def test_weights_are_counted(split: Artifact, built: Callable[..., Artifact]) -> None:
    whole = counted(built(EXPORT))
    assert (counted(split).parameters, counted(split).nonzero) == (whole.parameters, whole.nonzero)


def test_the_digest_covers_the_weights(split: Artifact, tmp_path: Path) -> None:
    model = onnx.load(Path(split.path) / "model.onnx")
    save(model, tmp_path / "model.onnx", split=True)
    before = digest(tmp_path / "model.onnx")
    content = bytearray((tmp_path / "model.onnx.data").read_bytes())
    content[7] ^= 1
    (tmp_path / "model.onnx.data").write_bytes(content)
    assert digest(tmp_path / "model.onnx") != before
