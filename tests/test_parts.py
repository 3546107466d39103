"""Built-in parts are there, are what their protocol asks, and say what they need."""

import importlib
import tomllib
from pathlib import Path

import pytest

from mlbench.parts import BUILTIN, Entry

PROTOCOL = {
    "model": ("format", "check", "build"),
    "dataset": ("options", "load"),
    "task": ("evaluate",),
    "step": ("name", "version", "params", "accepts", "produces", "libraries", "reads_data", "resolve", "apply"),
    "runtime": ("name", "formats", "import_library", "load"),
    "probe": ("name", "provides", "available", "source", "lacks", "start", "begin", "end", "stop"),
}


@pytest.mark.parametrize("entry", BUILTIN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_built_in_parts_are_what_their_protocol_asks(entry: Entry) -> None:
    module, _, attribute = entry.target.partition(":")
    part = getattr(importlib.import_module(module), attribute)  # whether its library is here or not
    assert [name for name in PROTOCOL[entry.kind] if not hasattr(part, name)] == []
    assert getattr(part, "name", entry.name) == entry.name
    assert entry.summary
    assert entry.provider == "mlbench"


@pytest.mark.parametrize("entry", BUILTIN, ids=lambda entry: f"{entry.kind}-{entry.name}")
def test_what_a_part_requires_comes_with_the_core_or_an_extra(entry: Entry) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    if entry.extra is not None:
        assert entry.extra in project["optional-dependencies"]
    else:
        assert entry.missing() is None  # the tests run with the core installed


def test_a_missing_extra_is_named() -> None:
    core = Entry("step", "s", "m:A", requires=("surely_absent",))
    assert core.missing() == "needs surely_absent, which is not installed: pip install surely_absent"
    extra = Entry("step", "s", "m:A", requires=("json", "surely_absent"), extra="openvino")
    assert extra.missing() == "needs surely_absent, which is not installed: pip install 'mlflow-mlbench[openvino]'"
    assert Entry("step", "s", "m:A", requires=("json",)).missing() is None
