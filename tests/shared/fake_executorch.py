"""ExecuTorch's native module, played by a function of arrays: what it is told is kept, what it answers is known."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch

needs_executorch = pytest.mark.skipif(
    find_spec("executorch") is None, reason="executorch is not installed: pip install 'mlflow-mlbench[executorch]'"
)


@dataclass
class FakeBinding:
    """As much of ``executorch.extension.pybindings._C`` as the runtime uses."""

    answer: Callable[[torch.Tensor], torch.Tensor]
    largest: tuple[int, ...] = (32, 1, 8, 8)
    available: bool = True
    most_threads: int = 64
    threads: int = 64  # as ExecuTorch: all there are, until it is told
    loaded: list[Path] = field(default_factory=list)
    resets: list[int] = field(default_factory=list)

    def _is_available(self, name: str) -> bool:
        return self.available and name == "XnnpackBackend"

    def _unsafe_reset_threadpool(self, count: int) -> None:
        self.resets.append(count)
        self.threads = min(count, self.most_threads)

    def _threadpool_get_thread_count(self) -> int:
        return self.threads

    def _load_program(self, path: str) -> Any:
        if not Path(path).exists():
            raise RuntimeError("loading program failed with error 0x22\nsomewhere")
        self.loaded.append(Path(path))
        sizes = SimpleNamespace(sizes=lambda: self.largest)
        return SimpleNamespace(
            load_method=lambda _name: lambda inputs: [self.answer(*inputs)],
            method_meta=lambda _name: SimpleNamespace(input_tensor_meta=lambda _index: sizes),
        )


def install(patch: pytest.MonkeyPatch, binding: FakeBinding) -> None:
    """Let mlbench find it, whether the real one is here or not."""
    from mlbench.runtimes import executorch_runtime

    package = ModuleType("executorch")
    package.__spec__ = ModuleSpec("executorch", None)
    patch.setitem(sys.modules, "executorch", package)
    patch.setattr(executorch_runtime, "_binding", lambda: binding)
    patch.setattr(executorch_runtime, "version", lambda _name: "1.5.1")
