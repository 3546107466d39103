"""Only monotonic time is measured with: no module reads the wall clock, and one that jumps changes nothing."""

import ast
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_worker import FakeRuntime, FakeSession, Setup

import mlbench
from mlbench.measurement.clock import MonotonicClock
from mlbench.measurement.settling import settle
from mlbench.measurement.wire import Channel, ChannelTimeoutError
from mlbench.measurement.worker import Worker

_MEASURING = ("measurement", "probes", "runtimes")
_WALL = {"time", "time_ns", "localtime", "gmtime", "ctime", "strftime", "asctime", "CLOCK_REALTIME", "CLOCK_TAI"}


def wall_clock_uses(source: str) -> list[str]:
    """Everything in a module that reads, or could read, the wall clock."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "time":
            found += [f"time.{node.attr}"] if node.attr in _WALL else []
        if isinstance(node, ast.ImportFrom) and node.module == "time":
            found += [f"from time import {item.name}" for item in node.names if item.name in _WALL | {"*"}]
        if isinstance(node, ast.Import):
            found += [f"import {item.name}" for item in node.names if item.name == "datetime"]
            found += [f"import time as {item.asname}" for item in node.names if item.name == "time" and item.asname]
        if isinstance(node, ast.ImportFrom) and node.module == "datetime":
            found.append("from datetime import ...")
    return found


@pytest.mark.parametrize("package", _MEASURING)
def test_nothing_that_measures_reads_the_wall_clock(package: str) -> None:
    modules = sorted((Path(mlbench.__file__).parent / package).rglob("*.py"))
    assert modules
    assert {path.name: uses for path in modules if (uses := wall_clock_uses(path.read_text(encoding="utf-8")))} == {}


@pytest.mark.parametrize(
    "source",
    [
        "import time\nstart = time.time()",
        "import time\nread = time.time_ns",
        "from time import time_ns",
        "from time import *",
        "import time as t",
        "import datetime",
        "from datetime import datetime",
        "import time\ntime.clock_gettime(time.CLOCK_REALTIME)",
    ],
)
def test_the_rule_finds_what_it_is_for(source: str) -> None:
    assert wall_clock_uses(source)


@pytest.fixture
def jumping(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A wall clock that jumps by a day at every reading, back and forth."""
    readings: list[float] = []

    def jump() -> float:
        readings.append(86_400.0 * (-1) ** len(readings))
        return readings[-1]

    monkeypatch.setattr(time, "time", jump)
    monkeypatch.setattr(time, "time_ns", lambda: int(1e9 * jump()))
    return readings


def test_turns_take_as_long_as_they_take_while_the_wall_clock_jumps(tmp_path: Path, jumping: list[float]) -> None:
    setup = Setup(tmp_path)
    clock = MonotonicClock()
    session: Any = FakeSession(setup.clock, 0)
    worker = Worker(clock, lambda _format, _settings: FakeRuntime(session))
    worker.handle(setup.load_message)
    warm_up = {"command": "warm_up", "batch_size": 1, "calls": 5, "seconds": 0.0, "min_value_ns": 0}
    _, arrays = worker.handle(warm_up)
    assert (arrays["warmup_ns"] > 0).all()
    assert (arrays["warmup_ns"] < 60e9).all()
    header, arrays = worker.handle({"command": "turn", "batch_size": 1, "discard": 1, "calls": 20, "group": 1})
    timed = np.concatenate([arrays["discarded_ns"], arrays["timed_ns"]])
    assert (timed >= 0).all()
    assert timed.sum() <= header["end_ns"] - header["start_ns"] < 60e9
    assert jumping == []


def test_waiting_ends_when_it_should_while_the_wall_clock_jumps(jumping: list[float]) -> None:
    reader, writer = os.pipe()
    channel = Channel(reader, writer)
    with pytest.raises(ChannelTimeoutError):
        channel.receive(0.01)
    channel.close()
    assert not settle(lambda: False, limit_s=0.01).asleep
    assert jumping == []
