"""Which device NVML is to be asked about: the one that CUDA calls number 0 in the workers.

NVML numbers all GPUs in the order of the PCI bus. CUDA numbers only those that ``CUDA_VISIBLE_DEVICES`` shows, and the
fastest first unless ``CUDA_DEVICE_ORDER=PCI_BUS_ID``. Where the two orders might differ nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

THROTTLE_WORDS = {
    0x01: "idle",
    0x02: "clocks set by an application",
    0x04: "power cap",
    0x08: "hardware slowdown",
    0x10: "sync boost",
    0x20: "heat (driver)",
    0x40: "heat (hardware)",
    0x80: "power brake",
    0x100: "display clocks",
}
SLOWDOWNS = 0x04 | 0x08 | 0x20 | 0x40 | 0x80
"""Reasons for which a busy GPU runs slower than it could."""
HEAT = 0x20 | 0x40


class NoDeviceError(Exception):
    """There is no device to ask; the message is a clause."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device as NVML knows it.

    Attributes:
        handle: What the worker runs on: a GPU, or one MIG instance of it.
        board: The whole GPU, which has the clocks, the sensors and the power.
        mig: Whether the handle is an instance.
    """

    handle: Any
    board: Any
    mig: bool


def throttle_words(mask: int) -> tuple[str, ...]:
    """NVML's bitmask of clock event (throttle) reasons in words; an unknown bit keeps its number."""
    bits = (1 << place for place in range(mask.bit_length()))
    return tuple(THROTTLE_WORDS.get(bit, f"reason {bit:#x}") for bit in bits if mask & bit)


def library() -> Any:
    """The module ``pynvml`` of nvidia-ml-py.

    Raises:
        NoDeviceError: It is not installed.
    """
    try:
        import pynvml
    except ImportError as error:
        raise NoDeviceError(f"nvidia-ml-py is not installed ({error})") from error
    return pynvml


def find_device(nvml: Any, environ: Mapping[str, str]) -> Device:
    """The device that CUDA calls number 0. NVML must be initialised.

    Args:
        nvml: The module ``pynvml``, or something with its functions.
        environ: Where ``CUDA_VISIBLE_DEVICES`` and ``CUDA_DEVICE_ORDER`` are read from.

    Raises:
        NoDeviceError: No device is visible, or it cannot be told which one CUDA takes.
        NVMLError: NVML refused, for lack of permission for example.
    """
    count = nvml.nvmlDeviceGetCount()
    if count == 0:
        raise NoDeviceError("NVML sees no GPU")
    visible = environ.get("CUDA_VISIBLE_DEVICES")
    first = visible.split(",")[0].strip() if visible is not None else "0"
    if first.startswith("MIG-"):
        handle = nvml.nvmlDeviceGetHandleByUUID(first)
        return Device(handle, nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle), mig=True)
    if first.startswith("GPU-"):
        board = _by_uuid(nvml, count, first)
    elif first.isdigit():
        board = _by_index(nvml, count, int(first), environ.get("CUDA_DEVICE_ORDER", ""))
    else:
        raise NoDeviceError(f"CUDA_VISIBLE_DEVICES={visible} hides every GPU")
    instance = _first_instance(nvml, board)
    return Device(board, board, mig=False) if instance is None else Device(instance, board, mig=True)


def _by_uuid(nvml: Any, count: int, wanted: str) -> Any:
    """A GPU by its UUID, of which CUDA takes any beginning that only one GPU has."""
    handles = [nvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
    fitting = [handle for handle in handles if _text(nvml.nvmlDeviceGetUUID(handle)).startswith(wanted)]
    if len(fitting) != 1:
        raise NoDeviceError(f"CUDA_VISIBLE_DEVICES names {wanted}, which fits {len(fitting)} of {count} GPUs")
    return fitting[0]


def _by_index(nvml: Any, count: int, index: int, order: str) -> Any:
    if index >= count:
        raise NoDeviceError(f"NVML sees {count} GPUs, there is no number {index}")
    handles = [nvml.nvmlDeviceGetHandleByIndex(number) for number in range(count)]
    if order != "PCI_BUS_ID" and len({_text(nvml.nvmlDeviceGetName(handle)) for handle in handles}) > 1:
        raise NoDeviceError(
            "there are GPUs of several models, which CUDA and NVML number differently; set CUDA_DEVICE_ORDER=PCI_BUS_ID"
        )
    return handles[index]


def _first_instance(nvml: Any, board: Any) -> Any:
    """The MIG instance that CUDA takes on a partitioned GPU; None where it is not partitioned."""
    try:
        current, _pending = nvml.nvmlDeviceGetMigMode(board)
        if current != nvml.NVML_DEVICE_MIG_ENABLE:
            return None
        places = nvml.nvmlDeviceGetMaxMigDeviceCount(board)
    except nvml.NVMLError:
        return None  # GPUs that cannot be partitioned answer "Not Supported"
    for place in range(places):
        try:
            return nvml.nvmlDeviceGetMigDeviceHandleByIndex(board, place)
        except nvml.NVMLError:
            continue  # no instance in this place
    raise NoDeviceError("the GPU is in MIG mode, but has no instance")


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value  # bytes in older versions of nvidia-ml-py
