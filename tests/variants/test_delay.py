"""The delay: the same files, another address, a stated share; it survives later steps and adds up."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlbench.records import Artifact
from mlbench.workloads import Workload

DELAY = {"name": "delay", "percent": 10}


def test_the_files_are_the_same_and_the_address_is_not(built: Callable[..., Artifact], tiny: Workload) -> None:
    artifact = built(DELAY)
    names = {path.name for path in Path(artifact.path).iterdir()}
    assert names == {path.name for path in Path(tiny.source.path).iterdir()}
    weights = (Path(artifact.path) / artifact.entry, Path(tiny.source.path) / artifact.entry)
    assert weights[0].read_bytes() == weights[1].read_bytes()
    assert artifact.digest != tiny.source.digest
    assert artifact.format == "torch_module"
    assert artifact.meta == {**tiny.source.meta, "delay_percent": 10}
    assert artifact.size_bytes == tiny.source.size_bytes
    assert artifact.steps[0].changed == {"delay_percent": 10}


def test_it_stays_through_later_steps_and_adds_up(built: Callable[..., Artifact]) -> None:
    assert built(DELAY, DELAY).meta["delay_percent"] == 20
    exported = built(DELAY, {"name": "export_onnx"})
    assert (exported.format, exported.meta["delay_percent"]) == ("onnx", 10)


def test_the_answers_are_the_same(
    built: Callable[..., Artifact], tiny: Workload, scores: Callable[..., np.ndarray]
) -> None:
    np.testing.assert_array_equal(scores(built(DELAY)), scores(tiny.source))


def test_files_are_copied_where_they_cannot_be_linked(
    built: Callable[..., Artifact], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError("not on this file system")

    monkeypatch.setattr("mlbench.variants.files.os.link", no_links)
    assert built({"name": "delay", "percent": 11}).meta["delay_percent"] == 11
