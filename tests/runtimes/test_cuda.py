"""What CUDA is asked and in which order, through a stand-in for ``torch.cuda`` that logs every call."""

from __future__ import annotations

from typing import Any

import pytest

from mlbench.runtimes.cuda import CudaDevice


class FakeCuda:
    """A device that works for 5 ms per call, after the call has returned."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.device_ms = 0.0
        self.allocated = 3 << 20

    def synchronize(self) -> None:
        self.log.append("synchronize")

    def reset_peak_memory_stats(self) -> None:
        self.log.append("reset peak")

    def max_memory_allocated(self) -> int:
        return self.allocated

    def Event(self, enable_timing: bool) -> FakeEvent:  # noqa: N802 - torch's own name
        assert enable_timing, "an event without timing has no elapsed time"
        return FakeEvent(self)

    def call(self, prepared: Any) -> None:
        self.log.append(f"call {prepared}")
        self.device_ms += 5.0


class FakeEvent:
    def __init__(self, cuda: FakeCuda) -> None:
        self.cuda = cuda
        self.at: float | None = None

    def record(self) -> None:
        self.cuda.log.append("record")
        self.at = self.cuda.device_ms

    def synchronize(self) -> None:
        self.cuda.log.append("wait for event")

    def elapsed_time(self, later: FakeEvent) -> float:
        assert "wait for event" in self.cuda.log, "an event that was not reached has no time"
        assert self.at is not None
        assert later.at is not None
        return later.at - self.at


@pytest.fixture
def cuda() -> FakeCuda:
    return FakeCuda()


def test_a_call_is_timed_between_two_events_on_an_idle_device(cuda: FakeCuda) -> None:
    assert CudaDevice(cuda, cuda.call).call_ms("batch") == 5.0
    assert cuda.log == ["synchronize", "record", "call batch", "record", "wait for event"]


def test_the_peak_starts_anew_when_nothing_is_under_way(cuda: FakeCuda) -> None:
    device = CudaDevice(cuda, cuda.call)
    device.reset_peak()
    assert cuda.log == ["synchronize", "reset peak"]
    assert device.peak_mib() == 3.0
    device.synchronize()
    assert cuda.log[-1] == "synchronize"


def test_every_function_that_is_asked_exists_in_torch() -> None:
    import torch

    for name in ("synchronize", "reset_peak_memory_stats", "max_memory_allocated", "Event"):
        assert hasattr(torch.cuda, name)
    for name in ("record", "synchronize", "elapsed_time"):
        assert hasattr(torch.cuda.Event, name)
