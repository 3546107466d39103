"""A factory is checked by reading its source; nothing of it runs."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from mlbench.workloads.factory import check_factory, source_digest, source_file

SOURCE = """
raise RuntimeError("this module must not be imported")
import numpy as np
from somewhere import imported
def net(width, depth=2, *, bias, extra=None): ...
def anything(**kwargs): ...
def no_args(): ...
@decorated
def wrapped(a): ...
class Net: ...
made = net
other: object = net
if True:
    def inside(): ...
try:
    pass
except ImportError:
    def fallback(): ...
"""


@pytest.fixture(autouse=True)
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "checked_nets.py").write_text(SOURCE)
    (tmp_path / "broken_nets.py").write_text("def net(:")
    (tmp_path / "open_nets.py").write_text("from checked_nets import *")
    (tmp_path / "lazy_nets.py").write_text("def __getattr__(name): ...")
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("factory", "args"),
    [
        ("checked_nets:net", {"width": 3, "bias": True}),
        ("checked_nets:net", {"width": 3, "bias": True, "extra": [1, {"a": None}]}),
        ("checked_nets:anything", {"x": 1}),
        ("checked_nets:wrapped", {"whatever": 1}),  # the decorator may change the signature
        ("checked_nets:Net", {"x": 1}),
        ("checked_nets:made", {"x": 1}),
        ("checked_nets:other", {}),
        ("checked_nets:inside", {}),
        ("checked_nets:fallback", {}),
        ("checked_nets:imported", {}),
        ("open_nets:net", {}),
        ("lazy_nets:net", {}),
        ("_struct:Struct", {}),  # compiled or built in: only importing it can tell
        ("mlbench.workloads.nets:digits_cnn", {"widths": [8, 8, 8], "hidden": 4}),
    ],
)
def test_fit(factory: str, args: dict[str, Any]) -> None:
    if source_file(factory) is None:
        pytest.skip("this module is built into the interpreter")
    assert check_factory(factory, args) == []


@pytest.mark.parametrize(
    ("factory", "args", "sentence"),
    [
        (None, {}, "workload.model.factory is missing"),
        ("checked_nets", {}, "workload.model.factory is 'checked_nets', but must be package.module:function"),
        ("checked nets:net", {}, "must be package.module:function"),
        (":net", {}, "must be package.module:function"),
        ("absent_nets:net", {}, "module 'absent_nets' was not found; install it, or put its directory on PYTHONPATH"),
        ("absent.nets:net", {}, "module 'absent.nets' was not found"),
        ("broken_nets:net", {}, "broken_nets.py cannot be parsed"),
        ("checked_nets:nett", {}, "module 'checked_nets' has no 'nett'; did you mean net"),
        ("checked_nets:net", {"width": 1, "bias": 1, "dept": 1}, "net takes no 'dept'; did you mean depth?"),
        ("checked_nets:no_args", {"a": 1}, "no_args takes no 'a'; known: none"),
        ("checked_nets:anything", {"x": float("nan")}, "workload.model.args must be plain values"),
        ("checked_nets:anything", {"x": {1, 2}}, "workload.model.args must be plain values"),
    ],
)
def test_each_mistake_has_its_sentence(factory: str | None, args: dict[str, Any], sentence: str) -> None:
    (found,) = check_factory(factory, args)
    assert sentence in found


def test_every_missing_argument_is_named() -> None:
    assert check_factory("checked_nets:net", {}) == [
        "workload.model.args: 'bias' is missing; net needs it",
        "workload.model.args: 'width' is missing; net needs it",
    ]


def test_nothing_was_imported() -> None:
    check_factory("checked_nets:net", {})
    assert "checked_nets" not in sys.modules


def test_the_digest_is_of_the_source(modules: Path) -> None:
    assert source_digest("checked_nets:net") == hashlib.sha256(SOURCE.encode()).hexdigest()
    assert source_digest("absent_nets:net") == ""
