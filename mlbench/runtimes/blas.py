"""The library behind matrix products on the CPU: which one, with which kernels, and how much of a call is spent in it.

Asked once per worker, after its last turn: MKL tells of its calls only while it is made to print, which takes time.
"""

from __future__ import annotations

import ctypes
import os
import re
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from mlbench.records import Scalar

_CALLS = 3
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_CALL = re.compile(r"^MKL_VERBOSE \w+\(.*\) ([\d.]+)(s|ms|us|ns)\b", re.MULTILINE)
_HEAD = re.compile(r"^MKL_VERBOSE .* architecture (.*?)(?: enabled)? processors,(.*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class MklUse:
    """What MKL printed of some calls.

    Attributes:
        calls: How often it was called.
        seconds: What all these calls took, by its own clock.
        kernels: The instruction set that it says it dispatches to; empty where it did not say.
        threading: Its threading layer; empty where it did not say.
    """

    calls: int
    seconds: float
    kernels: str = ""
    threading: str = ""


def mkl_use(printed: str) -> MklUse:
    """Read what MKL prints in its verbose mode.

    Args:
        printed: Lines such as ``MKL_VERBOSE SGEMM(N,N,...) 12.5us CNR:OFF Dyn:1 FastMM:1 TID:0 NThr:1``. The first ones
            of a process are preceded by one that names the version, the instruction set and the threading layer.
    """
    found = [float(value) * _SECONDS[unit] for value, unit in _CALL.findall(printed)]
    head = _HEAD.search(printed)
    kernels, rest = head.groups() if head else ("", "")
    return MklUse(len(found), sum(found), _short(kernels), rest.split()[-1] if rest.split() else "")


def _short(kernels: str) -> str:
    """``AVX2`` of ``Intel(R) Advanced Vector Extensions 2 (Intel(R) AVX2)``; anything else as MKL says it."""
    text = kernels.replace("(R)", "").strip()
    short = re.search(r"\(Intel (AVX[-\w]*)", text)
    return short.group(1) if short else text


def torch_blas(call: Callable[[], Any]) -> dict[str, Scalar]:
    """What torch computes matrix products with, and how much of a call its BLAS takes.

    Args:
        call: One call of the model.

    Returns:
        ``blas``, ``blas_version``, ``onednn`` and ``thread_layer`` as torch was built; with MKL also ``blas_kernels``
        in MKL's words, ``blas_calls`` and ``blas_time_pct``: how often a call of the model calls MKL, and the share of
        its time that this takes, the median of a few calls. These are absent where MKL does not print.
    """
    import torch

    shown = torch.__config__.show()
    found: dict[str, Scalar] = {
        "blas": _first(r"BLAS_INFO=(\w+)", shown) or "unknown",
        "blas_version": _first(r"Math Kernel Library Version ([\w.]+)", shown),
        "onednn": _first(r"MKL-DNN v([\w.]+)", shown),
        "thread_layer": _first(r"ATen parallel backend: (.+)", torch.__config__.parallel_info()),
    }
    found = {name: value for name, value in found.items() if value}
    return {**found, **_mkl(call)} if found["blas"] == "mkl" else found


def _first(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1).strip() if match else ""


def _mkl(call: Callable[[], Any]) -> dict[str, Scalar]:
    """How much of a call MKL takes, from what it prints; nothing where it cannot be made to."""
    import torch

    took: list[float] = []

    def timed() -> None:
        start = time.perf_counter()
        call()
        took.append(time.perf_counter() - start)

    try:
        with torch.backends.mkl.verbose(torch.backends.mkl.VERBOSE_ON):  # type: ignore[no-untyped-call]  # in torch
            uses = [mkl_use(_printed(timed)) for _ in range(_CALLS)]
    except AssertionError:  # what torch raises where MKL refuses
        return {}
    shares = [100 * use.seconds / seconds for use, seconds in zip(uses, took, strict=True)]
    said: dict[str, Scalar] = {"blas_kernels": uses[0].kernels} if uses[0].kernels else {}
    return {**said, "blas_calls": uses[-1].calls, "blas_time_pct": round(min(statistics.median(shares), 100.0), 1)}


def _printed(action: Callable[[], Any]) -> str:
    """What this process writes to its standard output during an action, C libraries included."""
    flush = ctypes.CDLL(None).fflush
    flush(None)
    kept = os.dup(1)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 1)
        try:
            action()
        finally:
            flush(None)
            os.dup2(kept, 1)
            os.close(kept)
        file.seek(0)
        return file.read().decode(errors="replace")


def numpy_blas() -> dict[str, Scalar]:
    """The BLAS that numpy and scipy have loaded into this process, as threadpoolctl finds it.

    Returns:
        ``blas``, ``blas_version``, ``blas_kernels`` (the architecture that it dispatches to) and ``thread_layer``, each
        where it is known; several libraries are listed side by side.
    """
    from threadpoolctl import threadpool_info

    libraries = [item for item in threadpool_info() if item["user_api"] == "blas"]
    keys = {
        "blas": "internal_api",
        "blas_version": "version",
        "blas_kernels": "architecture",
        "thread_layer": "threading_layer",
    }
    found = {
        name: ", ".join(dict.fromkeys(str(item[key]) for item in libraries if item.get(key)))
        for name, key in keys.items()
    }
    return {name: value for name, value in found.items() if value}
