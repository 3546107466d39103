"""Wrong input, each kind with its own words: exit code 2, nothing started, nothing left behind."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mlbench import cli, tree

ONE_CLASS = "workload.data={{source: csv, test_fraction: 0.4, options: {{path: {folder}/one.csv, labels: label}}}}"

CASES: dict[str, tuple[Sequence[str], Sequence[str]]] = {
    "unknown workload": (["workload=digit"], ["unknown workload 'digit'", "digits"]),
    "unknown variant": (["variants=[onnx_fp33]"], ["unknown variant 'onnx_fp33'", "onnx_fp32"]),
    "unknown key": (["protocol.trails=8"], ["protocol.trails", "protocol.trials"]),
    "missing extra": (["variants=[executorch_fp32]"], ["pip install 'mlflow-mlbench[executorch]'"]),
    "batch size 0": (["scenario.batch_sizes=[0]"], ["scenario.batch_sizes", "0"]),
    "batch size abc": (["scenario.batch_sizes=[abc]"], ["scenario.batch_sizes", "'abc'"]),
    "no YAML": (["workload=broken", "--config-dir", "{folder}"], ["broken.yaml, line 2", "this is not valid YAML"]),
    "one class": ([ONE_CLASS], ["all 40 rows have the same class"]),
    "fewer rows than asked": (["workload.data.rows=5000"], ["workload.data.rows", "1797"]),
    "name for the registry": (["registry.model_name=a/b"], ["registry.model_name", "'a/b'"]),
    "no such directory": (["--config-dir", "nowhere"], ["configuration directory 'nowhere'", "does not exist"]),
    "no server": (["--tracking-uri", "http://127.0.0.1:9"], ["http://127.0.0.1:9", "connection refused"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_input(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    work, cache, folder = tmp_path / "work", tmp_path / "cache", tmp_path / "given"
    for path in (work, folder / "workload"):
        path.mkdir(parents=True)
    (folder / "workload" / "broken.yaml").write_text("name: broken\n\tmodel: x\n")
    (folder / "one.csv").write_text("a,b,label\n" + "1.0,2.0,same\n" * 40)
    monkeypatch.chdir(work)
    monkeypatch.setenv("MLBENCH_CACHE_DIR", str(cache))
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_RUN_ID", tree.PATH_VARIABLE, cli.DEBUG_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    real = importlib.util.find_spec

    def find_spec(name: str, *more: Any) -> Any:
        return None if name == "executorch" else real(name, *more)

    monkeypatch.setattr(importlib.util, "find_spec", find_spec)
    given, words = CASES[case]
    assert cli.main(["run", *(text.format(folder=folder) if "{folder}" in text else text for text in given)]) == 2
    said = capfd.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    for word in words:
        assert word in " ".join(said.err.replace("1,797", "1797").split()), said.err
    assert list(work.iterdir()) == []
    assert not cache.exists()
