"""Settings that sessions change for the whole process that opens them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def torch_settings_kept() -> Iterator[None]:
    """Sessions set torch's threads and precision for the process; in a notebook that is the user's own process."""
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
