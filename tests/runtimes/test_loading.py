"""Which runtime serves what, and the session of an artifact that is slower on purpose."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mlbench.errors import WorkerError
from mlbench.records import Artifact, RuntimeSettings
from mlbench.runtimes.loading import DelayedSession, check_available, check_runtime, open_session, runtime_for

AUTO = RuntimeSettings()


@pytest.mark.parametrize(
    ("artifact_format", "name"), [("torch_module", "torch"), ("torchscript", "torch"), ("onnx", "onnxruntime")]
)
def test_the_format_chooses_the_runtime(artifact_format: str, name: str) -> None:
    assert runtime_for(artifact_format, AUTO).name == name
    assert runtime_for(artifact_format, RuntimeSettings(name)).name == name
    assert check_runtime(artifact_format, AUTO) == []


@pytest.mark.parametrize(
    ("artifact_format", "settings", "sentence"),
    [
        ("gguf", AUTO, "no runtime here serves gguf artifacts"),
        (
            "onnx",
            RuntimeSettings("torch"),
            "'torch' does not serve onnx artifacts; it serves torch_module, torch_tuned, pt2, aoti, torchscript",
        ),
        ("onnx", RuntimeSettings("onnxruntme"), "unknown runtime 'onnxruntme'; did you mean onnxruntime?"),
    ],
)
def test_what_nobody_serves(artifact_format: str, settings: RuntimeSettings, sentence: str) -> None:
    with pytest.raises(WorkerError) as caught:
        runtime_for(artifact_format, settings)
    said, *others = str(caught.value).split("; '")  # runtimes that are not installed are named behind it
    assert said == sentence
    assert all("which is not installed: pip install" in other for other in others)
    assert check_runtime(artifact_format, settings) == [f"runtime: {caught.value}"]


def test_a_runtime_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "onnxruntime" else find_spec(name, *rest)
    )
    with pytest.raises(WorkerError) as caught:
        runtime_for("onnx", AUTO)
    said, *others = str(caught.value).split("; ")
    assert said == "no runtime here serves onnx artifacts"
    assert "'onnxruntime' needs onnxruntime, which is not installed: pip install onnxruntime" in others
    assert runtime_for("torch_module", AUTO).name == "torch"


def test_settings_are_checked_where_the_format_is_unknown() -> None:
    assert check_runtime(None, AUTO) == []
    assert check_runtime(None, RuntimeSettings("torch", options={"channels_last": True})) == []
    assert check_runtime(None, RuntimeSettings("torch", options={"x": 1})) == [
        "runtime.options: unknown option 'x'; known: channels_last, matmul_precision"
    ]


def test_a_runtime_without_options_to_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a third party may write it: the protocol does not ask for check_options."""

    class Plain:
        name = "plain"
        formats = ("onnx",)

    monkeypatch.setattr("mlbench.runtimes.loading.load", lambda kind, name: Plain)
    assert check_runtime("onnx", RuntimeSettings("plain", options={"anything": 1})) == []


def test_what_is_not_here_is_told_without_an_artifact(monkeypatch: pytest.MonkeyPatch) -> None:
    for artifact_format in ("sklearn", "pyfunc"):
        check_available(artifact_format, AUTO)
        with pytest.raises(WorkerError, match="'cuda'"):
            check_available(artifact_format, RuntimeSettings(device="cuda"))

    class Plain:
        name = "plain"
        formats = ("onnx",)

    monkeypatch.setattr("mlbench.runtimes.loading.load", lambda kind, name: Plain)
    check_available("onnx", RuntimeSettings("plain", device="cuda"))  # the protocol does not ask for it


def test_checking_imports_no_library() -> None:
    code = (
        "import sys\nfrom mlbench.records import RuntimeSettings\n"
        "from mlbench.runtimes.loading import check_available, check_runtime\n"
        "assert check_runtime('onnx', RuntimeSettings()) == check_runtime('torchscript', RuntimeSettings()) == []\n"
        "check_available('onnx', RuntimeSettings())\ncheck_available('torchscript', RuntimeSettings())\n"
        "print(sorted({'torch', 'onnxruntime', 'pydantic'} & sys.modules.keys()))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


def test_an_onnx_worker_brings_no_torch(onnx_artifact: Artifact) -> None:
    code = f"""
import sys
import numpy as np
from mlbench.records import Artifact, RuntimeSettings, TensorSpec
from mlbench.runtimes.loading import open_session
spec = (TensorSpec("image", "float32", (None, 1, 8, 8)),)
session = open_session(Artifact("0", "onnx", {onnx_artifact.path!r}, "model.onnx", spec, spec, 0), RuntimeSettings())
session.run(session.prepare({{"image": np.ones((1, 1, 8, 8), np.float32)}}))
heavy = {{"torch", "onnx", "mlflow", "hydra", "pandas", "plotly", "pyarrow", "sklearn", "scipy", "pydantic"}}
print(sorted(heavy & {{name.partition(".")[0] for name in sys.modules}}))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


class Ticking:
    """A clock that moves by itself with each reading, and by the length of each call."""

    def __init__(self, tick: int) -> None:
        self.now = 0
        self.tick = tick

    def __call__(self) -> int:
        self.now += self.tick
        return self.now


class Calls:
    """A session whose calls last as long as the test says."""

    def __init__(self, clock: Ticking, lengths: Iterator[int]) -> None:
        self.clock = clock
        self.lengths = lengths

    def prepare(self, batch: Any) -> Any:
        return batch

    def run(self, prepared: Any) -> Any:
        self.clock.now += next(self.lengths)
        return prepared

    def outputs(self, result: Any) -> tuple[Any, ...]:
        return (result,)

    def effective(self) -> dict[str, Any]:
        return {"runtime": "fake"}


@pytest.mark.parametrize(("percent", "length"), [(10, 100_000), (50, 3_000), (200, 1_000)])
def test_each_call_takes_its_share_longer(percent: float, length: int) -> None:
    clock = Ticking(1)
    session = DelayedSession(Calls(clock, iter([length, 2 * length])), percent, clock)
    for expected in (length, 2 * length):
        start = clock.now
        assert session.run("answer") == "answer"
        assert clock.now - start == pytest.approx(expected * (1 + percent / 100), abs=5)


def test_the_wrapper_hides_nothing_else() -> None:
    session = DelayedSession(Calls(Ticking(1), iter([])), 10.0, Ticking(1))
    assert session.prepare("x") == "x"
    assert session.outputs("y") == ("y",)
    assert session.effective() == {"runtime": "fake", "delay_percent": 10.0}
    assert not hasattr(session, "compile")
    compiling = Calls(Ticking(1), iter([]))
    compiling.compile = print
    assert DelayedSession(compiling, 10.0, Ticking(1)).compile is print
    assert not hasattr(session, "placement")
    compiling.placement = print
    assert DelayedSession(compiling, 10.0, Ticking(1)).placement is print


def test_an_artifact_says_by_itself_that_it_is_delayed(
    onnx_artifact: Artifact, batch: dict[str, np.ndarray[Any, Any]]
) -> None:
    plain = open_session(onnx_artifact, AUTO)
    delayed = open_session(replace(onnx_artifact, meta={**onnx_artifact.meta, "delay_percent": 25.0}), AUTO)
    assert "delay_percent" not in plain.effective()
    assert delayed.effective() == {**plain.effective(), "delay_percent": 25.0}
    expected, found = (session.outputs(session.run(session.prepare(batch)))[0] for session in (plain, delayed))
    np.testing.assert_array_equal(found, expected)
