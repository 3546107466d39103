"""What CUDA itself knows of a torch session: time on the device, and memory of torch's allocator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_MIB = 1 << 20


class CudaDevice:
    """The current CUDA device, for one session.

    Args:
        cuda: The module ``torch.cuda``, or something with its functions.
        call: One call of the model that does not wait for the device.
    """

    def __init__(self, cuda: Any, call: Callable[[Any], object]) -> None:
        self._cuda = cuda
        self._call = call

    def synchronize(self) -> None:
        """Wait until the device is done."""
        self._cuda.synchronize()

    def reset_peak(self) -> None:
        """Let the allocator's peak start anew from what is allocated now (the weights stay in it)."""
        self._cuda.synchronize()
        self._cuda.reset_peak_memory_stats()

    def peak_mib(self) -> float:
        """The allocator's peak since it was reset: tensors only, without CUDA's own context."""
        return float(self._cuda.max_memory_allocated()) / _MIB

    def call_ms(self, prepared: Any) -> float:
        """Time of one call on the device's own clock, between two events around it."""
        start, end = self._cuda.Event(enable_timing=True), self._cuda.Event(enable_timing=True)
        self._cuda.synchronize()
        start.record()
        self._call(prepared)
        end.record()
        end.synchronize()
        return float(start.elapsed_time(end))
