"""Settings that sessions change for the whole process that opens them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def settings_kept() -> Iterator[None]:
    """Sessions set threads and precision for the process; in a notebook that is the user's own process."""
    with _pools_kept(), _torch_kept():
        yield


@contextmanager
def _torch_kept() -> Iterator[None]:
    if "torch" not in sys.modules:
        yield
        return
    import torch

    threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.set_float32_matmul_precision(precision)


@contextmanager
def _pools_kept() -> Iterator[None]:
    """The threads of OpenMP and BLAS, for the libraries that are here already."""
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:  # it comes with scikit-learn, whose sessions are what sets them
        yield
        return
    with threadpool_limits(limits=None):  # changes nothing, and puts back what it found
        yield
